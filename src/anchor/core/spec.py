"""What a user submits: a task's code, needs, limits and policies. The rules of meaning are in `spec_faults`."""

import functools
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from anchor.core.inputs import InputValue as InputValue
from anchor.core.pieces import piece_of
from anchor.core.verification import Verify

Runtime = Literal["isolate", "wasm", "python", "native", "container"]
Language = Literal["javascript", "python"]

INLINE_BYTES_MAX = 64 * 1024
"""Values above this travel and rest as blobs, never inside a document."""
TASKS_PER_REQUEST_MAX = 10_000
NAME_LENGTH_MAX = 200
FILES_MAX = 200
"""Input files, output patterns or modules of one task; more travel as one archive."""
MIB = 1024 * 1024

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Label = Annotated[str, Meta(min_length=1, max_length=100)]
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class _Spec(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    pass


class Payload(_Spec, frozen=True):
    """The work itself. `module` is base64 or the `sha256:…` of an uploaded blob; `input` is any JSON value.

    `files` are inputs in the working directory: a relative path with `/` → the `sha256:…` of an uploaded blob, or
    `sha256:…[start:end]` for its bytes from `start` to before `end` (either may be left out).
    `outputs` are glob patterns of the files to keep once it has succeeded (`**` for any depth). `modules` are more ES
    modules beside `sourceCode`: a relative path → its source. `network` asks for the network, which the node's owner
    has to allow. `deterministic` asks wasm for a virtual clock and seeded chance, so that copies agree byte for byte.
    `image` is what runtime container runs. `inputs` are values by name beside `input`: those of a step are the results
    of the steps it depends on.
    """

    source_code: str | None = None
    module: str | None = None
    command: Annotated[list[str], Meta(max_length=1000)] | None = None
    language: Language | None = None
    runtime: Literal["isolate", "isolated-vm", "wasm", "python", "native", "container"] | None = None
    dependencies: Annotated[list[Annotated[str, Meta(min_length=1, max_length=200)]], Meta(max_length=100)] = []
    function: str | None = None
    args: Annotated[list[Any], Meta(max_length=1000)] = []
    env: dict[str, str] = {}
    stdin: str | None = None
    input: Any = None
    files: Annotated[dict[str, str], Meta(max_length=FILES_MAX)] = {}
    outputs: Annotated[list[str], Meta(max_length=FILES_MAX)] = []
    modules: Annotated[dict[str, str], Meta(max_length=FILES_MAX)] = {}
    network: bool = False
    deterministic: bool = False
    image: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    inputs: dict[str, InputValue] = {}


class Requirements(_Spec, frozen=True):
    """What a node must have: `min_ram` in GiB, `min_cores` logical cores, every one of `labels`; and what `expression`
    says of it (see docs/placement.md)."""

    min_ram: Annotated[float, Meta(ge=0, le=1_000_000)] = 0
    min_cores: Annotated[int, Meta(ge=0, le=100_000)] = 0
    gpu_required: bool = False
    labels: Annotated[list[Label], Meta(max_length=32)] = []
    expression: Annotated[str, Meta(max_length=1000)] = ""


class Limits(_Spec, frozen=True):
    """What an attempt may use; what is left out is the runtime's default (`DEFAULT_LIMITS`). `fuel` is counted for
    wasm only, about one unit an instruction; `disk_mb` is what it may keep in its working directory."""

    memory_mb: Annotated[int, Meta(ge=16, le=1_048_576)] | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=604_800)] | None = None
    output_bytes: Annotated[int, Meta(ge=0, le=64 * MIB)] = MIB
    disk_mb: Annotated[int, Meta(ge=1, le=1_048_576)] = 1024
    fuel: Annotated[int, Meta(ge=1, le=(1 << 63) - 1)] | None = None


class RetryPolicy(_Spec, frozen=True):
    """How often a task is tried and how long it waits before the second attempt (doubling, capped at 60 s). A failure
    with one of the codes `non_retryable` is not tried again."""

    attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    backoff_seconds: Annotated[float, Meta(ge=0, le=3600)] = 2.0
    non_retryable: Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=32)] = []


VerifyWish = Verify | Literal["none", "quorum", "adaptive"]
"""A policy, or the name of one with all its defaults."""


class TaskSpec(_Spec, frozen=True):
    """One unit of work as submitted. `noop` is the task that does nothing: it measures the way there and back."""

    name: Name
    type: Literal["script", "wasm", "noop"] = "script"
    payload: Payload | None = None
    requirements: Requirements = Requirements()
    limits: Limits = Limits()
    retry: RetryPolicy = RetryPolicy()
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    labels: Annotated[list[Label], Meta(max_length=32)] = []
    verify: VerifyWish = "none"


