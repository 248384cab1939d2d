"""What every part of the store stands on."""

from anchor.adapters.sqlite.commits import GroupCommit
from anchor.adapters.sqlite.live import LiveTasks
from anchor.adapters.sqlite.reads import Reads


class Part:
    """The shared writer and readers, and what is known without reading."""

    def __init__(self, commits: GroupCommit, reads: Reads) -> None:
        self._commits = commits
        self._reads = reads
        self._live = LiveTasks()
