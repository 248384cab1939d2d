"""An app's source on its way in: looked through before anything is accepted, and kept as a blob."""

import asyncio
import functools
import hashlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from importlib import resources
from typing import BinaryIO, Final

from msgspec.structs import replace

from anchor.core.app import SOURCE_BYTES_MAX, WEB, AppConfig, Plan, Release
from anchor.core.detection import detected
from anchor.core.errors import Fault, InvalidRequest, OutOfSpace, TooLarge, Unprocessable
from anchor.core.spec import MIB
from anchor.failpoints import reached
from anchor.server.desk import Desk
from anchor.server.http import Call
from anchor.wire.source_archive import opened
from anchor.wire.source_packing import packed_files

ROOM_STEP_BYTES: Final = 8 * MIB
"""After so many bytes of an upload the disk is looked at again."""
READ_BYTES: Final = 256 * 1024
WORKER: Final = "worker"
TEMPLATE_FILES: Final = ("package.json", "package-lock.json", "server.js")


async def source_of(
    call: Call, source: str | None, files: Mapping[str, str] | None, config: AppConfig, *, works: bool
) -> tuple[str, Plan | None]:
    """The digest of the source that a request brings or names, with how to run it; no plan where it does neither."""
    if source is not None and files is not None:
        raise InvalidRequest(
            "The request has a source and files.",
            hint="Send one of them.",
            code="invalid_field",
            errors=[Fault("/files", "stands beside source")],
        )
    if files is not None:
        return await keep_files(call.desk, files, config, works=works)
    if source is not None:
        digest = source.removeprefix("sha256:")
        return digest, await plan_of(call.desk, digest, config, works=works)
    return "", None


async def plan_of(desk: Desk, source: str, config: AppConfig, *, works: bool = False) -> Plan:
    """How to run the archive that is the blob `source` (64 hex digits).

    `works` calls its only process WORKER, so that nothing is routed to it. Unprocessable, with what is wrong, where
    it is no archive, is not to be unpacked, or is no app.
    """
    size = await desk.world.blobs.size(source)
    if size is None:
        raise Unprocessable(
            f"The blob sha256:{source} is not here.",
            hint="Upload the archive with PUT /api/blobs/{sha256}, then send this again.",
            code="blob_missing",
            errors=[Fault("/source", f"names sha256:{source}")],
        )
    if size > SOURCE_BYTES_MAX:
        raise _too_large()
    with tempfile.TemporaryFile(dir=desk.scratch) as file:
        async for chunk in desk.world.blobs.get(source):
            await _write(file, chunk)
        return await _planned(desk, file, config, works)


async def keep_upload(call: Call, config: AppConfig, *, works: bool) -> tuple[str, Plan]:
    """Keep the archive that is the request's body: its digest, and how to run it. What is no app is not kept."""
    desk = call.desk
    announced = call.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > SOURCE_BYTES_MAX:
        raise _too_large()
    await desk.parts.require_room(int(announced) if announced.isdecimal() else 0)
    if not await desk.world.store.has_room():
        raise OutOfSpace(
            "What is left of the server's disk is needed by the work that is there.",
            hint="Free some disk space on the server and deploy again.",
        )
    with tempfile.TemporaryFile(dir=desk.scratch) as file:
        size = since = 0
        async for chunk in call.stream:
            size, since = size + len(chunk), since + len(chunk)
            if size > SOURCE_BYTES_MAX:
                raise _too_large()
            if since >= ROOM_STEP_BYTES:
                await desk.parts.require_room(since)
                since = 0
            await _write(file, chunk)
        if not size:
            raise InvalidRequest("The body is empty.", hint="Send a zip, a tar or a tar.gz.", code="bad_archive")
        plan = await _planned(desk, file, config, works)
        file.seek(0)
        digest, _ = await desk.world.blobs.put(_chunks(file))
        reached("app_sources.upload_kept")
    return digest, plan


async def keep_files(desk: Desk, files: Mapping[str, str], config: AppConfig, *, works: bool) -> tuple[str, Plan]:
    """Keep files given as text, packed: the archive's digest, and how to run it."""
    content = await asyncio.to_thread(packed_files, files)
    with tempfile.TemporaryFile(dir=desk.scratch) as file:
        await _write(file, content)
        plan = await _planned(desk, file, config, works)
    return await _keep(desk, content), plan


async def keep_template(desk: Desk) -> str:
    """The archive of the app to begin with, kept: its digest."""
    content = await asyncio.to_thread(_template)
    digest = hashlib.sha256(content).hexdigest()
    return digest if await desk.world.blobs.size(digest) is not None else await _keep(desk, content)


def is_worker(newest: Release) -> bool:
    """Whether what this app runs is not to be routed to."""
    return set(newest.plan.processes) == {WORKER}


async def _write(file: BinaryIO, content: bytes) -> None:
    try:
        await asyncio.to_thread(file.write, content)
    except OSError as error:
        raise OutOfSpace(
            f"The archive cannot be kept: {error.strerror or error}.",
            hint="Free some disk space on the server and deploy again.",
        ) from error


async def _planned(desk: Desk, file: BinaryIO, config: AppConfig, works: bool) -> Plan:
    try:
        async with desk.inspecting:
            plan = await asyncio.to_thread(_look_through, file, config)
    except InvalidRequest as error:
        raise Unprocessable(error.message, hint=error.hint, code=error.code, errors=error.errors) from None
    if works and set(plan.processes) == {WEB}:
        plan = replace(plan, processes={WORKER: plan.processes[WEB]})
    return plan


def _look_through(file: BinaryIO, config: AppConfig) -> Plan:
    file.seek(0)
    return detected(opened(file).files, config)


async def _keep(desk: Desk, content: bytes) -> str:
    await desk.parts.require_room(len(content))

    async def once() -> AsyncIterator[bytes]:
        yield content

    digest, _ = await desk.world.blobs.put(once())
    reached("app_sources.files_kept")
    return digest


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await asyncio.to_thread(file.read, READ_BYTES):
        yield chunk


@functools.cache
def _template() -> bytes:
    folder = resources.files("anchor.server").joinpath("template")
    return packed_files({name: folder.joinpath(name).read_bytes() for name in TEMPLATE_FILES})


def _too_large() -> TooLarge:
    return TooLarge(
        f"The source of an app may be at most {SOURCE_BYTES_MAX // MIB} MiB, packed.",
        hint="Leave out what the app does not need: a file .anchorignore lists it for `anchor app deploy`.",
    )
