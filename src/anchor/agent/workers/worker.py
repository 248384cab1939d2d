"""A worker process: it takes work from its agent, a piece at a time, runs it in an engine and says how it ended."""

import ctypes
import importlib
import importlib.util
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from anchor.agent.sandbox import self_test
from anchor.agent.workers.confining import Confining
from anchor.agent.workers.endings import out_of_memory
from anchor.agent.workers.frames import (
    MIB,
    Compiled,
    Ended,
    FrameError,
    Program,
    Ready,
    Script,
    Source,
    Trial,
    Work,
    read_work,
)
from anchor.agent.workers.limits import Gauge, limit_data, limit_files
from anchor.agent.workers.printer import Printer, Pulse, Stage, Words
from anchor.core.errors import FailureCode

WORK_PER_WORKER_MAX: Final = 100
GROWTH_BYTES_MAX: Final = 64 * MIB
"""A worker whose resident memory has grown by this since it started is not used again."""
DATA_SPARE_BYTES: Final = 64 * MIB
"""What engines may map beside the memory they hand to the work: compiled code, copies of results and the like."""
LOAD_AFTER_SECONDS: Final = 0.01
"""A worker that has had no work for so long loads the next of its engines: one that is in demand has no time to lose
on engines that nobody asks for."""
DATA_FULL_BYTES: Final = MIB
"""Work is out of memory when less than this is left of what it may map for some beats on end: smaller allocations may
still succeed, but Python takes no less at a time."""
BEATS_FULL_MAX: Final = 5
QUICK_FINISH_SECONDS: Final = 0.0002
"""Where an engine was ready again so soon the last time, its ending and the word that it is ready travel together."""
JOB: Final = "job"
"""The name of the running job's directory in the worker's place."""
ENGINES: Final = {
    "wasm": "anchor.agent.runtimes.wasm.engine",
    "isolate": "anchor.agent.runtimes.isolate.engine",
    "python": "anchor.agent.runtimes.python.engine",
}
"""What has `load() -> engine`: `engine.run(work, stage) -> Ended`, `engine.finish()`, `engine.spent`."""
_PACKAGES: Final = {"isolate": "py_mini_racer", "wasm": "wasmtime", "python": "eryx"}
"""Whose own files an engine may go on reading."""
_LIBRARIES: Final = {"isolate": ("py_mini_racer", "libmini_racer.so")}
"""Libraries that are loaded late by themselves: loaded ahead, they are in memory once for all workers."""
_ENGINE_OF: Final = {Script: "isolate", Program: "wasm", Source: "python"}


Following = Callable[[float | None], Work | None]
"""Waits for the next work, for ever or so many seconds; None where there was none."""


class _Worker:
    def __init__(
        self, words: Words, place: Path, engines: Mapping[str, str], confining: Confining, gauge: Gauge
    ) -> None:
        self._words = words
        self._place = place
        self._gauge = gauge
        self._give_up: Callable[[], None] | None = None
        # Memory can also run out where an engine calls back, or where the pulse beats: nobody is told then, and the
        # engine would wait for ever.
        sys.unraisablehook = lambda raised: self._lost(raised.exc_type)
        threading.excepthook = lambda raised: self._lost(raised.exc_type)
        self._pulse = Pulse(self._watch)
        self._full_bytes = 0
        self._beats_full = 0
        self._finish_seconds: dict[str, float] = {}
        self._engines: dict[str, Any] = {}
        self._missing: dict[str, str] = {}
        self._unloaded = dict(engines)
        # An engine that is ON_DEMAND is too large for workers that may never be asked for it.
        self._ahead = [
            name for name, module in engines.items() if not getattr(sys.modules.get(module), "ON_DEMAND", False)
        ]
        confining.close_the_kernel()
        self._lacks = confining.lacks
        self._data_at_start = self._resident_at_start = 0

    def work(self, following: Following) -> None:
        """Take work until it is time to be replaced."""
        held: list[Ended] = []
        for _ in range(WORK_PER_WORKER_MAX):
            self._words.say(*held, self._ready())
            held = []
            while (work := following(LOAD_AFTER_SECONDS if self._ahead else None)) is None:
                self._load(self._ahead.pop(0))
            if isinstance(work, Trial):
                done = self_test.succeeded(work.agent, work.port, work.files, work.folder)
                self._words.say(Ended(value=msgspec.json.encode(done)))
                return
            name = _ENGINE_OF[type(work)]
            self._load(name)
            engine = self._engines.get(name)
            if engine is None:
                why = f"The engine of {name} could not be loaded: {self._missing.get(name, 'it is not part of this')}."
                self._words.say(Ended(FailureCode.RUNTIME_UNAVAILABLE, why, "Run `anchor doctor` on the node."))
                continue
            ended = self._do(work, engine)
            if engine.spent or self._finish_seconds.get(name, 1.0) > QUICK_FINISH_SECONDS:
                self._words.say(ended)
            else:
                held = [ended]
            if engine.spent:
                return
            began = time.perf_counter()
            engine.finish()
            self._finish_seconds[name] = time.perf_counter() - began
            if self._gauge.resident_bytes() - self._resident_at_start > GROWTH_BYTES_MAX:
                break
        self._words.say(*held)

    def _load(self, name: str) -> None:
        module = self._unloaded.pop(name, None)
        if module is None:
            return
        try:
            self._engines[name] = importlib.import_module(module).load()
        except Exception as error:
            self._missing[name] = f"{type(error).__name__}: {error}"
        # What the engine needs for itself is not for any work to pay.
        self._data_at_start = self._gauge.data_bytes()
        self._resident_at_start = self._gauge.resident_bytes()

    def _ready(self) -> Ready:
        modules = self._engines["wasm"].modules if "wasm" in self._engines else []
        return Ready(modules, time.process_time(), self._gauge.resident_bytes() / MIB, self._lacks)

    def _do(self, work: Script | Program | Source, engine: Any) -> Ended:
        printer = Printer(self._words, work.output_bytes)
        before_bytes = self._gauge.resident_bytes()
        self._gauge.forget_peak()
        before_seconds = time.process_time()

        def peak_mib() -> float:
            return max(0, self._gauge.peak_bytes() - before_bytes) / MIB

        def measured(ended: Ended) -> Ended:
            printer.flush()
            return Ended(
                ended.code,
                ended.message,
                ended.hint,
                ended.value,
                printer.truncated,
                time.process_time() - before_seconds,
                peak_mib(),
                ended.fuel,
            )

        def last(ended: Ended) -> None:
            self._words.say(measured(ended))

        if self._data_at_start:
            most = self._data_at_start + work.memory_mib * MIB + DATA_SPARE_BYTES
            limit_data(most)
            self._full_bytes, self._beats_full = most - DATA_FULL_BYTES, 0
        limit_files(work.disk_mib * MIB or None)
        self._give_up = lambda: last(out_of_memory(work.memory_mib))
        directory = self._place / JOB if work.has_directory else None
        try:
            ended = engine.run(work, Stage(printer, self._pulse, last, directory, self._keep, peak_mib))
        except MemoryError:
            ended, engine.spent = out_of_memory(work.memory_mib), True
        limit_data(None)
        self._give_up = None
        return measured(ended)

    def _watch(self) -> None:
        """Notice, at every beat, an engine that has no memory left to say so."""
        if self._full_bytes and self._gauge.data_bytes() > self._full_bytes:
            self._beats_full += 1
            if self._beats_full == BEATS_FULL_MAX:
                self._lost(MemoryError)
        else:
            self._beats_full = 0

    def _lost(self, raised: type[BaseException] | None) -> None:
        give_up, self._give_up = self._give_up, None
        if give_up is not None and raised is not None and issubclass(raised, MemoryError):
            limit_data(None)
            give_up()
            os._exit(0)

    def _keep(self, code: bytes) -> None:
        self._words.say(Compiled(code))


