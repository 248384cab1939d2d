"""Sources in JavaScript: what their package.json says of how they are built and run."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from anchor.core.app import WEB, Plan
from anchor.core.errors import InvalidRequest

MANIFEST: Final = "package.json"
PROGRAMS: Final = frozenset({"node", "npm", "npx"})
"""Commands that say that an app is one in JavaScript."""
LOCKS: Final = ("npm-shrinkwrap.json", "package-lock.json")
"""In the order in which npm looks at them."""
WANTED: Final = ("dependencies", "optionalDependencies", "devDependencies")
_MAINS: Final = ("server", "index", "app", "main")
_ENDINGS: Final = (".js", ".mjs", ".cjs")
_BUILT: Final = {
    "react-scripts": "build",
    "@11ty/eleventy": "_site",
    "gatsby": "public",
    "next": "out",
    "@docusaurus/core": "build",
}
"""Where tools that make sites leave them; the others use `dist`."""
_RANGE: Final = re.compile(
    r"(?:npm:(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*@)?[0-9A-Za-z^~<>=*|.+ -]*"
)
_ARCHIVE: Final = re.compile(r"\.(tgz|tar|tar\.gz)$", re.IGNORECASE)

Files = Mapping[str, bytes | None]


def is_read(path: str) -> bool:
    """Whether the content of this file matters here."""
    return path == MANIFEST


def is_one(files: Files) -> bool:
    """Whether it is a source in JavaScript."""
    return MANIFEST in files


def has_build(files: Files) -> bool:
    """Whether its package.json has a script that builds it."""
    return "build" in _scripts(manifest(files))


def is_site(files: Files, has_index: bool) -> bool:
    """Whether nothing in it says how to start it, and what is there, or what its build makes, is a static site."""
    return _start(manifest(files), files) is None and (has_build(files) or has_index)


def site_folder(files: Files) -> str:
    """Where the build of a static site leaves it."""
    told = manifest(files)
    return next((folder for name, folder in _BUILT.items() if name in _all_wanted(told)), "dist")


def plan(files: Files, known: Mapping[str, str], *, build: str) -> Plan:
    """How to run it; `known` are the commands that are told elsewhere."""
    told = manifest(files) if is_one(files) else {}
    require_from_registry(told)
    processes = dict(known)
    if WEB not in processes and not processes.keys() - {"release"}:
        start = _start(told, files)
        if start is None:
            raise InvalidRequest(
                "package.json does not say how the app is started.",
                hint='Add "scripts": {"start": "node server.js"}, a Procfile, or a server.js, index.js or app.js.',
                code="not_an_app",
            )
        processes[WEB] = start
    wanted = _all_wanted(told)
    return Plan(
        kind="node",
        processes=processes,
        install="npm" if wanted else "",
        build=build or ("npm run build" if "build" in _scripts(told) else ""),
    )


def manifest(files: Files) -> dict[str, Any]:
    """package.json as an object; InvalidRequest (`bad_package_json`) with the line where it is none."""
    content = files.get(MANIFEST)
    if content is None:
        raise _bad("is larger than 256 KiB, or missing")
    try:
        found = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise _bad("is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise _bad(f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise _bad("is nested too deeply") from None
    if not isinstance(found, dict):
        raise _bad("is not an object")
    for name in ("scripts", *WANTED):
        part = found.get(name, {})
        if not isinstance(part, dict) or not all(isinstance(value, str) for value in part.values()):
            raise _bad(f"has something else than an object of texts under {name}")
    if not isinstance(found.get("main", ""), str):
        raise _bad("has something else than a text under main")
    return found


def require_from_registry(told: Mapping[str, Any]) -> None:
    """InvalidRequest where a package comes from anywhere but the registry: a path, an address, a repository."""
    if told.get("workspaces"):
        raise _unsupported("package.json has workspaces, which are not installed here")
    for group in WANTED:
        for name, spec in told.get(group, {}).items():
            if not _RANGE.fullmatch(spec) or _ARCHIVE.search(spec):
                raise _unsupported(f"package.json wants {name} as {spec[:200]!a}, which is no version of the registry")


def _start(told: Mapping[str, Any], files: Files) -> str | None:
    scripts = _scripts(told)
    if "start" in scripts:
        # Run as it is, npm itself need not stay in memory; what belongs around it only npm does.
        return "npm start" if {"prestart", "poststart"} & scripts.keys() else scripts["start"]
    main = str(told.get("main", "")).removeprefix("./")
    for name in (main, *(base + ending for base in _MAINS for ending in _ENDINGS)):
        if name and name in files and re.fullmatch(r"[\w./@+-]+", name) and not name.startswith("-"):
            return f"node {name}"
    return None


def _scripts(told: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, text in told.get("scripts", {}).items() if text.strip()}


def _all_wanted(told: Mapping[str, Any]) -> dict[str, str]:
    return {name: spec for group in WANTED for name, spec in told.get(group, {}).items()}


def _unsupported(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what}.",
        hint="Name versions from the package registry, or bring the code with the source.",
        code="dependency_error",
    )


def _bad(what: str) -> InvalidRequest:
    return InvalidRequest(f"package.json {what}.", hint="Mend it, and deploy again.", code="bad_package_json")
