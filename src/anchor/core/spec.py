"""What a user submits: a task's code, needs, limits and retry policy, and the rules that make it valid."""

import base64
import binascii
import functools
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from anchor.core.comparison import WrongExpression
from anchor.core.errors import Fault
from anchor.core.expression import parse
from anchor.core.file_names import clash_among, fault_in_name, fault_in_pattern
from anchor.core.inputs import InputValue as InputValue
from anchor.core.inputs import input_faults
from anchor.core.pieces import piece_of
from anchor.core.verification import Verify, faults_in_policy, policy_of

Runtime = Literal["isolate", "wasm", "python", "native", "container"]
Language = Literal["javascript", "python"]

INLINE_BYTES_MAX = 64 * 1024
"""Values above this travel and rest as blobs, never inside a document."""
TASKS_PER_REQUEST_MAX = 10_000
NAME_LENGTH_MAX = 200
FILES_MAX = 200
"""Input files, output patterns or modules of one task; more travel as one archive."""
ENTRY_MODULE = "main.js"
"""What the other modules of a task import `sourceCode` as."""
MIB = 1024 * 1024

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH_MAX)]
Label = Annotated[str, Meta(min_length=1, max_length=100)]
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEPENDENCY = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@/._\-\[\],=<>!~^*+ |]*")


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
}
"""What a task can ask of a node beyond its runtime, and what to say of a node that does not offer it."""


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


def faults_in(spec: TaskSpec, at: str) -> list[Fault]:
    """Every rule of meaning (not of type) that a spec breaks; `at` is the JSON pointer of the spec itself."""
    faults: list[Fault] = []
    if _CONTROL.search(spec.name):
        faults.append(Fault(f"{at}/name", _control_in(spec.name)))
    for number, label in enumerate(spec.labels):
        if _CONTROL.search(label):
            faults.append(Fault(f"{at}/labels/{number}", _control_in(label)))
    if spec.requirements.expression:
        try:
            parse(spec.requirements.expression)
        except WrongExpression as wrong:
            where = f"{at}/requirements/expression"
            faults.append(Fault(where, f"{wrong.message} (column {wrong.column})"))
    if isinstance(spec.verify, Verify):
        faults.extend(faults_in_policy(spec.verify, f"{at}/verify"))
    if spec.type == "noop" and policy_of(spec.verify) is not None:
        faults.append(Fault(f"{at}/verify", "a noop task has no answer to check; leave it out"))
    if spec.type == "noop":
        if spec.payload is not None and _asks_for_work(spec.payload):
            faults.append(Fault(f"{at}/payload", "a noop task runs nothing; use type script, or leave the code out"))
        if spec.payload is not None:
            faults += input_faults(spec.payload.inputs, f"{at}/payload/inputs")
        return faults
    if spec.payload is None:
        faults.append(Fault(f"{at}/payload", "is missing; a task needs sourceCode, module or command"))
        return faults
    faults += _payload_faults(spec, spec.payload, f"{at}/payload")
    if spec.limits.fuel is not None and (runtime := runtime_of(spec)) != "wasm":
        faults.append(Fault(f"{at}/limits/fuel", f"is counted for wasm only, not for {runtime}; leave it out"))
    return faults


def _asks_for_work(payload: Payload) -> bool:
    code = payload.source_code or payload.module or payload.command or payload.image
    return bool(code or payload.files or payload.outputs or payload.modules)


_CODE_OF = {
    "isolate": ["sourceCode"],
    "python": ["sourceCode"],
    "wasm": ["module"],
    "native": ["sourceCode", "command"],
    "container": ["command"],
}
"""Where the code of a task is, by runtime."""


def _control_in(text: str) -> str:
    if "\0" in text:
        return "contains a NUL character; remove it"
    return "contains a control character (a line break, a tab, an escape sequence); remove it"


