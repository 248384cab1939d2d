"""The pages name everything there is, link to what exists, and cite tests that are there."""

import re
from pathlib import Path

import msgspec
import pytest

from anchor.cli.exits import Exit
from anchor.config import ENV_PREFIX, OTHER_NAMES, REDIS_PARTS, Settings
from anchor.core.errors import NEVER_RETRIED, FailureCode
from anchor.wire.problems import STATUS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    dead = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not dead


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in re.findall(r"\]\(([^)#\s]+)", page("index.md"))}
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked


def test_the_errors_page_says_of_every_failure_code_whether_it_is_tried_again() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| ([^|]*) \|$", page("errors.md"), re.MULTILINE))
    assert set(rows) == set(FailureCode)
    assert {code for code, again in rows.items() if again == "never"} == NEVER_RETRIED


def test_the_errors_page_has_every_status_with_its_code() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", page("errors.md"), re.MULTILINE)
    assert {(int(status), code) for status, code in rows} == {(status, kind.code) for kind, status in STATUS.items()}


def test_every_test_that_the_guarantees_cite_exists() -> None:
    cited = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page("guarantees.md"))
    assert cited
    for path, name in cited:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{name}"


def test_the_configuration_page_has_every_setting_with_its_variable_and_default() -> None:
    rows = {
        name: (variables, default)
        for name, variables, default in re.findall(
            r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", page("configuration.md"), re.MULTILINE
        )
    }
    fields = {field.name: field for field in msgspec.structs.fields(Settings) if field.name != "sources"}
    assert set(rows) == set(fields)
    other_names = {setting: [variable] for variable, setting in OTHER_NAMES.items()} | {"queue": [*REDIS_PARTS]}
    for name, (variables, default) in rows.items():
        known = [f"{ENV_PREFIX}{name.upper()}", *other_names.get(name, [])]
        assert variables == ", ".join(f"`{variable}`" for variable in known)
        if fields[name].default not in (None, (), "", msgspec.NODEFAULT):
            assert default == f"`{fields[name].default}`"


def test_the_errors_page_has_every_exit_code() -> None:
    table = page("errors.md").partition("## Exit codes")[2]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == set(Exit)
