"""A node that hosts apps: what it is told to run it runs, keeps up, moves and ends, and nothing restarts by itself."""

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest
from tests.agent.stage_of_apps import PYTHON, free_port, got, got_locally, running_of, staged

from anchor.agent.apps import health, replica
from anchor.agent.apps.box_key import box_key_in
from anchor.agent.apps.doors import Direct
from anchor.agent.apps.ground import NotHosted
from anchor.agent.sandbox.confinement import Confinement
from anchor.agent.sandbox.probe import probe
from anchor.wire import box

SERVE = f"exec {PYTHON} -u server.py"
WORK = "trap 'echo bye; exit 0' TERM; echo working with $SECRET; while :; do sleep 0.1; done"
DEMO = {"web": SERVE, "worker": WORK, "release": "echo migrated > state; echo migrating"}
CONFINEMENTS = [
    pytest.param(
        probe,
        id="confined",
        marks=pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined"),
    ),
    pytest.param(
        lambda: Confinement("process"),
        id="process",
        marks=pytest.mark.skipif(probe().level == "none", reason=probe().why or "no processes"),
    ),
]
pytestmark = pytest.mark.skipif(probe().level == "none", reason=probe().why or "no processes")


@pytest.mark.anyio
@pytest.mark.parametrize("confinement", CONFINEMENTS)
async def test_replicas_run_are_reached_and_end_when_nobody_wants_them(tmp_path: Path, confinement: object) -> None:
    assert callable(confinement)
    port = free_port()
    async with staged(tmp_path, confinement(), {"demo": DEMO}) as stage:
        secret = box.sealed(box.public_of(stage.key), json.dumps({"SECRET": "canary"}).encode())
        web = stage.item("demo", 1, config={"port": port}, serves=True, prepares=True)
        worker = stage.item("demo", 2, "worker", env=secret)
        stage.hosting.want([web, worker])
        assert (await stage.until_state(web, "healthy")).prepared
        assert stage.wants_tunnel
        assert await stage.asked(web, "/x") == "web.0 of 1 /x"
        assert await got_locally(port, "/y") == "web.0 of 1 /y"
        await stage.until_state(worker, "healthy")
        await stage.until(lambda: "working with canary" in stage.log(worker))
        assert "migrating" in stage.log(web)
        assert "building" in stage.log(web)

        # A server that did not hear from this node for long takes its replicas for lost: users here notice nothing.
        stage.hosting.want([stage.item("demo", 1, config={"port": port}), worker])
        assert await got_locally(port, "/y") == "web.0 of 1 /y"
        stage.hosting.want([web, worker])

        # Told the same again, nothing happens; told less, the rest is asked to end.
        before = stage.status(web)
        stage.hosting.want([web])
        await stage.until_state(worker, "stopped")
        after = stage.status(web)
        assert before is not None
        assert after is not None
        assert (after.state, after.since, after.restarts) == ("healthy", before.since, 0)
        await stage.until(lambda: "bye" in stage.log(worker))
        with pytest.raises(NotHosted):
            await stage.hosting.connect(web.app, 2)
        with pytest.raises(NotHosted):
            await stage.hosting.connect(web.app + 1, 1)

        # One that is to drain and was never here is gone already, which is said once.
        stage.hosting.want([web, stage.item("demo", 7, drains=True)])
        await stage.until_state(stage.item("demo", 7), "stopped")
        assert [one for one in stage.hosting.statuses() if one.generation != 1] == []

        stage.hosting.want([])
        await stage.until_state(web, "stopped")
        assert not stage.wants_tunnel
        with pytest.raises(ConnectionRefusedError):
            await got_locally(port)
        assert os.listdir(tmp_path / "agent" / "apps" / "replicas") == []


