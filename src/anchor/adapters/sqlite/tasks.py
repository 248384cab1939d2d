"""Tasks: inserts and compare-and-sets in few statements, and the live ones at hand."""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from anchor.adapters.sqlite.commits import Apart, GroupCommit
from anchor.adapters.sqlite.directory import DataDirectory
from anchor.adapters.sqlite.live import LiveTasks
from anchor.adapters.sqlite.marks import mark_last_key
from anchor.adapters.sqlite.oldest import OldestQueued
from anchor.adapters.sqlite.pages import are_few, counted, page_of
from anchor.adapters.sqlite.part import Part
from anchor.adapters.sqlite.pulse import MINUTE_MS, add_ended, endings_of, pulse_of
from anchor.adapters.sqlite.reads import Reads
from anchor.adapters.sqlite.rows import (
    CHANGING,
    CODES,
    COLUMNS,
    FIXED,
    IDS,
    MADE_FOR,
    PLAIN_COLUMNS,
    STATES,
    as_ids,
    chunks,
    insert_statement,
    insert_values,
    is_copy,
    is_plain,
    is_verified,
    last_key_of,
    swap_values,
    task_from,
    update_statement,
)
from anchor.adapters.sqlite.tallies import add_tallies
from anchor.adapters.sqlite.trouble import out_of_space
from anchor.adapters.sqlite.usage import add_uses
from anchor.core.ids import keys_from
from anchor.core.task import TERMINAL, State, Task
from anchor.core.task_query import TaskQuery
from anchor.core.usage import ended_uses
from anchor.ports.store import Counted, Page, Pulse, QueuedRef, Swap

_PLAIN_WIDTH = len(FIXED) + len(CHANGING)
_WIDTH = _PLAIN_WIDTH + len(MADE_FOR)
_SWAP_WIDTH = len(CHANGING) + 2


class _Insert:
    """New tasks of one caller; `payloads` (JSON bytes) are filled in by the writer."""

    __slots__ = ("payloads", "tasks")

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.payloads: list[bytes] = []


class _Inserts:
    """Writes new tasks, with their payloads and counts."""

    def __init__(self, live: LiveTasks, oldest: OldestQueued) -> None:
        self._live = live
        self._oldest = oldest

    def together(self, db: sqlite3.Connection, requests: Sequence[_Insert]) -> list[list[bool]]:
        """All tasks of all callers; an id that exists already raises IntegrityError."""
        tasks = [task for request in requests for task in request.tasks]
        plain: list[Any] = []
        others: list[Any] = []
        payloads = [insert_values(task, plain if is_plain(task) else others) for task in tasks]
        _insert_rows(db, "tasks", PLAIN_COLUMNS, _PLAIN_WIDTH, plain)
        if others:
            _insert_rows(db, "tasks", COLUMNS, _WIDTH, others)
            _note_parts(db, tasks)
        resting = [part for task, json in zip(tasks, payloads, strict=True) if json for part in (task.id, json)]
        _insert_rows(db, "payloads", "task, json", 2, resting)
        deltas: defaultdict[tuple[str, State], int] = defaultdict(int)
        for task in tasks:
            if not is_copy(task):
                deltas[task.owner, task.state] += 1
        add_counts(db, deltas)
        first = 0
        for request in requests:
            request.payloads = payloads[first : first + len(request.tasks)]
            first += len(request.tasks)
        return [[True] * len(request.tasks) for request in requests]

    def alone(self, db: sqlite3.Connection, request: _Insert) -> list[bool]:
        """One caller's tasks, each left alone where its id exists."""
        answers: list[bool] = []
        request.payloads = []
        for task in request.tasks:
            columns, width = (PLAIN_COLUMNS, _PLAIN_WIDTH) if is_plain(task) else (COLUMNS, _WIDTH)
            statement = insert_statement("tasks", columns, width, 1, ignore=True)
            values: list[Any] = []
            payload = insert_values(task, values)
            new = db.execute(statement, values).rowcount == 1
            if new:
                add_counts(db, {} if is_copy(task) else {(task.owner, task.state): 1})
                _note_parts(db, [task])
                if payload:
                    db.execute("INSERT INTO payloads (task, json) VALUES (?, ?)", (task.id, payload))
            answers.append(new)
            request.payloads.append(payload)
        return answers

    def written(self, requests: Sequence[_Insert], answers: Sequence[list[bool] | Exception]) -> None:
        """The new tasks are at hand from now on."""
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, list):
                for task, payload, new in zip(request.tasks, request.payloads, answer, strict=True):
                    if new:
                        self._live.add(task, payload)
                        if task.id < self._oldest.ceiling and task.state is State.QUEUED:
                            self._oldest.note(task.id)


