"""Filters on system calls, as the kernel's own small programs: one for workers, one for confined native programs.

They name what is refused: whatever reaches other processes, the network or the machine itself, and whatever only widens
the kernel's surface. Calls newer than the list below do not exist for a filtered process; libraries fall back on older
ones.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final, NamedTuple

_LOAD_WORD: Final = 0x20
_JUMP: Final = 0x15
_JUMP_ABOVE: Final = 0x25
_AND: Final = 0x54
_RETURN: Final = 0x06
_AT_NUMBER, _AT_MACHINE, _AT_ARGUMENTS = 0, 4, 16
_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000
_REFUSE: Final = 0x00050000
_X32_FIRST: Final = 0x40000000
_NEWEST: Final = 469
"""The last call of Linux 6.18, the newest that was looked at; the two architectures number these alike."""

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_MACHINES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""The kernel's numbers of the architectures there are filters for."""
_COLUMN: Final = {"x86_64": 0, "aarch64": 1}
_ABSENT: Final = -1

_NUMBERS: Final[dict[str, tuple[int, int]]] = {
    "_sysctl": (156, _ABSENT),
    "accept": (43, 202),
    "accept4": (288, 242),
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bind": (49, 200),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chmod": (90, _ABSENT),
    "chown": (92, _ABSENT),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "connect": (42, 203),
    "delete_module": (176, 106),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fanotify_init": (300, 262),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "fcntl": (72, 25),
    "file_setattr": (469, 469),
    "finit_module": (313, 273),
    "fork": (57, _ABSENT),
    "fremovexattr": (199, 16),
    "fsconfig": (431, 431),
    "fsetxattr": (190, 7),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "inotify_add_watch": (254, 27),
    "inotify_init": (253, _ABSENT),
    "inotify_init1": (294, 26),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, _ABSENT),
    "iopl": (172, _ABSENT),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "kill": (62, 129),
    "lchown": (94, _ABSENT),
    "listen": (50, 201),
    "lookup_dcookie": (212, 18),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "mbind": (237, 235),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, _ABSENT),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "remap_file_pages": (216, 234),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "request_key": (249, 218),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "semget": (64, 190),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    "setdomainname": (171, 162),
    "setfsgid": (123, 152),
    "setfsuid": (122, 151),
    "setgid": (106, 144),
    "setgroups": (116, 159),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "setregid": (114, 143),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "setreuid": (113, 145),
    "settimeofday": (164, 170),
    "setuid": (105, 146),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
    "shmat": (30, 196),
    "shmget": (29, 194),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "tkill": (200, 130),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, _ABSENT),
    "userfaultfd": (323, 282),
    "vfork": (58, _ABSENT),
    "vhangup": (153, 58),
}
"""Numbers of the calls that are spoken of here: x86_64, aarch64."""

_MISSING: Final = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_secret")
"""Answered as by a kernel that has no such call, so that libraries take their other way."""
_MACHINE: Final = (
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "syslog", "acct"),
    *("quotactl", "quotactl_fd", "swapon", "swapoff", "sethostname", "setdomainname", "settimeofday", "clock_settime"),
    *("clock_adjtime", "adjtimex", "iopl", "ioperm", "vhangup", "nfsservctl", "_sysctl", "uselib", "lookup_dcookie"),
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig"),
    *("fsmount", "fspick", "mount_setattr", "fanotify_init", "open_by_handle_at", "name_to_handle_at"),
)
"""What changes the machine, its mounts, or reaches files past their permissions."""
_SURFACE: Final = (
    *("bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "modify_ldt", "remap_file_pages"),
    *("mbind", "set_mempolicy", "set_mempolicy_home_node", "migrate_pages", "move_pages"),
)
"""What no task needs and what the kernel's past holes were found in."""
_OTHERS: Final = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise", "process_mrelease"),
    *("setns", "sched_setaffinity"),
)
"""What reaches into other processes, or out of the share of the machine that the owner gives."""
_WORKER: Final = (
    *("socket", "connect", "bind", "listen", "accept", "accept4", "execve", "execveat", "fork", "vfork"),
    *("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups"),
    *("capset", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_send_signal", "unshare"),
    *("sched_setscheduler", "sched_setparam", "sched_setattr", "setpriority", "ioprio_set"),
    *("shmget", "shmat", "msgget", "semget", "mq_open", "inotify_init", "inotify_init1", "inotify_add_watch"),
)
"""What a worker needs no more once its engines are loaded; a program may do these in its own namespaces."""
_WORKER_FILES: Final = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat", "file_setattr"),
    *("setxattr", "lsetxattr", "fsetxattr", "setxattrat"),
    *("removexattr", "lremovexattr", "fremovexattr", "removexattrat"),
)
"""What changes who may use a file: Landlock does not look at these, and a worker is the same user as its agent."""
_WORKER_MISSING: Final = ("memfd_create",)
"""Memory that no limit of a process counts."""

_WHOLE: Final = 0xFFFFFFFF
_CLONE_THREAD: Final = 0x00010000
_CLONE_NAMESPACES: Final = 0x7E020080
"""CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET and TIME. TIME's bit is part of the exit signal in clone(2)."""
_CLONE_NAMESPACES_OLD: Final = _CLONE_NAMESPACES & ~0x80
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PR_SET_PDEATHSIG: Final = 1
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902
"""These name a process to whom the kernel sends a signal, any signal, once something can be read."""
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_TYPE = 1, 0xF
_SEGMENT_BYTES_MAX: Final = 0xFFFF
_PERSONALITY_ASKED: Final = _WHOLE


