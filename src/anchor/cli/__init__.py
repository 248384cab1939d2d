"""The command line: one file per command, loaded only when it is called."""

from anchor.cli.app import main

__all__ = ["main"]
