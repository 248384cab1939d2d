"""What a deterministic program learns of files: WASI's own answers, without what differs from machine to machine."""

from typing import Final

import wasmtime

from anchor.agent.runtimes.wasm.guest import Errno, Guest

PATH_BYTES_MAX: Final = 4096
_STAT_BYTES: Final = 64
_ENTRY_BYTES: Final = 24
_LISTED_BYTES: Final = 64 * 1024
_PATH_AT: Final = 1024
_LIST_AT: Final = 64 * 1024
_DIRECTORY: Final = 3

_SHIM: Final = """(module
  (import "{wasi}" "fd_fdstat_get" (func $fdstat (param i32 i32) (result i32)))
  (import "{wasi}" "fd_filestat_get" (func $stat (param i32 i32) (result i32)))
  (import "{wasi}" "path_filestat_get" (func $stat_path (param i32 i32 i32 i32 i32) (result i32)))
  (import "{wasi}" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "known") (param i32) (result i32) (call $fdstat (local.get 0) (i32.const 0)))
  (func (export "stat") (param i32) (result i32) (call $stat (local.get 0) (i32.const 0)))
  (func (export "stat_path") (param i32 i32 i32) (result i32)
    (call $stat_path (local.get 0) (local.get 1) (i32.const {path_at}) (local.get 2) (i32.const 0)))
  (func (export "list") (param i32 i64) (result i32)
    (call $list (local.get 0) (i32.const {list_at}) (i32.const {listed}) (local.get 1) (i32.const 0))))"""


def shim(engine: wasmtime.Engine, wasi: str) -> wasmtime.InstancePre:
    """A module that stands between: WASI writes into the memory of whoever calls it, and nothing of the program's may
    be written before it is known what."""
    text = _SHIM.format(wasi=wasi, path_at=_PATH_AT, list_at=_LIST_AT, listed=_LISTED_BYTES)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    return linker.instantiate_pre(wasmtime.Module(engine, text))


class Files:
    """The files of one run. All times are `now`; the numbers of files count in the order in which they were seen."""

    def __init__(self, ready: wasmtime.InstancePre, now: int) -> None:
        self._ready = ready
        self._times = now.to_bytes(8, "little") * 3
        self._between: wasmtime.Instance | None = None
        self._numbers: dict[bytes, int] = {}
        self._listings: dict[int, list[tuple[bytes, bytes, bytes]]] = {}

    def problem_of(self, guest: Guest, descriptor: int) -> int:
        """The errno for what is no open descriptor, else 0."""
        return self._call(guest, "known", descriptor)

    def stat_descriptor(self, guest: Guest, descriptor: int) -> bytes:
        """The filestat of something open. Raises Errno."""
        self._ask(guest, "stat", descriptor)
        return self._evened(self._memory(guest).read(guest.caller, 0, _STAT_BYTES))

    def stat_path(self, guest: Guest, descriptor: int, flags: int, path: bytes) -> bytes:
        """The filestat of what is at a path. Raises Errno."""
        if len(path) > PATH_BYTES_MAX:
            raise Errno(Errno.NAMETOOLONG)
        if path:
            self._memory(guest).write(guest.caller, path, _PATH_AT)
        self._ask(guest, "stat_path", descriptor, flags, len(path))
        return self._evened(self._memory(guest).read(guest.caller, 0, _STAT_BYTES))

    def listing(self, guest: Guest, descriptor: int, cookie: int, size: int) -> bytes:
        """At most `size` bytes of a directory's entries after the first `cookie`, sorted by name; the last entry may
        be cut short. Raises Errno."""
        if cookie == 0 or descriptor not in self._listings:
            self._listings[descriptor] = self._read(guest, descriptor)
        elif problem := self.problem_of(guest, descriptor):
            raise Errno(problem)
        listed = bytearray()
        for after, (name, number, kind) in enumerate(self._listings[descriptor][cookie:], start=cookie + 1):
            listed += after.to_bytes(8, "little") + self._number(number) + len(name).to_bytes(4, "little")
            listed += kind + bytes(3) + name
            if len(listed) >= size:
                break
        return bytes(listed[:size])

    def _read(self, guest: Guest, descriptor: int) -> list[tuple[bytes, bytes, bytes]]:
        found: list[tuple[bytes, bytes, bytes]] = []
        cookie = 0
        while True:
            self._ask(guest, "list", descriptor, cookie)
            memory = self._memory(guest)
            used = int.from_bytes(memory.read(guest.caller, 0, 4), "little")
            listed = bytes(memory.read(guest.caller, _LIST_AT, _LIST_AT + used))
            at = 0
            while at + _ENTRY_BYTES <= used:
                end = at + _ENTRY_BYTES + int.from_bytes(listed[at + 16 : at + 20], "little")
                if end > used:
                    break
                found.append((listed[at + _ENTRY_BYTES : end], listed[at + 8 : at + 16], listed[at + 20 : at + 21]))
                cookie = int.from_bytes(listed[at : at + 8], "little")
                at = end
            if used < _LISTED_BYTES:
                return sorted(found, key=lambda entry: (entry[0] not in (b".", b".."), entry[0]))

    def _evened(self, stat: bytearray) -> bytes:
        kind, links, size = stat[16], bytes(stat[24:32]), bytes(stat[32:40])
        if kind == _DIRECTORY:
            # How large a directory is and what counts as a link to it is up to each file system.
            links, size = (1).to_bytes(8, "little"), bytes(8)
        device = (1 if any(stat[:16]) else 0).to_bytes(8, "little")
        return device + self._number(bytes(stat[8:16])) + bytes(stat[16:24]) + links + size + self._times

    def _number(self, host: bytes) -> bytes:
        if not any(host):
            return host
        return self._numbers.setdefault(host, len(self._numbers) + 1).to_bytes(8, "little")

    def _ask(self, guest: Guest, name: str, *numbers: int) -> None:
        if problem := self._call(guest, name, *numbers):
            raise Errno(problem)

    def _call(self, guest: Guest, name: str, *numbers: int) -> int:
        if self._between is None:
            self._between = self._ready.instantiate(guest.caller)
        function = self._between.exports(guest.caller)[name]
        assert isinstance(function, wasmtime.Func)
        answer: int = function(guest.caller, *numbers)
        return answer

    def _memory(self, guest: Guest) -> wasmtime.Memory:
        if self._between is None:
            self._between = self._ready.instantiate(guest.caller)
        memory = self._between.exports(guest.caller)["memory"]
        assert isinstance(memory, wasmtime.Memory)
        return memory
