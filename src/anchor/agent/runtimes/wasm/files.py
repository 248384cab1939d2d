"""What a deterministic program learns of files: WASI's own answers, without what differs from machine to machine."""

from typing import Final

import wasmtime
from wasmtime._instance import InstanceExports

from anchor.agent.runtimes.wasm.guest import PATH_BYTES_MAX, Errno, Guest

_STAT_BYTES: Final = 64
_ENTRY_BYTES: Final = 24
_LISTED_BYTES: Final = 64 * 1024
_PATH_AT: Final = 1024
_PATH_2_AT: Final = _PATH_AT + PATH_BYTES_MAX
_LIST_AT: Final = 64 * 1024
_DIRECTORY: Final = 3
_USED, _USED_NOW, _CHANGED, _CHANGED_NOW = 1, 2, 4, 8

_IMPORTS: Final = {
    "fd_fdstat_get": "i32 i32",
    "fd_filestat_get": "i32 i32",
    "fd_filestat_set_times": "i32 i64 i64 i32",
    "fd_readdir": "i32 i32 i32 i64 i32",
    "path_filestat_get": "i32 i32 i32 i32 i32",
    "path_filestat_set_times": "i32 i32 i32 i32 i64 i64 i32",
    "path_remove_directory": "i32 i32 i32",
    "path_rename": "i32 i32 i32 i32 i32 i32",
    "path_unlink_file": "i32 i32 i32",
}
"""The functions of WASI that are called on behalf of the program, and their parameters; all of them give an i32."""


def shim(engine: wasmtime.Engine, wasi: str) -> wasmtime.InstancePre:
    """A module that stands between: WASI writes into the memory of whoever calls it, and nothing of the program's may
    be written before it is known what."""
    imports, functions = [], []
    for name, kinds in _IMPORTS.items():
        passed = " ".join(f"(local.get {at})" for at in range(len(kinds.split())))
        imports.append(f'(import "{wasi}" "{name}" (func ${name} (param {kinds}) (result i32)))')
        functions.append(f'(func (export "{name}") (param {kinds}) (result i32) (call ${name} {passed}))')
    text = f'(module {" ".join(imports)} (memory (export "memory") 2) {" ".join(functions)})'
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    return linker.instantiate_pre(wasmtime.Module(engine, text))


