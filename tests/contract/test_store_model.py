"""Any sequence of writes, reads and restarts leaves the store equal to a plain dict that did the same."""

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from anchor.core.attempt import Ending, Outcome, Result
from anchor.core.spec import Need, Payload, TaskSpec, need_of_shape, shape_of
from anchor.core.task import TERMINAL, IllegalTransition, State, Task, cancel, lease, queued, settle, wake
from anchor.core.task_query import TaskQuery
from anchor.ports.store import Swap

NOW = 1_790_000_000_000
FIRST = NOW << 20
IDS = st.integers(0, 12).map(lambda n: FIRST + 256 * n)
OWNERS = st.sampled_from(["ann", "bob"])
LABELS = st.lists(st.sampled_from(["a", "b", 'a","b']), max_size=2)
NAMES = st.sampled_from(["t", "Render", '100 %_\\ "x"', "Übung", "straße", "K"])
QUERIES = st.builds(
    TaskQuery,
    state=st.none() | st.sampled_from(State),
    owner=st.none() | OWNERS,
    label=st.none() | st.sampled_from(["a", "b"]),
    name=st.none() | st.sampled_from(["T", "nd", "%", "_", "\\", '"', "ü", "STRASSE", "k", "name"]),
    runtime=st.none() | st.sampled_from(["noop", "isolate"]),
    node=st.none() | st.sampled_from(["REX-A1B2C3", "REX-000000"]),
    since=st.none() | st.integers(0, 200).map(lambda seconds: NOW + seconds * 1000),
    until=st.none() | st.integers(0, 200).map(lambda seconds: NOW + seconds * 1000),
)
STEPS = st.sampled_from(["lease", "succeed", "fail", "release", "wake", "cancel"])


def moved(task: Task, step: str, *, now: int) -> Task:
    """The task after a step of its life, or the same with a higher version where the step is not allowed."""
    try:
        match step:
            case "lease":
                return lease(task, node="REX-A1B2C3", session=task.ver, now=now, lease_ms=1000)
            case "succeed":
                return settle(task, Ending(task.id, 1, Outcome.SUCCEEDED, Result(json=b"1", size=1)), now=now, chance=0)
            case "fail":
                return settle(task, Ending(task.id, 1, Outcome.ERRORED), now=now, chance=0)
            case "release":
                return settle(task, Ending(task.id, 1, Outcome.RELEASED), now=now, chance=0)
            case "wake":
                return wake(task, now=now)
            case _:
                return cancel(task, by="ann", now=now)
    except IllegalTransition:
        return replace(task, ver=task.ver + 1)


def fits(query: TaskQuery, task: Task) -> bool:
    """Whether a task is one of those that are looked for, as the words of `TaskQuery` say it."""
    return all(
        (
            query.state in (None, task.state),
            query.owner in (None, task.owner),
            query.label is None or query.label in task.spec.labels,
            query.name is None or query.name.casefold() in task.spec.name.casefold(),
            query.runtime in (None, need_of_shape(task.shape).runtime),
            query.node in (None, task.node),
            query.since is None or task.created_at >= query.since,
            query.until is None or task.created_at <= query.until,
        )
    )


def bare(task: Task | None) -> Task | None:
    """Without the payload, which a store may leave out."""
    return task if task is None else replace(task, spec=replace(task.spec, payload=None))


