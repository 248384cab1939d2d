"""What a language brings into a cell: its interpreter, the task's packages, and the environment that finds them."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from anchor.agent.job import Emit, Job
from anchor.agent.runtimes.native.environments import Environments
from anchor.agent.runtimes.native.installer import inside_name
from anchor.agent.runtimes.native.toolchains import python_toolchain
from anchor.agent.sandbox.confinement import Confinement, Mount

_HEAP_SHARE = 0.9
"""Node's heap as a share of the memory limit: V8 then collects harder before the watcher has to kill."""


class Provided(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter and packages as a task sees them: `starter` runs a script, `path` goes before the system's."""

    starter: list[str]
    runner: str
    mounts: tuple[Mount, ...]
    path: tuple[str, ...]
    env: dict[str, str]


@asynccontextmanager
async def provided(
    language: str, job: Job, environments: Environments, confinement: Confinement, emit: Emit
) -> AsyncIterator[Provided]:
    """A language made ready for a job; its packages are kept while the context is open."""
    async with AsyncExitStack() as stack:
        provide = _python if language == "python" else _javascript
        yield await provide(job, environments, confinement, emit, stack)


async def _python(
    job: Job, environments: Environments, confinement: Confinement, emit: Emit, stack: AsyncExitStack
) -> Provided:
    tool = python_toolchain()
    base = Mount(tool.prefix, inside_name(tool.prefix, "/anchor/python"))
    seen_as = base.seen(confinement)
    folder = await stack.enter_async_context(environments.python(job.payload.dependencies, seen_as, emit))
    packages = Mount(folder, "/anchor/env")
    root = packages.seen(confinement)
    env = {"VIRTUAL_ENV": root, "PYTHONDONTWRITEBYTECODE": "1"}
    if tool.has_shared_library and confinement.level == "confined":
        env["LD_LIBRARY_PATH"] = f"{seen_as}/lib"
    return Provided(
        starter=[f"{root}/bin/python"],
        runner="runner.py",
        mounts=(base, packages),
        path=(f"{root}/bin",),
        env=env,
    )


async def _javascript(
    job: Job, environments: Environments, confinement: Confinement, emit: Emit, stack: AsyncExitStack
) -> Provided:
    node = await environments.node(emit)
    binary = Mount(node.program, inside_name(node.program, "/anchor/node/bin/node"))
    program = binary.seen(confinement)
    mounts, path = [binary], [str(Path(program).parent)]
    if job.payload.dependencies:
        folder = await stack.enter_async_context(environments.javascript(job.payload.dependencies, node, emit))
        packages = Mount(folder, "/anchor/env")
        modules = f"{packages.seen(confinement)}/node_modules"
        # Both `require` and `import` look beside the script; Node's search path is for `require` only.
        (job.directory / "node_modules").symlink_to(modules)
        mounts.append(packages)
        path.insert(0, f"{modules}/.bin")
    heap_mib = max(int(job.limits.memory_mib * _HEAP_SHARE), 16)
    return Provided(
        starter=[program, f"--max-old-space-size={heap_mib}"],
        runner="runner.mjs",
        mounts=tuple(mounts),
        path=tuple(path),
        env={},
    )
