"""The wasm engine inside a worker process: WASI commands and exported functions, compiled modules kept by name."""

import ctypes
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import msgspec
import wasmtime
from wasmtime import _ffi as ffi

from anchor.agent.job import RESULT_BYTES_MAX
from anchor.agent.runtimes.wasm.calls import call_function, call_start
from anchor.agent.runtimes.wasm.endings import Unrunnable, exited, misused, refused, trapped
from anchor.agent.runtimes.wasm.loading import Loaded, Workshop
from anchor.agent.runtimes.wasm.output import Output
from anchor.agent.runtimes.wasm.profiles import Profile, profile_of
from anchor.agent.workers.frames import MIB, Ended, Program
from anchor.agent.workers.printer import Stage
from anchor.core.errors import FailureCode

MODULES_HELD_MAX: Final = 8
MODULE_BYTES_HELD_MAX: Final = 16 * MIB
KEPT_BYTES_MAX: Final = 4 * MIB
"""The largest module whose code is handed over: that takes a few times its size of memory that the task pays for."""
TABLE_ELEMENTS_MAX: Final = 1_000_000
TABLES_MAX: Final = 16
MEMORIES_MAX: Final = 4
FUEL_MAX: Final = (1 << 63) - 1
HOME: Final = "/"
"""Where a command finds the job's directory. It is also the working directory of wasi-libc and of Go."""


class WasmEngine:
    """Runs programs one after the other, each in a store of its own."""

    def __init__(self) -> None:
        self._workshops: dict[Profile, Workshop] = {"plain": Workshop("plain")}
        self._held: OrderedDict[bytes, Loaded] = OrderedDict()
        self.spent = False
        """Never: whatever a program did is gone with its store."""

    @property
    def modules(self) -> list[bytes]:
        """The names of the compiled modules that are held."""
        return list(self._held)

    def run(self, program: Program, stage: Stage) -> Ended:
        """Run one program to its end; the epoch stops it at the deadline."""
        workshop = self._workshop(program)
        output: Output | None = None
        store = wasmtime.Store(workshop.engine)
        store.set_epoch_deadline(1)
        store.set_limits(
            memory_size=program.memory_mib * MIB,
            table_elements=TABLE_ELEMENTS_MAX,
            instances=1 if workshop.virtual is None else 2,
            tables=TABLES_MAX,
            memories=MEMORIES_MAX,
        )
        stage.pulse.begin(program.timeout_seconds, stage.printer.flush, workshop.engine.increment_epoch)
        fuel = (program.fuel or FUEL_MAX) if workshop.counts_fuel else 0
        try:
            loaded = self._load(program, workshop, stage)
            if fuel:
                store.set_fuel(fuel)
            if workshop.virtual is not None:
                workshop.virtual.begin(program.seed)
            if loaded.uses_wasi:
                output = Output(stage.printer)
                store.set_wasi(_wasi(program, output, stage.directory))
            ended = _run(program, loaded, store, output)
        except Unrunnable as wrong:
            ended = wrong.ended
        finally:
            stage.pulse.end()
            if output is not None:
                output.close()
            used = fuel - store.get_fuel() if fuel else 0
            store.close()
        return msgspec.structs.replace(ended, fuel=used) if used else ended

    def finish(self) -> None:
        """Nothing outlives a store."""

    def _workshop(self, program: Program) -> Workshop:
        profile = profile_of(program.deterministic, program.fuel)
        if profile not in self._workshops:
            self._workshops[profile] = Workshop(profile)
        return self._workshops[profile]

    def _load(self, program: Program, workshop: Workshop, stage: Stage) -> Loaded:
        held = self._held.get(program.digest)
        if held is not None:
            self._held.move_to_end(program.digest)
            return held
        loaded = workshop.load(program.module, program.compiled)
        if program.keep and len(program.module) <= KEPT_BYTES_MAX:
            code = bytes(loaded.module.serialize())
            if len(code) <= RESULT_BYTES_MAX:
                stage.keep(code)
        self._held[program.digest] = loaded
        while len(self._held) > 1 and (
            len(self._held) > MODULES_HELD_MAX or sum(one.size for one in self._held.values()) > MODULE_BYTES_HELD_MAX
        ):
            self._held.popitem(last=False)
        return loaded


def _run(program: Program, loaded: Loaded, store: wasmtime.Store, output: Output | None) -> Ended:
    instance: wasmtime.Instance | None = None
    try:
        instance = loaded.ready.instantiate(store)
        if program.function is not None:
            return call_function(store, instance, loaded.signatures, program.function, program.args)
        call_start(store, instance)
        return Ended() if output is None else output.result()
    except wasmtime.ExitTrap as exit_:
        assert output is not None
        return output.result() if exit_.code == 0 else exited(exit_.code, output.last_words)
    except wasmtime.Trap as trap:
        return trapped(trap, program, _memory_bytes(store, instance))
    except wasmtime.WasmtimeError as error:
        if instance is not None:
            return misused(error)
        raise refused(error, program) from error


def _wasi(program: Program, output: Output, directory: Path | None) -> wasmtime.WasiConfig:
    wasi = wasmtime.WasiConfig()
    try:
        wasi.argv = ["program", *(program.args if program.function is None else [])]
        wasi.env = list(program.env.items())
    except (AttributeError, UnicodeEncodeError, wasmtime.WasmtimeError) as error:
        raise Unrunnable(FailureCode.INVALID_PAYLOAD, "The args of a command must be valid texts.") from error
    if directory is not None:
        wasi.preopen_dir(str(directory), HOME)
    stdin = ffi.wasm_byte_vec_t()
    ffi.wasm_byte_vec_new(ctypes.byref(stdin), len(program.stdin), _bytes_pointer(program.stdin))
    ffi.wasi_config_set_stdin_bytes(wasi.ptr(), ctypes.byref(stdin))
    wasi.stdout_custom = output.stdout
    wasi.stderr_custom = output.stderr
    return wasi


def _bytes_pointer(data: bytes) -> Any:
    return ctypes.cast(ctypes.create_string_buffer(data, max(1, len(data))), ctypes.POINTER(ffi.wasm_byte_t))


def _memory_bytes(store: wasmtime.Store, instance: wasmtime.Instance | None) -> int:
    if instance is None:
        return 0
    exports = instance.exports(store).values()
    return max((item.data_len(store) for item in exports if isinstance(item, wasmtime.Memory)), default=0)


def load() -> Any:
    """The engine; raises where wasmtime does not run here."""
    return WasmEngine()
