"""Whatever was acknowledged is there after kill -9, as new as it was acknowledged."""

import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from anchor.adapters.sqlite import SqliteStore
from anchor.core.task import State

WRITER = Path(__file__).with_name("acknowledging_writer.py")


def killed_at_random(folder: Path) -> list[str]:
    """The complete lines a writer printed before it was killed."""
    with subprocess.Popen([sys.executable, str(WRITER), str(folder)], stdout=subprocess.PIPE) as writer:
        lines = [writer.stdout.readline() for _ in range(random.randint(300, 3000))]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
    assert writer.returncode == -signal.SIGKILL
    return [line.decode().strip() for line in lines if line.endswith(b"\n")]


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path):
    acknowledged: dict[int, int] = {}
    for _ in range(4):
        for line in killed_at_random(tmp_path):
            match line.split():
                case ["+", key]:
                    acknowledged[int(key)] = 1
                case ["~", key, version]:
                    acknowledged[int(key)] = int(version)
    store = await SqliteStore.open(tmp_path)
    try:
        keys = sorted(acknowledged)
        found = await store.get(keys)
        assert [key for key, task in zip(keys, found, strict=True) if task is None] == []
        assert [task.id for task in found if task.ver < acknowledged[task.id]] == []
        assert all(await store.payloads(keys))
        everything, below = [], None
        while True:
            page = await store.page(below=below, limit=5000, state=None, label=None, owner=None)
            everything += page.tasks
            if (below := page.below) is None:
                break
        states = Counter(task.state for task in everything)
        assert await store.counts(None) == {state: states[state] for state in State}
        assert store.last_key == max(task.id for task in everything)
    finally:
        await store.close()
