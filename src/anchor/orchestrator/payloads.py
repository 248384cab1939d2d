"""Where the payload of a task rests: in its document, or in a blob where it is large."""

import msgspec
from msgspec.structs import replace

from anchor.core.spec import INLINE_BYTES_MAX, Payload
from anchor.core.task import Task
from anchor.failpoints import reached
from anchor.orchestrator.whole import one_chunk, read_whole
from anchor.orchestrator.world import World


async def resting_apart(world: World, task: Task) -> Task:
    """The task with its payload in a blob instead of in the document."""
    digest, _ = await world.blobs.put(one_chunk(msgspec.json.encode(task.spec.payload)))
    reached("submit.payload_kept")
    return replace(task, spec=replace(task.spec, payload=None), payload_blob=digest)


async def payload_of(world: World, task: Task) -> bytes:
    """A task's payload as JSON, wherever it rests; empty where it has none."""
    if task.payload_blob:
        return await read_whole(world.blobs, task.payload_blob)
    [payload] = await world.store.payloads([task.id])
    return payload


def is_too_large(task: Task) -> bool:
    """Whether a task's payload is too large for the document."""
    return task.spec.payload is not None and _is_large(task.spec.payload)


def _is_large(payload: Payload) -> bool:
    sizes = len(payload.source_code or "") + len(payload.module or "") + len(payload.stdin or "")
    if sizes > INLINE_BYTES_MAX:
        return True
    simple = payload.input is None or isinstance(payload.input, int | float | bool)
    if simple and not payload.env and not payload.args and not payload.command and not payload.inputs:
        return sizes * 4 > INLINE_BYTES_MAX and len(msgspec.json.encode(payload)) > INLINE_BYTES_MAX
    return len(msgspec.json.encode(payload)) > INLINE_BYTES_MAX
