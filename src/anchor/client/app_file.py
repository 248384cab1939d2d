"""`anchor-app.toml`: how an app wants to be run, said beside its source; read strictly, with the line of a mistake."""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from anchor.core.app import AppConfig
from anchor.core.detection import APP_FILE
from anchor.core.errors import InvalidRequest

BYTES_MAX: Final = 64 * 1024
HINT: Final = f"docs/apps.md lists what {APP_FILE} may say."
_FIELDS: Final = ("name", *(field.encode_name for field in msgspec.structs.fields(AppConfig)))
_AT = re.compile(r" - at `\$(.*)`$")


class AppFile(msgspec.Struct, frozen=True):
    """What the file says: the app's name, if it does, and those parts of its config that it names."""

    name: str = ""
    config: dict[str, Any] = {}


def read_app_file(folder: Path) -> AppFile:
    """What the file in a folder says; nothing where there is none. InvalidRequest, with the line, where it is wrong."""
    path = folder / APP_FILE
    try:
        if path.stat().st_size > BYTES_MAX:
            raise InvalidRequest(f"{path} is larger than {BYTES_MAX // 1024} KiB.", hint=HINT)
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return AppFile()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}.", hint="It has to be a file of UTF-8 text.") from error
    return app_file_of(text, where=str(path))


def app_file_of(text: str, *, where: str = APP_FILE) -> AppFile:
    """The same of the file's text; `where` is what messages call it."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{where} is not TOML: {error}.", hint=HINT, code="invalid_app_file") from error
    except RecursionError as error:
        raise InvalidRequest(f"{where} is nested too deep.", hint=HINT, code="invalid_app_file") from error
    for key in values:
        if key not in _FIELDS:
            raise _unknown(key, text, where)
    name = values.pop("name", "")
    if not isinstance(name, str):
        raise _wrong("name", "Expected a text", text, where)
    if (fault := fault_in_config(values)) is not None:
        raise _wrong(*fault, text, where)
    return AppFile(name, values)


def fault_in_config(values: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first place (`port`, `scale.web`) at which settings are no config, and what is wrong there; None: nothing."""
    try:
        msgspec.convert(dict(values), AppConfig)
    except msgspec.ValidationError as error:
        place = _AT.search(str(error))
        return place[1].removeprefix(".") if place is not None else "", _AT.sub("", str(error))
    return None


def _unknown(key: str, text: str, where: str) -> InvalidRequest:
    close = difflib.get_close_matches(key.replace("_", ""), _FIELDS, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"It may say {', '.join(_FIELDS)}."
    return InvalidRequest(
        f"{where}{_line(key, text)}: there is no setting {key[:60]!r}.", hint=hint, code="invalid_app_file"
    )


def _wrong(place: str, message: str, text: str, where: str) -> InvalidRequest:
    return InvalidRequest(
        f"{where}{_line(place.partition('.')[0].partition('[')[0], text)}: {place or 'this'}: {message}.",
        hint=HINT,
        code="invalid_app_file",
    )


def _line(key: str, text: str) -> str:
    """`, line N` where the key of the top level is seen at the beginning of a line, as itself or as a table's name."""
    written = rf"({re.escape(key)}|{re.escape(json.dumps(key))}|'{re.escape(key)}')"
    found = re.search(rf"(?m)^[ \t]*(\[[ \t]*)?{written}[ \t]*[.=\]]", text) if key else None
    return "" if found is None else f", line {text.count(chr(10), 0, found.start()) + 1}"
