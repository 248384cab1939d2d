"""What this machine is and how it is doing, measured: for placement, the node's page, and heartbeats."""

import contextlib
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import psutil

from anchor.core.node import Metrics, Profile
from anchor.core.spec import MIB

GIB = 1024**3
FREE_BYTES_MIN = 256 * MIB
FREE_SHARE_MIN = 0.02
"""A node takes no new work while less of its disk is free than this much, or this share where that is less."""
GPU_SECONDS = 5
DOCKER_SECONDS = 0.5
_PCI_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_DRM = Path("/sys/class/drm")
_CGROUPS = Path("/sys/fs/cgroup")


def measure_profile(labels: Sequence[str], directory: Path) -> Profile:
    """The machine's specs, runtimes left out; the disk is the one `directory` is on. May start `nvidia-smi` and
    take seconds: call it in a thread."""
    return Profile(
        host=socket.gethostname(),
        os=_os(),
        arch=platform.machine(),
        cpu=_cpu(),
        cores=psutil.cpu_count() or 1,
        ram=_gib(memory_bytes()),
        disk=_gib(shutil.disk_usage(directory).total),
        gpus=_gpus(),
        labels=tuple(labels),
        version=version("anchor-network"),
        has_docker=has_docker(),
    )


def memory_bytes() -> int:
    """The machine's RAM, or what of it the container around us may use."""
    whole = int(psutil.virtual_memory().total)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            whole = min(whole, int((_CGROUPS / name).read_text()))
    return whole


def disk_bytes(directory: Path) -> int:
    """The size of the disk that `directory` is on, or will be once it is made."""
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).total


def measure_metrics(directory: Path) -> Metrics:
    """How the machine is doing now; CPU use is the mean since the last call (0 at the first)."""
    memory = psutil.virtual_memory()
    disk = shutil.disk_usage(directory)
    return Metrics(
        cpu_usage=psutil.cpu_percent(),
        ram_usage=memory.percent,
        uptime=int(time.time() - psutil.boot_time()),
        free_ram=_gib(memory.available),
        free_disk=_gib(disk.free),
        trouble=trouble_of(disk.free, disk.total),
    )


def trouble_of(free_bytes: int, total_bytes: int) -> str:
    """Why a node with so little room on its disk takes no work; empty where there is enough."""
    floor = min(FREE_BYTES_MIN, int(total_bytes * FREE_SHARE_MIN))
    if free_bytes >= floor:
        return ""
    return f"its disk has {free_bytes // MIB} MiB left; it takes work again once there are {floor // MIB} MiB"


def _gib(size: int) -> float:
    return round(size / GIB, 1)


def _os() -> str:
    with contextlib.suppress(OSError):
        name = platform.freedesktop_os_release().get("PRETTY_NAME")
        if name:
            return f"{name} (Linux {platform.release()})"
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {platform.release()}"


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _gpus() -> tuple[str, ...]:
    program = shutil.which("nvidia-smi")
    if program is not None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = subprocess.run(
                [program, "--query-gpu=name", "--format=csv,noheader"],
                capture_output=True,
                text=True,
                timeout=GPU_SECONDS,
                check=True,
            )
            names = tuple(line.strip() for line in asked.stdout.splitlines() if line.strip())
            if names:
                return names
    return graphics_cards(_DRM)


def graphics_cards(folder: Path) -> tuple[str, ...]:
    """The cards the kernel drives, by vendor and driver. Virtual displays have neither, and compute nothing."""
    found = []
    for card in sorted(folder.glob("card[0-9]*")):
        with contextlib.suppress(OSError):
            vendor = _PCI_VENDORS.get((card / "device" / "vendor").read_text().strip())
            if vendor is not None and "-" not in card.name:
                found.append(f"{vendor} ({(card / 'device' / 'driver').resolve().name})")
    return tuple(found)


def has_docker() -> bool:
    """Whether a Docker engine answers, or is there and only refuses this user; decided in under a second."""
    named = os.environ.get("DOCKER_HOST", "")
    if named.startswith("tcp://"):
        host, _, port = named.removeprefix("tcp://").rstrip("/").rpartition(":")
        with contextlib.suppress(OSError, ValueError), socket.create_connection((host, int(port)), DOCKER_SECONDS):
            return True
        return False
    places = [named.removeprefix("unix://")] if named.startswith("unix://") else []
    places += ["/var/run/docker.sock", str(Path.home() / ".docker/run/docker.sock")]
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        places.append(f"{runtime}/docker.sock")
    return any(map(_answers, places)) if hasattr(socket, "AF_UNIX") else False


def _answers(place: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
        engine.settimeout(DOCKER_SECONDS)
        try:
            engine.connect(place)
        except PermissionError:
            return True
        except OSError:
            return False
        return True
