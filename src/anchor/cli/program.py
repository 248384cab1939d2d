"""What `anchor run` was given, as a payload: which runtime a file goes to, and what its options mean."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from anchor.cli.exits import Usage
from anchor.cli.imports import relative_imports
from anchor.core.spec import Language, Payload, Runtime

LANGUAGES: dict[str, Language] = {".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".py": "python"}
WASM_MAGIC = b"\0asm"


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A payload, a name for the task, and the bytes of its module where it is one."""

    name: str
    payload: Payload
    module: bytes | None = None

    def is_news(self, result: object) -> bool:
        """Whether a result says more than its reader knows: what a WASI program prints is its result, and a command
        that wrote no result.json has only its exit code."""
        if self.payload.source_code is not None or self.payload.function is not None:
            return result is not None
        return self.module is None and result not in (None, {"exitCode": 0})


def program_of(
    file: Path | None,
    args: list[str],
    after_dashes: list[str],
    *,
    runtime: str | None,
    dependencies: list[str],
    function: str | None,
    input_text: str | None,
    stdin: str | None,
    env: list[str],
    outputs: Sequence[str] = (),
    network: bool = False,
    deterministic: bool = False,
    image: str | None = None,
) -> Program:
    """The program meant by a command line; Usage where it cannot be told or read."""
    known = (*get_args(Runtime), "isolated-vm")
    if runtime is not None and runtime not in known:
        raise Usage(f"There is no runtime {runtime!r}.", hint=f"Use one of {', '.join(get_args(Runtime))}.")
    arguments: list[Any] = [*args, *(after_dashes if file is not None else [])]
    common = Payload(
        runtime=runtime,  # type: ignore[arg-type]
        dependencies=dependencies,
        function=function,
        args=[_typed(text) for text in arguments] if function is not None else arguments,
        env=dict(_variable(text) for text in env),
        stdin=None if stdin is None else _text(stdin, "--stdin"),
        input=None if input_text is None else _json(_text(input_text, "--input"), "--input"),
        outputs=list(outputs),
        network=network,
        deterministic=deterministic,
        image=image,
    )
    if file is None:
        return _command(after_dashes, common)
    content = _read(file)
    if file.suffix == ".wasm" or content.startswith(WASM_MAGIC):
        if not content.startswith(WASM_MAGIC):
            raise Usage(f"{file} is not WebAssembly: it does not begin with the bytes 00 61 73 6d.")
        return Program(name=file.name, payload=common, module=content)
    return _source(file, content, common)


def _command(command: list[str], common: Payload) -> Program:
    if not command:
        raise Usage("There is nothing to run.", hint="Name a file, or a command after two dashes: anchor run -- ls -l")
    runtime = common.runtime or ("native" if common.image is None else "container")
    if runtime not in ("native", "container"):
        raise Usage(
            f"A command runs natively or in a container, not in runtime {runtime}.", hint="Leave --runtime out."
        )
    payload = msgspec.structs.replace(common, command=command, runtime=runtime)
    return Program(name=Path(command[0]).name or command[0], payload=payload)


def _source(file: Path, content: bytes, common: Payload) -> Program:
    if common.image is not None or common.runtime == "container":
        raise Usage(
            "A container runs a command, not a file.",
            hint=f"Bring the file along: anchor run --image IMAGE --file {file} -- PROGRAM {file.name}",
        )
    language = LANGUAGES.get(file.suffix)
    if language is None:
        raise Usage(
            f"{file} is of a kind that Anchor does not know.",
            hint=f"Known are {', '.join(LANGUAGES)} and .wasm; run anything else as a command: anchor run -- PROGRAM …",
        )
    try:
        source = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Usage(f"{file} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from error
    runtime = common.runtime or ("native" if language == "python" or common.dependencies else "isolate")
    modules = relative_imports(file, source) if runtime in ("isolate", "isolated-vm") else {}
    payload = msgspec.structs.replace(common, source_code=source, language=language, runtime=runtime, modules=modules)
    return Program(name=file.name, payload=payload)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Usage(f"{file} cannot be read: {error.strerror}.", hint="Check its path and permissions.") from error


def _text(given: str, option: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        if given == "@-":
            return sys.stdin.buffer.read().decode("utf-8")
        return _read(Path(given[1:])).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Usage(f"What {option} names is not UTF-8 text (byte {error.start}).") from error


def _json(text: str, option: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Usage(
            f"{option} is not JSON: {error}.", hint=f"Text needs its quotes: {option} '\"text\"'; a file is @FILE."
        ) from error


def _typed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Usage(f"--env {text!r} names no value.", hint="Write --env NAME=VALUE.")
    return name, value
