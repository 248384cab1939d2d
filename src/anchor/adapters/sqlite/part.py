"""What every part of the store stands on."""

from anchor.adapters.sqlite.commits import GroupCommit
from anchor.adapters.sqlite.reads import Reads


class Part:
    """The shared writer and readers."""

    def __init__(self, commits: GroupCommit, reads: Reads) -> None:
        self._commits = commits
        self._reads = reads
