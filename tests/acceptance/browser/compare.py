"""Compares two folders of pictures that `screenshots` made: what differs, by how much, and a page that shows it.

    python -m tests.acceptance.browser.compare BEFORE AFTER [REPORT]

The report is a folder with index.html: before, after and the difference of each picture, the worst page first. It exits
with 1 where anything differs, is missing or is new. Needs Chromium.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from tests.acceptance.browser.conftest import CHROMIUM
from tests.acceptance.browser.pictures import PIXELS_MAX, Difference, difference

TITLE = "<title>Pictures compared</title>"
THEMES = ("day", "night")
STYLE = """
body { font: 14px/1.5 sans-serif; margin: 2rem; background: #f4f1e6; color: #16222c }
figure { display: inline-block; width: 32%; margin: 0 .5% 1rem 0; vertical-align: top }
img { width: 100%; border: 1px solid #16222c55 }
"""


@dataclass(frozen=True)
class Compared:
    """Two folders: pictures that differ (by name), those that only one of them has, and how many are the same."""

    different: dict[str, Difference]
    missing: list[str]
    new: list[str]
    same: int

    def __bool__(self) -> bool:
        return bool(self.different or self.missing or self.new)

    def worst_first(self) -> list[str]:
        """The names of what differs; the themes of a page stand together, where the worse one belongs."""
        worst: dict[str, int] = {}
        for name, found in self.different.items():
            worst[_page_of(name)] = max(found.pixels, worst.get(_page_of(name), 0))
        return sorted(self.different, key=lambda name: (-worst[_page_of(name)], name))

    def lines(self) -> list[str]:
        """What there is to say, the worst first."""
        told = [f"different  {name}: {self.different[name]}" for name in self.worst_first()]
        told += [f"missing    {name}" for name in self.missing] + [f"new        {name}" for name in self.new]
        return [*told, f"{self.same} of {self.same + len(told)} pictures are the same."]


def compare(page: Page, before: Path, after: Path) -> Compared:
    """Each picture of one folder with that of the same name in the other."""
    was, now = ({path.name for path in folder.glob("*.png")} for folder in (before, after))
    different = {}
    for name in sorted(was & now):
        old, new = (before / name).read_bytes(), (after / name).read_bytes()
        if old != new and (found := difference(page, old, new)):
            different[name] = found
    return Compared(different, sorted(was - now), sorted(now - was), len(was & now) - len(different))


def write_report(found: Compared, before: Path, after: Path, report: Path) -> None:
    """The page, and the pictures it shows; what an earlier report left in this folder goes."""
    if report.exists():
        shutil.rmtree(report)
    report.mkdir(parents=True)
    parts = []
    for name in found.worst_first():
        stem = Path(name).stem
        shutil.copyfile(before / name, report / f"{stem}.before.png")
        shutil.copyfile(after / name, report / f"{stem}.after.png")
        (report / f"{stem}.difference.png").write_bytes(found.different[name].marked)
        shown = "".join(_figure(stem, kind) for kind in ("before", "after", "difference"))
        parts.append(f"<h2>{escape(stem)}</h2>\n<p>{escape(str(found.different[name]))}</p>\n{shown}\n")
    for title, names, folder in (("Missing", found.missing, before), ("New", found.new, after)):
        for name in names:
            shutil.copyfile(folder / name, report / name)
            stem = escape(Path(name).stem)
            parts.append(f'<h2>{title}: {stem}</h2>\n<figure><img src="{escape(name)}" alt="{stem}"></figure>\n')
    (report / "index.html").write_text(
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n{TITLE}\n'
        f"<style>{STYLE}</style>\n<h1>{escape(found.lines()[-1])}</h1>\n{''.join(parts)}</html>\n",
        "utf-8",
    )


def _figure(stem: str, kind: str) -> str:
    name = escape(f"{stem}.{kind}.png")
    return f'<figure><a href="{name}"><img src="{name}" alt="{kind}"></a><figcaption>{kind}</figcaption></figure>'


def _text_of(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def _page_of(name: str) -> str:
    stem = Path(name).stem
    page, _, theme = stem.rpartition("-")
    return page if theme in THEMES else stem


def report_on(page: Page, before: Path, after: Path, report: Path) -> int:
    """Compare, write the report, say what there is to say; what the command exits with."""
    found = compare(page, before, after)
    write_report(found, before, after, report)
    print("\n".join(found.lines()))  # noqa: T201 - it is a command
    print(f"Up to {PIXELS_MAX} pixels may differ. See {report / 'index.html'}")  # noqa: T201
    return 1 if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("report", nargs="?", type=Path, default=Path("screenshots-compared"))
    wish = parser.parse_args()
    for folder in (wish.before, wish.after):
        if not any(folder.glob("*.png")):
            parser.error(f"{folder} has no pictures: just screenshots {folder}")
    if wish.report.exists() and TITLE not in _text_of(wish.report / "index.html"):
        parser.error(f"{wish.report} is there and is no report: name another folder")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        code = report_on(browser.new_page(), wish.before, wish.after, wish.report)
        browser.close()
    sys.exit(code)


if __name__ == "__main__":
    main()
