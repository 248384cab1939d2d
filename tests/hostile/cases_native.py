"""Hostile native programs, in Python, Node and shell."""

import os
from typing import Any, Final

from tests.hostile.case import Case

from anchor.agent.sandbox.probe import probe

ROOM: Final = {"timeoutSeconds": 15.0}
"""For what has to come to a good end, however slow the machine is at the moment."""
HAS_MEMORY_GROUP: Final = "memory" in probe().cgroup
"""Elsewhere a watcher looks at the processes one by one: a hundred that grow at once can get ahead of it."""
BOUNDED: Final = {"timeoutSeconds": 3.0}


def _python(source: str, **more: Any) -> dict[str, Any]:
    return {"language": "python", "sourceCode": source, **more}


def _node(source: str, **more: Any) -> dict[str, Any]:
    return {"language": "javascript", "sourceCode": source, **more}


def _shell(source: str, **more: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", source], **more}


def _calls(*calls: str) -> dict[str, Any]:
    """Make system calls by number and answer with those that were let through. Arguments are numbers, or `buffer`."""
    return _python(f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(4096)
result = []
for number, *arguments in [{", ".join(calls)}]:
    if libc.syscall(number, *arguments) >= 0:
        result.append(number)
""")


SPIN: Final = [
    Case("python loops", _python("while True: pass"), "timeout"),
    Case("node loops", _node("for (;;);"), "timeout"),
    Case("a shell loops", _shell("while :; do :; done"), "timeout"),
    Case("it sleeps", _shell("sleep 100"), "timeout"),
    Case(
        "it ignores SIGTERM and everything else",
        _shell("trap '' TERM INT HUP QUIT; while :; do sleep 1; done"),
        "timeout",
    ),
    Case("it stops itself", _python("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"), "timeout"),
    Case(
        "timers after the end",
        _node("setInterval(() => console.log('alive'), 10); return 1"),
        None,
        result=1,
        limits=ROOM,
    ),
    Case(
        "threads after the end",
        _python("import threading, time\nthreading.Thread(target=time.sleep, args=(100,)).start()\nresult = 1"),
        "timeout",
    ),
]

PROCESSES: Final = [
    Case(
        "daemons that outlive their parent",
        _python("""
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(300)
        os._exit(0)
result = "gone"
"""),
        None,
        result="gone",
        limits=ROOM,
    ),
    Case("setsid and nohup in the background", _shell("setsid nohup sleep 300 >/dev/null 2>&1 &"), None, limits=ROOM),
    Case(
        "it kills its parent and pid 1",
        _python("""
import os, signal
for pid in (os.getppid(), 1, -1):
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
result = "still here"
"""),
        None,
        result="still here",
        limits=ROOM,
    ),
    Case("it ends itself by a signal", _shell("kill -SEGV $$"), "script_error", "SIGSEGV"),
    Case(
        "many processes, one parent",
        _shell("n=0; while [ $n -lt 900 ]; do sleep 20 & n=$((n+1)); done"),
        ("process_limit", "script_error"),
        limits=BOUNDED,
        alone=True,
    ),
    Case(
        "many threads",
        _python("""
import threading, time
for _ in range(900):
    threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
"""),
        ("process_limit", "script_error"),
        limits=BOUNDED,
        alone=True,
    ),
    Case(
        "many files open",
        _python("""
import os
count = 0
try:
    while True:
        os.open("/dev/null", os.O_RDONLY)
        count += 1
except OSError:
    pass
result = count <= 4096
"""),
        None,
        result=True,
        limits=ROOM,
    ),
]

MEMORY: Final = [
    Case(
        "python takes memory",
        _python("kept = []\nwhile True: kept.append(bytes(1000000))"),
        "memory_limit",
        limits=ROOM,
        alone=True,
    ),
    Case("one huge array", _python("x = bytearray(8 << 30)"), "memory_limit", limits=ROOM),
    Case(
        "node's heap",
        _node("const kept = []; for (;;) kept.push(new Array(1000).fill({}))"),
        "memory_limit",
        limits=ROOM,
        alone=True,
    ),
    Case(
        "node's buffers",
        _node("const kept = []; for (;;) kept.push(Buffer.alloc(1000000, 1))"),
        "memory_limit",
        limits=ROOM,
        alone=True,
    ),
    Case(
        "a hundred processes, each a little",
        _python("""
import os, time
for _ in range(100):
    if os.fork() == 0:
        kept = bytes([1]) * 8_000_000
        time.sleep(30)
        os._exit(len(kept))
time.sleep(30)
"""),
        "memory_limit",
        limits=ROOM,
        alone=HAS_MEMORY_GROUP,
    ),
    Case(
        "shared anonymous memory",
        _python("import mmap\nkept = mmap.mmap(-1, 1 << 30)\nfor at in range(0, 1 << 30, 4096): kept[at] = 1"),
        "memory_limit",
        limits=ROOM,
        alone=True,
    ),
    Case(
        "files in memory",
        _python("""
import os, time
try:
    made = os.memfd_create("x")
except OSError:
    kept = b"x" * (1 << 30)  # no such files where nothing could count them
while True:
    os.write(made, bytes(1 << 20))
    if os.fstat(made).st_size > 240 << 20:
        time.sleep(30)
"""),
        "memory_limit",
        limits=ROOM,
        alone=True,
    ),
    Case(
        "/dev/shm and /tmp",
        _shell(
            "for f in /dev/shm/a /tmp/a /tmp/b; do dd if=/dev/zero of=$f bs=1M count=100 2>/dev/null; done; sleep 30"
        ),
        "memory_limit",
        limits=ROOM,
        alone=True,
    ),
    Case(
        "a stack without end",
        _python("import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"),
        ("script_error", "memory_limit"),
        limits=ROOM,
    ),
    Case("a stack without end in node", _node("const f = () => f(); f()"), "script_error", "stack", limits=ROOM),
    Case("a regular expression without end", _python("import re\nre.match('(a+)+$', 'a' * 60 + 'b')"), "timeout"),
]

OUTPUT: Final = [
    Case("yes", {"command": ["yes"]}, "timeout"),
    Case("one endless line", _shell("exec tr '\\0' x < /dev/zero"), "timeout"),
    Case("on both streams", _shell("yes & exec yes >&2"), "timeout"),
    Case("a huge result", _python("result = 'x' * (17 << 20)"), "result_too_large", limits=ROOM),
    Case(
        "a result too deep",
        _shell("i=0; while [ $i -lt 5000 ]; do printf '['; i=$((i+1)); done > result.json"),
        "result_invalid",
        limits=ROOM,
    ),
    Case("a result that is no JSON", _shell("head -c 1000 /dev/urandom > result.json"), "result_invalid", limits=ROOM),
    Case(
        "the result is a link", {"command": ["ln", "-s", "/etc/passwd", "result.json"]}, "result_invalid", limits=ROOM
    ),
    Case("the result is a pipe", {"command": ["mkfifo", "result.json"]}, "result_invalid", limits=ROOM),
    Case("the result is a folder", {"command": ["mkdir", "result.json"]}, "result_invalid", limits=ROOM),
    Case(
        "the result is a device", {"command": ["ln", "-s", "/dev/zero", "result.json"]}, "result_invalid", limits=ROOM
    ),
    Case("a progress flood", _shell('while :; do echo "0.5 x"; done > "$ANCHOR_PROGRESS"'), "timeout"),
    Case("progress that is nonsense", _shell('head -c 100000 /dev/urandom > "$ANCHOR_PROGRESS"'), None, limits=ROOM),
    Case(
        "the runner's own report is written by the task",
        _python("import os\nwith open('/anchor/io/report.json', 'w') as file:\n    file.write('{')\nos._exit(0)"),
        "result_invalid",
        limits=ROOM,
    ),
]

DISK: Final = [
    Case(
        "a huge file",
        _shell("dd if=/dev/zero of=big bs=1M count=500"),
        "disk_limit",
        limits={"diskMb": 16, "timeoutSeconds": 5},
    ),
    Case(
        "many large files",
        _shell("i=0; while :; do head -c 4000000 /dev/zero > f$i; i=$((i+1)); done"),
        "disk_limit",
        limits={"diskMb": 16, "timeoutSeconds": 5},
    ),
    Case(
        "files deleted but open",
        _python("""
import os, time
kept = []
while True:
    kept.append(open("x", "wb", buffering=0))
    kept[-1].write(bytes(4 << 20))
    os.unlink("x")
    time.sleep(0.02)
"""),
        "disk_limit",
        limits={"diskMb": 16, "timeoutSeconds": 5},
    ),
    Case("a sparse file", _shell("truncate -s 8M sparse"), None, limits={"diskMb": 1024, **ROOM}),
    Case(
        "folders in folders",
        _python("import os\nwhile True:\n    os.mkdir('d')\n    os.chdir('d')"),
        ("disk_limit", "script_error"),
        limits={"timeoutSeconds": 5},
    ),
    Case(
        "more files than anybody needs",
        _python("import os\nn = 0\nwhile True:\n    os.mknod(f'f{n}')\n    n += 1"),
        "disk_limit",
        "files",
        limits={"timeoutSeconds": 20},
    ),
    Case("files that cannot be read", _shell("mkdir -p a/b; echo x > a/b/c; chmod 000 a/b/c a/b a"), None, limits=ROOM),
]

_ESCAPES: Final = """
import os
result = []
for source, name in (("/etc/passwd", "hard"), ("/usr/bin/env", "hard2"), ("/anchor/run/runner.py", "hard3")):
    try:
        os.link(source, name)
        result.append(source)
    except OSError:
        pass
os.symlink("/", "root")
for path in ("root/etc/shadow", "../../../etc/shadow", "root/proc/1/root/etc/shadow", "/proc/self/root/../etc/shadow"):
    try:
        open(path).close()
        result.append(path)
    except OSError:
        pass
"""

FILES: Final = [
    Case("links out of the directory", _python(_ESCAPES), None, result=[], limits=ROOM),
    Case(
        "the machine's secrets",
        _python(
            """
import os
result = []
for path in input:
    try:
        os.close(os.open(path, os.O_RDONLY))
        result.append(path)
    except OSError:
        pass
""",
            input=[
                *("/etc/shadow", "/etc/sudoers", "/etc/ssh", "/root", "/home", "/var", "/run", "/boot", "/mnt", "/srv"),
                *("/proc/kcore", "/proc/kmsg", "/sys", "/etc/hostname", "/etc/machine-id", os.path.expanduser("~")),
            ],
        ),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "environments of other processes",
        _python("""
import os
result = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        found = open(f"/proc/{pid}/environ").read()
    except OSError:
        continue
    result += [name for name in found.split("\\0") if name.startswith(("ANCHOR_TOKEN", "HOME=/root", "SSH_", "SUDO_"))]
"""),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "writing the system",
        _python("""
import os
result = []
for folder in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/anchor", "/anchor/run", "/proc/sys/kernel", "/lib"):
    try:
        open(os.path.join(folder, "x"), "w").close()
        result.append(folder)
    except OSError:
        pass
for file in ("sysrq-trigger", "sys/kernel/core_pattern", "irq/default_smp_affinity", "1/oom_score_adj", "self/uid_map"):
    try:
        os.close(os.open(f"/proc/{file}", os.O_WRONLY))  # opened only: a test must not be what does the harm
        result.append(file)
    except OSError:
        pass
"""),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "the host's temporary files",
        _shell("ls /tmp /var/tmp 2>/dev/null | grep -c . > result.json; :"),
        None,
        limits=ROOM,
    ),
    Case(
        "device nodes",
        _shell("mknod disk b 8 0 2>/dev/null && echo true > result.json || echo false > result.json"),
        None,
        result=False,
        limits=ROOM,
    ),
    Case(
        "core dumps",
        _python("import os, resource\nresult = resource.getrlimit(resource.RLIMIT_CORE)[1]"),
        None,
        result=0,
        limits=ROOM,
    ),
    Case("it aborts", _python("import os\nos.abort()"), "script_error", "SIGABRT"),
]

_NETWORK: Final = """
import socket
result = []
def attempt(name, family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as line:
        line.settimeout(0.5)
        try:
            line.connect(address)
            if kind == socket.SOCK_DGRAM:
                line.send(b"x")
            result.append(name)
        except OSError:
            pass
for port in (22, 80, 443, 3000, 6379, 27017):
    attempt(f"loopback {port}", socket.AF_INET, ("127.0.0.1", port))
attempt("metadata", socket.AF_INET, ("169.254.169.254", 80))
attempt("dns", socket.AF_INET, ("1.1.1.1", 53), socket.SOCK_DGRAM)
attempt("abstract", socket.AF_UNIX, "\\0/tmp/.X11-unix/X0")
attempt("bus", socket.AF_UNIX, "/run/dbus/system_bus_socket")
attempt("docker", socket.AF_UNIX, "/var/run/docker.sock")
for family, kind in ((17, 3), (16, 3), (40, 1), (38, 5), (2, 3)):
    try:
        made = socket.socket(family, kind)
        if family != 16:
            result.append(f"family {family}")
        made.close()
    except OSError:
        pass
try:
    socket.getaddrinfo("example.com", 80)
    result.append("names")
except OSError:
    pass
"""

KERNEL: Final = [
    Case("the network, in every way", _python(_NETWORK), None, result=[], limits=ROOM),
    Case(
        "keys of the kernel",
        _calls("(250, 0, -3, 0)", "(248, buffer, buffer, buffer, 1, -3)", "(249, buffer, buffer, 0, -3)"),
        None,
        result=[],
        limits=ROOM,
    ),
    Case("io_uring", _calls("(425, 8, buffer)"), None, result=[], limits=ROOM),
    Case(
        "userfaultfd, bpf and perf",
        _calls("(323, 0)", "(321, 0, buffer, 64)", "(298, buffer, 0, -1, -1, 0)"),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "namespaces",
        _calls("(272, 0x10000000)", "(272, 0x00020000)", "(56, 0x10000011, 0, 0, 0, 0)", "(435, buffer, 88)"),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "mounts and roots",
        _calls(
            "(165, buffer, buffer, buffer, 0, 0)",
            "(166, b'/tmp', 0)",
            "(155, b'/', b'/')",
            "(161, b'/tmp')",
            "(430, b'tmpfs', 0)",
        ),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "tracing",
        _calls("(101, 0, 0, 0, 0)", "(101, 16, 1, 0, 0)", "(310, 1, 0, 0, 0, 0, 0)"),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "modules, clocks and the power",
        _calls("(175, buffer, 1, buffer)", "(227, 0, buffer)", "(169, 0, 0, 0, 0)", "(170, b'x', 1)"),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "typing into the terminal",
        _calls("(16, 0, 0x5412, buffer)", "(16, 1, 0x5412, buffer)", "(16, 2, 0x541c, buffer)"),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "programs with rights of their own",
        _python("""
import os, subprocess
result = []
for command in (["sudo", "-n", "id", "-u"], ["su", "-c", "id -u"], ["mount"], ["pkexec", "id", "-u"]):
    try:
        said = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=5).stdout
    except (OSError, subprocess.TimeoutExpired):
        continue
    if said.strip() == "0":
        result.append(command)
os.chmod(os.open("s", os.O_CREAT | os.O_WRONLY), 0o6755)
result += [line for line in open("/proc/self/status") if line.startswith("NoNewPrivs") and "1" not in line]
"""),
        None,
        result=[],
        limits=ROOM,
    ),
    Case(
        "rights",
        _python(
            "lines = list(open('/proc/self/status'))\n"
            "result = [line.split()[1] for line in lines if line.startswith(('CapEff', 'CapPrm', 'CapBnd'))]"
        ),
        None,
        result=["0000000000000000"] * 3,
        limits=ROOM,
    ),
]

INTERPRETERS: Final = [
    Case(
        "a library put before everything",
        _shell(
            "echo 1 > result.json",
            env={"LD_PRELOAD": "/job/evil.so", "LD_LIBRARY_PATH": "/job", "LD_AUDIT": "/job/x.so"},
        ),
        None,
        result=1,
        limits=ROOM,
    ),
    Case(
        "a PATH of its own",
        {"command": ["true"], "env": {"PATH": "/job:."}},
        ("script_error",),
        "not found",
        limits=ROOM,
    ),
    Case(
        "options for node in the environment",
        _node("return 1", env={"NODE_OPTIONS": "--require /etc/shadow"}),
        "script_error",
        limits=ROOM,
    ),
    Case(
        "python's variables",
        _python("result = 1", env={"PYTHONHOME": "/job", "PYTHONSTARTUP": "/job/x", "PYTHONPATH": "/job"}),
        "script_error",
        limits=ROOM,
    ),
    Case(
        "modules of the runner replaced",
        _python("import json, sys\njson.dumps = None\nsys.modules.clear()\nresult = 1"),
        "script_error",
        limits=ROOM,
    ),
    Case("node's own JSON replaced", _node("JSON.stringify = () => '}{'; return 1"), None, result=1, limits=ROOM),
    Case(
        "a result that says no", _node("return { toJSON() { throw new Error('no') } }"), "result_invalid", limits=ROOM
    ),
    Case("a thenable that never answers", _node("return { then() {} }"), "script_error", limits=ROOM),
    Case(
        "packages by path, archive and repository",
        _python("result = 1", dependencies=["./evil"]),
        "invalid_task",
        "not a package name",
        limits=ROOM,
    ),
    Case(
        "options as packages",
        _node("return 1", dependencies=["--ignore-scripts=false"]),
        "invalid_task",
        limits=ROOM,
    ),
]

CASES: Final = [*SPIN, *PROCESSES, *MEMORY, *OUTPUT, *DISK, *FILES, *KERNEL, *INTERPRETERS]
