"""What a machine says of itself: its profile cut to what the owner offers, and the same in a line for the log."""

from msgspec.structs import replace

from anchor.agent.cores import Held
from anchor.agent.policy import Policy
from anchor.core.node import Profile

ALWAYS = ("files", "modules", "deterministic", "inputs", "seals")
"""The features of every agent of this version, whatever its owner allows."""
MIB_IN_GIB = 1024


def offered(machine: Profile, policy: Policy, memory_mib: int, *, hosts: bool = False) -> Profile:
    """The machine as tasks and apps may have it: `memory_mib` is what all of them together get, `hosts` whether apps
    run here."""
    profile = replace(
        machine,
        task_memory_mib=memory_mib,
        features=(*ALWAYS, *(("network",) if policy.network else ()), *(("apps",) if hosts else ())),
        gpu_tasks=policy.gpu,
    )
    if policy.cores is not None:
        # A part of a core is one to tasks that ask for any.
        profile = replace(profile, cores=max(1, min(machine.cores, int(policy.cores))))
    if policy.memory_mib is not None:
        profile = replace(profile, ram=round(policy.memory_mib / MIB_IN_GIB, 1))
    if policy.disk_mib is not None:
        profile = replace(profile, disk=round(policy.disk_mib / MIB_IN_GIB, 1))
    return profile


def in_a_line(profile: Profile, slots: int, held: Held | None) -> str:
    """What is offered, for the log and whoever reads it."""
    runtimes = [f"{name} ({profile.confinement.get(name, 'unknown')})" for name in profile.runtimes]
    parts = [
        f"offering {', '.join(runtimes) or 'no runtime'}",
        _counted(slots, "slot"),
        _cores(profile, held),
        f"{profile.task_memory_mib / MIB_IN_GIB:.1f} GiB of RAM",
        "network for tasks that ask" if "network" in profile.features else "no network",
        "apps" if "apps" in profile.features else "no apps",
    ]
    if profile.gpus:
        parts.append("GPU for tasks that ask" if profile.gpu_tasks else "no GPU")
    return ", ".join(parts)


def _cores(profile: Profile, held: Held | None) -> str:
    if held is None:
        return _counted(profile.cores, "core")
    if held.by == "nothing":
        return f"{_counted(held.cores, 'core')} (no smaller share can be held on this machine)"
    return f"{_counted(held.cores, 'core')} (held by {held.by})"


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}" + ("" if number == 1 else "s")
