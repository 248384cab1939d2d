"""The SDK against a real server and node: futures, many at once, graphs, map-reduce, and the examples as printed."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import anchor
from anchor.client import AsyncClient, Client, TaskFailed
from anchor.core.errors import NotFound

EXAMPLES = Path(__file__).parents[2] / "examples" / "sdk"
ISOLATE: dict[str, Any] = {"runtime": "isolate"}
PATIENCE_SECONDS = 60.0

PRINTED = {
    "squares.py": "49\n2470\nTrue\n",
    "report.py": "45 < 1045\n",
    "side_by_side.py": "4.0\n[1.0, 2.0, 3.0]\nscript_error ",
    "word_count.py": "[['the', ",
}


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_an_example_prints_what_it_says(lab: str, name: str) -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        env={**os.environ, "ANCHOR_URL": lab},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(PRINTED[name])


def test_the_page_shows_the_examples() -> None:
    page = (EXAMPLES.parents[1] / "docs" / "sdk.md").read_text(encoding="utf-8")
    for name in PRINTED:
        _, _, program = (EXAMPLES / name).read_text(encoding="utf-8").split('"""', 2)
        assert program.strip() in page, name


def failing(x: int) -> int:
    raise ValueError(f"not {x}")


def waiting(seconds: float) -> str:
    import time  # noqa: PLC0415 - it runs on a node

    time.sleep(seconds)
    return "slept"


def test_a_failure_has_the_reason_and_a_cancelled_task_is_one(lab: str) -> None:
    with Client(lab) as client:
        failed = client.submit(failing, 3, attempts=1)
        asleep = client.submit(waiting, 600.0)
        with pytest.raises(TaskFailed, match="ValueError: not 3") as caught:
            failed.result(timeout=PATIENCE_SECONDS)
        assert (caught.value.code, caught.value.state, caught.value.id) == ("script_error", "failed", failed.id)
        assert not asleep.done()
        with pytest.raises(TimeoutError, match="not over yet"):
            asleep.result(timeout=0)
        with pytest.raises(TimeoutError):
            list(client.as_completed([asleep], timeout=0.1))
        asleep.cancel()
        stopped = asleep.exception(timeout=PATIENCE_SECONDS)
        assert stopped is not None
        assert stopped.state == "cancelled"
        asleep.cancel()
        assert client.future(asleep.id).done()


def test_a_large_value_comes_back_whole(lab: str) -> None:
    with Client(lab) as client:
        assert client.submit("return 'x'.repeat(input)", 200_000, **ISOLATE).result(PATIENCE_SECONDS) == "x" * 200_000


def test_thousands_of_futures_take_few_requests_and_keep_their_order(lab: str) -> None:
    with Client(lab) as client:
        sent = 0
        send = client._send

        def counted(call: Any) -> Any:
            nonlocal sent
            sent += 1
            return send(call)

        client._send = counted  # type: ignore[method-assign]
        noops = [{"name": "n", "type": "noop", "payload": {"input": number}} for number in range(1200)]
        futures = [client.future(created.id) for created in client.submit_many(noops)]
        assert client.gather(futures, timeout=PATIENCE_SECONDS) == list(range(1200))
        assert sent <= 10
        assert {future.id for future in client.as_completed(futures)} == {future.id for future in futures}
        assert sent <= 20
        assert len(list(client.as_completed([]))) == 0


def test_as_completed_gives_the_first_that_is_over_first(lab: str) -> None:
    with Client(lab) as client:
        slow, quick = client.submit(waiting, 30.0), client.submit("return 1", **ISOLATE)
        first = next(client.as_completed([slow, quick], timeout=PATIENCE_SECONDS))
        assert first is quick
        slow.cancel()


def test_waiting_for_a_task_that_is_not_there_is_said(lab: str) -> None:
    with Client(lab) as client, pytest.raises(NotFound, match="There is no task task_0000000000000"):
        client.gather([client.future("task_0000000000000")])


def test_whoever_waits_for_many_is_told_at_once(lab: str) -> None:
    with Client(lab) as client:
        future = client.submit("return 5", needs={"labels": ["nowhere"]}, **ISOLATE)
        ended: list[float] = []

        def wait() -> None:
            with Client(lab) as other:
                list(other.as_completed([other.future(future.id)], timeout=PATIENCE_SECONDS))
                ended.append(time.monotonic())

        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(1.5)  # until its server looks at it once a second only
        began = time.monotonic()
        future.cancel()
        waiter.join(PATIENCE_SECONDS)
        assert ended[0] - began < 0.5


def test_a_graph_is_run_step_by_step_and_its_failure_names_the_step(lab: str, tmp_path: Path) -> None:
    graph = anchor.Graph("sdk")
    listed = graph.step("return [1, 2, 3]", id="list", **ISOLATE)
    doubled = graph.map("return input * 2", listed, id="double", **ISOLATE)
    graph.step("return inputs.double.reduce((a, b) => a + b) + input", doubled, 100, id="sum", **ISOLATE)
    broken = anchor.Graph("broken")
    broken.step(failing, 1, attempts=1, id="bad")
    file = tmp_path / "graph.yaml"
    file.write_text("name: g\nsteps:\n  - id: one\n    payload: {sourceCode: return 11, runtime: isolate}\n")
    with Client(lab) as client:
        runs = [client.run_graph(graph), client.run_graph(broken), client.run_graph(file)]
        assert runs[0].result(PATIENCE_SECONDS) == {"sum": 112}
        assert runs[0].step("double") == [2, 4, 6]
        with pytest.raises(TaskFailed, match="not 1") as caught:
            runs[1].result(PATIENCE_SECONDS)
        assert caught.value.id == runs[1].id
        assert runs[2].result(PATIENCE_SECONDS) == {"one": 11}
        assert runs[2].done()
        runs[2].cancel()


def test_the_asyncio_client_means_the_same(lab: str, tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text('{"name": "g", "steps": [{"id": "one", "payload": {"sourceCode": "return 11"}}]}')

    async def main() -> None:
        async with AsyncClient(lab) as client:
            futures = await client.map("return input + 1", range(30), **ISOLATE)
            run = await client.run_graph(file)
            asleep = await client.submit(waiting, 600.0)
            assert await client.gather(futures, timeout=PATIENCE_SECONDS) == list(range(1, 31))
            seen = [await one async for one in client.as_completed(futures)]
            assert sorted(seen) == list(range(1, 31))
            assert await run.result(PATIENCE_SECONDS) == {"one": 11}
            assert await run.done()
            assert not await asleep.done()
            await asleep.cancel()
            with pytest.raises(TaskFailed, match="cancelled"):
                await asleep

    asyncio.run(main())