class StoreMachine(RuleBasedStateMachine):
    """`truth` is the model: the newest document and payload by id."""

    open_store = None

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.store = self.run(self.open_store(self.folder / "data"))
        self.truth: dict[int, Task] = {}
        self.payloads: dict[int, Payload | None] = {}
        self.now = NOW

    def run(self, call):
        return self.runner.run(_awaited(call))

    def teardown(self):
        self.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(batches=st.lists(st.lists(st.tuples(IDS, OWNERS, LABELS, st.booleans(), NAMES), max_size=4), max_size=3))
    def insert(self, batches):
        calls, expected = [], []
        for batch in batches:
            tasks = []
            for key, owner, labels, with_payload, name in batch:
                payload = Payload(source_code=f"return {len(self.truth)}") if with_payload else None
                spec = TaskSpec(name=name, payload=payload, labels=labels)
                shape = shape_of(Need(runtime="isolate" if with_payload else "noop"))
                tasks.append(queued(key=key, owner=owner, spec=spec, shape=shape, now=self.now))
            calls.append(self.store.insert(tasks))
            answers = []
            for task in tasks:
                answers.append(task.id not in self.truth)
                if answers[-1]:
                    self.truth[task.id] = task
                    self.payloads[task.id] = task.spec.payload
            expected.append(answers)
        assert self.run(_together(calls)) == expected

    @rule(batches=st.lists(st.lists(st.tuples(IDS, STEPS, st.integers(0, 4)), max_size=5), max_size=3))
    def swap(self, batches):
        calls, expected = [], []
        for batch in batches:
            swaps, answers = [], []
            for key, step, luck in batch:
                task = self.truth.get(key)
                if task is None or task.state in TERMINAL:
                    continue
                old = replace(task, ver=task.ver + 1) if luck == 0 else task
                new = moved(old, step, now=self.now)
                swaps.append(Swap(old, new))
                answers.append(luck != 0)
                if luck != 0:
                    self.truth[key] = new
            calls.append(self.store.swap(swaps))
            expected.append(answers)
        assert self.run(_together(calls)) == expected

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds):
        self.now += seconds * 1000

    @rule(limit=st.integers(1, 4))
    def retire(self, limit):
        over = [
            key for key, task in sorted(self.truth.items())
            if task.state in TERMINAL and task.finished_at < self.now and key < self.now << 20
        ][:limit]  # fmt: skip
        removed = self.run(self.store.remove_finished(self.now, limit))
        if removed == 0:  # the last call stopped behind them; this one began anew
            removed = self.run(self.store.remove_finished(self.now, limit))
        gone = [key for key, task in self.truth.items() if self.run(self.store.get([key])) == [None]]
        assert removed == len(gone)
        assert bool(gone) == bool(over)
        for key in gone:
            assert self.truth.pop(key).state in TERMINAL
            del self.payloads[key]

    @rule()
    def restart(self):
        self.run(self.store.close())
        self.store = self.run(self.open_store(self.folder / "data"))

    @rule(limit=st.integers(1, 5), skip=st.integers(0, 6), query=QUERIES, split=IDS)
    def page(self, limit, skip, query, split):
        """Every page of a list, and every count of it in two parts, are those of the model."""
        wanted = [bare(task) for _, task in sorted(self.truth.items(), reverse=True) if fits(query, task)]
        found, below, left = [], None, skip
        while True:
            page = self.run(self.store.page(query, below=below, limit=limit, skip=left))
            found += page.tasks
            left -= page.skipped
            below = page.below
            if below is None:
                break
        assert [bare(task) for task in found] == wanted[skip:]
        upper = self.run(self.store.count(query, below=None, above=split))
        lower = self.run(self.store.count(query, below=split + 1, above=None))
        assert (upper.below, lower.below) == (None, None)
        assert Counter(upper.counts) == Counter(task.state for task in wanted if task.id > split)
        assert Counter(lower.counts) == Counter(task.state for task in wanted if task.id <= split)

    @rule(state=st.sampled_from(sorted(set(State) - TERMINAL)))
    def due(self, state):
        found = self.run(self.store.due(state, self.now, 100))
        waiting = [
            task for task in self.truth.values()
            if task.state is state and task.wake_at is not None and task.wake_at <= self.now
        ]  # fmt: skip
        assert sorted(task.id for task in found) == sorted(task.id for task in waiting)
        assert [task.wake_at for task in found] == sorted(task.wake_at for task in waiting)

    @invariant()
    def documents_are_equal(self):
        if not hasattr(self, "truth"):
            return
        keys = [FIRST + 256 * n for n in range(13)]
        found = self.run(self.store.get(keys))
        assert [bare(task) for task in found] == [bare(self.truth.get(key)) for key in keys]

    @invariant()
    def payloads_are_equal(self):
        if not hasattr(self, "truth"):
            return
        keys = sorted(self.payloads)
        for json, key in zip(self.run(self.store.payloads(keys)), keys, strict=True):
            payload = self.payloads[key]
            assert (b"" if payload is None else payload.source_code.encode()) in json
            assert bool(json) == (payload is not None)

    @invariant()
    def counts_are_exact(self):
        if not hasattr(self, "truth"):
            return
        for owner in ("ann", "bob", None):
            mine = Counter(task.state for task in self.truth.values() if owner in (None, task.owner))
            assert self.run(self.store.counts(owner)) == {state: mine[state] for state in State}


@pytest.fixture
def examples(request):
    """Fewer where every write takes a millisecond."""
    return 40 if request.node.callspec.params["open_store"] == "sqlite" else 10


async def _awaited(call):
    return await call


async def _together(calls):
    return await asyncio.gather(*calls)


def test_the_store_agrees_with_a_plain_dict(open_store, examples):
    machine = type("Machine", (StoreMachine,), {"open_store": staticmethod(open_store)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


@pytest.mark.parametrize("step", ["lease", "cancel"])
def test_the_model_moves_tasks_at_all(step):
    task = queued(key=FIRST, owner="ann", spec=TaskSpec(name="t", type="noop"), shape="{}", now=NOW)
    assert moved(task, step, now=NOW).state is not State.QUEUED