class Files:
    """The files of one run. A file was last used and changed at `now`, unless the program itself says otherwise; the
    numbers of files count in the order in which they were first seen."""

    def __init__(self, ready: wasmtime.InstancePre, now: int) -> None:
        self._ready = ready
        self._now = now
        self._shim: InstanceExports | None = None
        self._numbers: dict[bytes, int] = {}
        self._seen = 0
        self._times: dict[bytes, tuple[int, int]] = {}
        self._listings: dict[int, list[tuple[bytes, bytes, bytes]]] = {}

    def problem_of(self, guest: Guest, descriptor: int) -> int:
        """The errno for what is no open descriptor, else 0."""
        return self._call(guest, "fd_fdstat_get", descriptor, 0)

    def stat_descriptor(self, guest: Guest, descriptor: int) -> bytes:
        """The filestat of something open. Raises Errno."""
        self._ask(guest, "fd_filestat_get", descriptor, 0)
        return self._evened(self._taken(guest, 0, _STAT_BYTES))

    def stat_path(self, guest: Guest, descriptor: int, flags: int, path: bytes) -> bytes:
        """The filestat of what is at a path. Raises Errno."""
        return self._evened(self._host_stat(guest, descriptor, flags, path))

    def set_descriptor_times(
        self, guest: Guest, descriptor: int, used: int, changed: int, flags: int, now: int
    ) -> None:
        """Change the times of something open. Raises Errno."""
        self._ask(guest, "fd_filestat_set_times", descriptor, used, changed, flags)
        self._ask(guest, "fd_filestat_get", descriptor, 0)
        self._set_times(self._taken(guest, 0, _STAT_BYTES), used, changed, flags, now)

    def set_path_times(
        self, guest: Guest, descriptor: int, follow: int, path: bytes, used: int, changed: int, flags: int, now: int
    ) -> None:
        """Change the times of what is at a path. Raises Errno."""
        size = self._give(guest, path)
        self._ask(guest, "path_filestat_set_times", descriptor, follow, _PATH_AT, size, used, changed, flags)
        self._set_times(self._host_stat(guest, descriptor, follow, path), used, changed, flags, now)

    def remove(self, guest: Guest, function: str, descriptor: int, path: bytes) -> None:
        """Remove a file or a directory by the function of that name. Raises Errno."""
        gone = self._last_name(guest, descriptor, path)
        self._ask(guest, function, descriptor, _PATH_AT, self._give(guest, path))
        self._forget(gone)

    def rename(self, guest: Guest, descriptor: int, old: bytes, to: int, new: bytes) -> None:
        """Give something another name; what had that name is gone. Raises Errno."""
        gone = self._last_name(guest, to, new)
        if gone is not None and gone == self._last_name(guest, descriptor, old):
            gone = None
        sizes = self._give(guest, old), self._give(guest, new, _PATH_2_AT)
        self._ask(guest, "path_rename", descriptor, _PATH_AT, sizes[0], to, _PATH_2_AT, sizes[1])
        self._forget(gone)

    def listing(self, guest: Guest, descriptor: int, cookie: int, size: int) -> bytes:
        """At most `size` bytes of a directory's entries after the first `cookie`, sorted by name; the last entry may
        be cut short. Raises Errno."""
        if cookie == 0 or descriptor not in self._listings:
            self._listings[descriptor] = self._read(guest, descriptor)
        elif problem := self.problem_of(guest, descriptor):
            raise Errno(problem)
        listed = bytearray()
        for after, (name, host, kind) in enumerate(self._listings[descriptor][cookie:], start=cookie + 1):
            listed += after.to_bytes(8, "little") + self._number(host) + len(name).to_bytes(4, "little")
            listed += kind + bytes(3) + name
            if len(listed) >= size:
                break
        return bytes(listed[:size])

    def _read(self, guest: Guest, descriptor: int) -> list[tuple[bytes, bytes, bytes]]:
        found: list[tuple[bytes, bytes, bytes]] = []
        cookie = 0
        while True:
            self._ask(guest, "fd_readdir", descriptor, _LIST_AT, _LISTED_BYTES, cookie, 0)
            used = int.from_bytes(self._taken(guest, 0, 4), "little")
            listed = self._taken(guest, _LIST_AT, used)
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

    def _evened(self, stat: bytes) -> bytes:
        host, links, size = stat[8:16], stat[24:32], stat[32:40]
        if stat[16] == _DIRECTORY:
            # How large a directory is and what counts as a link to it is up to each file system.
            links, size = (1).to_bytes(8, "little"), bytes(8)
        used, changed = self._times.get(host, (self._now, self._now))
        # A file that lost its last name has no number: the next new one may get the host's for it, or may not.
        number = self._number(host) if any(links) else bytes(8)
        device = (1 if any(stat[:16]) else 0).to_bytes(8, "little")
        times = b"".join(time.to_bytes(8, "little") for time in (used, changed, self._now))
        return device + number + stat[16:24] + links + size + times

    def _number(self, host: bytes) -> bytes:
        if not any(host):
            return host
        if host not in self._numbers:
            self._seen += 1
            self._numbers[host] = self._seen
        return self._numbers[host].to_bytes(8, "little")

    def _set_times(self, stat: bytes, used: int, changed: int, flags: int, now: int) -> None:
        before = self._times.get(stat[8:16], (self._now, self._now))
        self._times[stat[8:16]] = (
            used if flags & _USED else now if flags & _USED_NOW else before[0],
            changed if flags & _CHANGED else now if flags & _CHANGED_NOW else before[1],
        )

    def _last_name(self, guest: Guest, descriptor: int, path: bytes) -> bytes | None:
        """The host's number of what is at a path, if that is its only name."""
        try:
            stat = self._host_stat(guest, descriptor, 0, path)
        except Errno:
            # Whatever is wrong shows again in the call that follows.
            return None
        many = stat[16] != _DIRECTORY and int.from_bytes(stat[24:32], "little") > 1
        return None if many else stat[8:16]

    def _forget(self, host: bytes | None) -> None:
        if host is not None:
            self._numbers.pop(host, None)
            self._times.pop(host, None)

    def _host_stat(self, guest: Guest, descriptor: int, flags: int, path: bytes) -> bytes:
        self._ask(guest, "path_filestat_get", descriptor, flags, _PATH_AT, self._give(guest, path), 0)
        return self._taken(guest, 0, _STAT_BYTES)

    def _give(self, guest: Guest, path: bytes, at: int = _PATH_AT) -> int:
        if path:
            self._memory(guest).write(guest.caller, path, at)
        return len(path)

    def _taken(self, guest: Guest, at: int, size: int) -> bytes:
        return bytes(self._memory(guest).read(guest.caller, at, at + size))

    def _ask(self, guest: Guest, name: str, *numbers: int) -> None:
        if problem := self._call(guest, name, *numbers):
            raise Errno(problem)

    def _call(self, guest: Guest, name: str, *numbers: int) -> int:
        function = self._exports(guest)[name]
        assert isinstance(function, wasmtime.Func)
        answer: int = function(guest.caller, *numbers)
        return answer

    def _memory(self, guest: Guest) -> wasmtime.Memory:
        memory = self._exports(guest)["memory"]
        assert isinstance(memory, wasmtime.Memory)
        return memory

    def _exports(self, guest: Guest) -> InstanceExports:
        if self._shim is None:
            self._shim = self._ready.instantiate(guest.caller).exports(guest.caller)
        return self._shim
