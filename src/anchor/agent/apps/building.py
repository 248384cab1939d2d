"""From an app's archive to something that its replicas run: fetched, unpacked, its dependencies installed, built.

Everything that costs something is kept under what it was made from, so that the next release with the same source, the
same lock or the same build finds it there.
"""

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from anchor.agent.apps import languages
from anchor.agent.apps.built import Built, CannotBuild
from anchor.agent.apps.fetching import fetched
from anchor.agent.apps.languages import Ready
from anchor.agent.apps.making import make_tree
from anchor.agent.files.room import NoRoom, spare_bytes
from anchor.agent.job import Emit
from anchor.agent.parcels import Parcels
from anchor.agent.runtimes.native.environments import Environments, key_of
from anchor.agent.runtimes.native.installer import CannotInstall
from anchor.agent.runtimes.native.shelf import Shelf
from anchor.agent.sandbox.confinement import Confinement, Mount
from anchor.agent.threads import in_thread
from anchor.core.app import WEB, Plan
from anchor.core.attempt import Reason
from anchor.core.detection import READ_BYTES_MAX, SITE_FOLDERS, is_read
from anchor.core.errors import AnchorError, Unavailable
from anchor.core.node_source import LOCKS
from anchor.core.spec import MIB
from anchor.wire.link import HostItem
from anchor.wire.source_archive import opened