def load_ahead(engines: Mapping[str, str]) -> None:
    """Import all that workers will need, without starting a thread: forks of this process share it, and have nothing
    left to read from the machine."""
    for name, module in engines.items():
        try:
            importlib.import_module(module)
            if name in _LIBRARIES:
                package, file = _LIBRARIES[name]
                with resources.as_file(resources.files(package) / file) as library:
                    ctypes.CDLL(str(library))
        except Exception:
            # The worker finds out again, and has somebody to tell.
            continue


def serve(inbox: int, words: int, place: Path, parent: int, engines: Mapping[str, str]) -> None:
    """Be the worker behind a freshly forked process: `inbox` and `words` lead to the agent, `place` is the only
    directory it may use, and the end of `parent` is its own. Never returns."""
    confining = Confining()
    gauge = Gauge()
    confining.leave_the_machine(parent, place, _libraries(engines))
    _Worker(Words(words), place, engines, confining, gauge).work(partial(_following, inbox))
    # Threads of the engines may be stuck in foreign code: nothing is waited for.
    os._exit(0)


def main() -> None:
    """Be a worker started directly, where nothing can be forked: stdin and stdout are the pipes to the agent, the
    arguments its process id and the worker's place."""
    inbox, words = take_pipes()
    confining = Confining()
    gauge = Gauge()
    place = Path(sys.argv[2])
    confining.leave_the_machine(int(sys.argv[1]), place, _libraries(ENGINES))
    works: queue.SimpleQueue[Work] = queue.SimpleQueue()
    # No signal tells of the agent's end here, but this thread sees it even while an engine is at work.
    threading.Thread(target=_read, args=(inbox, works), daemon=True).start()
    _Worker(Words(words), place, ENGINES, confining, gauge).work(partial(_taken, works))
    os._exit(0)


def take_pipes() -> tuple[int, int]:
    """Move the pipes away from stdin and stdout, so that no library can read or print into them by accident."""
    pipes = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)
    return pipes


def _libraries(engines: Mapping[str, str]) -> list[Path]:
    # Python loads a text encoding when it is first used, whoever uses it.
    packages = ["encodings", *(_PACKAGES[name] for name in engines if name in _PACKAGES)]
    found = map(importlib.util.find_spec, packages)
    # An engine's FILES are what it reads besides its package.
    kept = [getattr(sys.modules.get(module), "FILES", None) for module in engines.values()]
    return [
        *(Path(spec.origin).parent for spec in found if spec is not None and spec.origin is not None),
        *(folder for folder in kept if folder is not None and folder.is_dir()),
    ]


def _next(inbox: int) -> Work:
    """The next work; the end of the pipe is the end of the agent, and of this process at once."""
    try:
        work = read_work(inbox)
    except (FrameError, OSError):
        os._exit(1)
    if work is None:
        os._exit(0)
    return work


def _following(inbox: int, seconds: float | None) -> Work | None:
    return _next(inbox) if seconds is None or select.select([inbox], [], [], seconds)[0] else None


def _taken(works: "queue.SimpleQueue[Work]", seconds: float | None) -> Work | None:
    try:
        return works.get(timeout=seconds)
    except queue.Empty:
        return None


def _read(inbox: int, works: "queue.SimpleQueue[Work]") -> None:
    while True:
        works.put(_next(inbox))
