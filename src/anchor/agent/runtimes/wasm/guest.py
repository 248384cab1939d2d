"""The memory of a program as a host function sees it, every access inside its bounds or refused."""

from typing import Final

import wasmtime


class Errno(Exception):
    """What a WASI function answers where it cannot do what was asked; `number` is WASI's own."""

    BADF: Final = 8
    FAULT: Final = 21
    INVAL: Final = 28
    NAMETOOLONG: Final = 37

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Guest:
    """The program that is calling. Raises wasmtime.Trap where it exports no memory."""

    def __init__(self, caller: wasmtime.Caller) -> None:
        memory = caller.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            raise wasmtime.Trap("the module exports no memory named memory, which WASI functions need")
        self.caller = caller
        self._memory = memory
        self._size = memory.data_len(caller)

    def check(self, at: int, size: int) -> None:
        """Raises Errno where these bytes are not all in the memory."""
        if at + size > self._size:
            raise Errno(Errno.FAULT)

    def read(self, at: int, size: int) -> bytes:
        """A copy of bytes. Raises Errno."""
        self.check(at, size)
        return bytes(self._memory.read(self.caller, at, at + size))

    def write(self, at: int, data: bytes) -> None:
        """Put bytes into the memory. Raises Errno."""
        self.check(at, len(data))
        if data:
            self._memory.write(self.caller, data, at)
