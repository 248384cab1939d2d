"""The machine of the deterministic profile: time, chance, and what a file system tells beside names and contents."""

import hashlib
from collections.abc import Callable
from typing import Final

import wasmtime

from anchor.agent.runtimes.wasm.files import Files, shim
from anchor.agent.runtimes.wasm.guest import Errno, Guest

EPOCH_NANOSECONDS: Final = 1_577_836_800 * 10**9
"""2020-01-01T00:00:00Z, which every run begins at and every file was last changed at."""
STEP_NANOSECONDS: Final = 1_000_000
"""How much later it is with every reading of a clock."""
SUBSCRIPTIONS_MAX: Final = 4096
"""How many things a program may wait for at once."""
_CHANCE_BYTES: Final = 64 * 1024
_REALTIME, _MONOTONIC = 0, 1
_OF_THE_PROCESSOR: Final = (2, 3)
_SUBSCRIPTION_BYTES, _EVENT_BYTES = 48, 32
_CLOCK = 0
_ABSOLUTE = 1
_FOREVER = 1 << 64


class VirtualMachine:
    """Host functions that depend on nothing but the program and its seed. One program at a time: `begin`, then run."""

    def __init__(self, engine: wasmtime.Engine, wasi: str) -> None:
        self._wasi = wasi
        self._shim = shim(engine, wasi)
        self._files = Files(self._shim, EPOCH_NANOSECONDS)
        self._elapsed = 0
        self._seed = b""
        self._drawn = 0

    def begin(self, seed: bytes) -> None:
        """Set the clock back and the dice anew."""
        self._files = Files(self._shim, EPOCH_NANOSECONDS)
        self._elapsed = 0
        self._seed = seed
        self._drawn = 0

    def replace_in(self, linker: wasmtime.Linker) -> None:
        """Put these functions in place of those that tell something of the machine."""
        linker.allow_shadowing = True
        kinds = {32: wasmtime.ValType.i32(), 64: wasmtime.ValType.i64()}
        host: dict[str, tuple[list[int], Callable[..., None]]] = {
            "clock_res_get": ([32, 32], self._clock_res_get),
            "clock_time_get": ([32, 64, 32], self._clock_time_get),
            "random_get": ([32, 32], self._random_get),
            "poll_oneoff": ([32] * 4, self._poll_oneoff),
            "fd_filestat_get": ([32, 32], self._fd_filestat_get),
            "fd_filestat_set_times": ([32, 64, 64, 32], self._fd_filestat_set_times),
            "fd_readdir": ([32, 32, 32, 64, 32], self._fd_readdir),
            "path_filestat_get": ([32] * 5, self._path_filestat_get),
            "path_filestat_set_times": ([32, 32, 32, 32, 64, 64, 32], self._path_filestat_set_times),
            "path_remove_directory": ([32] * 3, self._path_remove_directory),
            "path_rename": ([32] * 6, self._path_rename),
            "path_unlink_file": ([32] * 3, self._path_unlink_file),
        }
        for name, (bits, function) in host.items():
            kind = wasmtime.FuncType([kinds[one] for one in bits], [kinds[32]])
            linker.define_func(self._wasi, name, kind, _guarded(function, bits), access_caller=True)

    def _clock_res_get(self, guest: Guest, clock: int, at: int) -> None:
        _known(clock)
        guest.write(at, STEP_NANOSECONDS.to_bytes(8, "little"))

    def _clock_time_get(self, guest: Guest, clock: int, _precision: int, at: int) -> None:
        _known(clock)
        self._elapsed += STEP_NANOSECONDS
        guest.write(at, self._now(clock).to_bytes(8, "little"))

    def _now(self, clock: int) -> int:
        return (self._elapsed + (EPOCH_NANOSECONDS if clock == _REALTIME else 0)) % _FOREVER

    def _random_get(self, guest: Guest, at: int, size: int) -> None:
        guest.check(at, size)
        for start in range(at, at + size, _CHANCE_BYTES):
            drawn = hashlib.shake_256(self._seed + self._drawn.to_bytes(8, "little"))
            self._drawn += 1
            guest.write(start, drawn.digest(min(_CHANCE_BYTES, at + size - start)))

    def _poll_oneoff(self, guest: Guest, subscriptions: int, events: int, count: int, written: int) -> None:
        if not 0 < count <= SUBSCRIPTIONS_MAX:
            raise Errno(Errno.INVAL)
        asked = guest.read(subscriptions, count * _SUBSCRIPTION_BYTES)
        guest.check(events, count * _EVENT_BYTES)
        self._elapsed += STEP_NANOSECONDS
        ready: list[bytes] = []
        sleepers: list[tuple[int, bytes]] = []
        for at in range(0, len(asked), _SUBSCRIPTION_BYTES):
            one = asked[at : at + _SUBSCRIPTION_BYTES]
            if one[8] == _CLOCK:
                clock = int.from_bytes(one[16:20], "little")
                _known(clock)
                until = int.from_bytes(one[24:32], "little")
                absolute = one[40] & _ABSOLUTE
                wait = max(0, until - self._now(clock)) if absolute else until
                sleepers.append((wait, _event(one)))
            else:
                descriptor = int.from_bytes(one[16:20], "little")
                ready.append(_event(one, self._files.problem_of(guest, descriptor), 1))
        if sleepers:
            # What can be read and written always is ready: only where there is nothing of that kind does time pass.
            slept = 0 if ready else min(wait for wait, _ in sleepers)
            self._elapsed += slept
            ready += [event for wait, event in sleepers if wait <= slept]
        guest.write(events, b"".join(ready))
        guest.write(written, len(ready).to_bytes(4, "little"))

    def _fd_filestat_get(self, guest: Guest, descriptor: int, at: int) -> None:
        guest.write(at, self._files.stat_descriptor(guest, descriptor))

    def _fd_filestat_set_times(self, guest: Guest, descriptor: int, used: int, changed: int, flags: int) -> None:
        self._files.set_descriptor_times(guest, descriptor, used, changed, flags, self._now(_REALTIME))

    def _path_filestat_set_times(
        self, guest: Guest, descriptor: int, follow: int, path: int, size: int, used: int, changed: int, flags: int
    ) -> None:
        named = guest.path(path, size)
        self._files.set_path_times(guest, descriptor, follow, named, used, changed, flags, self._now(_REALTIME))

    def _path_remove_directory(self, guest: Guest, descriptor: int, path: int, size: int) -> None:
        self._files.remove(guest, "path_remove_directory", descriptor, guest.path(path, size))

    def _path_unlink_file(self, guest: Guest, descriptor: int, path: int, size: int) -> None:
        self._files.remove(guest, "path_unlink_file", descriptor, guest.path(path, size))

    def _path_rename(
        self, guest: Guest, descriptor: int, old: int, old_size: int, to: int, new: int, new_size: int
    ) -> None:
        self._files.rename(guest, descriptor, guest.path(old, old_size), to, guest.path(new, new_size))

    def _path_filestat_get(self, guest: Guest, descriptor: int, flags: int, path: int, size: int, at: int) -> None:
        guest.write(at, self._files.stat_path(guest, descriptor, flags, guest.path(path, size)))

    def _fd_readdir(self, guest: Guest, descriptor: int, at: int, size: int, cookie: int, used: int) -> None:
        guest.check(at, size)
        listed = self._files.listing(guest, descriptor, cookie, size)
        guest.write(at, listed)
        guest.write(used, len(listed).to_bytes(4, "little"))


def _guarded(function: Callable[..., None], bits: list[int]) -> Callable[..., int]:
    """A host function that answers with an errno, takes its numbers without sign, and gets the caller's memory."""
    masks = [(1 << one) - 1 for one in bits]

    def call(caller: wasmtime.Caller, *numbers: int) -> int:
        try:
            function(Guest(caller), *(number & mask for number, mask in zip(numbers, masks, strict=True)))
        except Errno as problem:
            return problem.number
        return 0

    return call


def _known(clock: int) -> None:
    if clock in _OF_THE_PROCESSOR:
        raise Errno(Errno.BADF)
    if clock not in (_REALTIME, _MONOTONIC):
        raise wasmtime.WasmtimeError("Invalid enum value Clockid")


def _event(subscription: bytes, problem: int = 0, size: int = 0) -> bytes:
    head = subscription[:8] + problem.to_bytes(2, "little") + subscription[8:9]
    return head.ljust(16, b"\0") + size.to_bytes(8, "little") + bytes(8)
