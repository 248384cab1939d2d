"""Runs once for each release, before anything else of it: the place for a migration, or for a look at the settings."""

import os
import sys

greeting = os.environ.get("GREETING", "Hello")
if not greeting.strip():
    sys.exit("GREETING is set to nothing. Give it a word: anchor app env procfile-worker set GREETING=Hello")
print(f"Release {os.environ.get('ANCHOR_RELEASE', '?')} greets with {greeting!r}.")