class _Rule(NamedTuple):
    """Refuse a call unless (or, with `listed`, if) the lower (or `upper`) half of an argument, masked, is one of
    `values`."""

    call: str
    argument: int
    mask: int
    values: tuple[int, ...]
    listed: bool = False
    error: int = errno.EPERM
    upper: bool = False


_BOTH_RULES: Final = (
    _Rule("ioctl", 1, _WHOLE, (_TIOCSTI, _TIOCLINUX), listed=True),
    _Rule("personality", 0, _WHOLE, (0, _PERSONALITY_ASKED)),
)
_NATIVE_RULES: Final = (
    _Rule("clone", 0, _CLONE_NAMESPACES_OLD, (0,)),
    _Rule("unshare", 0, _CLONE_NAMESPACES, (0,)),
    # Families such as vsock and packet are not what a network namespace holds back on every kernel.
    # Segments that nobody has attached are no process's memory: enough for the locks of a database, and no store.
    _Rule("shmget", 1, ~_SEGMENT_BYTES_MAX & _WHOLE, (0,)),
    _Rule("shmget", 1, _WHOLE, (0,), upper=True),
    _Rule("socket", 0, _WHOLE, (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK), error=errno.EAFNOSUPPORT),
)


def native_filter(*, memory_files: bool = True) -> bytes | None:
    """The filter for a confined native program, as bubblewrap's `--seccomp` reads it; None where there is none for this
    architecture. Processes, threads, sockets and new programs are allowed. `memory_files` (memfd) are for where
    something counts them: sent through a socket and closed, they are found with no process."""
    missing = _MISSING if memory_files else (*_MISSING, "memfd_create")
    return _program((*_MACHINE, *_SURFACE, *_OTHERS, "msgget"), (*_BOTH_RULES, *_NATIVE_RULES), missing)


def worker_filter(pid: int) -> bytes | None:
    """The filter for the worker process that knows itself as `pid`, for after its engines are loaded; None where there
    is none for this architecture. Threads are allowed, and signals to itself."""
    rules = (
        *_BOTH_RULES,
        _Rule("clone", 0, _CLONE_THREAD | _CLONE_NAMESPACES_OLD, (_CLONE_THREAD,)),
        _Rule("kill", 0, _WHOLE, (pid,)),
        _Rule("tgkill", 0, _WHOLE, (pid,)),
        _Rule("prlimit64", 0, _WHOLE, (0, pid)),
        _Rule("fcntl", 1, _WHOLE, (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX), listed=True),
        _Rule("ioctl", 1, _WHOLE, (_FIOSETOWN, _SIOCSPGRP), listed=True),
        _Rule("prctl", 0, _WHOLE, (_PR_SET_PDEATHSIG,), listed=True),
        # Event loops wake themselves through such a pair. A datagram socket of a pair could be sent elsewhere.
        _Rule("socketpair", 0, _WHOLE, (_AF_UNIX,)),
        _Rule("socketpair", 1, _SOCK_TYPE, (_SOCK_STREAM,)),
    )
    refused = (*_MACHINE, *_SURFACE, *_OTHERS, *_WORKER, *_WORKER_FILES)
    return _program(refused, rules, missing=(*_MISSING, *_WORKER_MISSING))


def install(program: bytes) -> None:
    """Put this process with all of its threads under a filter, for good. Needs no_new_privs; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    set_filter, all_threads = 1, 1
    answer = libc.syscall(_SECCOMP[platform.machine()], set_filter, all_threads, head)
    if answer > 0:
        raise OSError(errno.EBUSY, f"thread {answer} has a seccomp filter of its own")
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp was refused: {os.strerror(number)}")


def _program(refused: tuple[str, ...], rules: tuple[_Rule, ...], missing: tuple[str, ...] = _MISSING) -> bytes | None:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MACHINES or sys.byteorder != "little":
        return None
    code = [
        _step(_LOAD_WORD, _AT_MACHINE),
        _step(_JUMP, _MACHINES[machine], 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD_WORD, _AT_NUMBER),
        _step(_JUMP_ABOVE, _X32_FIRST - 1, 0, 1),
        _step(_RETURN, _KILL),
        _step(_JUMP_ABOVE, _NEWEST, 0, 1),
        _step(_RETURN, _REFUSE | errno.ENOSYS),
    ]
    for call in (*missing, *refused):
        number = _NUMBERS[call][_COLUMN[machine]]
        if number != _ABSENT:
            error = errno.ENOSYS if call in missing else errno.EPERM
            code += [_step(_JUMP, number, 0, 1), _step(_RETURN, _REFUSE | error)]
    for rule in rules:
        code += _checked(rule, _NUMBERS[rule.call][_COLUMN[machine]])
    return b"".join([*code, _step(_RETURN, _ALLOW)])


def _checked(rule: _Rule, number: int) -> list[bytes]:
    """The steps of a rule; whatever it does not refuse goes on to the next one, the number loaded again."""
    count = len(rule.values)
    steps = [_step(_LOAD_WORD, _AT_ARGUMENTS + 8 * rule.argument + 4 * rule.upper), _step(_AND, rule.mask)]
    for at, value in enumerate(rule.values):
        left = count - 1 - at
        if rule.listed:
            steps.append(_step(_JUMP, value, left, 0 if left else 1))
        else:
            steps.append(_step(_JUMP, value, left + 1, 0))
    steps += [_step(_RETURN, _REFUSE | rule.error), _step(_LOAD_WORD, _AT_NUMBER)]
    return [_step(_JUMP, number, 0, len(steps)), *steps]


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_so, if_not, value)
