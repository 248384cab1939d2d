"""The wasm engine inside a worker process: WASI commands and exported functions, compiled modules kept by hash."""

import codecs
import ctypes
from collections import OrderedDict
from typing import Any, Final

import msgspec
import wasmtime
from wasmtime import _ffi as ffi

from anchor.agent.job import RESULT_BYTES_MAX
from anchor.agent.runtimes.wasm.calls import (
    Unrunnable,
    call_function,
    call_start,
    compiled,
    exited,
    refused,
    trapped,
)
from anchor.agent.workers.endings import too_large
from anchor.agent.workers.frames import MIB, Ended, Program
from anchor.agent.workers.printer import Printer, Stage
from anchor.core.errors import FailureCode

MODULES_HELD_MAX: Final = 8
MODULE_BYTES_HELD_MAX: Final = 16 * MIB
TABLE_ELEMENTS_MAX: Final = 1_000_000
TABLES_MAX: Final = 16
MEMORIES_MAX: Final = 4
LAST_WORDS_LENGTH: Final = 300


class WasmEngine:
    """Runs programs one after the other, each in a store of its own."""

    def __init__(self) -> None:
        config = wasmtime.Config()
        config.epoch_interruption = True
        config.parallel_compilation = False
        config.wasm_threads = False
        self._engine = wasmtime.Engine(config)
        self._linker = wasmtime.Linker(self._engine)
        self._linker.define_wasi()
        self._held: OrderedDict[bytes, tuple[wasmtime.Module, int]] = OrderedDict()
        self.spent = False
        """Never: whatever a program did is gone with its store."""

    @property
    def modules(self) -> list[bytes]:
        """Digests of the compiled modules that are held."""
        return list(self._held)

    def run(self, program: Program, stage: Stage) -> Ended:
        """Run one program to its end; the epoch stops it at the deadline."""
        output = _Output(stage.printer)
        store = wasmtime.Store(self._engine)
        store.set_epoch_deadline(1)
        store.set_limits(
            memory_size=program.memory_mib * MIB,
            table_elements=TABLE_ELEMENTS_MAX,
            instances=1,
            tables=TABLES_MAX,
            memories=MEMORIES_MAX,
        )
        stage.pulse.begin(program.timeout_seconds, stage.printer.flush, self._engine.increment_epoch)
        try:
            # Without this any call of a WASI function, also from an exported one, aborts the whole process.
            store.set_wasi(_wasi(program, output))
            return self._run(program, store, output)
        except Unrunnable as wrong:
            return wrong.ended
        finally:
            stage.pulse.end()
            output.close()
            store.close()

    def finish(self) -> None:
        """Nothing outlives a store."""

    def _run(self, program: Program, store: wasmtime.Store, output: "_Output") -> Ended:
        module = self._module(program)
        instance: wasmtime.Instance | None = None
        try:
            instance = self._linker.instantiate(store, module)
            if program.function is not None:
                return call_function(store, instance, program.function, program.args)
            call_start(store, instance)
            return output.result()
        except wasmtime.ExitTrap as exit_:
            return output.result() if exit_.code == 0 else exited(exit_.code, output.last_words)
        except wasmtime.Trap as trap:
            return trapped(trap, program, _memory_bytes(store, instance))
        except wasmtime.WasmtimeError as error:
            raise refused(error, program) from error

    def _module(self, program: Program) -> wasmtime.Module:
        held = self._held.get(program.digest)
        if held is not None:
            self._held.move_to_end(program.digest)
            return held[0]
        module = compiled(self._engine, program.module)
        self._held[program.digest] = (module, len(program.module))
        while len(self._held) > 1 and (
            len(self._held) > MODULES_HELD_MAX or sum(size for _, size in self._held.values()) > MODULE_BYTES_HELD_MAX
        ):
            self._held.popitem(last=False)
        return module


class _Output:
    """What a program wrote: on its way to the printer, and stdout also kept whole, for it is the result."""

    def __init__(self, printer: Printer) -> None:
        self._printer = printer
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in ("stdout", "stderr")}
        self._stdout = bytearray()
        self._stdout_bytes = 0
        self.last_words = ""

    def stdout(self, data: bytes) -> None:
        """Take what was written to stdout."""
        self._stdout_bytes += len(data)
        if self._stdout_bytes <= RESULT_BYTES_MAX:
            self._stdout += data
        self._printer.write("stdout", self._decoders["stdout"].decode(data))

    def stderr(self, data: bytes) -> None:
        """Take what was written to stderr."""
        text = self._decoders["stderr"].decode(data)
        self.last_words = (self.last_words + text)[-LAST_WORDS_LENGTH:]
        self._printer.write("stderr", text)

    def close(self) -> None:
        """Send what the decoders still hold: bytes of a character that never was completed."""
        self._printer.write("stdout", self._decoders["stdout"].decode(b"", True))
        self._printer.write("stderr", self._decoders["stderr"].decode(b"", True))

    def result(self) -> Ended:
        """Stdout as the result: the JSON value it is, or its text as it stands."""
        if self._stdout_bytes > RESULT_BYTES_MAX:
            return too_large()
        written = bytes(self._stdout).strip()
        try:
            msgspec.json.decode(written)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            text = self._stdout.decode("utf-8", "replace")
            return Ended(value=msgspec.json.encode(text) if text else b"null")
        return Ended(value=written)


def _wasi(program: Program, output: _Output) -> wasmtime.WasiConfig:
    wasi = wasmtime.WasiConfig()
    try:
        wasi.argv = ["program", *(program.args if program.function is None else [])]
        wasi.env = list(program.env.items())
    except (AttributeError, UnicodeEncodeError) as error:
        raise Unrunnable(FailureCode.INVALID_PAYLOAD, "The args of a command must be valid texts.") from error
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
