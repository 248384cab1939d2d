"""The nursery: a process that has everything imported and started nothing, and becomes a worker as often as asked."""

import gc
import os
import select
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from anchor.agent.workers import limits
from anchor.agent.workers.worker import load_ahead, serve

MESSAGE_BYTES_MAX: Final = 8192


class Birth(msgspec.Struct, frozen=True, array_like=True, tag="birth"):
    """Become a worker; its end of the pipe to the agent comes along. `place` is its directory."""

    number: int
    place: str


class Born(msgspec.Struct, frozen=True, array_like=True, tag="born"):
    """The worker is there; its pidfd comes along."""

    number: int
    pid: int


class Gone(msgspec.Struct, frozen=True, array_like=True, tag="gone"):
    """The worker has ended and nothing is left of it. `code` is its return code, or minus the signal's number; `why`
    says what kept it from being born."""

    number: int
    code: int
    why: str = ""


encode = msgspec.msgpack.Encoder().encode
_births = msgspec.msgpack.Decoder(Birth)


def main() -> None:
    """Serve the agent whose id is the first argument, on the socket whose number is the second, with the engines of the
    third; end when it closes the socket or ends."""
    agent, line_fd, engines = int(sys.argv[1]), int(sys.argv[2]), msgspec.json.decode(sys.argv[3], type=dict[str, str])
    limits.die_with(agent)
    load_ahead(engines)
    # What exists by now is shared with the workers for as long as neither side writes to it, as a collection would.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=line_fd) as line:
        _Nursery(line, engines).run()


class _Nursery:
    def __init__(self, line: socket.socket, engines: Mapping[str, str]) -> None:
        self._line = line
        self._engines = engines
        self._children: dict[int, tuple[int, int]] = {}
        self._events = select.poll()
        self._events.register(line, select.POLLIN)

    def run(self) -> None:
        """Bear and bury until the agent hangs up."""
        while True:
            for fd, _ in self._events.poll():
                if fd != self._line.fileno():
                    self._bury(fd)
                elif not self._hear():
                    return

    def _hear(self) -> bool:
        try:
            message, fds, _, _ = socket.recv_fds(self._line, MESSAGE_BYTES_MAX, 1)
        except ConnectionError:
            return False
        if message:
            self._bear(_births.decode(message), fds[0])
        return bool(message)

    def _bear(self, birth: Birth, pipe: int) -> None:
        me = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(pipe)
            self._line.send(encode(Gone(birth.number, 1, f"it cannot be forked: {error.strerror}")))
            return
        if pid == 0:
            self._become(birth, pipe, me)
        os.close(pipe)
        # Whatever became of the child by now, its id is not given to anyone else before it has been waited for.
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = birth.number, pid
        self._events.register(pidfd, select.POLLIN)
        socket.send_fds(self._line, [encode(Born(birth.number, pid))], [pidfd])

    def _become(self, birth: Birth, pipe: int, parent: int) -> NoReturn:
        try:
            os.setsid()
            # All that the nursery holds: its line to the agent, and its siblings' ends.
            inbox = 3
            os.dup2(pipe, inbox)
            os.closerange(inbox + 1, max(pipe, self._line.fileno(), *self._children, inbox) + 1)
            serve(inbox, inbox, Path(birth.place), parent, self._engines)
        finally:
            os._exit(1)

    def _bury(self, pidfd: int) -> None:
        number, pid = self._children.pop(pidfd)
        self._events.unregister(pidfd)
        os.close(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self._line.send(encode(Gone(number, code)))
