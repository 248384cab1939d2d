"""WebAssembly that calls WASI step by step and returns what each step answered; and an engine to run it in, here."""

import hashlib
from pathlib import Path
from typing import Any

import wasmtime

from anchor.agent.runtimes.wasm.engine import WasmEngine
from anchor.agent.runtimes.wasm.profiles import name_of, profile_of
from anchor.agent.workers.frames import Ended, Printed, Program
from anchor.agent.workers.printer import Printer, Pulse, Stage

SIGNATURES = {
    "args_get": "i32 i32",
    "args_sizes_get": "i32 i32",
    "environ_get": "i32 i32",
    "environ_sizes_get": "i32 i32",
    "clock_res_get": "i32 i32",
    "clock_time_get": "i32 i64 i32",
    "fd_advise": "i32 i64 i64 i32",
    "fd_allocate": "i32 i64 i64",
    "fd_close": "i32",
    "fd_datasync": "i32",
    "fd_fdstat_get": "i32 i32",
    "fd_fdstat_set_flags": "i32 i32",
    "fd_filestat_get": "i32 i32",
    "fd_filestat_set_size": "i32 i64",
    "fd_filestat_set_times": "i32 i64 i64 i32",
    "fd_pread": "i32 i32 i32 i64 i32",
    "fd_prestat_get": "i32 i32",
    "fd_prestat_dir_name": "i32 i32 i32",
    "fd_pwrite": "i32 i32 i32 i64 i32",
    "fd_read": "i32 i32 i32 i32",
    "fd_readdir": "i32 i32 i32 i64 i32",
    "fd_renumber": "i32 i32",
    "fd_seek": "i32 i64 i32 i32",
    "fd_sync": "i32",
    "fd_tell": "i32 i32",
    "fd_write": "i32 i32 i32 i32",
    "path_create_directory": "i32 i32 i32",
    "path_filestat_get": "i32 i32 i32 i32 i32",
    "path_link": "i32 i32 i32 i32 i32 i32 i32",
    "path_open": "i32 i32 i32 i32 i32 i64 i64 i32 i32",
    "path_readlink": "i32 i32 i32 i32 i32 i32",
    "path_remove_directory": "i32 i32 i32",
    "path_rename": "i32 i32 i32 i32 i32 i32",
    "path_symlink": "i32 i32 i32 i32 i32",
    "path_unlink_file": "i32 i32 i32",
    "poll_oneoff": "i32 i32 i32 i32",
    "proc_raise": "i32",
    "random_get": "i32 i32",
    "sched_yield": "",
    "sock_accept": "i32 i32 i32",
    "sock_recv": "i32 i32 i32 i32 i32 i32",
    "sock_send": "i32 i32 i32 i32 i32",
    "sock_shutdown": "i32 i32",
}
"""The functions of WASI preview 1 and their parameters; all of them answer with an errno."""

OK, ACCESS, BADF, EXIST, INVAL, IO = 0, 2, 8, 20, 28, 29
ISDIR, LOOP, MFILE, NAMETOOLONG, NOENT, NOTDIR, NOTEMPTY, NOTSOCK, PERM = 31, 32, 33, 37, 44, 54, 55, 57, 63
NOTCAPABLE = 76
CREATE, DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
APPEND = 1
READ_WRITE = 0x1FFFFFFF
HOME = 3
"""The descriptor of the job's directory."""


def imports() -> str:
    """All functions of WASI, each under its own name."""
    lines = [
        f'(import "wasi_snapshot_preview1" "{name}" (func ${name} {f"(param {kinds})" if kinds else ""} (result i32)))'
        for name, kinds in SIGNATURES.items()
    ]
    return "\n".join([*lines, '(import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))'])


def module(body: str, *, head: str = "", memory: str = '(memory (export "memory") 4)', export: str = "_start") -> str:
    """A module with all of WASI whose one exported function has this body."""
    return f'(module {imports()} {memory} {head} (func (export "{export}") {body}))'


