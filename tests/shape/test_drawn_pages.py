"""Pages that are made from code say what the code says."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_lifecycle_page_is_the_one_that_the_table_draws() -> None:
    drawn = runpy.run_path(str(DOCS / "draw_lifecycle.py"))["page"]()
    assert (DOCS / "lifecycle.md").read_text(encoding="utf-8") == drawn, "run `just docs` and commit the page"
