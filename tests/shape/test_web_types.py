"""The front end's types are those of this API."""

import runpy
from hashlib import sha256
from pathlib import Path

FRONTEND = Path(__file__).parents[2] / "frontend"


def test_the_front_end_knows_the_api_as_it_is() -> None:
    document = runpy.run_path(str(FRONTEND / "codegen" / "describe.py"))["document"]()
    known = (FRONTEND / "src" / "api" / "schema.sha256").read_text("ascii").strip()
    assert known == sha256(document).hexdigest(), "the API has changed: run `just web-types`"