class Steps:
    """A module in the making: every method appends a step, and `wat` is a function `go` that answers for each.

    Addresses from 4096 on hold texts; what a step writes is at the address that it is given.
    """

    def __init__(self) -> None:
        self._free = 4096
        self._data: list[str] = []
        self._steps: list[str] = []

    def text(self, text: str | bytes) -> tuple[int, int]:
        """Put a text into the memory: where it is, and how long."""
        data = text.encode() if isinstance(text, str) else text
        at, self._free = self._free, self._free + len(data) + 8 & ~7
        escaped = "".join(f"\\{byte:02x}" for byte in data)
        self._data.append(f'(data (i32.const {at}) "{escaped}")')
        return at, len(data)

    def room(self, size: int = 8) -> int:
        """The address of so many bytes of zeros."""
        at, self._free = self._free, self._free + size + 15 & ~7
        return at

    def call(self, name: str, *arguments: int | str) -> None:
        """Call a function of WASI; numbers are constants, texts are expressions."""
        kinds = SIGNATURES[name].split()
        given = [
            one if isinstance(one, str) else f"({kind}.const {one})" for kind, one in zip(kinds, arguments, strict=True)
        ]
        self._steps.append(f"(call ${name} {' '.join(given)})")

    def value(self, expression: str) -> None:
        """Answer with the value of an i32 expression."""
        self._steps.append(expression)

    def load(self, at: int) -> None:
        """Answer with the i32 at an address."""
        self.value(f"(i32.load (i32.const {at}))")

    def open(
        self, path: str, flags: int = 0, *, how: int = 0, rights: int = READ_WRITE, below: int | str = HOME
    ) -> str:
        """Open a path; the expression that is the descriptor."""
        at = self.room()
        self.call("path_open", below, 0, *self.text(path), flags, rights, rights, how, at)
        return f"(i32.load (i32.const {at}))"

    def write(self, descriptor: int | str, text: str | bytes) -> int:
        """Write a text; the address of how much was written."""
        at = self.pieces(*self.text(text))
        self.call("fd_write", descriptor, at, 1, at + 8)
        return at + 8

    def read(self, descriptor: int | str, size: int) -> tuple[int, int]:
        """Read; the addresses of what was read and of how much."""
        into = self.room(size)
        at = self.pieces(into, size)
        self.call("fd_read", descriptor, at, 1, at + 8)
        return into, at + 8

    def pieces(self, at: int, size: int) -> int:
        """The address of a list of one piece of memory, with room for a number after it."""
        where, _ = self.text(at.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little") + bytes(8))
        return where

    @property
    def wat(self) -> str:
        """The module as text."""
        results = f"(result {'i32 ' * len(self._steps)})"
        memory = f'(memory (export "memory") {self._free // 65536 + 2})'
        return module(f"{results} {' '.join(self._steps)}", head=" ".join(self._data), memory=memory, export="go")


class _Deaf:
    def say(self, word: object) -> None:
        assert isinstance(word, Printed)


class _Listening(Printer):
    def __init__(self) -> None:
        super().__init__(_Deaf(), 1 << 20)  # type: ignore[arg-type]
        self.said: dict[str, str] = {"stdout": "", "stderr": ""}

    def write(self, stream: Any, text: str) -> None:
        self.said[stream] += text


class Bench:
    """The engine of a worker, in this process, with nothing around it."""

    def __init__(self) -> None:
        self.engine = WasmEngine()
        self.pulse = Pulse()
        self.said: dict[str, str] = {}
        self.compiled: list[bytes] = []

    def run(
        self,
        code: str | bytes,
        directory: Path | None = None,
        *,
        function: str | None = None,
        args: tuple[Any, ...] = (),
        env: dict[str, str] | None = None,
        stdin: bytes = b"",
        memory: int = 64,
        seconds: float = 10.0,
        deterministic: bool = False,
        fuel: int = 0,
        seed: bytes = b"seed",
        kept: bytes = b"",
    ) -> Ended:
        """Run a module to its end; `said` is what it printed."""
        binary = bytes(wasmtime.wat2wasm(code)) if isinstance(code, str) else code
        printer = _Listening()
        program = Program(
            digest=name_of(hashlib.sha256(binary).digest(), profile_of(deterministic, fuel)),
            module=binary,
            function=function,
            args=list(args),
            env=env or {},
            stdin=stdin,
            memory_mib=memory,
            timeout_seconds=seconds,
            output_bytes=1 << 20,
            has_directory=directory is not None,
            deterministic=deterministic,
            fuel=fuel,
            seed=seed,
            compiled=kept,
            keep=True,
        )
        stage = Stage(printer, self.pulse, lambda _: None, directory, self.compiled.append)
        ended = self.engine.run(program, stage)
        self.said = printer.said
        return ended
