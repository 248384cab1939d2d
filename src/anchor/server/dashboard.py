"""Serves the dashboard: the page at each of its own paths, and the files it is made of, straight from memory."""

import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec
from starlette.types import Scope, Send

WEB = "web"
"""The folder of this package that the build of `frontend/` fills."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
NOT_BUILT = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Anchor</title>
<h1>The dashboard was not built into this installation</h1>
<p>Everything else works: the command line, and <a href="/api/docs">the API</a>.</p>
<p>To have the dashboard, run <code>python build_web.py</code> in the folder of Anchor's source and start the server
again; it needs the internet once. An ordinary <code>pip install .</code> builds it, too.</p>
</html>
"""
_PLACE = re.compile(r"\$\w+")
_HASHED = re.compile(r"-[\w-]{8}\.\w+$")
_TYPES = {".js": "text/javascript; charset=utf-8", ".woff2": "font/woff2", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent: `packed` is its gzip (empty where that saves nothing)."""

    content: bytes
    packed: bytes
    content_type: str
    cache: str


class Dashboard:
    """Everything the dashboard is made of. Without a build, `/` says how to make one."""

    def __init__(self, folder: Traversable | None = None) -> None:
        found = dict(_read(files("anchor") / WEB if folder is None else folder))
        self.is_built = "index.html" in found and "paths.json" in found
        self._assets = {f"/{name}": asset for name, asset in found.items() if name.startswith("assets/")}
        if self.is_built:
            self._page = found["index.html"]
            self._paths = [_pattern(path) for path in msgspec.json.decode(found["paths.json"].content, type=list[str])]
        else:
            self._page = Asset(NOT_BUILT, b"", "text/html; charset=utf-8", "no-cache")
            self._paths = [re.compile("/")]

    def asset(self, scope: Scope) -> Asset | None:
        """What a request gets from here, if anything: files by name, and the page at the dashboard's own paths."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
            return None
        path: str = scope["path"]
        if any(pattern.fullmatch(path) for pattern in self._paths):
            return self._page
        return self._assets.get(path)

    def astray(self, scope: Scope) -> Asset | None:
        """What somebody reads who came to an address where nothing is: the page, which says so and leads on. Only
        whoever asks for a page to read gets one; to the API's callers it says nothing."""
        if not self.is_built or scope["method"] not in {"GET", "HEAD"} or scope["path"].startswith("/api/"):
            return None
        wanted = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        return self._page if b"text/html" in wanted else None


async def send_asset(asset: Asset, scope: Scope, send: Send, *, status: int = 200) -> None:
    """Answer with a file, packed where the caller takes that."""
    accepted = next((value for name, value in scope["headers"] if name == b"accept-encoding"), b"")
    is_packed = bool(asset.packed) and b"gzip" in accepted
    content = asset.packed if is_packed else asset.content
    headers: Mapping[str, str] = {
        **HEADERS,
        "content-type": asset.content_type,
        "content-length": str(len(content)),
        "cache-control": asset.cache,
        "vary": "accept-encoding",
        **({"content-encoding": "gzip"} if is_packed else {}),
    }
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})


def _read(folder: Traversable, prefix: str = "") -> list[tuple[str, Asset]]:
    """Every file below a folder by its path, with its twin .gz where it has one."""
    if not folder.is_dir():
        return []
    entries = {entry.name: entry for entry in folder.iterdir()}
    found = []
    for name, entry in entries.items():
        if entry.is_dir():
            found += _read(entry, f"{prefix}{name}/")
        elif not name.endswith(".gz"):
            twin = entries.get(f"{name}.gz")
            found.append((prefix + name, _asset(name, entry.read_bytes(), twin.read_bytes() if twin else b"")))
    return found


def _asset(name: str, content: bytes, packed: bytes) -> Asset:
    suffix = name[name.rfind(".") :]
    content_type = _TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    if content_type.startswith("text/") and "charset" not in content_type:
        content_type += "; charset=utf-8"
    # A name with a digest in it never means anything else.
    cache = "public, max-age=31536000, immutable" if _HASHED.search(name) else "no-cache"
    return Asset(content, packed, content_type, cache)


def _pattern(path: str) -> re.Pattern[str]:
    """`/tasks/$id` as a pattern: a place holds one part of a path."""
    return re.compile("[^/]+".join(re.escape(part) for part in _PLACE.split(path)))
