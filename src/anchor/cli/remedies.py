"""What stands between a machine and confined tasks, and the exact commands that change it."""

import os
import re
from pathlib import Path

import msgspec

from anchor.agent.sandbox import landlock, seccomp
from anchor.agent.sandbox.confinement import Confinement

_INSTALLERS = {
    "debian": "sudo apt install",
    "ubuntu": "sudo apt install",
    "fedora": "sudo dnf install",
    "rhel": "sudo dnf install",
    "suse": "sudo zypper install",
    "arch": "sudo pacman -S",
    "alpine": "sudo apk add",
}
_APPARMOR_PROFILE = (
    r"printf 'abi <abi/4.0>,\ninclude <tunables/global>\nprofile bwrap /usr/bin/bwrap flags=(unconfined) "
    r"{\n  userns,\n}\n' | sudo tee /etc/apparmor.d/bwrap && sudo systemctl reload apparmor"
)


class Machine(msgspec.Struct, frozen=True):
    """What decides about confinement here: the distributions this system descends from, the kernel's switches by name
    (those it does not know are left out), and who we are."""

    families: tuple[str, ...] = ()
    switches: dict[str, int] = {}
    is_root: bool = False
    filters_calls: bool = True
    confines_files: bool = True


_SWITCHES = (
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
    "user.max_user_namespaces",
)


def look(root: Path = Path("/")) -> Machine:
    """This machine, or one whose files are beneath `root`."""
    switches = {}
    for name in _SWITCHES:
        file = root / "proc/sys" / name.replace(".", "/")
        if file.exists():
            switches[name] = int(file.read_text(encoding="ascii"))
    return Machine(
        families=_families(root / "etc/os-release"),
        switches=switches,
        is_root=hasattr(os, "geteuid") and os.geteuid() == 0,
        filters_calls=seccomp.native_filter() is not None and (root / "proc/sys/kernel/seccomp").exists(),
        confines_files=landlock.version() > 0,
    )


def _families(file: Path) -> tuple[str, ...]:
    if not file.exists():
        return ()
    found = re.findall(r'^(?:ID|ID_LIKE)="?([^"\n]*)"?$', file.read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(word for line in found for word in line.split())


def for_native(confinement: Confinement, machine: Machine) -> list[str]:
    """What to do for confined native tasks, most likely first; empty where there is nothing left to do."""
    if confinement.level == "confined":
        return _for_memory(confinement)
    steps = []
    if not confinement.bwrap and "not installed" in confinement.why:
        steps.append(f"Install bubblewrap: {_installer(machine)} bubblewrap")
    steps += _for_namespaces(machine)
    if not machine.filters_calls:
        steps.append("System calls cannot be filtered: run a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64.")
    if machine.is_root and "pids" not in confinement.cgroup:
        steps.append(
            "As root nothing bounds a task's processes here. Run the agent as an ordinary user: sudo useradd "
            "--create-home anchor && sudo runuser -u anchor -- anchor agent URL"
        )
    if not steps and confinement.fix:
        steps.append(confinement.fix)
    if steps:
        steps.append("Then start the agent again. `--allow-unconfined` runs native tasks as they are: trust everybody.")
    return steps


def for_workers(machine: Machine) -> list[str]:
    """What to do for confined workers, which run isolate, wasm and python."""
    steps = _for_namespaces(machine)
    if not machine.confines_files:
        steps.append(
            "Landlock is missing: run Linux 5.13 or newer (Debian 12, Ubuntu 22.04, Fedora 35) with it switched on. "
            "Where `cat /sys/kernel/security/lsm` does not name it, add it to the kernel's command line: "
            "lsm=landlock,lockdown,yama,integrity,apparmor,bpf"
        )
    if not machine.filters_calls:
        steps.append("System calls cannot be filtered: run a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64.")
    return steps


def _for_namespaces(machine: Machine) -> list[str]:
    if machine.is_root:
        return []
    steps = []
    if machine.switches.get("kernel.unprivileged_userns_clone") == 0:
        steps.append("User namespaces are switched off: " + _switch("kernel.unprivileged_userns_clone=1"))
    if machine.switches.get("user.max_user_namespaces") == 0:
        steps.append("No user namespaces are allowed: " + _switch("user.max_user_namespaces=15000"))
    if machine.switches.get("kernel.apparmor_restrict_unprivileged_userns") == 1:
        steps.append(f"AppArmor keeps user namespaces from bubblewrap: {_APPARMOR_PROFILE}")
    return steps


def _for_memory(confinement: Confinement) -> list[str]:
    if "memory" in confinement.cgroup:
        return []
    return [
        "Memory is bounded by a watcher. For the kernel's own bound: systemd-run --user --scope -p Delegate=yes "
        "anchor agent URL"
    ]


def _switch(setting: str) -> str:
    return f"sudo sysctl -w {setting} && echo {setting} | sudo tee /etc/sysctl.d/60-anchor.conf"


def _installer(machine: Machine) -> str:
    known = (_INSTALLERS[family] for family in machine.families if family in _INSTALLERS)
    return next(known, "with your package manager, the package")
