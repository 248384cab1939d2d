"""What this machine lets a test do to it: a small disk, failing system calls, a clock that can be set."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

STRACE_SECONDS = 10.0
FAKETIME = [
    Path(folder) / "libfaketimeMT.so.1"
    for folder in ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime")
]
UNSHARE = ["unshare", *([] if hasattr(os, "geteuid") and os.geteuid() == 0 else ["--map-root-user"]), "--mount"]


def why_no_disk(directory: Path) -> str:
    """Why no small disk can be mounted; empty where one can."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(directory)]
    if subprocess.run(probe, capture_output=True, check=False, timeout=20).returncode:
        return "this machine lets nobody mount a small disk"
    return ""


def why_no_strace() -> str:
    """Why no system call can be made to fail; empty where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as sleeper:
        try:
            tracer = attach(sleeper.pid, "fdatasync:error=EIO")
            works = is_traced(sleeper.pid)
            detach(tracer)
        finally:
            sleeper.kill()
    return "" if works else "strace may not look at other processes here"


def why_no_clock() -> str:
    """Why no clock can be set; empty where one can."""
    return "" if any(path.exists() for path in FAKETIME) else "libfaketime is not installed"


def attach(pid: int, *inject: str) -> "subprocess.Popen[bytes]":
    """Make system calls of a process and its threads fail, from now until `detach`."""
    rules = [word for rule in inject for word in ("-e", f"inject={rule}")]
    names = ",".join(rule.partition(":")[0] for rule in inject)
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(pid), "-e", f"trace={names}", *rules]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def is_traced(pid: int, seconds: float = STRACE_SECONDS) -> bool:
    """Whether somebody traces a process, within some time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        except OSError:
            return False
        if "TracerPid:\t0\n" not in status:
            return True
        time.sleep(0.01)
    return False


def detach(tracer: "subprocess.Popen[bytes]") -> None:
    """Let the process go."""
    if tracer.poll() is None:
        tracer.send_signal(signal.SIGTERM)
    try:
        tracer.wait(STRACE_SECONDS)
    except subprocess.TimeoutExpired:
        tracer.kill()
        tracer.wait()


def clock_environment(file: Path) -> dict[str, str]:
    """Variables that make a process read its wall clock as `file` says: `+0`, `+2h`, `-2h`. Deadlines on the monotonic
    clock stay what they are, as when somebody sets a machine's clock."""
    file.write_text("+0", encoding="ascii")
    [library, *_] = [path for path in FAKETIME if path.exists()]
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
        "NO_FAKE_STAT": "1",
        "FAKETIME_TIMESTAMP_FILE": str(file),
    }