def _payload_faults(spec: TaskSpec, payload: Payload, at: str) -> list[Fault]:
    faults: list[Fault] = []
    runtime = runtime_of(spec)
    given = [
        name
        for name, value in (
            ("sourceCode", payload.source_code),
            ("module", payload.module),
            ("command", payload.command),
        )
        if value is not None
    ]
    accepts = _CODE_OF[runtime]
    if not given and runtime != "container":
        faults.append(Fault(f"{at}/{accepts[0]}", f"is missing; runtime {runtime} needs it"))
    elif len(given) > 1:
        faults.append(Fault(f"{at}/{given[1]}", f"cannot be combined with {given[0]}; send one of them"))
    elif given and given[0] not in accepts:
        wanted = " or ".join(accepts)
        faults.append(Fault(f"{at}/{given[0]}", f"does not go with runtime {runtime}, which takes {wanted}"))
    if payload.source_code is not None and not payload.source_code.strip():
        faults.append(Fault(f"{at}/sourceCode", "is empty"))
    if payload.command is not None and (not payload.command or not payload.command[0]):
        faults.append(Fault(f"{at}/command", "is empty; its first item is the program to run"))
    if payload.module is not None and blob_of(payload.module) is None:
        faults.extend(_module_faults(payload.module, f"{at}/module"))
    if payload.dependencies and runtime != "native":
        faults.append(Fault(f"{at}/dependencies", f"need runtime native; {runtime} cannot install packages"))
    if runtime == "isolate" and payload.language == "python":
        faults.append(Fault(f"{at}/language", "isolate runs javascript; use runtime native or python"))
    if runtime == "python" and payload.language == "javascript":
        faults.append(Fault(f"{at}/language", "runtime python runs python; use runtime isolate or native"))
    if payload.function is not None and runtime != "wasm":
        faults.append(Fault(f"{at}/function", "names an exported function of a wasm module; use runtime wasm"))
    faults.extend(
        Fault(f"{at}/dependencies", f"{dependency!r} is not a package name; write name or name@version")
        for dependency in payload.dependencies
        if not _DEPENDENCY.fullmatch(dependency)
    )
    faults.extend(
        Fault(f"{at}/env", f"{name!r} is not a usable environment variable")
        for name, value in payload.env.items()
        if not _ENV_NAME.fullmatch(name) or "\0" in value
    )
    if runtime != "wasm" or payload.function is None:
        texts = [*payload.args, *(payload.command or [])]
        if any(not isinstance(text, str) or "\0" in text for text in texts):
            faults.append(Fault(f"{at}/args", "must be strings without NUL (typed arguments go with function)"))
    more = (
        _wish_faults(payload, runtime, at),
        _file_faults(payload, at),
        _bundle_faults(payload, runtime, at),
        input_faults(payload.inputs, f"{at}/inputs"),
    )
    return faults + [fault for some in more for fault in some]


def _wish_faults(payload: Payload, runtime: str, at: str) -> list[Fault]:
    """What is asked of a runtime that cannot give it."""
    faults: list[Fault] = []
    if payload.network and runtime not in ("native", "container"):
        faults.append(Fault(f"{at}/network", f"needs runtime native or container; {runtime} has no network"))
    if payload.deterministic and runtime != "wasm":
        faults.append(Fault(f"{at}/deterministic", f"needs runtime wasm; {runtime} has no deterministic profile"))
    if runtime == "container" and payload.image is None:
        faults.append(Fault(f"{at}/image", "is missing; runtime container needs the name of an image"))
    if runtime != "container" and payload.image is not None:
        faults.append(Fault(f"{at}/image", f"needs runtime container; {runtime} runs no images"))
    if payload.image is not None and (_CONTROL.search(payload.image) or payload.image.startswith("-")):
        faults.append(Fault(f"{at}/image", "is not the name of an image; write one such as alpine:3.20"))
    return faults


def _file_faults(payload: Payload, at: str) -> list[Fault]:
    faults: list[Fault] = []
    for name, blob in payload.files.items():
        here = f"{at}/files/{_token(name)}"
        if (wrong := fault_in_name(name)) is not None:
            faults.append(Fault(here, wrong))
        if piece_of(blob) is None:
            faults.append(Fault(here, _no_reference(blob)))
    if (clash := clash_among(payload.files)) is not None:
        faults.append(Fault(f"{at}/files/{_token(clash[0])}", f"is a file, and the folder of {clash[1]}; rename one"))
    for number, pattern in enumerate(payload.outputs):
        if (wrong := fault_in_pattern(pattern)) is not None:
            faults.append(Fault(f"{at}/outputs/{number}", wrong))
    return faults


def _no_reference(text: str) -> str:
    if blob_of(text.partition("[")[0]) is not None:
        return "does not name bytes of its blob; write sha256:…[start:end] with a start below the end"
    return "is not sha256:… of an uploaded blob; upload it with PUT /api/blobs/{sha256}"


def _bundle_faults(payload: Payload, runtime: str, at: str) -> list[Fault]:
    if not payload.modules:
        return []
    if runtime != "isolate" or payload.source_code is None:
        return [Fault(f"{at}/modules", "go beside sourceCode in runtime isolate only; put them into files instead")]
    faults: list[Fault] = []
    for name in payload.modules:
        wrong = "is the name of sourceCode itself; choose another" if name == ENTRY_MODULE else fault_in_name(name)
        if wrong is not None:
            faults.append(Fault(f"{at}/modules/{_token(name)}", wrong))
    if (clash := clash_among(payload.modules)) is not None:
        faults.append(Fault(f"{at}/modules/{_token(clash[0])}", f"is also the folder of {clash[1]}; rename one"))
    return faults


def _token(key: str) -> str:
    """A key as it stands in a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def _module_faults(module: str, at: str) -> list[Fault]:
    try:
        head = base64.b64decode(module, validate=True)[:4]
    except (binascii.Error, ValueError):
        return [Fault(at, "is neither base64 nor sha256:… of an uploaded blob")]
    if head != b"\0asm":
        return [Fault(at, "is not WebAssembly: it does not begin with the bytes 00 61 73 6d")]
    return []
