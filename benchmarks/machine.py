"""What a figure depends on: the machine, the software and the commit."""

import os
import platform
import subprocess
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


def facts() -> dict[str, str]:
    """Names and values, for a heading; `commit` ends in `+` where the tree differs from it."""
    return {
        "cpu": f"{os.cpu_count()} cores of {_cpu_model()}",
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": _commit(),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no", "src") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True)
    return ran.stdout.strip()