@pytest.mark.anyio
@pytest.mark.parametrize("confinement", CONFINEMENTS)
async def test_a_port_moves_to_the_new_generation_without_a_refused_connection(
    tmp_path: Path, confinement: object
) -> None:
    assert callable(confinement)
    port = free_port()
    config = {"port": port, "drain_seconds": 10.0}
    async with staged(tmp_path, confinement(), {"demo": DEMO}) as stage:
        old = stage.item("demo", 1, config=config, serves=True)
        stage.hosting.want([old])
        await stage.until_state(old, "healthy")
        answers: list[str] = []
        done, moved = asyncio.Event(), asyncio.Event()

        async def ask_on_and_on() -> None:
            while not done.is_set():
                answers.append(await got_locally(port))
                if answers[-1].startswith("web.0 of 2"):
                    moved.set()

        asking = asyncio.create_task(ask_on_and_on())
        streamed = await stage.hosting.connect(old.app, 1)
        stage.hosting.streams(old.app, 1, 1)
        new = stage.item("demo", 2, config=config, release=2)
        stage.hosting.want([old, new])
        await stage.until_state(new, "healthy")
        stage.hosting.want(
            [
                stage.item("demo", 1, config=config, drains=True),
                stage.item("demo", 2, config=config, release=2, serves=True),
            ]
        )
        await stage.until_state(old, "draining")
        async with asyncio.timeout(10):
            await moved.wait()
        # What was being answered is answered to its end, then the old one ends: before its time is over.
        assert await got(streamed, "/z") == "web.0 of 1 /z"
        drains = stage.status(old)
        assert drains is not None
        assert drains.state == "draining"
        stage.hosting.streams(old.app, 1, -1)
        await stage.until_state(old, "stopped")
        done.set()
        await asking
        assert {answer[:10] for answer in answers} == {"web.0 of 1", "web.0 of 2"}


@pytest.mark.anyio
async def test_a_crashed_replica_comes_back_and_a_sick_one_leaves_the_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "WATCHING_SECONDS", 0.05)
    async with staged(tmp_path, probe(), {"demo": DEMO, "sick": DEMO}) as stage:
        dying = stage.item("demo", serves=True)
        sick = stage.item("sick", config={"health_path": "/health"})
        stage.hosting.want([dying, sick])
        await stage.until_state(dying, "healthy")
        root = running_of(stage, dying)._root
        os.kill(root, 9)
        await stage.until_state(dying, "starting")
        status = await stage.until_state(dying, "healthy")
        assert status.restarts == 1
        assert await stage.asked(dying) == "web.0 of 1 /"

        await stage.until_state(sick, "healthy")
        await stage.asked(sick, "/sick")
        status = await stage.until_state(sick, "unhealthy")
        assert status.reason is not None
        assert "GET /health answered 500" in status.reason.message
        status = await stage.until_state(sick, "healthy")
        assert status.restarts == 1, "started anew it is well again"


@pytest.mark.anyio
async def test_what_cannot_run_says_why_and_whom_to_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica, "BACKOFF_SECONDS", (0.01,))
    lines = {
        "crashing": "echo first; echo Error: no database >&2; exit 3",
        "signalled": "kill -SEGV $$",
        "silent": "sleep 60",
        "elsewhere": f"PORT=3999 exec {PYTHON} -u server.py",
        "ill": SERVE,
        "hungry": f"exec {PYTHON} -c 'x = bytes(range(256)) * (400 << 12); input()' <> /dev/zero",
        "hoarding": "head -c 100000000 /dev/zero > full",
        "unprepared": SERVE,
        "idle": SERVE,
        "greedy": SERVE,
        "taken": SERVE,
        "second": SERVE,
    }
    processes = {name: {"web": command} for name, command in lines.items()}
    processes["unprepared"]["release"] = "echo cannot migrate; exit 4"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        confinement = probe() if probe().level == "confined" else Confinement("process")
        async with staged(tmp_path, confinement, processes) as stage:
            shared = free_port()
            items = {name: stage.item(name, config={"start_seconds": 1.5}) for name in lines}
            items["ill"] = stage.item("ill", config={"start_seconds": 1.5, "health_path": "/health"})
            items["unprepared"] = stage.item("unprepared", prepares=True)
            items["idle"] = stage.item("idle", process="worker")
            items["greedy"] = stage.item("greedy", config={"ram": "8GB"})
            items["taken"] = stage.item("taken", config={"port": taken.getsockname()[1]})
            items["ill"] = stage.item("ill", config={"port": shared})
            items["second"] = stage.item("second", config={"port": shared})
            items["unbuilt"] = stage.item("unbuilt")
            items["locked"] = stage.item("idle", 2, env=b"not a box at all, and not sealed to anybody")
            stage.hosting.want(list(items.values()))
            await stage.until_state(items["ill"], "healthy")
            expected = {
                "crashing": ("crash_loop", "It ended with code 3. Its last lines:\nfirst\nError: no database"),
                "signalled": ("crash_loop", "It was ended by signal 11 (SIGSEGV)."),
                "silent": ("never_listened", "It did not listen on port"),
                "elsewhere": ("wrong_port", "It listens on port 3999, not on "),
                "hungry": ("memory_limit", "It used more than its 128 MiB of memory."),
                "hoarding": ("disk_limit", "its limit on disk is 64 MiB"),
                "unprepared": ("release_failed", "cannot migrate"),
                "idle": ("no_process", "The source has no process worker; it has web."),
                "greedy": ("no_room", "It is to have 8192 MiB of memory"),
                "taken": ("port_in_use", "is taken by another program"),
                "second": ("port_in_use", f"Port {shared} of this machine is that of the app ill already."),
                "unbuilt": ("build_failed", "It does not compile."),
                "locked": ("box_not_opened", "not sealed to this key"),
            }
            for name, (code, message) in expected.items():
                reason = (await stage.until_state(items[name], "failed")).reason
                assert reason is not None, name
                assert (name, reason.code) == (name, code)
                assert message in reason.message
                assert reason.hint or name == "unbuilt"
            assert await stage.asked(items["ill"]) == "web.0 of 1 /", "and a neighbour answers all the while"
            # A failed one has let its memory and its port go; told to end, it does.
            stage.hosting.want([])
            await stage.until_state(items["greedy"], "stopped")


