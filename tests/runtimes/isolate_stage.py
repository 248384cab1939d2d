"""An isolate engine in this process: what a source answers, prints, or is told."""

import functools
import json
from pathlib import Path
from typing import Any

from anchor.agent.runtimes.isolate.engine import IsolateEngine
from anchor.agent.workers.frames import Ended, Script
from anchor.agent.workers.printer import Pulse, Stage
from anchor.core.errors import FailureCode


class Printed(list[tuple[str, str]]):
    truncated = False

    def write(self, stream: str, text: str) -> None:
        self.append((stream, text))

    def flush(self) -> None:
        pass

    def on(self, stream: str) -> str:
        return "".join(text for one, text in self if one == stream)


@functools.cache
def _engine() -> tuple[IsolateEngine, Pulse]:
    return IsolateEngine(), Pulse()


def run(
    source: str,
    modules: dict[str, str] | None = None,
    value: Any = None,
    directory: Path | None = None,
    disk_mib: int = 0,
) -> tuple[Ended, Printed]:
    """Run a source to its end; how it ended, and what it printed."""
    engine, pulse = _engine()
    printed = Printed()
    stage = Stage(printed, pulse, lambda ended: None, directory)  # type: ignore[arg-type]
    anchor = {"task": "t", "attempt": 1, "args": [], "env": {}}
    given = json.dumps({"input": value, "anchor": anchor, "budget": 1 << 20})
    script = Script(source, given, 128, 20.0, 1 << 20, modules or {}, directory is not None, disk_mib)
    try:
        return engine.run(script, stage), printed
    finally:
        engine.finish()


def value_of(
    source: str, modules: dict[str, str] | None = None, value: Any = None, directory: Path | None = None
) -> Any:
    """What a source answers."""
    ended, _ = run(source, modules, value, directory)
    assert ended.code is None, ended.message
    return json.loads(ended.value)


def message_of(source: str, modules: dict[str, str] | None = None) -> str:
    """What is said of a source that fails."""
    ended, _ = run(source, modules)
    assert ended.code is FailureCode.SCRIPT_ERROR, ended
    return ended.message
