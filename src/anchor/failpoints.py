"""Places where a test may end this process as a power cut would: between one write and the next.

`ANCHOR_TEST_FAILPOINT=name` or `name:n` ends the process the (n-th) time it gets there; without it nothing is done.
"""

import os

_NAME, _, _COUNT = os.environ.get("ANCHOR_TEST_FAILPOINT", "").partition(":")
_left = int(_COUNT or 1)
EXIT_CODE = 86
"""What a process ended here exits with."""


def reached(name: str) -> None:
    """The process is about to go on past this point; the name is `part.step` and used in one place only."""
    if name == _NAME:
        _end()


def _end() -> None:
    global _left
    _left -= 1
    if _left == 0:
        os._exit(EXIT_CODE)