class Need(msgspec.Struct, frozen=True, omit_defaults=True):
    """What placement looks at: tasks with the same need are interchangeable to it. `memory_mib` is the limit the task
    asked for (0: the runtime's default, cut to what the node offers); `features` are those of FEATURES it uses;
    `expression` is that of the requirements."""

    runtime: str = "noop"
    min_ram_gib: float = 0
    min_cores: int = 0
    gpu: bool = False
    labels: tuple[str, ...] = ()
    memory_mib: int = 0
    features: tuple[str, ...] = ()
    expression: str = ""


class ResolvedLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """The limits an attempt runs under, every default filled in."""

    memory_mib: int
    timeout_seconds: float
    output_bytes: int
    disk_mib: int = 1024
    fuel: int = 0
    """0: as much as the time allows."""


DEFAULT_LIMITS: dict[str, tuple[int, float]] = {
    "noop": (16, 30.0),
    "isolate": (128, 30.0),
    "wasm": (256, 60.0),
    "python": (256, 60.0),
    "native": (2048, 600.0),
    "container": (2048, 600.0),
}
"""Memory in MiB and time in seconds, by runtime."""
FEATURES: dict[str, str] = {
    "files": "does not move files",
    "modules": "does not run several modules",
    "network": "gives tasks no network",
    "deterministic": "has no deterministic profile",
    "inputs": "hands over no inputs by name",
    "seals": "does not sign single answers",
    "apps": "hosts no apps",
}
"""What a task, or an app, can ask of a node beyond its runtime, and what to say of a node that does not offer it."""


def runtime_of(spec: TaskSpec) -> str:
    """The runtime a task runs in: as asked, or what its type and language imply."""
    if spec.type == "noop":
        return "noop"
    payload = spec.payload or Payload()
    if payload.runtime == "isolated-vm":
        return "isolate"
    if payload.runtime is not None:
        return payload.runtime
    if payload.image is not None:
        return "container"
    if spec.type == "wasm" or payload.module is not None:
        return "wasm"
    if payload.command is not None or payload.dependencies or payload.language == "python":
        return "native"
    return "isolate"


_NOOP_NEED = Need()
_NO_PAYLOAD = Payload()
_NO_REQUIREMENTS = Requirements()


def need_of(spec: TaskSpec) -> Need:
    """What a node must offer to run this task."""
    wants = spec.requirements
    if spec.type == "noop" and wants == _NO_REQUIREMENTS:
        return _NOOP_NEED
    runtime = runtime_of(spec)
    return Need(
        runtime=runtime,
        min_ram_gib=wants.min_ram,
        min_cores=wants.min_cores,
        gpu=wants.gpu_required,
        labels=tuple(sorted(set(wants.labels))),
        memory_mib=spec.limits.memory_mb or 0,
        features=_features_of(spec.payload or _NO_PAYLOAD, spec.limits),
        expression=wants.expression,
    )


def _features_of(payload: Payload, limits: Limits) -> tuple[str, ...]:
    uses = {
        "files": bool(payload.files or payload.outputs),
        "modules": bool(payload.modules),
        "network": payload.network,
        "deterministic": payload.deterministic or limits.fuel is not None,
        "inputs": bool(payload.inputs),
    }
    return tuple(name for name, used in uses.items() if used)


@functools.lru_cache(maxsize=4096)
def shape_of(need: Need) -> str:
    """The text under which the ready queue files tasks with this need."""
    return msgspec.json.encode(need).decode()


@functools.lru_cache(maxsize=4096)
def need_of_shape(shape: str) -> Need:
    """The need behind a shape."""
    return msgspec.json.decode(shape, type=Need)


def limits_for(runtime: str, asked: Limits) -> ResolvedLimits:
    """The limits of an attempt in this runtime with its defaults filled in."""
    memory_mib, timeout_seconds = DEFAULT_LIMITS[runtime]
    return ResolvedLimits(
        memory_mib=asked.memory_mb if asked.memory_mb is not None else memory_mib,
        timeout_seconds=asked.timeout_seconds if asked.timeout_seconds is not None else timeout_seconds,
        output_bytes=asked.output_bytes,
        disk_mib=asked.disk_mb,
        fuel=asked.fuel or 0,
    )


def blob_of(module: str) -> str | None:
    """The hex SHA-256 where `module` names a blob, None where it carries the bytes themselves."""
    return module.removeprefix("sha256:") if _DIGEST.fullmatch(module) else None


def blobs_named(payload: Payload) -> tuple[str, ...]:
    """The hex SHA-256 of every blob that a payload names."""
    if not (payload.files or payload.module or payload.inputs):
        return ()
    texts = [*payload.files.values(), payload.module or "", *(one.blob or "" for one in payload.inputs.values())]
    return tuple(piece.digest for text in texts if (piece := piece_of(text)) is not None)
