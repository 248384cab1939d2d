"""Documents of the truth as the API shows them."""

import urllib.parse
from collections.abc import Iterable
from typing import Any

import msgspec

from anchor.core.attempt import OutputFile, Usage
from anchor.core.ids import wire_id
from anchor.core.node import Node, Status, is_connected, offer_of
from anchor.core.reputation import reliability
from anchor.core.spec import Payload, need_of_shape
from anchor.core.task import HELD, Origin, State, Task
from anchor.orchestrator.fleet import Fleet
from anchor.orchestrator.world import World
from anchor.server.desk import Desk
from anchor.server.verdicts import verification
from anchor.wire.rest import (
    AttemptView,
    Created,
    NodeMetrics,
    NodeView,
    Specs,
    Standing,
    TaskFile,
    TaskResult,
    TaskRow,
    TaskView,
    UsageView,
    time_of,
)

_NO_ORIGIN = Origin()


def created(task: Task) -> Created:
    """A task just accepted."""
    return Created(
        id=wire_id("task", task.id), name=task.spec.name, state=task.state, created_at=time_of(task.created_at)
    )


def shown_state(task: Task, fleet: Fleet) -> str:
    """The state as shown: a lease its agent has acknowledged is `running`."""
    if task.state is State.LEASED:
        seat = fleet.seat(task.node, task.session)
        if seat is not None and task.id in seat.running:
            return "running"
    return task.state


def _row(task: Task, desk: Desk) -> dict[str, Any]:
    origin = task.origin or _NO_ORIGIN
    return {
        "id": wire_id("task", task.id),
        "name": task.spec.name,
        "type": task.spec.type,
        "runtime": need_of_shape(task.shape).runtime,
        "state": shown_state(task, desk.world.fleet),
        "priority": task.spec.priority,
        "labels": task.spec.labels,
        "attempt": task.attempt,
        "node_id": task.node or None,
        "reason": task.reason,
        "created_at": time_of(task.created_at),
        "started_at": time_of(task.leased_at) if task.leased_at is not None else None,
        "finished_at": time_of(task.finished_at) if task.finished_at is not None else None,
        "progress": desk.progress.get((task.id, task.attempt)) if task.state in HELD else None,
        "dag_id": wire_id("dag", origin.run) if origin.run else None,
        "step": origin.step if origin.run else None,
        "head_id": wire_id("task", origin.head) if origin.head else None,
    }


def row(task: Task, desk: Desk) -> TaskRow:
    """A task in a list."""
    return TaskRow(**_row(task, desk))


def view(task: Task, payload: bytes, desk: Desk, *, has_case: bool) -> TaskView:
    """A task, whole; `payload` is its JSON (empty where it has none)."""
    value, blob = _result(task)
    return TaskView(
        **_row(task, desk),
        owner=task.owner,
        payload=msgspec.json.decode(payload, type=Payload) if payload else task.spec.payload,
        requirements=task.spec.requirements,
        limits=task.spec.limits,
        retry=task.spec.retry,
        attempts=list(_attempts(task)),
        result=value,
        result_blob=blob,
        files=files(task),
        usage=_usage(task.attempts[-1].usage) if task.attempts else None,
        retry_of=wire_id("task", task.retry_of) if task.retry_of else None,
        verify=task.spec.verify,
        verification=verification(task, has_case=has_case),
    )


def result(task: Task) -> TaskResult:
    """What came of a task."""
    value, blob = _result(task)
    return TaskResult(
        id=wire_id("task", task.id),
        state=task.state,
        result=value,
        reason=task.reason,
        result_blob=blob,
        node_id=task.node or None,
        attempt=task.attempt,
        finished_at=time_of(task.finished_at) if task.finished_at is not None else None,
        files=files(task),
    )


def files(task: Task) -> list[TaskFile]:
    """The files that a task left behind, by name."""
    kept = task.result.files if task.result is not None else ()
    return [_file(wire_id("task", task.id), file) for file in sorted(kept, key=lambda file: file.name)]


def _file(task: str, file: OutputFile) -> TaskFile:
    url = f"/api/tasks/{task}/files/{urllib.parse.quote(file.name)}"
    return TaskFile(name=file.name, size=file.size, sha256=file.sha256, url=url)


def _usage(usage: Usage | None) -> UsageView | None:
    return None if usage is None else UsageView(**msgspec.structs.asdict(usage))


def usage_of(copies: Iterable[Task | None]) -> UsageView | None:
    """What the attempts of all copies of a task used together, memory as the most that one did."""
    used = [past.usage for copy in copies if copy is not None for past in copy.attempts if past.usage is not None]
    if not used:
        return None
    peak = max(one.peak_memory_mb for one in used)
    added = {name: sum(getattr(one, name) for one in used) for name in Usage.__struct_fields__}
    return UsageView(**{**added, "peak_memory_mb": peak})


def _result(task: Task) -> tuple[Any, str | None]:
    if task.result is None:
        return None, None
    if task.result.blob:
        return None, f"sha256:{task.result.blob}"
    return msgspec.Raw(task.result.json), None


def _attempts(task: Task) -> Iterable[AttemptView]:
    for past in task.attempts:
        yield AttemptView(
            number=past.number,
            node_id=past.node,
            outcome=past.outcome,
            leased_at=time_of(past.leased_at),
            ended_at=time_of(past.ended_at),
            reason=past.reason,
            usage=_usage(past.usage or Usage()),
            output_truncated=past.output_truncated,
        )
    if task.state in HELD and task.leased_at is not None:
        yield AttemptView(number=task.attempt, node_id=task.node, outcome=None, leased_at=time_of(task.leased_at))


def node_status(node: Node, world: World) -> str:
    """The status as shown: one that is in service is online or offline."""
    if node.status is not Status.READY:
        return node.status.value
    return "online" if is_connected(node, now=world.clock.now()) else "offline"


def node_view(node: Node, world: World) -> NodeView:
    """A node as shown. `active` is null where the node is connected to another server."""
    seat = world.fleet.seat(node.id)
    profile = node.profile
    metrics = msgspec.structs.asdict(node.metrics)
    return NodeView(
        node_id=node.id,
        status=node_status(node, world),
        metrics=NodeMetrics(**metrics, has_docker=profile.has_docker),
        specs=Specs(
            cores=profile.cores,
            ram=profile.ram,
            disk=profile.disk,
            gpus=list(profile.gpus),
            cpu=profile.cpu,
            os=profile.os,
            arch=profile.arch,
            host=profile.host,
            runtimes=profile.runtimes,
            missing=profile.missing,
            version=profile.version,
            confinement=profile.confinement,
            features=list(profile.features),
            task_memory_mib=profile.task_memory_mib,
            gpu_tasks=profile.gpu_tasks,
        ),
        labels=list(offer_of(node).labels),
        slots=node.slots,
        active=len(seat.held) if seat is not None else None,
        owner=node.owner,
        reason=node.reason,
        joined_at=time_of(node.joined_at),
        seen_at=time_of(node.seen_at) if node.seen_at else None,
        public_key=node.public_key,
        speed=round(node.speed, 1),
        faults=node.faults,
        replicas=len(world.apps.on(node.id)),
        given_labels=list(node.labels),
        measured_at=time_of(node.measured_at) if node.measured_at else None,
        standing={
            runtime: Standing(
                reliability=round(reliability(node, runtime), 3),
                right=round(known.valid, 1),
                wrong=round(known.invalid, 1),
                right_in_row=known.valid_in_row,
            )
            for runtime, known in node.reputation.items()
        },
    )