class _Swaps:
    """Compare-and-sets tasks on their versions."""

    def __init__(self, live: LiveTasks, oldest: OldestQueued) -> None:
        self._live = live
        self._oldest = oldest

    def together(self, db: sqlite3.Connection, requests: Sequence[Sequence[Swap]]) -> list[list[bool]]:
        """All swaps of all callers, expecting every one to succeed; Apart where one does not."""
        swaps = [swap for request in requests for swap in request]
        plain: list[Any] = []
        others: list[Any] = []
        for swap in swaps:
            swap_values(swap, plain if swap.new.parts is None else others)
        changed = _update_rows(db, plain, with_parts=False) + _update_rows(db, others, with_parts=True)
        # A task that is there twice is changed once, so that its second swap gets its turn alone.
        if changed != len(swaps):
            raise Apart
        _count_moves(db, swaps)
        return [[True] * len(request) for request in requests]

    def alone(self, db: sqlite3.Connection, request: Sequence[Swap]) -> list[bool]:
        """One caller's swaps, each for itself."""
        answers: list[bool] = []
        for swap in request:
            values: list[Any] = []
            swap_values(swap, values)
            answers.append(_update_rows(db, values, with_parts=swap.new.parts is not None) == 1)
        _count_moves(db, [swap for swap, done in zip(request, answers, strict=True) if done])
        return answers

    def written(self, requests: Sequence[Sequence[Swap]], answers: Sequence[list[bool] | Exception]) -> None:
        """What succeeded is at hand from now on; what failed is looked up again."""
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, list):
                for swap, done in zip(request, answer, strict=True):
                    if done:
                        self._live.renew(swap.new)
                        if swap.new.state is State.QUEUED and swap.new.id < self._oldest.ceiling:
                            self._oldest.note(swap.new.id)
                    else:
                        self._live.forget(swap.old.id)


