"""Map-reduce: what a user asks for, and the graph of two parallel steps that carries it out."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from anchor.core.dag import From, Graph, Step
from anchor.core.errors import Fault
from anchor.core.pieces import piece_of
from anchor.core.spec import (
    MIB,
    Label,
    Limits,
    Name,
    Payload,
    Requirements,
    RetryPolicy,
    TaskSpec,
    VerifyWish,
    runtime_of,
)

MAPS_MAX = 200
"""Map tasks of one job: a reducer gets a file of each, and a task has no more files."""
REDUCERS_MAX = 100
REDUCERS = 4
MAPS_WANTED = 16
CHUNK_BYTES_MIN, CHUNK_BYTES_MAX = 4 * MIB, 64 * MIB
"""A blob is cut into MAPS_WANTED pieces where these are neither smaller nor larger than this."""
PARTS = "part-*"

Kind = Literal["python", "javascript", "command", "program"]
"""How a task's map or reduce is run: a function in one of two languages, a command that reads lines and prints lines,
or a program that reads and writes the files of the shuffle itself."""


class Source(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """What is mapped, as one of three: a `list` of values; a `blob` (`sha256:…`), cut at line ends or at any byte into
    pieces of about `chunk_mb` MiB; `files`, each a reference to a blob or a piece of one."""

    values: list[Any] | None = msgspec.field(name="list", default=None)
    blob: str | None = None
    split: Literal["lines", "bytes"] = "lines"
    chunk_mb: Annotated[float, Meta(gt=0, le=100_000)] | None = None
    files: Annotated[list[str], Meta(max_length=MAPS_MAX)] | None = None


class MapReduce(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A map-reduce job as submitted. `combine` is source text that defines `combine(key, values)`, which runs in the
    map task. What stands beside `map` and `reduce` holds for the tasks of both."""

    name: Name
    input: Source
    map: Payload
    reduce: Payload
    combine: str | None = None
    reducers: Annotated[int, Meta(ge=1, le=REDUCERS_MAX)] = REDUCERS
    requirements: Requirements = Requirements()
    limits: Limits = Limits()
    retry: RetryPolicy = RetryPolicy()
    verify: VerifyWish = "none"
    speculate: bool = True
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    labels: Annotated[list[Label], Meta(max_length=32)] = []


def kind_of(payload: Payload) -> Kind:
    """How this payload's map or reduce is run."""
    runtime = runtime_of(TaskSpec(name="map", payload=payload))
    if runtime in ("wasm", "container"):
        return "program"
    if payload.command is not None:
        return "command"
    return "python" if runtime == "python" or payload.language == "python" else "javascript"


def faults_in_job(job: MapReduce) -> list[Fault]:
    """What is wrong with a job beyond its payloads, which are checked as those of steps."""
    faults: list[Fault] = []
    fields = (("list", job.input.values), ("blob", job.input.blob), ("files", job.input.files))
    given = [name for name, value in fields if value is not None]
    if len(given) != 1:
        what = f"has {' and '.join(given)}" if given else "is empty"
        faults.append(Fault("/input", f"{what}; give exactly one of list, blob and files"))
    if job.input.blob is not None:
        piece = piece_of(job.input.blob)
        if piece is None or not piece.is_whole:
            faults.append(Fault("/input/blob", "is not sha256:… of an uploaded blob"))
    faults += [
        Fault(f"/input/files/{at}", "is not sha256:… of an uploaded blob, or sha256:…[start:end]")
        for at, reference in enumerate(job.input.files or [])
        if piece_of(reference) is None
    ]
    if job.combine is not None and kind_of(job.map) not in ("python", "javascript"):
        faults.append(Fault("/combine", "needs a map that is a function in JavaScript or Python"))
    for name, payload in (("map", job.map), ("reduce", job.reduce)):
        kind = kind_of(payload)
        if payload.outputs:
            faults.append(Fault(f"/{name}/outputs", "are the job's own; leave them out"))
        if kind == "command" and (payload.stdin is not None or payload.language == "javascript"):
            faults.append(Fault(f"/{name}/command", "gets the lines on its stdin, and goes with no language"))
        if kind == "program" and job.input.values is not None and name == "map":
            faults.append(Fault("/input/list", "needs a map that is a function; upload it as a blob or files"))
        if kind == "command" and job.input.values is not None and name == "map":
            faults.append(Fault("/input/list", "needs a map that is a function; upload it as a blob of lines"))
    return faults


def batches(values: Sequence[Any]) -> list[list[Any]]:
    """A list as at most MAPS_MAX lists of about the same length, in order; each is what one map task gets."""
    tasks = min(len(values), MAPS_MAX)
    cuts = [len(values) * at // tasks for at in range(tasks + 1)] if tasks else [0]
    return [list(values[start:end]) for start, end in pairwise(cuts)]


def chunk_bytes(size: int, chunk_mb: float | None) -> int:
    """How large the pieces of a blob are to be: as asked, or MAPS_WANTED of them; never so small that there are more
    than MAPS_MAX."""
    if chunk_mb is not None:
        wanted = int(chunk_mb * MIB)
    else:
        wanted = min(max(-(-size // MAPS_WANTED), CHUNK_BYTES_MIN), CHUNK_BYTES_MAX)
    return max(wanted, -(-size // MAPS_MAX), 1)


def graph_of(job: MapReduce, items: Sequence[Any], harness: Mapping[str, str]) -> Graph:
    """The job as a graph of the steps `map` and `reduce`. `items` are what the map tasks get; `harness` has our text
    by language."""
    over_values = job.input.values is not None
    over = "values" if over_values else "bytes" if job.input.blob and job.input.split == "bytes" else "text"
    env = {"ANCHOR_REDUCERS": str(job.reducers), "ANCHOR_MAP_OVER": over}
    mapping = replace(_run_by(job.map, "map", harness, job.combine), outputs=[PARTS])
    mapping = replace(mapping, env={**mapping.env, **env})
    first = Step(
        id="map",
        type="parallel",
        payload=mapping,
        items=list(items),
        over="values" if over_values else "files",
        requirements=job.requirements,
        limits=job.limits,
        retry=job.retry,
        verify=job.verify,
        speculate=job.speculate,
    )
    second = replace(
        first,
        id="reduce",
        payload=_run_by(job.reduce, "reduce", harness, None),
        items=From(step="map"),
        dependencies=["map"],
        over="shuffle",
    )
    return Graph(name=job.name, steps=[first, second], priority=job.priority, labels=job.labels)


def _run_by(payload: Payload, function: str, harness: Mapping[str, str], combine: str | None) -> Payload:
    """The payload with what calls its function; the user's source comes first, so that its lines keep their numbers."""
    kind = kind_of(payload)
    if kind == "program" or not (payload.source_code or payload.command):
        return payload
    source = f"{payload.source_code or ''}\n{combine or ''}\n"
    if kind == "javascript":
        combiner = 'typeof combine === "function" ? combine : null'
        own = f"typeof {function} === 'function' ? {function} : null"
        call = f"return await _anchor.{function}({own}{', ' + combiner if function == 'map' else ''});\n"
        return replace(payload, source_code=source + harness["javascript"] + call)
    call = f"\nresult = _anchor_{function}(globals())\n"
    if kind == "python":
        return replace(payload, source_code=source + harness["python"] + call)
    command = msgspec.json.encode([*(payload.command or []), *payload.args]).decode()
    return replace(
        payload,
        runtime="native",
        command=None,
        args=[],
        language="python",
        source_code=harness["python"] + call,
        env={**payload.env, "ANCHOR_COMMAND": command},
    )
