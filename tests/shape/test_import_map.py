"""The import map of ARCHITECTURE.md holds, and the contracts that guard it do notice when it does not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    """Runs the contracts over `tree`/src; import-linter looks for the package in its working directory first."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    arguments = ["--config", str(tree / "pyproject.toml"), "--no-cache", "--no-logo"]
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tree / "src", capture_output=True, text=True, timeout=60
    )


def test_the_import_map_holds() -> None:
    ran = lint_imports(ROOT)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("module", "planted", "contract"),
    [
        ("core/task.py", "import anchor.ports.clock", "Each floor imports only the floors below it"),
        ("wire/rest.py", "import anchor.ports.clock", "Each floor imports only the floors below it"),
        ("server/app.py", "import anchor.adapters.sqlite", "Only wiring picks adapters"),
        ("server/app.py", "import anchor.config", "Only the command line and wiring read the configuration"),
        (
            "agent/runtimes/base.py",
            "import anchor.ports.store",
            "The agent knows neither the orchestrator nor the store",
        ),
        ("adapters/files/__init__.py", "import anchor.adapters.sqlite", "Adapters are strangers to each other"),
        (
            "orchestrator/settle.py",
            "import asyncio",
            "The orchestrator awaits ports only, so a simulation can drive it",
        ),
        ("orchestrator/settle.py", "import time", "The orchestrator awaits ports only, so a simulation can drive it"),
        ("orchestrator/settle.py", "import random", "The orchestrator awaits ports only, so a simulation can drive it"),
        ("core/retry.py", "import random", "The core decides without waiting, clocks, dice, I/O or logging"),
        ("core/errors.py", "import anchor.core.task", "No two neighbours import each other"),
        ("stray.py", "", "Each floor imports only the floors below it"),
    ],
)
def test_an_import_against_the_map_is_noticed(tmp_path: Path, module: str, planted: str, contract: str) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "dashboard"))
    with (tmp_path / "src" / "anchor" / module).open("a", encoding="utf-8") as source:
        source.write(f"\n{planted}\n")
    ran = lint_imports(tmp_path)
    assert ran.returncode != 0
    assert f"{contract} BROKEN" in " ".join(ran.stdout.split())
