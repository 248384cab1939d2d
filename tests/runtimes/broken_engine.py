"""An engine as if foreign code had broken out of it: it runs any Python, as the worker process that it is in."""

import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from anchor.agent.workers.frames import Compiled, Ended, Printed, Ready, Source, frame
from anchor.agent.workers.printer import Stage
from anchor.core.errors import FailureCode

TOOLS = (ctypes, fcntl, mmap, os, resource, signal, socket, subprocess, threading, time, Path)
WORDS = (Compiled, Ended, FailureCode, Printed, Ready, frame)
"""What the code finds, imported while that is still possible."""


class BrokenEngine:
    """Runs code with `stage` and `work`; what it leaves in `result` is the result."""

    spent = False

    def run(self, work: Source, stage: Stage) -> Ended:
        """Run it with all that this process may do."""
        names: dict[str, Any] = {tool.__name__: tool for tool in (*TOOLS, *WORDS)} | {
            "stage": stage,
            "work": work,
            "result": None,
        }
        exec(work.source, names)
        return Ended(value=json.dumps(names["result"]).encode())

    def finish(self) -> None:
        """Nothing to make ready."""


def load() -> Any:
    """The engine."""
    return BrokenEngine()
