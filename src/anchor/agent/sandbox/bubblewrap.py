"""The bubblewrap command line of a cell: namespaces, a read-only system, and limits set just before the program."""

import errno
from collections.abc import Mapping
from pathlib import Path

from anchor.agent.sandbox.confinement import FILE_BYTES_MAX, FILES_OPEN_MAX, PROCESSES_MAX, Cell, Confinement

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Beside /usr; links into it on most systems."""
_ETC = (
    "alternatives",
    "ca-certificates",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
)
"""What programs commonly need of /etc; nothing in it is secret and nothing of it names the machine or its users."""
_ETC_OURS = Path(__file__).parent / "etc"
"""A passwd, group and hosts that know only the task's own user and machine."""
_TMP_MIB_MAX = 256
_SHM_MIB_MAX = 64
_RESOLVER = Path("/etc/resolv.conf")
_GPU_NODES = ("/dev/dri", "/dev/kfd", "/dev/nvidia*")
_GPU_FILES = ("/sys/dev/char", "/sys/devices", "/sys/class/drm")
"""Where drivers look up what the nodes above are."""
_LOCKED_KIB = 8192
_INIT = """
exec 9>&2 2>/dev/null
for limit in "-c 0" "-n {files}" "-f {blocks}" "-d {data}" "-l {locked}" "-r 0"; do ulimit $limit; done
ulimit -p {processes} || ulimit -u {processes}
( exec "$@" 2>&9 9>&- )
exit $?
"""
"""The shell is pid 1 of the cell: when it ends the kernel ends all the rest, and only then does bubblewrap end, with
the time used by all of them. (bubblewrap's own pid 1 is left behind to be killed some time later.) Its words about
signals are nobody's business, hence the redirections.

The process limit has to be set inside: a user namespace counts its own processes, outside it would count all of the
agent's user. dash calls it -p, bash -u."""


def wrap(confinement: Confinement, cell: Cell, argv: list[str], options: list[str]) -> list[str]:
    """The command that runs `argv` confined; `options` are those of the function below, or `--args` and the number of
    a file descriptor from which bubblewrap reads them."""
    init = _INIT.format(
        files=FILES_OPEN_MAX,
        blocks=file_bytes(cell) // 512,
        data=data_kib(cell.memory_mib),
        locked=_LOCKED_KIB,
        # Where a control group bounds them it should be what is met: it tells that it was.
        processes=PROCESSES_MAX * (2 if "pids" in confinement.cgroup else 1),
    )
    return [confinement.bwrap, *options, "--", "/bin/sh", "-c", init, "sh", *argv]


def options(
    confinement: Confinement,
    cell: Cell,
    env: Mapping[str, str],
    status_fd: int | None = None,
    filter_fd: int | None = None,
) -> list[str]:
    """What bubblewrap is told of a cell. It reports the pid of the cell's init on `status_fd`, and reads the filter on
    system calls from `filter_fd`.

    The program's environment is set in here: given to bubblewrap itself, an LD_PRELOAD in it would run outside. OSError
    where something has a NUL in it: bubblewrap would take what follows for an option.
    """
    command = ["--die-with-parent", "--new-session", "--as-pid-1"]
    command += ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    command += ["--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", "anchor"]
    if not cell.network:
        command.append("--unshare-net")
    if confinement.hardened:
        command.append("--disable-userns")
    if status_fd is not None:
        command += ["--json-status-fd", str(status_fd)]
    if filter_fd is not None:
        command += ["--seccomp", str(filter_fd)]
    command += ["--ro-bind", "/usr", "/usr"]
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), str(path)]
        else:
            command += ["--ro-bind-try", str(path), str(path)]
    for file in sorted(_ETC_OURS.iterdir()):
        command += ["--ro-bind", str(file), f"/etc/{file.name}"]
    for name in _ETC:
        command += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    if cell.network and _RESOLVER.exists():
        command += ["--ro-bind", str(_RESOLVER.resolve()), str(_RESOLVER)]
    command += ["--ro-bind-try", "/nix/store", "/nix/store", "--proc", "/proc", "--dev", "/dev"]
    if cell.gpu:
        for pattern in _GPU_NODES:
            for node in sorted(Path("/").glob(pattern.lstrip("/"))):
                command += ["--dev-bind", str(node), str(node)]
        for name in _GPU_FILES:
            command += ["--ro-bind-try", name, name]
    # Without a size of its own a tmpfs may grow to half of the machine's memory, out of sight of the watcher.
    command += _tmpfs(confinement, "/dev/shm", min(_SHM_MIB_MAX, cell.memory_mib))
    command += _tmpfs(confinement, "/tmp", min(_TMP_MIB_MAX, cell.memory_mib))
    for mount in (cell.directory, *cell.mounts):
        command += ["--bind" if mount.writable else "--ro-bind", str(mount.outside), mount.inside]
    # All of /proc: what is in /proc/sys belongs to the machine, and to root's user number also in a namespace.
    command += ["--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", cell.directory.inside]
    for name, value in env.items():
        command += ["--setenv", name, value]
    if any("\0" in word for word in command):
        raise OSError(errno.EINVAL, "a variable or a path of a cell has a NUL in it")
    return command


def data_kib(memory_mib: int) -> int:
    """RLIMIT_DATA of one process. It is a fence between two looks of the watcher, not the limit itself: thread stacks
    and untouched memory count here, so it leaves room."""
    return (2 * memory_mib + 512) * 1024


def file_bytes(cell: Cell) -> int:
    """RLIMIT_FSIZE: a MiB above the limit on disk, so that whoever meets it is beyond that limit and is told so."""
    return min(FILE_BYTES_MAX, (cell.disk_mib + 1) * 1024 * 1024)


def _tmpfs(confinement: Confinement, path: str, size_mib: int) -> list[str]:
    size = ["--size", str(size_mib * 1024 * 1024)] if confinement.hardened else []
    return [*size, "--tmpfs", path]
