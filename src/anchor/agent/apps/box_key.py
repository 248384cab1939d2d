"""The key that secrets of apps are sealed to: made on this machine, and kept here."""

from pathlib import Path

from anchor.agent.identity import write_privately
from anchor.wire import box


def box_key_in(directory: Path) -> bytes:
    """This machine's private X25519 key, made on first use (file `box.key`, mode 0600)."""
    path = directory / "box.key"
    if not path.exists():
        write_privately(path, box.new_private_key())
    return path.read_bytes()