@pytest.mark.anyio
async def test_the_server_is_told_again_after_it_was_away_and_nothing_restarts(tmp_path: Path) -> None:
    async with staged(tmp_path, probe(), {"demo": DEMO}) as stage:
        web = stage.item("demo")
        stage.hosting.want([web])
        first = await stage.until_state(web, "healthy")
        stage.session = 0
        stage.statuses.clear()
        assert await stage.asked(web) == "web.0 of 1 /"
        stage.session = 2
        stage.hosting.want([web])
        again = await stage.until_state(web, "healthy")
        assert (again.since, again.restarts) == (first.since, 0)


@pytest.mark.anyio
async def test_a_stopping_agent_lets_what_is_being_answered_end(tmp_path: Path) -> None:
    async with staged(tmp_path, probe(), {"demo": DEMO}) as stage:
        web = stage.item("demo")
        stage.hosting.want([web])
        await stage.until_state(web, "healthy")
        streamed = await stage.hosting.connect(web.app, 1)
        stage.hosting.streams(web.app, 1, 1)
        stopping = asyncio.create_task(stage.hosting.stop())
        await stage.until_state(web, "draining")
        assert await got(streamed, "/last") == "web.0 of 1 /last"
        stage.hosting.streams(web.app, 1, -1)
        await stopping
        await stage.until_state(web, "stopped")


@pytest.mark.anyio
async def test_with_the_network_of_the_machine_only_the_apps_own_listener_is_reached(tmp_path: Path) -> None:
    stranger = socket.create_server(("127.0.0.1", 0))
    asks = (
        f"""exec {PYTHON} -u -c 'import socket; socket.create_connection(("127.0.0.1", PORT)); print("out"); input()'"""
    )
    asks = asks.replace("PORT", str(stranger.getsockname()[1])) + " <> /dev/zero"
    async with staged(tmp_path, probe(), {"demo": {"web": SERVE, "worker": asks}}) as stage:
        web = stage.item("demo", config={"network": True})
        worker = stage.item("demo", 2, "worker", config={"network": True})
        stage.hosting.want([web, worker])
        await stage.until_state(web, "healthy")
        assert await stage.asked(web) == "web.0 of 1 /"
        await stage.until(lambda: "out" in stage.log(worker, "stdout"))
        door = running_of(stage, web)._door
        assert isinstance(door, Direct)
        door.port = stranger.getsockname()[1]
        door._seen_at = (0, 0.0)
        with pytest.raises(ConnectionRefusedError, match="no process of the app listens there"):
            await stage.hosting.connect(1, 1)
    stranger.close()


def test_the_key_that_secrets_are_sealed_to_is_made_once_and_private(tmp_path: Path) -> None:
    key = box_key_in(tmp_path)
    assert box_key_in(tmp_path) == key
    assert (tmp_path / "box.key").stat().st_mode & 0o777 == 0o600
    assert box.opened(key, box.sealed(box.public_of(key), b"canary")) == b"canary"
