"""What a step gets from those it waited for: their results by id, small ones as they are, large ones by name."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

import msgspec

from anchor.core.attempt import Result
from anchor.core.spec import INLINE_BYTES_MAX, MIB, InputValue
from anchor.core.task import Task
from anchor.failpoints import reached
from anchor.orchestrator.run_memory import Known
from anchor.orchestrator.world import World

TASKS_PER_READ = 500
INLINE_TOTAL_MAX = 8 * 1024 * 1024
"""Results that are held in memory at once; those above it go into blobs, however small."""
PASSED_ON_MAX = 64 * MIB
"""A result that steps without a payload put together: each of them may hold those of two others, which doubles it."""
NULL = Result(json=b"null", size=4)


class TooMuch(Exception):
    """Results are too large to be put together; the message says how large."""


def groups(known: Known, steps: Sequence[int]) -> Iterator[list[int]]:
    """The steps in order, in groups whose parents are few enough to read at once; a step with many is by itself."""
    group: list[int] = []
    weight = 0
    for step in steps:
        weighs = 1 + len(known.plan.parents[step])
        if group and weight + weighs > TASKS_PER_READ:
            yield group
            group, weight = [], 0
        group.append(step)
        weight += weighs
    if group:
        yield group


async def results_of(
    world: World, known: Known, parents: Iterable[int], ended: Mapping[int, Task]
) -> dict[int, Result]:
    """The results of these steps, which succeeded. `ended` holds tasks that need not be read."""
    found: dict[int, Result] = {}
    inline = 0
    missing: list[int] = []
    for parent in parents:
        task = ended.get(known.key(parent))
        if task is None:
            missing.append(parent)
        else:
            found[parent] = task.result or NULL
            inline += len(found[parent].json)
    for at in range(0, len(missing), TASKS_PER_READ):
        page = missing[at : at + TASKS_PER_READ]
        for parent, task in zip(page, await world.store.get([known.key(parent) for parent in page]), strict=True):
            result = (task.result if task is not None else None) or NULL
            if inline + len(result.json) > INLINE_TOTAL_MAX or len(result.json) > INLINE_BYTES_MAX:
                result = await _apart(world, result)
            inline += len(result.json)
            found[parent] = result
    return found


async def _apart(world: World, result: Result) -> Result:
    if result.blob:
        return result
    return await _kept(world, [result.json])


def as_input(result: Result) -> InputValue:
    """A result as one of the `inputs` of a task."""
    if result.blob:
        return InputValue(blob=f"sha256:{result.blob}")
    return InputValue(value=msgspec.Raw(result.json or b"null"))


async def passed_on(world: World, names: Sequence[str], results: Mapping[str, Result]) -> Result:
    """The result of a step that runs nothing. Of one dependency its result as it is, of several an object by id (of
    those that succeeded), of none null. TooMuch where it is too large."""
    if len(names) <= 1:
        [result] = results.values() or [NULL]
        return Result(json=result.json, blob=result.blob, size=result.size)
    total = sum(result.size or len(result.json) for result in results.values())
    if total > PASSED_ON_MAX:
        raise TooMuch(
            f"What it depends on came to {total / MIB:,.0f} MiB; at most {PASSED_ON_MAX // MIB} are passed on."
        )
    pieces: list[bytes | Result] = []
    for name in names:
        if name in results:
            pieces += [b"," if pieces else b"{", msgspec.json.encode(name), b":", results[name]]
    pieces += [b"}"] if pieces else [b"{}"]
    flat = [piece if isinstance(piece, bytes) else piece.json for piece in pieces]
    large = any(isinstance(piece, Result) and piece.blob for piece in pieces)
    if not large and (size := sum(map(len, flat))) <= INLINE_BYTES_MAX:
        return Result(json=b"".join(flat), size=size)
    return await _kept(world, pieces)


async def _kept(world: World, pieces: Sequence[bytes | Result]) -> Result:
    digest, size = await world.blobs.put(_pieces(world, pieces))
    reached("graphs.result_kept")
    return Result(blob=digest, size=size)


async def _pieces(world: World, pieces: Sequence[bytes | Result]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        elif piece.blob:
            async for chunk in world.blobs.get(piece.blob):
                yield chunk
        else:
            yield piece.json or b"null"
