"""A graph in a file, YAML or JSON: read strictly, with the line of every place, and with the files it names."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from anchor.core import yaml_text
from anchor.core.errors import AnchorError, Fault, InvalidRequest
from anchor.core.spec import blob_of
from anchor.core.yaml_text import Places

MIB = 1024 * 1024
FILE_MIB_MAX = {".json": 64, ".yaml": 16, ".yml": 16}
"""Reading YAML takes some 60 times its size in memory."""
LANGUAGES = {".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".py": "python"}
_PATH_LIKE = re.compile(r"[^/+=]*\.wasm|.*[./\\].*\.wasm")

Upload = Callable[[bytes], str]
"""Takes the bytes of a module and says what to write into `module`."""


class GraphFile(msgspec.Struct, frozen=True):
    """What a file says: the graph as JSON values, and where in the file each of its places is."""

    path: Path
    value: dict[str, Any]
    places: Places

    def blamed(self, error: AnchorError) -> AnchorError:
        """An error of the server about this graph, its faults with the lines of the file."""
        if not error.errors:
            return error
        faults = [Fault(fault.pointer, self._at_line(fault)) for fault in error.errors]
        first = self.places.of(error.errors[0].pointer)
        message = error.message if first is None else f"{self.path}, line {first[0]}: {error.message}"
        told = type(error)(message, hint=error.hint, code=error.code, errors=faults)
        told.retry_after_seconds = error.retry_after_seconds
        return told

    def _at_line(self, fault: Fault) -> str:
        place = self.places.of(fault.pointer)
        return fault.message if place is None else f"{fault.message} (line {place[0]})"


def read_graph(
    path: Path, *, what: str = "graph", begin: str = "`name: …` and `steps:`; see docs/graphs.md"
) -> GraphFile:
    """The graph (or whatever `what` names) in a file; InvalidRequest, with line and column, where it cannot be read."""
    try:
        limit = FILE_MIB_MAX.get(path.suffix, 16)
        if path.stat().st_size > limit * MIB:
            raise InvalidRequest(
                f"{path} is larger than {limit} MiB.",
                hint="Name sources with sourceFile, upload data as blobs; a JSON file may have up to 64 MiB.",
            )
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read: {error.strerror or error}.", hint="Check its path and permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{path} is not UTF-8 text (byte {error.start}).", hint="Save it as UTF-8.") from error
    value, places = _json(path, text) if path.suffix == ".json" else yaml_text.read(str(path), text)
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"{path} holds no {what}: it is not a mapping.",
            hint=f"Begin with {begin}.",
        )
    return GraphFile(path, value, places)


def _json(path: Path, text: str) -> tuple[Any, Places]:
    try:
        value = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        what = error.msg.lower().removesuffix(" at")
        where = f"{path}, line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"{where}: {what}.", hint=yaml_text.HINT) from error
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path} is not JSON that can be read: {error}.", hint=yaml_text.HINT) from error
    # The places of JSON are found by a reader of YAML, which JSON is nearly a part of.
    return value, Places.found_late(text)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for at, name in enumerate(names) if name in names[:at])
        raise ValueError(f"the key {again[:60]!r} is given twice in one object")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def with_files(graph: GraphFile, upload: Upload) -> dict[str, Any]:
    """The graph with what its `sourceFile` and `module` fields name in the place of the names.

    Paths are relative to the graph's own file. InvalidRequest where a file cannot be read.
    """
    resolved = dict(graph.value)
    for word in ("steps", "tasks"):
        steps = graph.value.get(word)
        if isinstance(steps, list):
            resolved[word] = [_step(graph, step, f"/{word}/{at}", upload) for at, step in enumerate(steps)]
    return resolved


def read_job(path: Path) -> GraphFile:
    """The map-reduce job in a file; as `read_graph`."""
    return read_graph(path, what="job", begin="`name: …` and `input:`; see docs/map-reduce.md")


def job_with_files(job: GraphFile, upload: Upload, upload_file: Callable[[Path], str]) -> dict[str, Any]:
    """A map-reduce job with what its `sourceFile` and `module` fields name in the place of the names, and the files of
    its `input` uploaded: what is no `sha256:…` is a path. `upload_file` says what a file is called then."""
    resolved = dict(job.value)
    for word in ("map", "reduce"):
        if isinstance(resolved.get(word), dict):
            resolved[word] = _payload(job, resolved[word], f"/{word}", upload)
    source = resolved.get("input")
    if isinstance(source, dict):
        resolved["input"] = _input(job, source, upload_file)
    return resolved


def _input(job: GraphFile, source: dict[str, Any], upload_file: Callable[[Path], str]) -> dict[str, Any]:
    def brought(name: Any, pointer: str) -> Any:
        if not isinstance(name, str) or name.startswith("sha256:"):
            return name
        path = job.path.parent / name
        if not path.is_file():
            raise _wrong(job, pointer, f"{path} is not a file.")
        return upload_file(path)

    source = dict(source)
    if "blob" in source:
        source["blob"] = brought(source["blob"], "/input/blob")
    if isinstance(source.get("files"), list):
        source["files"] = [brought(one, f"/input/files/{at}") for at, one in enumerate(source["files"])]
    return source


def _step(graph: GraphFile, step: Any, pointer: str, upload: Upload) -> Any:
    if not isinstance(step, dict) or not isinstance(step.get("payload"), dict):
        return step
    return {**step, "payload": _payload(graph, step["payload"], f"{pointer}/payload", upload)}


def _payload(graph: GraphFile, given: dict[str, Any], pointer: str, upload: Upload) -> dict[str, Any]:
    payload = dict(given)
    if "sourceFile" in payload:
        name = payload.pop("sourceFile")
        at = f"{pointer}/sourceFile"
        if "sourceCode" in payload:
            raise _wrong(graph, at, "sourceFile and sourceCode are both given; leave one out.")
        try:
            payload["sourceCode"] = _bytes(graph, name, at).decode("utf-8")
        except UnicodeDecodeError as error:
            raise _wrong(graph, at, f"{name} is not UTF-8 text (byte {error.start}).") from error
        language = LANGUAGES.get(Path(name).suffix)
        if language is not None:
            payload.setdefault("language", language)
    module = payload.get("module")
    if isinstance(module, str) and blob_of(module) is None and _PATH_LIKE.fullmatch(module):
        payload["module"] = upload(_bytes(graph, module, f"{pointer}/module"))
    return payload


def _bytes(graph: GraphFile, name: Any, pointer: str) -> bytes:
    if not isinstance(name, str):
        raise _wrong(graph, pointer, "a path is expected here.")
    path = graph.path.parent / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise _wrong(graph, pointer, f"{path} cannot be read: {error.strerror or error}.") from error


def _wrong(graph: GraphFile, pointer: str, message: str) -> InvalidRequest:
    place = graph.places.of(pointer)
    where = f"{graph.path}, line {place[0]}" if place is not None else str(graph.path)
    return InvalidRequest(f"{where}: {message}", hint="Paths are relative to the folder of this file.")
