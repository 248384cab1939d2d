"""What a node says of its sandboxed Python, and who may write to the interpreter's own files."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from anchor.agent.runtimes.python import files
from anchor.agent.runtimes.python.runtime import offer


def test_a_node_says_its_versions_or_what_to_install(tmp_path: Path) -> None:
    version, why = offer(tmp_path / "files")
    if importlib.util.find_spec("eryx") is not None:
        assert version is not None, why
        assert version.startswith("pyeryx 0.")
        assert [path.name for path in tmp_path.iterdir()] == ["files"]
        assert [path.name for path in (tmp_path / "files").iterdir()] == [files.UNPACKED]
        assert offer(tmp_path / "files") == (version, "")
    elif sys.version_info < (3, 12):
        assert (version, "an agent on Python 3.12 or newer" in why) == (None, True)
    else:
        assert (version, "pip install pyeryx" in why) == (None, True)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such rights")
def test_files_that_somebody_else_could_write_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    own = files.use(tmp_path / "own")
    assert own.stat().st_mode & 0o777 == 0o700
    assert os.environ["TMPDIR"] == str(own)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(own)
    for folder in (open_to_all, link):
        with pytest.raises(OSError, match=r"written by another user|no directory"):
            files.use(folder)
    assert os.environ["TMPDIR"] == str(own)