TREES_MAX: Final = 64
TREES_BYTES_MAX: Final = 16 * 1024 * MIB
"""Of unpacked sources, and of finished trees, each."""
BUILDS_MAX: Final = 2
"""Builds at a time; each may use gigabytes."""
LOCK_BYTES_MAX: Final = 32 * MIB
_OFFLINE: Final = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|error sending request|dns error|"
    r"error trying to connect|operation timed out|Failed to fetch",
    re.IGNORECASE,
)
"""What installers say where it is the node that does not reach their registry."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_BUILT_SITES: Final = (*SITE_FOLDERS[1:], "out")


class Builds:
    """The builds of one agent, below `state`/apps. `environments` installs, `parcels` fetches."""

    def __init__(self, state: Path, environments: Environments, confinement: Confinement, parcels: Parcels) -> None:
        self._state = state / "apps"
        self._environments = environments
        self._confinement = confinement
        self._parcels = parcels
        self._slots = asyncio.Semaphore(BUILDS_MAX)
        bounds = {"count_max": TREES_MAX, "bytes_max": TREES_BYTES_MAX}
        self._sources = Shelf(self._state / "sources", **bounds)
        self._trees = Shelf(self._state / "trees", **bounds)

    async def prepare(self) -> None:
        """Make the folders and remove what an interrupted build left."""
        await in_thread(self._sources.prepare)
        await in_thread(self._trees.prepare)

    @asynccontextmanager
    async def kept(self, item: HostItem, emit: Emit) -> AsyncIterator[Built]:
        """What the release of `item` is made into, kept while the context is open; CannotBuild with the reason.

        `emit` is told (as `progress`) what installers and the build say. Cancelling ends the build.
        """
        async with AsyncExitStack() as stack:
            with _reasons():
                built = await self._built(item, emit, stack)
            yield built

    async def _built(self, item: HostItem, emit: Emit, stack: AsyncExitStack) -> Built:
        plan = item.plan
        source = await stack.enter_async_context(self._sources.kept(_hex(item.source), self._unpacking(item, emit)))
        files = await in_thread(_files_of, source)
        given = await self._lock(_hex(item.lock), stack) if item.lock else None
        language = languages.provided(item, files, given, self._environments, self._confinement, self._state, emit)
        ready = await stack.enter_async_context(language)
        tree = await self._tree(item, source, ready, emit, stack)
        processes = dict(plan.processes)
        mounts, path = ready.mounts, ready.path
        if plan.kind == "static":
            tree, processes[WEB], server = await self._site(plan, tree)
            mounts += server
        return Built(
            source=tree,
            mounts=tuple({mount.inside: mount for mount in mounts}.values()),
            env=dict(ready.env),
            path=path,
            lock=ready.lock,
            processes=processes,
        )

    async def _lock(self, digest: str, stack: AsyncExitStack) -> bytes:
        async def make(folder: Path) -> None:
            await fetched(self._parcels, digest, folder / "lock")

        folder = await stack.enter_async_context(self._sources.kept(f"lock-{digest}", make))
        if (folder / "lock").stat().st_size > LOCK_BYTES_MAX:
            raise Unavailable("The versions that an earlier build settled on are too many.", hint="Deploy it again.")
        return await in_thread((folder / "lock").read_bytes)

    def _unpacking(self, item: HostItem, emit: Emit) -> "_Unpack":
        return _Unpack(self._parcels, _hex(item.source), self._state, emit)

    async def _tree(self, item: HostItem, source: Path, ready: Ready, emit: Emit, stack: AsyncExitStack) -> Path:
        """The source as it is run: itself, or a copy in which the build has run."""
        linked = ready.modules if self._confinement.level != "confined" else None
        in_the_way = ready.modules is not None and await in_thread(_is_no_folder, source / "node_modules")
        if not item.plan.build and linked is None and not in_the_way:
            return source

        async def make(folder: Path) -> None:
            async with self._slots:
                await make_tree(self._confinement, item, source, folder, ready, emit)

        lock = (ready.lock or b"").decode()
        made_with = [str(mount.outside) for mount in ready.mounts]
        key = key_of(_hex(item.source), lock, item.plan.build, made_with, str(linked))
        return await stack.enter_async_context(self._trees.kept(key, make))

    async def _site(self, plan: Plan, tree: Path) -> tuple[Path, str, tuple[Mount, ...]]:
        """The folder of a static site, which is all that its replicas have, the command that serves it, and what that
        needs in its cell."""
        alone = len(plan.processes) == 1
        root = await in_thread(_site_root, tree, plan)
        folder = "." if alone or not root else root
        served, mounts = languages.site_server(self._confinement, folder)
        return (tree / root if alone else tree), served, mounts


class _Unpack:
    """Fetches an archive and unpacks it into an empty folder."""

    def __init__(self, parcels: Parcels, digest: str, state: Path, emit: Emit) -> None:
        self._parcels = parcels
        self._digest = digest
        self._state = state
        self._emit = emit

    async def __call__(self, folder: Path) -> None:
        self._emit("progress", "fetching the source\n")
        file = folder.with_name(folder.name + ".archive")
        try:
            await fetched(self._parcels, self._digest, file)
            await in_thread(_unpack, file, folder)
        finally:
            await in_thread(file.unlink, missing_ok=True)


def _unpack(file: Path, folder: Path) -> None:
    with file.open("rb") as content:
        archive = opened(content)
        if spare_bytes(folder) < archive.unpacked_bytes:
            raise NoRoom(
                f"This node's disk has no room for the app's {archive.unpacked_bytes / MIB:.0f} MiB.",
                "Free some disk space there; other nodes may have room.",
            )
        archive.extract_to(folder)


def _files_of(folder: Path) -> dict[str, bytes | None]:
    """The files of a source that tell what it depends on, with their content."""
    found: dict[str, bytes | None] = {}
    for entry in os.scandir(folder):
        most = LOCK_BYTES_MAX if entry.name in LOCKS else READ_BYTES_MAX
        if entry.is_file() and (entry.name in LOCKS or is_read(entry.name)):
            found[entry.name] = Path(entry.path).read_bytes() if entry.stat().st_size <= most else None
    return found


def _is_no_folder(path: Path) -> bool:
    """Whether something else is where a folder is to be mounted."""
    return path.is_symlink() or path.is_file()


def _site_root(tree: Path, plan: Plan) -> str:
    """The folder that a site is served from, "" for all of it; CannotBuild where there is none in the tree."""
    roots = dict.fromkeys((plan.root, *_BUILT_SITES)) if plan.build else (plan.root,)
    for root in roots:
        if not plan.build and _is_within(tree, root):
            return root
        if root and _is_within(tree, root) and _is_within(tree, f"{root}/index.html"):
            return root
    looked = ", ".join(f"{root}/index.html" for root in roots)
    what = "The build ended well and left no index.html." if plan.build else "There is no folder to serve."
    raise CannotBuild(Reason("build_failed", what, f"Looked for {looked}. Set kind, or build."))


def _is_within(tree: Path, path: str) -> bool:
    """Whether this is there, and in the tree: a build may have left links to anywhere on the machine, and what is
    copied from here is copied by the agent."""
    place = os.path.realpath(tree / path)
    return os.path.exists(place) and Path(place).is_relative_to(os.path.realpath(tree))


def _hex(digest: str) -> str:
    found = digest.removeprefix("sha256:")
    if not _DIGEST.fullmatch(found):
        raise Unavailable(f"{digest[:100]!a} names no blob.", hint="Deploy the app again.")
    return found


@contextlib.contextmanager
def _reasons() -> Iterator[None]:
    """Turns what can go wrong into the reason why a release cannot be built."""
    try:
        yield
    except CannotInstall as error:
        code = "index_unreachable" if _OFFLINE.search(error.message) else error.code.value
        raise CannotBuild(Reason(code, error.message, error.hint)) from error
    except NoRoom as error:
        raise CannotBuild(Reason("no_room", error.message, error.hint)) from error
    except AnchorError as error:
        code = "source_unavailable" if error.code == "unavailable" else error.code
        raise CannotBuild(Reason(code, error.message, error.hint)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            full = Reason(
                "no_room", "This node's disk is full.", "Free some disk space there; other nodes may have room."
            )
            raise CannotBuild(full) from error
        what = f"This node could not prepare the app: {error.strerror or error}."
        raise CannotBuild(Reason("runtime_unavailable", what, "Run `anchor doctor` on the node.")) from error
