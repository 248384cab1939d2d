"""The front end's lock file, made on one system, serves the others, too, and says what each package has to be."""

import json
from pathlib import Path

import pytest

LOCK = Path(__file__).parents[2] / "frontend" / "package-lock.json"
PACKAGES = json.loads(LOCK.read_text("utf-8"))["packages"]
TOOLS = ["@biomejs/cli-{}", "@rolldown/binding-{}", "lightningcss-{}", "@typescript/typescript-{}"]
SYSTEMS = {"darwin-arm64": "", "win32-x64": "-msvc", "linux-x64": "-gnu"}
"""Systems people work on, and what some packages add to their names."""
WITHOUT_DIGEST = "@biomejs/cli-"
"""It was locked where only that of the same system could be looked at. It is a tool for work: no build installs it."""


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_programs_of_other_systems_are_locked(tool: str, system: str) -> None:
    name = f"node_modules/{tool.format(system)}"
    entry = PACKAGES.get(name) or PACKAGES[f"{name}{SYSTEMS[system]}"]
    assert [*entry["os"], *entry["cpu"]] == system.split("-")
    assert entry["optional"]


def test_every_package_has_a_digest_and_names_no_registry() -> None:
    for name, entry in PACKAGES.items():
        assert "resolved" not in entry, name
        if name and not (WITHOUT_DIGEST in name and entry.get("dev")):
            assert entry["integrity"].startswith("sha512-"), name
