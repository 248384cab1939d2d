"""The part of the blocking client that takes work as people write it: functions, source texts, graphs."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

from anchor.client import calls, dags, exchange, mapreduce
from anchor.client.calls import TaskLike
from anchor.client.exchange import Manners, Steps
from anchor.client.futures import Future, JobFuture, RunFuture
from anchor.client.graph import Graph
from anchor.client.graph_files import read_graph, with_files
from anchor.client.outcomes import Waiting
from anchor.client.work import Code, Options, as_json, job_for, task_for, tasks_for_each
from anchor.core import dag
from anchor.core.errors import AnchorError
from anchor.core.spec import TaskSpec
from anchor.wire import rest

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")


class Working(ABC):
    """Takes work and hands out futures."""

    @abstractmethod
    def carry_out(self, steps: Callable[[Manners], Steps[T]]) -> T:
        """Do something of `anchor.client.exchange` and its like, with this client's manners."""

    @abstractmethod
    def call(self, call: calls.Call[T]) -> T:
        """Carry out a request of `anchor.client.dags` and its like."""

    @abstractmethod
    def module_text(self, module: bytes) -> str:
        """What to write into a payload's `module` for these bytes; large ones are uploaded first."""

    @overload
    def submit(self, work: TaskLike) -> rest.Created: ...
    @overload
    def submit(
        self, work: Callable[..., Coroutine[Any, Any, R]], *args: Any, **options: Unpack[Options]
    ) -> Future[R]: ...
    @overload
    def submit(self, work: Callable[..., R], *args: Any, **options: Unpack[Options]) -> Future[R]: ...
    @overload
    def submit(self, work: str, *args: Any, **options: Unpack[Options]) -> Future[Any]: ...
    def submit(self, work: TaskLike | Code, *args: Any, **options: Unpack[Options]) -> rest.Created | Future[Any]:
        """Submit a function with its arguments, or a source text with its `input`, and get its future; or a task as a
        struct or JSON object, and get what was created. When this returns it is durable."""
        if isinstance(work, Mapping | TaskSpec):
            return self.call(calls.submit(work))
        return Future(self, self.call(calls.submit(task_for(work, args, options))).id)

    @overload
    def map(
        self, work: Callable[[A], Coroutine[Any, Any, R]], items: Iterable[A], **options: Unpack[Options]
    ) -> list[Future[R]]: ...
    @overload
    def map(self, work: Callable[..., R], items: Iterable[Any], **options: Unpack[Options]) -> list[Future[R]]: ...
    @overload
    def map(self, work: str, items: Iterable[Any], **options: Unpack[Options]) -> list[Future[Any]]: ...
    def map(self, work: Code, items: Iterable[Any], **options: Unpack[Options]) -> list[Future[Any]]:
        """Submit a task for each item, in as few requests as possible; their futures are in the order of the items."""
        batches = calls.submit_many(tasks_for_each(work, items, options))
        created = self.carry_out(lambda manners: exchange.submit_all(batches, manners))
        return [Future(self, one.id) for one in created]

    def future(self, task_id: str) -> Future[Any]:
        """The future of a task that somebody has submitted."""
        return Future(self, task_id)

    def as_completed(self, futures: Iterable[Future[T]], timeout: float | None = None) -> Iterator[Future[T]]:
        """The futures as they end, whichever is first. However many they are, it takes few requests.

        TimeoutError after `timeout` seconds without the last of them.
        """
        by_id = {future.id: future for future in futures}
        waiting = Waiting(by_id, timeout)
        while not waiting.is_over:
            for result in self.carry_out(lambda manners: waiting.next(manners, together=False)):
                future = by_id[result.id]
                future.told(result)
                yield future

    def gather(self, futures: Sequence[Future[T]], timeout: float | None = None) -> list[T]:
        """The values of all of them, in order, once all of them are over. TaskFailed for the first that failed,
        TimeoutError after `timeout` seconds."""
        by_id = {future.id: future for future in futures}
        waiting = Waiting(by_id, timeout)
        while not waiting.is_over:
            for result in self.carry_out(lambda manners: waiting.next(manners, together=True)):
                by_id[result.id].told(result)
        return [by_id[future.id].result() for future in futures]

    def run_graph(self, graph: "Graph | dags.GraphLike | str | os.PathLike[str]") -> RunFuture:
        """Run a graph: one made with `Graph`, a JSON object, or the YAML or JSON file at a path."""
        if isinstance(graph, Graph):
            graph = graph.to_json()
        if isinstance(graph, Mapping | dag.Graph):
            return RunFuture(self, self.call(dags.schedule(graph)).id)
        file = read_graph(Path(graph))
        value = with_files(file, self.module_text)
        try:
            return RunFuture(self, self.call(dags.schedule(value)).id)
        except AnchorError as error:
            raise file.blamed(error) from None

    def map_reduce(
        self,
        map: Code,
        reduce: Code,
        input: Iterable[Any] | Mapping[str, Any],
        *,
        combine: Code | None = None,
        reducers: int | None = None,
        **options: Unpack[Options],
    ) -> JobFuture:
        """Run a map-reduce job over a list, or over what a JSON object names: `{"blob": "sha256:…"}` or
        `{"files": […]}`. `map(item)` gives pairs, `reduce(key, values)` and `combine(key, values)` a value."""
        source = input if isinstance(input, Mapping) else {"list": as_json(list(input), "The list")}
        job = {**job_for(map, reduce, combine, options), "input": source}
        if reducers is not None:
            job["reducers"] = reducers
        return JobFuture(self, self.call(mapreduce.start(job)).id)
