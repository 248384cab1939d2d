"""The result of a list: those of its items in order, streamed from one blob into another where they are large."""

from collections.abc import AsyncIterator

import msgspec

from anchor.core.attempt import Result
from anchor.core.items import Items, NoList, merged
from anchor.core.spec import INLINE_BYTES_MAX, MIB
from anchor.core.task import State, Task
from anchor.failpoints import reached
from anchor.orchestrator.item_drafts import template_of
from anchor.orchestrator.whole import one_chunk, read_whole
from anchor.orchestrator.world import World

PAGE = 100
MERGED_BYTES_MAX = 16 * MIB
"""Results of shares above this are not merged by key: they stay one share after the other."""


async def of_items(world: World, head: Task, parts: Items) -> Result:
    """The result of a head whose items have all ended: null for an item that failed.

    Where items leave files each is `{"value": …, "files": {name: "sha256:…"}}`. Over shares of a shuffle the results
    are lists of [key, value], and made one list sorted by key; NoList where one is no such list.
    """
    if parts.over == "shuffle":
        return await _of_shares(world, parts)
    leaves_files = bool((await template_of(world, head)).outputs)
    return await kept(world, _listed(world, parts, leaves_files=leaves_files))


async def kept(world: World, chunks: AsyncIterator[bytes]) -> Result:
    """JSON text as a result: inline where it is small, else a blob."""
    begun: list[bytes] = []
    size = 0
    async for chunk in chunks:
        begun.append(chunk)
        size += len(chunk)
        if size > INLINE_BYTES_MAX:
            digest, size = await world.blobs.put(_chained(begun, chunks))
            reached("items.result_kept")
            return Result(blob=digest, size=size)
    return Result(json=b"".join(begun), size=size)


async def _chained(begun: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield b"".join(begun)
    async for chunk in rest:
        yield chunk


async def winners(world: World, parts: Items) -> AsyncIterator[list[Task | None]]:
    """For each item in order the task that succeeded, itself or its copy; None where neither did."""
    for at in range(0, parts.count, PAGE):
        numbers = range(at, min(at + PAGE, parts.count))
        found = await world.store.get([parts.key(number) for number in numbers])
        tasks = [task if task is not None and task.state is State.SUCCEEDED else None for task in found]
        lost = [place for place, task in enumerate(tasks) if task is None] if parts.speculate else []
        copies = await world.store.get([parts.key(at + place + parts.count) for place in lost]) if lost else []
        for place, copy in zip(lost, copies, strict=True):
            if copy is not None and copy.state is State.SUCCEEDED:
                tasks[place] = copy
        yield tasks


async def _listed(world: World, parts: Items, *, leaves_files: bool) -> AsyncIterator[bytes]:
    yield b"["
    comma = b""
    async for tasks in winners(world, parts):
        text = bytearray()
        for task in tasks:
            text += comma
            comma = b","
            result = task.result if task is not None else None
            if leaves_files and result is not None:
                text += b'{"value":'
            if result is not None and result.blob:
                yield bytes(text)
                text.clear()
                async for chunk in world.blobs.get(result.blob):
                    yield chunk
            else:
                text += (result.json if result is not None else b"") or b"null"
            if leaves_files and result is not None:
                files = {file.name: f"sha256:{file.sha256}" for file in result.files}
                text += b',"files":' + msgspec.json.encode(files) + b"}"
        yield bytes(text)
    yield b"]"


async def _of_shares(world: World, parts: Items) -> Result:
    results = [
        task.result
        async for tasks in winners(world, parts)
        for task in tasks
        if task is not None and task.result is not None
    ]
    if sum(result.size or len(result.json) for result in results) > MERGED_BYTES_MAX:
        return await kept(world, _one_after_the_other(world, results))
    lists = [await _content(world, result) for result in results]
    try:
        pairs = merged(lists)
    except msgspec.MsgspecError as error:
        raise NoList(f"The result of a share is not a list of [key, value]: {error}.") from None
    return await kept(world, one_chunk(msgspec.json.encode(pairs)))


async def _one_after_the_other(world: World, results: list[Result]) -> AsyncIterator[bytes]:
    """Lists as one list: the brackets between them become commas."""
    yield b"["
    filled = False
    for result in results:
        content = (await _content(world, result)).strip()
        if content in (b"[]", b"null"):
            continue
        if content[:1] != b"[":
            raise NoList("The result of a share is not a list of [key, value].")
        yield (b"," if filled else b"") + content[1:-1]
        filled = True
    yield b"]"


async def _content(world: World, result: Result) -> bytes:
    if result.blob:
        return await read_whole(world.blobs, result.blob)
    return result.json or b"[]"
