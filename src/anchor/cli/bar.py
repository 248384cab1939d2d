"""What a person sees of a running task on a terminal: a spinner with its state, or a bar once it says how far it is."""

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.text import Text

from anchor.cli.plain import plain
from anchor.cli.talk import is_interactive, stderr
from anchor.core.progress import read_progress
from anchor.wire.rest import LogLine


class Bar:
    """Draws on standard error, where a person watches; elsewhere progress is passed on line by line."""

    def __init__(self, name: str, state: str) -> None:
        self._name = name
        self._interactive = is_interactive()
        self._spinner: Status | None = None
        self._bar: Progress | None = None
        self._in_line = False
        self.state(state)

    def state(self, word: str) -> None:
        """The task is in another state."""
        if self._bar is not None or not self._interactive or self._in_line:
            return
        if self._spinner is None:
            self._spinner = stderr.status(f"{self._name}: {word}")
            self._spinner.start()
        self._spinner.update(f"{self._name}: {word}")

    def progress(self, line: LogLine) -> None:
        """The task said how far it is, or an installer what it does."""
        told = read_progress(line.text)
        if told is None or not self._interactive or self._in_line:
            # Tools that install things print in bits of lines: they are passed on as they are.
            self.clear()
            self._in_line = not line.text.endswith("\n")
            stderr.print(Text(line.text, style="dim"), end="", soft_wrap=True)
            return
        if self._bar is None:
            self.clear()
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=stderr, transient=True)
            self._bar.add_task("", total=1.0)
            self._bar.start()
        # Both are texts of strangers: no markup is read in them.
        label = plain(f"{self._name}: {told.message}" if told.message else self._name).markup
        self._bar.update(self._bar.task_ids[0], completed=told.fraction, description=label)

    def output(self, text: str) -> None:
        """The task's own words follow: a drawing and they cannot share a line."""
        self.clear()
        self._in_line = not text.endswith("\n")

    def clear(self) -> None:
        """Take the drawing away."""
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
