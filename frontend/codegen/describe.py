"""Writes the OpenAPI document of this source tree, and its SHA-256: `python describe.py DOCUMENT DIGEST`."""

import json
import sys
from hashlib import sha256
from pathlib import Path

from anchor.server.app import ROUTES
from anchor.server.openapi import describe


def document() -> bytes:
    """What the front end's types are made from; the version of the server is left out."""
    return json.dumps(describe(ROUTES, ""), sort_keys=True).encode()


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(document())
    Path(sys.argv[2]).write_text(sha256(document()).hexdigest() + "\n", "ascii")
