"""Compiled modules that the agent keeps on its disk, so that a module is compiled once a machine and not once a worker.

Why what lies here can be trusted as far as the module itself can: docs/decisions/0009-compiled-modules.md.
"""

import contextlib
import hashlib
import hmac
import os
import platform
import secrets
import sys
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import structlog

from anchor.agent.workers.frames import MIB, Program
from anchor.agent.workers.process import Worker

log = structlog.get_logger("anchor.modules")
KEPT_BYTES_MAX: Final = 512 * MIB
_MAC_BYTES: Final = 32
_SUFFIX: Final = ".compiled"


class KeptModules:
    """The folder and what is in it. No worker reads it or writes to it; only the agent does.

    Without a folder, or where it cannot be used, nothing is kept, and modules are compiled again.
    """

    def __init__(self, folder: Path | None, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._folder = folder or Path()
        self._wanted = folder is not None
        self._bytes_max = bytes_max
        self._makers = f"wasmtime {version('wasmtime')} {sys.platform} {platform.machine()}".encode()
        self._key = b""
        self._sizes: OrderedDict[str, int] = OrderedDict()

    def open(self) -> None:
        """Look at what was kept by earlier lives of this agent."""
        if not self._wanted:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._key = self._read_key()
            for unfinished in self._folder.glob("*.unfinished"):
                unfinished.unlink()
            found = sorted((file.stat().st_mtime_ns, file) for file in self._folder.glob(f"*{_SUFFIX}"))
        except OSError as error:
            log.warning("compiled modules are not kept", problem=str(error))
            return
        for _, file in found:
            self._sizes[file.name] = file.stat().st_size

    def likes(self, program: Program, worker: Worker) -> bool:
        """Whether the worker holds the module; or is one whose work can be kept, where none was yet."""
        if program.digest in worker.modules:
            return True
        return bool(self._key) and worker.fresh and self._name(program.digest) not in self._sizes

    def fit(self, program: Program, worker: Worker) -> Program:
        """The program with no more than the worker lacks."""
        if program.digest in worker.modules:
            return msgspec.structs.replace(program, module=b"")
        if code := self._read(program.digest):
            return msgspec.structs.replace(program, compiled=code)
        return msgspec.structs.replace(program, keep=worker.fresh and bool(self._key))

    def keep(self, digest: bytes, code: bytes) -> None:
        """Keep what a worker made of the module of this name: a worker that had never run anybody's code before."""
        name = self._name(digest)
        content = self._mac(name, code) + code
        if len(content) > self._bytes_max:
            return
        unfinished = self._folder / f"{secrets.token_hex(8)}.unfinished"
        try:
            unfinished.write_bytes(content)
            unfinished.replace(self._folder / name)
            self._sizes[name] = len(content)
            self._sizes.move_to_end(name)
            while sum(self._sizes.values()) > self._bytes_max:
                oldest, _ = self._sizes.popitem(last=False)
                (self._folder / oldest).unlink(missing_ok=True)
        except OSError as error:
            log.warning("a compiled module was not kept", problem=str(error))
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _read(self, digest: bytes) -> bytes:
        """What was kept, if it is what this agent wrote, else nothing."""
        name = self._name(digest)
        if name not in self._sizes:
            return b""
        file = self._folder / name
        try:
            content = file.read_bytes()
            os.utime(file)
        except OSError:
            content = b""
        code = content[_MAC_BYTES:]
        if not hmac.compare_digest(content[:_MAC_BYTES], self._mac(name, code)):
            log.warning("a kept module was not what was written", file=name)
            del self._sizes[name]
            return b""
        self._sizes.move_to_end(name)
        return code

    def _name(self, digest: bytes) -> str:
        return hashlib.sha256(self._makers + digest).hexdigest() + _SUFFIX

    def _mac(self, name: str, code: bytes) -> bytes:
        return hmac.digest(self._key, name.encode() + code, "sha256")

    def _read_key(self) -> bytes:
        file = self._folder / "key"
        with contextlib.suppress(FileExistsError):
            made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(made, "wb") as writer:
                writer.write(secrets.token_bytes(_MAC_BYTES))
        key = file.read_bytes()
        if len(key) != _MAC_BYTES:
            # Cut short by a full disk: what was kept under it is lost, which costs time only.
            file.unlink()
            return self._read_key()
        return key
