"""The rules that make what a user submits valid, beyond its types: every one that a spec breaks, with its place."""

import base64
import binascii
import re

from anchor.core.comparison import WrongExpression
from anchor.core.errors import Fault
from anchor.core.expression import parse
from anchor.core.file_names import clash_among, fault_in_name, fault_in_pattern
from anchor.core.inputs import input_faults
from anchor.core.pieces import piece_of
from anchor.core.spec import Payload, TaskSpec, blob_of, runtime_of
from anchor.core.verification import Verify, faults_in_policy, policy_of

ENTRY_MODULE = "main.js"
"""What the other modules of a task import `sourceCode` as."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DEPENDENCY = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@/._\-\[\],=<>!~^*+ |]*")


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
