"""What is deployed: a folder, an archive, or files as texts, made into one archive with its name and its config."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from anchor.client.app_file import AppFile, app_file_of, fault_in_config, read_app_file
from anchor.client.apps import Variables
from anchor.client.sources import Source, source_of
from anchor.core.app import SOURCE_BYTES_MAX
from anchor.core.app_names import app_name_of
from anchor.core.detection import APP_FILE
from anchor.core.errors import InvalidRequest, TooLarge
from anchor.core.spec import MIB
from anchor.wire import source_archive, source_packing

_ENDINGS: Final = (".tar.gz", ".tgz", ".tar", ".zip")


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """A source ready to be brought. `title` is what the app is called and `name` what that is in addresses; `config` is
    what was said of its config, `env` of its variables; with `fresh` no earlier release has a say in its config.
    `files` and `bytes` count what was packed, `ignored` is what was left out; `temporary` is removed afterwards."""

    title: str
    source: Source
    config: dict[str, Any]
    env: dict[str, str | None]
    fresh: bool = False
    files: int = 0
    bytes: int = 0
    ignored: tuple[str, ...] = ()
    temporary: Path | None = None

    @property
    def name(self) -> str:
        """The app's name in addresses."""
        return app_name_of(self.title)

    def discard(self) -> None:
        """Remove what was only made to be sent."""
        if self.temporary is not None:
            self.temporary.unlink(missing_ok=True)


def packed_app(
    source: "str | os.PathLike[str] | Mapping[str, str]",
    name: str = "",
    *,
    config: Mapping[str, Any] | None = None,
    env: Variables | None = None,
    fresh: bool = False,
) -> Packed:
    """Pack a folder, take an archive as it is, or pack files given by path. What `config` says goes before what an
    `anchor-app.toml` in the source says, and so does `name`, before the name in a package.json, before the folder's.

    InvalidRequest where it cannot be packed, or makes no sense."""
    given = dict(config or {})
    if (fault := fault_in_config(given)) is not None:
        raise InvalidRequest(
            f"The app's config, {fault[0] or 'as a whole'}: {fault[1]}.", hint="docs/apps.md lists what it may say."
        )
    if isinstance(source, Mapping):
        said = app_file_of(source[APP_FILE]) if APP_FILE in source else AppFile()
        packed = Packed(
            title=_title(name, said, source.get("package.json"), ""),
            source=source_of(source_packing.packed_files(source)),
            config=said.config,
            env={},
            files=len(source),
            bytes=sum(len(text.encode()) for text in source.values()),
        )
    else:
        path = Path(source)
        packed = _archive(path, name) if path.is_file() else _folder(path, name)
    # Made, and so judged, before anything is sent.
    app_name_of(packed.title)
    merged = {**packed.config, **given}
    for part in ("scale", "processes"):
        if part in packed.config and part in given:
            merged[part] = {**packed.config[part], **given[part]}
    return msgspec.structs.replace(packed, config=merged, env=dict(env or {}), fresh=fresh)


def _folder(folder: Path, name: str) -> Packed:
    said = read_app_file(folder)
    package = folder / "package.json"
    text = package.read_text(encoding="utf-8", errors="replace") if package.is_file() else None
    title = _title(name, said, text, folder.resolve().name)
    with tempfile.NamedTemporaryFile(prefix="anchor-app-", suffix=".tar.gz", delete=False) as file:
        temporary = Path(file.name)
        try:
            made = source_packing.packed(folder, file)
        except BaseException:
            temporary.unlink()
            raise
    return Packed(
        title=title,
        source=Source(made.digest, made.size, temporary),
        config=said.config,
        env={},
        files=made.files,
        bytes=made.bytes,
        ignored=made.ignored,
        temporary=temporary,
    )


def _archive(path: Path, name: str) -> Packed:
    size = path.stat().st_size
    if size > SOURCE_BYTES_MAX:
        raise TooLarge(
            f"{path} has {size / MIB:,.0f} MiB; at most {SOURCE_BYTES_MAX // MIB} MiB are taken.",
            hint="Leave out what is installed or built anyway, such as node_modules.",
        )
    with path.open("rb") as file:
        inside = source_archive.opened(file)
    said, package = (inside.files.get(name) for name in (APP_FILE, "package.json"))
    stem = next((path.name.removesuffix(end) for end in _ENDINGS if path.name.endswith(end)), path.stem)
    told = AppFile() if said is None else app_file_of(said.decode("utf-8", "replace"), where=f"{APP_FILE} in {path}")
    return Packed(
        title=_title(name, told, None if package is None else package.decode("utf-8", "replace"), stem),
        source=source_of(path),
        config=told.config,
        env={},
        files=len(inside.files),
        bytes=inside.unpacked_bytes,
    )


def _title(name: str, said: AppFile, package: str | None, otherwise: str) -> str:
    title = name or said.name or _name_in(package) or otherwise
    if not title:
        raise InvalidRequest("The app has no name.", hint="Give it one.", code="bad_name")
    return title


def _name_in(package: str | None) -> str:
    """The name in a package.json, without its scope; whoever builds the app says what else is wrong with the file."""
    try:
        value = json.loads(package or "{}")
    except (ValueError, RecursionError):
        return ""
    name = value.get("name", "") if isinstance(value, dict) else ""
    return name.rpartition("/")[2] if isinstance(name, str) else ""
