"""A worker process: it takes work from its agent, a piece at a time, runs it in an engine and says how it ended."""

import importlib
import os
import queue
import sys
import threading
import time
from typing import Any, Final

from anchor.agent.workers import limits
from anchor.agent.workers.endings import out_of_memory
from anchor.agent.workers.frames import MIB, Compiled, Ended, FrameError, Program, Ready, Script, Source, Work, read_work
from anchor.agent.workers.printer import Printer, Pulse, Stage, Words
from anchor.core.errors import FailureCode

WORK_PER_WORKER_MAX: Final = 100
GROWTH_BYTES_MAX: Final = 64 * MIB
"""A worker whose resident memory has grown by this since it started is not used again."""
DATA_SPARE_BYTES: Final = 64 * MIB
"""What engines may map beside the memory they hand to the work: compiled code, copies of results and the like."""
_ENGINES: Final = {
    "isolate": "anchor.agent.runtimes.isolate.engine",
    "wasm": "anchor.agent.runtimes.wasm.engine",
    "python": "anchor.agent.runtimes.python.engine",
}
"""What has `load() -> engine`: `engine.run(work, stage) -> Ended`, `engine.finish()`, `engine.spent`."""
_ENGINE_OF: Final = {Script: "isolate", Program: "wasm", Source: "python"}


class _Worker:
    def __init__(self, words: Words, engines: dict[str, Any], missing: dict[str, str]) -> None:
        self._words = words
        self._engines = engines
        self._missing = missing
        self._pulse = Pulse()
        self._data_at_start = limits.data_bytes()
        self._resident_at_start = limits.resident_bytes()

    def work(self, inbox: "queue.SimpleQueue[Work]") -> None:
        """Take work until it is time to be replaced."""
        for _ in range(WORK_PER_WORKER_MAX):
            self._words.say(self._ready())
            work = inbox.get()
            name = _ENGINE_OF[type(work)]
            engine = self._engines.get(name)
            if engine is None:
                why = f"The engine of {name} could not be loaded: {self._missing[name]}."
                self._words.say(Ended(FailureCode.RUNTIME_UNAVAILABLE, why, "Run `anchor doctor` on the node."))
                continue
            self._do(work, engine)
            if engine.spent:
                return
            engine.finish()
            if limits.resident_bytes() - self._resident_at_start > GROWTH_BYTES_MAX:
                return

    def _ready(self) -> Ready:
        modules = self._engines["wasm"].modules if "wasm" in self._engines else []
        return Ready(modules, time.process_time(), limits.resident_bytes() / MIB)

    def _do(self, work: Work, engine: Any) -> None:
        printer = Printer(self._words, work.output_bytes)
        before_bytes = limits.resident_bytes()
        limits.forget_peak()
        before_seconds = time.process_time()

        def last(ended: Ended) -> None:
            printer.flush()
            self._words.say(
                Ended(
                    ended.code,
                    ended.message,
                    ended.hint,
                    ended.value,
                    printer.truncated,
                    time.process_time() - before_seconds,
                    max(0, limits.peak_bytes() - before_bytes) / MIB,
                    ended.fuel,
                )
            )

        if self._data_at_start:
            limits.limit_data(self._data_at_start + work.memory_mib * MIB + DATA_SPARE_BYTES)
        try:
            ended = engine.run(work, Stage(printer, self._pulse, last, None, self._keep))
        except MemoryError:
            ended, engine.spent = out_of_memory(work.memory_mib), True
        limits.limit_data(None)
        last(ended)

    def _keep(self, code: bytes) -> None:
        self._words.say(Compiled(code))


def main() -> None:
    """Run as the worker of the process whose id is the first argument; stdin and stdout are the pipes to it."""
    inbox_fd, words_fd = _take_pipes()
    limits.bind_to(int(sys.argv[1]))
    engines: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, module in _ENGINES.items():
        try:
            engines[name] = importlib.import_module(module).load()
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"
    limits.close_doors()
    inbox: queue.SimpleQueue[Work] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(inbox_fd, inbox), daemon=True).start()
    _Worker(Words(words_fd), engines, missing).work(inbox)
    # Threads of the engines may be stuck in foreign code: nothing is waited for.
    os._exit(0)


def _take_pipes() -> tuple[int, int]:
    """Move the pipes away from stdin and stdout, so that no library can read or print into them by accident."""
    pipes = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)
    return pipes


def _read(fd: int, inbox: "queue.SimpleQueue[Work]") -> None:
    """Pass work on; the end of the pipe is the end of the agent, and of this process at once."""
    try:
        while (work := read_work(fd)) is not None:
            inbox.put(work)
    except (FrameError, OSError):
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
