"""npm's lock files as apps may bring them: what they name comes from the registry, and from nowhere else."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from anchor.core.errors import InvalidRequest
from anchor.core.node_source import WANTED, require_from_registry

PUBLIC_REGISTRY: Final = "https://registry.npmjs.org/"
"""npm itself asks the registry of the node's owner for what is named with this one."""
_KEPT: Final = (
    *(
        "name",
        "version",
        *WANTED,
        "peerDependencies",
        "peerDependenciesMeta",
        "bundleDependencies",
        "bundledDependencies",
    ),
    *("overrides", "engines", "os", "cpu"),
)
_VERSION: Final = re.compile(r"(?:npm:(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9._~-]+@)?[0-9A-Za-z.+-]*")
_NAME: Final = r"(?:@[^/\\]+/)?[^/\\.@][^/\\]*"
_PLACE: Final = re.compile(rf"node_modules/{_NAME}(?:/node_modules/{_NAME})*")
"""Where a package is put: below the folder of whoever needs it, and nowhere else."""
_DEPTH_MAX: Final = 200


def wanted_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a package.json says that an installation depends on; InvalidRequest (`dependency_error`)."""
    require_from_registry(manifest)
    require_from_registry({"dependencies": _texts(manifest.get("peerDependencies"))})
    require_from_registry({"dependencies": dict(enumerate(_leaves(manifest.get("overrides"), 0)))})
    return {"private": True, **{name: manifest[name] for name in _KEPT if name in manifest}}


def cleaned(lock: bytes) -> bytes:
    """A lock file without the addresses in it, so that each node asks its own registry; hashes stay.

    InvalidRequest (`dependency_error`) where something in it is a path or a repository, or where it is no lock file.
    """
    try:
        told = json.loads(lock.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise _unusable("is not JSON") from None
    if not isinstance(told, dict) or not isinstance(told.get("packages", told.get("dependencies", {})), dict):
        raise _unusable("is none of npm's")
    for path, entry in _table(told.get("packages")).items():
        if not path:
            continue
        if not _PLACE.fullmatch(path):
            raise _unusable(f"puts something at {path[:200]!a}, which is no place for a package")
        if isinstance(entry, dict):
            _clean(entry, path)
    _clean_tree(told.get("dependencies"), 0)
    return json.dumps(told, indent=1, sort_keys=True).encode()


def _clean_tree(entries: object, depth: int) -> None:
    """The entries of npm 6 and before, which lie in each other."""
    if depth > _DEPTH_MAX:
        raise _unusable("is nested too deeply")
    for name, entry in _table(entries).items():
        if not re.fullmatch(_NAME, name):
            raise _unusable(f"names {name[:200]!a}, which is no package")
        if isinstance(entry, dict):
            _clean(entry, name)
            _clean_tree(entry.get("dependencies"), depth + 1)


def _clean(entry: dict[str, Any], name: str) -> None:
    resolved, version = str(entry.get("resolved", "")), str(entry.get("version", ""))
    elsewhere = bool(resolved) and not resolved.startswith(("https://", "http://"))
    if entry.get("link") or elsewhere or not _VERSION.fullmatch(version):
        raise _unusable(f"names {name[:200]!a} as a path or a repository")
    if not resolved.startswith(PUBLIC_REGISTRY):
        entry.pop("resolved", None)


def _table(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _texts(found: object) -> dict[str, str]:
    return {name: str(text) for name, text in _table(found).items()}


def _leaves(found: object, depth: int) -> list[str]:
    """Every version that overrides name, whatever they lie in; `$name` repeats one that is checked anyway."""
    if depth > _DEPTH_MAX:
        raise _unusable("is nested too deeply")
    if isinstance(found, dict):
        return [leaf for inner in found.values() for leaf in _leaves(inner, depth + 1)]
    return [] if found is None or str(found).startswith("$") else [str(found)]


def _unusable(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"The package lock {what}.",
        hint="Write it with `npm install` from packages of the registry, or leave it out.",
        code="dependency_error",
    )
