"""The memory of a program as a host function sees it, every access inside its bounds or refused."""

from typing import Final

import wasmtime

PATH_BYTES_MAX: Final = 4096


class Errno(Exception):
    """What a WASI function answers where it cannot do what was asked; `number` is WASI's own."""

    BADF: Final = 8
    INVAL: Final = 28
    NAMETOOLONG: Final = 37

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Guest:
    """The program that is calling. As in WASI's own functions, a pointer to what is not its memory ends the program:
    that, and no memory at all, raises WasmtimeError."""

    def __init__(self, caller: wasmtime.Caller) -> None:
        memory = caller.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise wasmtime.WasmtimeError("missing required memory export")
        self.caller = caller
        self._memory = memory
        self._size = memory.data_len(caller)

    def check(self, at: int, size: int) -> None:
        """Raises WasmtimeError where these bytes are not all in the memory."""
        if at + size > self._size:
            raise wasmtime.WasmtimeError(f"Pointer out of bounds: Region {{ start: {at}, len: {size} }}")

    def read(self, at: int, size: int) -> bytes:
        """A copy of bytes. Raises WasmtimeError."""
        self.check(at, size)
        return bytes(self._memory.read(self.caller, at, at + size))

    def path(self, at: int, size: int) -> bytes:
        """A copy of a path. Raises Errno where it is longer than any can be, and WasmtimeError."""
        self.check(at, size)
        if size > PATH_BYTES_MAX:
            raise Errno(Errno.NAMETOOLONG)
        return self.read(at, size)

    def write(self, at: int, data: bytes) -> None:
        """Put bytes into the memory. Raises WasmtimeError."""
        self.check(at, len(data))
        if data:
            self._memory.write(self.caller, data, at)
