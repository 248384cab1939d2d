"""What the filters on system calls refuse and what they leave alone, tried in processes of their own."""

import errno
import json
import platform
import subprocess
import sys

import pytest

from anchor.agent.sandbox import seccomp

pytestmark = pytest.mark.skipif(seccomp.native_filter() is None, reason="no filter for this system and architecture")

TRY = """
import ctypes, errno, json, os, socket, subprocess, sys, threading
from anchor.agent.sandbox import seccomp
libc = ctypes.CDLL(None, use_errno=True)
beside = threading.Event()
told = []
def other():
    beside.wait()
    told.append(libc.syscall(KEYCTL, 0, -3, 0) and ctypes.get_errno())
KEYCTL = seccomp._NUMBERS["keyctl"][seccomp._COLUMN[__import__("platform").machine()]]
thread = threading.Thread(target=other)
thread.start()
assert libc.prctl(38, 1, 0, 0, 0) == 0
seccomp.install(seccomp.native_filter() if sys.argv[1] == "native" else seccomp.worker_filter(os.getpid()))
beside.set()
thread.join()

def call(name, *args):
    number = seccomp._NUMBERS[name][seccomp._COLUMN[__import__("platform").machine()]]
    ctypes.set_errno(0)
    if libc.syscall(number, *args) >= 0:
        return 0
    return ctypes.get_errno()

def tried(attempt):
    try:
        attempt()
    except OSError as error:
        return error.errno
    return 0

found = {
    "keyctl in another thread": told[0],
    "keyctl": call("keyctl", 0, -3, 0), "add_key": call("add_key", 0, 0, 0, 0, 0),
    "io_uring": call("io_uring_setup", 1, 0), "bpf": call("bpf", 0, 0, 0),
    "perf": call("perf_event_open", 0, 0, 0, 0, 0),
    "userfaultfd": call("userfaultfd", 0), "ptrace": call("ptrace", 0, 0, 0, 0), "clone3": call("clone3", 0, 0),
    "mount": call("mount", 0, 0, 0, 0, 0), "setns": call("setns", 0, 0),
    "readv": call("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "unshare user": call("unshare", 0x10000000), "clone user": call("clone", 0x10000000 | 17, 0, 0, 0, 0),
    "open by handle": call("open_by_handle_at", 0, 0, 0), "affinity": call("sched_setaffinity", 0, 0, 0),
    "personality": call("personality", 0x0040000), "asking for the personality": call("personality", 0xFFFFFFFF),
    "sti": call("ioctl", 0, 0x5412, 0), "linux tty": call("ioctl", 0, 0x541C, 0),
    "a call of the future": -libc.syscall(999) and ctypes.get_errno(),
    "vsock": tried(lambda: socket.socket(40, socket.SOCK_STREAM)), "inet": tried(lambda: socket.socket().close()),
    "pair": tried(lambda: [one.close() for one in socket.socketpair()]),
    "datagrams": tried(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)),
    "fork": tried(lambda: os._exit(0) if not os.fork() else os.wait()),
    "exec": tried(lambda: subprocess.run(["/bin/true"])),
    "kill the parent": tried(lambda: os.kill(os.getppid(), 0)), "kill itself": tried(lambda: os.kill(os.getpid(), 0)),
    "setuid": tried(lambda: os.setuid(os.getuid())),
}
again = threading.Thread(target=lambda: found.update(thread=0))
again.start()
again.join()
print(json.dumps(found))
"""


def tried(which: str) -> dict[str, int]:
    done = subprocess.run([sys.executable, "-c", TRY, which], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


BOTH = {
    **dict.fromkeys(("keyctl", "keyctl in another thread", "add_key", "bpf", "perf", "userfaultfd"), errno.EPERM),
    **dict.fromkeys(("ptrace", "mount", "setns", "readv", "unshare user", "clone user"), errno.EPERM),
    **dict.fromkeys(("open by handle", "affinity", "personality", "sti", "linux tty"), errno.EPERM),
    **dict.fromkeys(("io_uring", "clone3", "a call of the future"), errno.ENOSYS),
    **dict.fromkeys(("asking for the personality", "pair", "kill itself", "thread"), 0),
}


def test_a_native_program_keeps_processes_and_the_usual_sockets_and_loses_what_is_dangerous() -> None:
    allowed = ("inet", "datagrams", "fork", "exec", "kill the parent", "setuid")
    assert tried("native") == {**BOTH, **dict.fromkeys(allowed, 0), "vsock": errno.EAFNOSUPPORT}


def test_a_worker_keeps_threads_and_itself_and_nothing_that_reaches_further() -> None:
    lost = ("inet", "vsock", "datagrams", "fork", "exec", "kill the parent", "setuid")
    assert tried("worker") == {**BOTH, **dict.fromkeys(lost, errno.EPERM)}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another architecture has no second set of call numbers")
def test_a_call_by_the_numbers_of_another_abi_ends_the_process() -> None:
    program = """
import ctypes
from anchor.agent.sandbox import seccomp
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
seccomp.install(seccomp.native_filter())
libc.syscall(0x40000000 | 39)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=20).returncode == -31


def test_where_there_is_no_filter_for_an_architecture_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "sparc64")
    assert seccomp.native_filter() is None
    assert seccomp.worker_filter(1) is None
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert len(seccomp.worker_filter(1) or b"") % 8 == 0
