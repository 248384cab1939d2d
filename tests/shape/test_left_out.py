"""What is left out of an app's folder is the same whether the command line packs it or a browser."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKERS = ("src/anchor/wire/source_packing.py", "frontend/src/pages/deploy/ignore.ts")


def test_both_packers_leave_out_the_same() -> None:
    by_program, by_browser = (
        re.findall(r'^ +"(\S+)",$', (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE) for path in PACKERS
    )
    assert ".git/" in by_program
    assert by_program == by_browser
