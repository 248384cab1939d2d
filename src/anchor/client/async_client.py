"""The asyncio client: the blocking one, awaited."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from anchor.client import calls, cases, exchange, transport
from anchor.client.address import normal_url
from anchor.client.answers import Answer, NoAnswer
from anchor.client.async_deploying import AsyncDeploying
from anchor.client.async_working import AsyncWorking
from anchor.client.calls import NodeAction, TaskLike
from anchor.client.cases import CaseVerb
from anchor.client.exchange import Manners, Steps, Wait
from anchor.client.fetching import Fetching, Wanted, wanted_files
from anchor.client.follow import EventStream, Following, Happening
from anchor.client.sources import source_of
from anchor.core.spec import INLINE_BYTES_MAX
from anchor.wire import rest
from anchor.wire.receipts import Receipt
from anchor.wire.verification import CaseRow, CaseView

T = TypeVar("T")


class AsyncClient(AsyncWorking, AsyncDeploying):
    """Talks to an Anchor server from asyncio; arguments, patience and errors are those of `Client`."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        token_if_asked: str | None = None,
        patience_seconds: float = 10.0,
    ) -> None:
        self.url = normal_url(url)
        self._manners = Manners(self.url, patience_seconds, random.random)
        self._http = httpx.AsyncClient(**transport.options(self.url, token, token_if_asked))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit_many(self, tasks: Iterable[TaskLike]) -> list[rest.Created]:
        """Submit any number of tasks; the answers are in the same order."""
        return await self._run(exchange.submit_all(calls.submit_many(tasks), self._manners))

    async def task(self, task_id: str) -> rest.TaskView:
        """One task, whole."""
        return await self._call(calls.task(task_id))

    async def tasks(
        self,
        *,
        state: str = "",
        label: str = "",
        name: str = "",
        owner: str = "",
        runtime: str = "",
        node: str = "",
        run: str = "",
        since: str = "",
        until: str = "",
        page_size: int = 100,
    ) -> AsyncIterator[rest.TaskRow]:
        """Tasks from the newest on, page after page for as long as they are asked for: those that fit all that is
        given. `name` is a part of the name; `since` and `until` bound when they were submitted (RFC 3339)."""
        words = {"state": state, "label": label, "name": name, "owner": owner, "runtime": runtime, "node": node}
        words |= {"run": run, "since": since, "until": until}
        cursor = ""
        while True:
            page = await self._call(calls.tasks(words, limit=page_size, cursor=cursor))
            for row in page.items:
                yield row
            cursor = page.cursor
            if not cursor:
                return

    async def result(self, task_id: str, *, wait_seconds: float | None = 0) -> rest.TaskResult:
        """What came of a task, waiting up to `wait_seconds` for it (None: for as long as it takes)."""
        return await self._run(exchange.until_over(task_id, wait_seconds, self._manners))

    async def logs(self, task_id: str) -> list[rest.LogLine]:
        """What a task printed so far."""
        return await self._run(exchange.whole_log(task_id, self._manners))

    def follow(self, task_id: str, *, after: str = "") -> AsyncIterator[Happening]:
        """What a task prints and the states it enters, as they come, and its result last.

        A broken connection is made again and goes on after the last piece received; `after` is such a piece's id.
        """
        return self.stream(Following(task_id, self._manners, after=after))

    async def cancel(self, task_id: str) -> rest.TaskView:
        """Ask for a task's end; it may take a moment to get there."""
        return await self._call(calls.cancel(task_id))

    async def retry(self, task_id: str) -> rest.Created:
        """Submit a task that is over again, as a new one."""
        return await self._call(calls.retry(task_id))

    async def why(self, task_id: str) -> Any:
        """Why a task is where it is."""
        return await self._call(calls.why(task_id))

    async def nodes(self) -> list[rest.NodeView]:
        """All nodes."""
        return await self._call(calls.nodes())

    async def node(self, node_id: str) -> rest.NodeView:
        """One node."""
        return await self._call(calls.node(node_id))

    async def act_on_node(self, node_id: str, action: NodeAction, reason: str = "") -> rest.NodeView:
        """Drain, resume or block a node; the reason is for others to read."""
        return await self._call(calls.act_on_node(node_id, action, reason))

    async def label_node(self, node_id: str, labels: Sequence[str]) -> rest.NodeView:
        """Give a node these labels beside those of its machine, and no others."""
        return await self._call(calls.label_node(node_id, labels))

    async def join_token(self, *, seconds: int = 900) -> rest.JoinToken:
        """A token with which one machine can join."""
        return await self._call(calls.join_token(seconds))

    async def keys(self) -> list[rest.KeyView]:
        """All API keys, without their secrets."""
        return await self._call(calls.keys())

    async def create_key(self, name: str, role: str, *, days: int | None = None) -> rest.NewKey:
        """A new API key; its token is shown this once."""
        return await self._call(calls.create_key(name, role, days))

    async def remove_key(self, key_id: str) -> None:
        """Forget an API key."""
        await self._call(calls.remove_key(key_id))

    async def audit(self, *, kind: str = "", page_size: int = 100) -> AsyncIterator[rest.AuditEntry]:
        """Entries of the audit trail from the newest on, page after page for as long as they are asked for."""
        cursor = ""
        while True:
            page = await self._call(calls.audit(kind=kind, limit=page_size, cursor=cursor))
            for entry in page.items:
                yield entry
            cursor = page.cursor
            if not cursor:
                return

    async def receipt(self, task_id: str) -> Receipt:
        """Everything to check a finished task by, without any server: see anchor.wire.proofs."""
        return await self._call(cases.receipt(task_id))

    async def cases(self, *, page_size: int = 100) -> AsyncIterator[CaseRow]:
        """Cases of dissent from the newest on, page after page for as long as they are asked for."""
        cursor = ""
        while True:
            page = await self._call(cases.cases(limit=page_size, cursor=cursor))
            for row in page.items:
                yield row
            cursor = page.cursor
            if not cursor:
                return

    async def case(self, case_id: str) -> CaseView:
        """One case of dissent, with its evidence."""
        return await self._call(cases.case(case_id))

    async def act_on_case(self, case_id: str, verb: CaseVerb, *, reason: str = "") -> CaseView:
        """Clear the dissenters of a case, or block them."""
        return await self._call(cases.act_on_case(case_id, verb, reason))

    async def rerun_case(self, case_id: str, *, reason: str = "") -> rest.Created:
        """Run the task of a case again, on more nodes."""
        return await self._call(cases.rerun_case(case_id, reason))

    async def queue_stats(self) -> dict[str, rest.QueueStats]:
        """How much waits and runs, by queue."""
        return await self._call(calls.queue_stats())

    async def health(self) -> rest.Health:
        """Whether the server works, and what is wrong where it does not."""
        return await self._call(calls.health())

    async def put_blob(self, content: bytes) -> rest.BlobView:
        """Keep bytes under their SHA-256."""
        return await self._call(calls.put_blob(content))

    async def blob(self, digest: str) -> bytes:
        """The bytes under a SHA-256 (64 hex digits)."""
        return await self._call(calls.blob(digest))

    async def upload(self, content: "bytes | str | os.PathLike[str]") -> str:
        """Have the server keep bytes, or those of the file at a path; their SHA-256 (64 hex digits).

        A file is read as it is sent. What the server has is not sent, and after a break it goes on where that was.
        """
        return await self._run(exchange.brought(await asyncio.to_thread(source_of, content), self._manners))

    async def download(
        self, digest: str, to: "str | os.PathLike[str]", *, resume: bool = True, overwrite: bool = False
    ) -> Path:
        """Write the bytes under a SHA-256 into a file, verified; with `resume` what an earlier try brought is used."""
        await self._fetch(Wanted(f"/api/blobs/{digest}", digest, Path(to)), resume=resume, overwrite=overwrite)
        return Path(to)

    async def task_files(self, task_id: str) -> list[rest.TaskFile]:
        """The files a task left behind, by name."""
        return await self._call(calls.task_files(task_id))

    async def save_files(
        self, task_id: str, directory: "str | os.PathLike[str]", *, overwrite: bool = False
    ) -> list[Path]:
        """Write the files a task left behind into a directory, each verified by its SHA-256; where they are now.

        Nothing is written outside of the directory, and nothing that is there is overwritten unless asked.
        """
        files = wanted_files(await self.task_files(task_id), Path(directory), overwrite=overwrite)
        for wanted in files:
            await self._fetch(wanted, resume=True, overwrite=overwrite)
        return [wanted.to for wanted in files]

    async def module_text(self, module: bytes) -> str:
        """What to write into a payload's `module` for these bytes; large ones are uploaded first."""
        return await self._run(exchange.module_text(module, INLINE_BYTES_MAX, self._manners))

    async def _fetch(self, wanted: Wanted, *, resume: bool, overwrite: bool) -> None:
        with closing(Fetching(wanted, self._manners, resume=resume, overwrite=overwrite)) as fetching:
            while not fetching.is_over:
                began = time.monotonic()
                try:
                    async with self._http.stream(**transport.request(fetching.call(), streaming=True)) as response:
                        if fetching.is_open(response.status_code):
                            async for chunk in response.aiter_raw():
                                fetching.feed(chunk)
                                began = time.monotonic()
                            fetching.finish()
                        elif not fetching.is_over:
                            await response.aread()
                            why = fetching.refused(transport.answer_of(response))
                except httpx.HTTPError as error:
                    why = transport.no_answer(error, 0).why
                if not fetching.is_over:
                    await asyncio.sleep(fetching.broke(why, time.monotonic() - began))

    async def call(self, call: calls.Call[T]) -> T:
        """Carry out a request of `anchor.client.dags` and its like."""
        return await self._call(call)

    async def carry_out(self, steps: Callable[[Manners], Steps[T]]) -> T:
        """Do something of `anchor.client.exchange` and its like, with this client's manners."""
        return await self._run(steps(self._manners))

    async def stream(self, following: EventStream[T]) -> AsyncIterator[T]:
        """What a stream of `anchor.client.follow` and its like tells, over however many connections."""
        while not following.is_over:
            began = time.monotonic()
            try:
                async with self._http.stream(**transport.request(following.call(), streaming=True)) as response:
                    if following.is_open(response.status_code, response.headers.get("content-type", "")):
                        async for chunk in response.aiter_bytes():
                            for happening in following.feed(chunk):
                                yield happening
                            began = time.monotonic()
                        why = "the connection was closed"
                    else:
                        await response.aread()
                        why = following.refused(transport.answer_of(response))
            except httpx.HTTPError as error:
                why = transport.no_answer(error, 0).why
            if not following.is_over:
                await asyncio.sleep(following.broke(why, time.monotonic() - began))

    async def _call(self, call: calls.Call[T]) -> T:
        return await self._run(exchange.exchange(call, self._manners))

    async def _run(self, steps: Steps[T]) -> T:
        told: Answer | NoAnswer | None = None
        while True:
            try:
                step = steps.send(told)
            except StopIteration as end:
                value: T = end.value
                return value
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                told = None
            else:
                told = await self._send(step.call)

    async def _send(self, call: calls.Call[Any]) -> Answer | NoAnswer:
        began = time.monotonic()
        try:
            return transport.answer_of(await self._http.request(**transport.request(call, awaited=True)))
        except httpx.HTTPError as error:
            return transport.no_answer(error, time.monotonic() - began)
