"""Runs the attempts a node holds: journalled before they start, journalled before their endings are sent."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import structlog

from anchor.agent.budget import Budget
from anchor.agent.files.jobs import JobFiles
from anchor.agent.job import Ran, Runtime
from anchor.agent.journal import Journal, Unreported
from anchor.agent.parcels import Parcels
from anchor.agent.printed import Printed
from anchor.agent.seals import Seal, unsealed
from anchor.agent.work import Work, echo
from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.errors import AnchorError, FailureCode
from anchor.failpoints import reached
from anchor.wire.link import Accepted, Assignment, Chunk, FromAgent, Held, Output

log = structlog.get_logger("anchor.executor")
OUTPUT_SECONDS = 0.05
"""How long output gathers before it is sent."""
CHUNKS_PER_FRAME_MAX = 10
JOURNAL_RETRY_SECONDS = 1.0
_NOTHING = Result(json=b"null", size=4)

Send = Callable[[FromAgent], None]
"""Sends a frame if the line is up; what must arrive is sent again after the next hello."""


class Running:
    """An attempt under way: its coroutine, what it printed, and what was brought for it."""

    def __init__(self, item: Assignment) -> None:
        self.item = item
        self.held = held = Held(item.task, item.attempt)
        self.task: asyncio.Task[None] | None = None
        self.printed = Printed(held)
        self.bytes_in = 0
        self.stop_as: tuple[Outcome, Reason] | None = None

    def count_in(self, count: int) -> None:
        """So many bytes more were brought for it."""
        self.bytes_in += count


class Executor:
    """Everything this node holds: what runs, and what ended and is not yet recorded by the server.

    `jobs` is for the directories of jobs; what is kept of their input files goes beside it. `disk_mib` is the owner's
    share of the disk.
    """

    def __init__(
        self,
        journal: Journal,
        runtimes: Mapping[str, Runtime],
        parcels: Parcels,
        jobs: Path,
        *,
        send: Send,
        report: Callable[[Sequence[Ending]], None],
        seal: Seal = unsealed,
        disk_mib: int | None = None,
    ) -> None:
        self._journal = journal
        self._work = Work(runtimes, parcels, JobFiles(parcels, jobs, jobs.parent / "inputs", disk_mib=disk_mib))
        self._send = send
        self._report = report
        self._seal = seal
        self._running: dict[Held, Running] = {}
        self._ended: list[tuple[Ending, list[Chunk]]] = []
        self._unreported: dict[Held, Unreported] = {}
        self._flushing: asyncio.Task[None] | None = None
        self._printing: asyncio.Task[None] | None = None
        self._beginning: set[asyncio.Task[None]] = set()
        self._awaited: set[Held] = set()
        self._quiet = asyncio.Event()
        self.is_stuck = False
        """Its journal cannot be written at the moment, so it takes no work."""

    @property
    def disk(self) -> Budget | None:
        """The owner's share of the disk for what runs; None where the owner has set none."""
        return self._work.files.share

    async def recover(self) -> None:
        """Take up the journal of the agent's last life: what ran then has crashed."""
        for entry in self._journal.unreported():
            if entry.ending is not None:
                self._unreported[entry.held] = entry
                continue
            reason = Reason(FailureCode.AGENT_RESTARTED, "The agent was restarted while this ran.")
            ending = Ending(entry.held.task, entry.held.attempt, Outcome.CRASHED, reason=reason)
            await self._journal.end([ending], [[]])
            reached("executor.recovered")
            self._unreported[entry.held] = Unreported(entry.held, ending, [])

    def held(self) -> list[Held]:
        """Every attempt this node answers for."""
        waiting = [Held(ending.task, ending.attempt) for ending, _ in self._ended]
        return [*self._running, *waiting, *self._unreported]

    @property
    def busy(self) -> bool:
        """Whether anything runs."""
        return bool(self._running)

    @property
    def under_way(self) -> int:
        """How many attempts run or are about to; those that are being stopped do not count."""
        return sum(running.stop_as is None for running in self._running.values())

    def take(self, items: Sequence[Assignment]) -> None:
        """Begin attempts. A noop gives its input back: there is nothing to run, so its acceptance and its ending are
        one journal entry."""
        runs: list[Assignment] = []
        for item in items:
            held = Held(item.task, item.attempt)
            if held in self._running or held in self._unreported:
                continue
            if item.runtime == "noop" and not item.payload_blob:
                result = echo(item.payload) if item.payload else _NOTHING
                self._ended.append((Ending(item.task, item.attempt, Outcome.SUCCEEDED, result=result), []))
            else:
                self._running[held] = Running(item)
                runs.append(item)
        self._flush()
        if runs:
            beginning = asyncio.create_task(self._begin(runs))
            self._beginning.add(beginning)
            beginning.add_done_callback(self._beginning.discard)
            beginning.add_done_callback(_raise)

    async def _begin(self, items: Sequence[Assignment]) -> None:
        helds = [Held(item.task, item.attempt) for item in items]
        try:
            await self._journal.accept(helds)
        except AnchorError as error:
            self._refuse(helds, error)
            return
        reached("executor.accepted")
        self._send(Accepted(helds))
        for held in helds:
            running = self._running.get(held)
            if running is None:
                continue
            if running.stop_as is not None:
                self._finish(running, Ran(outcome=running.stop_as[0], reason=running.stop_as[1]), None)
                continue
            running.task = asyncio.create_task(self._run(running))
            running.task.add_done_callback(_raise)
            running.task.add_done_callback(partial(self._end_unstarted, running))

    def _refuse(self, helds: Sequence[Held], error: AnchorError) -> None:
        """Hand back what could not be accepted. It never began, so a report that is lost costs delay: the next
        heartbeat shows that it is not held."""
        log.error("attempts not accepted", message=error.message)
        self.is_stuck = True
        reason = Reason(FailureCode.RUNTIME_UNAVAILABLE, error.message, "Free some space on this node.")
        for held in helds:
            self._running.pop(held, None)
        self._report([Ending(held.task, held.attempt, Outcome.REJECTED, reason=reason) for held in helds])

    async def look_for_room(self) -> None:
        """See whether a journal that could not be written can be written again."""
        if self.is_stuck:
            with contextlib.suppress(AnchorError):
                await self._journal.probe()
                self.is_stuck = False

    async def _run(self, running: Running) -> None:
        def emit(stream: str, text: str) -> None:
            running.printed.add(stream, text)
            if self._printing is None:
                self._printing = asyncio.create_task(self._print())

        result: Result | None = None
        try:
            ran, result = await self._work.do(running.item, emit, running.count_in)
        except asyncio.CancelledError:
            outcome, reason = running.stop_as or (Outcome.RELEASED, _released("the agent is stopping"))
            ran = Ran(outcome=outcome, reason=reason)
        self._finish(running, ran, result)

    def _end_unstarted(self, running: Running, _: "asyncio.Task[None]") -> None:
        """End an attempt whose coroutine was cancelled before its first step, and so could not end it itself."""
        if self._running.get(running.held) is running:
            outcome, reason = running.stop_as or (Outcome.RELEASED, _released("the agent is stopping"))
            self._finish(running, Ran(outcome=outcome, reason=reason), None)

    def stop(self, helds: Iterable[Held], outcome: Outcome, reason: Reason) -> None:
        """End running attempts; what they started is killed before their endings are reported."""
        for held in helds:
            running = self._running.get(held)
            if running is not None and running.stop_as is None:
                running.stop_as = (outcome, reason)
                if running.task is not None:
                    running.task.cancel()

    def cancel(self, helds: Sequence[Held]) -> None:
        """Somebody wants these stopped: kill them, and say so."""
        self.stop(helds, Outcome.CANCELLED, Reason(FailureCode.CANCELLED, "Cancelled while it ran."))

    def stop_all(self, why: str) -> None:
        """Give every running attempt back, uncharged."""
        self.stop(list(self._running), Outcome.RELEASED, _released(why))

    async def idle(self) -> None:
        """Wait until nothing runs and everything that ended is in the journal."""
        while self._beginning:
            await asyncio.wait(self._beginning)
        while tasks := [running.task for running in self._running.values() if running.task is not None]:
            await asyncio.wait(tasks)
        while self._flushing is not None:
            await self._flushing

    def recorded(self, helds: Sequence[Held]) -> None:
        """The server has these in its truth, or fenced them off: nothing more is owed for them."""
        reached("executor.recorded")
        for held in helds:
            self._unreported.pop(held, None)
        self._journal.forget(helds)
        self._quiet.set()

    async def settled(self) -> None:
        """Wait until the server has confirmed every ending."""
        while self._unreported or self._ended:
            self._quiet.clear()
            await self._quiet.wait()

    def drop(self, helds: Sequence[Held]) -> None:
        """These are no longer this node's: stop what still runs of them and forget the rest."""
        for held in helds:
            if self._unreported.pop(held, None) is not None:
                self._journal.forget([held])
        self.stop(helds, Outcome.RELEASED, _released("the server gave it to somebody else"))

    def present(self) -> None:
        """After a hello: send again whatever the server may have missed."""
        for running in self._running.values():
            running.printed.unsend()
        self._send_output([chunk for entry in self._unreported.values() for chunk in entry.output])
        self._send_running_output()
        endings = [entry.ending for entry in self._unreported.values() if entry.ending is not None]
        if endings:
            self._report(endings)

    def insist(self) -> None:
        """Report again what was unconfirmed at the last call and still is: the server may have refused it then."""
        overdue = [self._unreported[held].ending for held in self._awaited if held in self._unreported]
        self._awaited = set(self._unreported)
        if endings := [ending for ending in overdue if ending is not None]:
            self._report(endings)

    def _finish(self, running: Running, ran: Ran, result: Result | None) -> None:
        printed = running.printed
        self._send_output(printed.unsent())
        held = running.held
        moved_out = printed.bytes + (0 if result is None else result.size + sum(file.size for file in result.files))
        ending = Ending(
            task=held.task,
            attempt=held.attempt,
            outcome=ran.outcome,
            result=result,
            reason=ran.reason,
            usage=msgspec.structs.replace(ran.usage, bytes_in=running.bytes_in, bytes_out=moved_out),
            output_truncated=ran.output_truncated or printed.truncated,
        )
        del self._running[held]
        self._ended.append((self._seal(running.item, ending), printed.kept))
        self._flush()

    def _flush(self) -> None:
        if self._ended and self._flushing is None:
            self._flushing = asyncio.create_task(self._write_endings())
            self._flushing.add_done_callback(_raise)

    async def _write_endings(self) -> None:
        while self._ended:
            batch = self._ended[:]
            endings = [ending for ending, _ in batch]
            try:
                await self._journal.end(endings, [output for _, output in batch])
            except AnchorError as error:
                log.error("endings not written, trying again", message=error.message)
                self.is_stuck = True
                await asyncio.sleep(JOURNAL_RETRY_SECONDS)
                continue
            reached("executor.ended")
            del self._ended[: len(batch)]
            for ending, output in batch:
                held = Held(ending.task, ending.attempt)
                self._unreported[held] = Unreported(held, ending, output)
            self._report(endings)
        self._flushing = None

    async def _print(self) -> None:
        while True:
            await asyncio.sleep(OUTPUT_SECONDS)
            if not self._send_running_output():
                break
        self._printing = None

    def _send_running_output(self) -> bool:
        """Send what was printed; whether some of it has to wait since its attempt prints without end."""
        for running in self._running.values():
            if not running.printed.rests:
                self._send_output(running.printed.unsent())
        return any(running.printed.waits for running in self._running.values())

    def _send_output(self, chunks: Sequence[Chunk]) -> None:
        for at in range(0, len(chunks), CHUNKS_PER_FRAME_MAX):
            self._send(Output(list(chunks[at : at + CHUNKS_PER_FRAME_MAX])))


def _released(why: str) -> Reason:
    return Reason(FailureCode.RELEASED, f"Given back unfinished: {why}.")


def _raise(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("agent failed", exc_info=error)