def _insert_rows(db: sqlite3.Connection, table: str, columns: str, width: int, values: list[Any]) -> None:
    for first, rows in chunks(len(values) // width):
        db.execute(insert_statement(table, columns, width, rows), values[first * width : (first + rows) * width])


def _update_rows(db: sqlite3.Connection, values: list[Any], *, with_parts: bool) -> int:
    """Write what `swap_values` made, and say how many rows that changed."""
    width = _SWAP_WIDTH + with_parts
    changed = 0
    for first, rows in chunks(len(values) // width):
        statement = update_statement(rows, with_parts=with_parts)
        changed += db.execute(statement, values[first * width : (first + rows) * width]).rowcount
    return changed


def _count_moves(db: sqlite3.Connection, swaps: Sequence[Swap]) -> None:
    deltas: defaultdict[tuple[str, State], int] = defaultdict(int)
    ended: defaultdict[tuple[int, str, State], int] = defaultdict(int)
    for swap in swaps:
        old, new = swap.old, swap.new
        if old.state is not new.state and not is_copy(old):
            deltas[old.owner, old.state] -= 1
            deltas[old.owner, new.state] += 1
            if new.finished_at is not None:
                ended[new.finished_at // MINUTE_MS, old.owner, new.state] += 1
            if new.parts is not None and is_verified(new):
                add_tallies(db, "round", {(old.owner, old.state): -1, (old.owner, new.state): 1})
    add_counts(db, deltas)
    add_ended(db, ended)
    add_uses(db, ended_uses(swap.new for swap in swaps if swap.new.finished_at is not None and swap.new.attempts))


def _note_parts(db: sqlite3.Connection, tasks: Sequence[Task]) -> None:
    """Count the new tasks that are verified, and remember which keys their items or copies will have."""
    for task in tasks:
        if task.parts is not None:
            mark_last_key(db, last_key_of(task.parts))
            if is_verified(task):
                add_tallies(db, "round", {(task.owner, task.state): 1})


def add_counts(db: sqlite3.Connection, deltas: dict[tuple[str, State], int]) -> None:
    """Change how many tasks of an owner are in a state."""
    for (owner, state), change in deltas.items():
        if change:
            db.execute(
                "INSERT INTO counts (owner, state, n) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
                (owner, CODES[state], change),
            )


class Tasks(Part):
    """The task part of the store."""

    def __init__(self, commits: GroupCommit, reads: Reads, directory: DataDirectory) -> None:
        super().__init__(commits, reads)
        self._directory = directory
        self._oldest = OldestQueued(reads)
        self._inserts = _Inserts(self._live, self._oldest)
        self._swaps = _Swaps(self._live, self._oldest)

    async def insert(self, tasks: Sequence[Task]) -> list[bool]:
        """Write new tasks; False for one whose id exists already (it is left as it is).

        OutOfSpace from the first full disk until there is room again: what space is left belongs to what runs.
        """
        if not tasks:
            return []
        if not self._directory.ballast_is_set and not await self.has_room():
            raise out_of_space(self._directory.path)
        return await self._commits.submit(self._inserts, _Insert(tasks))

    async def swap(self, swaps: Sequence[Swap]) -> list[bool]:
        """Compare-and-set each task on its version; False where somebody else was faster."""
        return await self._commits.submit(self._swaps, swaps) if swaps else []

    async def get(self, ids: Sequence[int]) -> list[Task | None]:
        """The tasks as they are now, in the order asked. One that is read from the file lacks `spec.payload`."""
        found = [self._live.get(task) for task in ids]
        missing = [task for task, there in zip(ids, found, strict=True) if there is None]
        if not missing:
            return found
        rows = await self._reads.run(
            lambda db: db.execute(f"SELECT {COLUMNS} FROM tasks WHERE id IN ({IDS})", (as_ids(missing),)).fetchall()
        )
        read = {row[0]: task_from(row) for row in rows}
        return [there or read.get(task) for task, there in zip(ids, found, strict=True)]

    async def payloads(self, ids: Sequence[int]) -> list[bytes]:
        """The payloads as JSON bytes, in the order asked; empty where there is none or it rests in a blob."""
        found = [self._live.payload(task) for task in ids]
        missing = [task for task, there in zip(ids, found, strict=True) if there is None]
        read: dict[int, bytes] = {}
        if missing:
            rows = await self._reads.run(
                lambda db: db.execute(
                    f"SELECT task, json FROM payloads WHERE task IN ({IDS})", (as_ids(missing),)
                ).fetchall()
            )
            read = dict(rows)
        return [read.get(task, b"") if there is None else there for task, there in zip(ids, found, strict=True)]

    async def due(self, state: State, now: int, limit: int) -> list[Task]:
        """Tasks of a non-terminal state whose `wake_at` has come, longest waiting first."""
        if state in TERMINAL:
            return []
        rows = await self._reads.run(
            lambda db: db.execute(
                f"SELECT {COLUMNS} FROM tasks INDEXED BY tasks_due"
                " WHERE state < 5 AND state = ? AND wake_at <= ? ORDER BY wake_at LIMIT ?",
                (CODES[state], now, limit),
            ).fetchall()
        )
        return [task_from(row) for row in rows]

    async def queued(self, after: int, limit: int) -> list[QueuedRef]:
        """Queued tasks with an id above `after`, oldest first: what the ready queue is refilled from."""
        if after == 0:
            await self._oldest.find(None)
        floor, returned = self._oldest.floor()
        return await self._reads.run(lambda db: _queued(db, after, limit, floor, returned))

    async def page(self, query: TaskQuery, *, below: int | None, limit: int, skip: int = 0) -> Page:
        """Tasks that fit by falling id below `below`, without the first `skip` and without the copies that verification
        makes. One call looks at a bounded number of rows, whatever it finds."""
        return await self._reads.run(lambda db: page_of(db, query, below=below, limit=limit, skip=skip))

    async def count(self, query: TaskQuery, *, below: int | None, above: int | None) -> Counted:
        """How many tasks between `above` and `below` fit, copies aside: of a bounded number of rows, newest first."""
        return await self._reads.run(lambda db: counted(db, query, below=below, above=above))

    async def states(self, first: int, count: int) -> dict[int, State]:
        """The states of those of the tasks first, first + STEP, … (`count` of them) that exist, by id."""
        keys = keys_from(first, count)
        rows = await self._reads.run(
            lambda db: db.execute(
                "SELECT id, state FROM tasks NOT INDEXED WHERE id >= ? AND id < ?", (keys.start, keys.stop)
            ).fetchall()
        )
        return {task: STATES[code] for task, code in rows if task in keys}

    async def counts(self, owner: str | None) -> dict[State, int]:
        """How many tasks are in each state, copies aside; exact, and as cheap with a million tasks as with none."""
        rows = await self._reads.run(
            lambda db: db.execute(
                "SELECT state, sum(n) FROM counts WHERE ?1 IS NULL OR owner = ?1 GROUP BY state", (owner,)
            ).fetchall()
        )
        return dict.fromkeys(State, 0) | {STATES[code]: n for code, n in rows}

    async def pulse(self, owner: str | None, now: int) -> Pulse:
        """How the queue moves; as cheap with a million tasks as with none."""
        return await self._oldest.look(owner, lambda db, oldest: pulse_of(db, owner, now, oldest))

    async def endings(self, owner: str | None, first: int, until: int) -> dict[tuple[int, State], int]:
        """How many tasks ended in each state in each minute from `first` to before `until`."""
        return await self._reads.run(lambda db: endings_of(db, owner, first, until))

    async def has_room(self) -> bool:
        """Whether new work should be let in: more free space than the reserve, and the ballast in its place."""
        return await self._reads.run(lambda _: self._look_for_room())

    def _look_for_room(self) -> bool:
        if not self._directory.has_room():
            return False
        if not self._directory.ballast_is_set:
            self._directory.set_ballast()
        return True


def _queued(db: sqlite3.Connection, after: int, limit: int, floor: int, returned: Sequence[int]) -> list[QueuedRef]:
    code = CODES[State.QUEUED]
    columns = "SELECT id, priority, shape, owner FROM tasks"
    if are_few(db, State.QUEUED):
        # With few queued tasks, sorting them all is cheapest; with many, walking the ids meets one soon.
        rows = db.execute(
            f"{columns} INDEXED BY tasks_due WHERE state < 5 AND state = ? AND id > ? ORDER BY id LIMIT ?",
            (code, after, limit),
        )
        return [QueuedRef(*row) for row in rows]
    below = as_ids([task for task in returned if task > after][:limit])
    found = db.execute(f"{columns} WHERE id IN ({IDS}) AND state = ? ORDER BY id", (below, code)).fetchall()
    found += db.execute(
        f"{columns} NOT INDEXED WHERE id > ? AND state = ? ORDER BY id LIMIT ?",
        (max(after, floor - 1), code, limit - len(found)),
    ).fetchall()
    return [QueuedRef(*row) for row in found]
