"""What of a request's head an app is told, and what of its answer's head the caller: one framing, nothing of ours."""

import ipaddress
import re
from collections.abc import Iterable, Sequence

from anchor.server.ingress.hosts import Meant

Headers = Sequence[tuple[bytes, bytes]]
REQUEST_HEADERS_MAX = 256
HEAD_BYTES_MAX = 64 * 1024
_HOP_BY_HOP = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
        b"trailer", b"transfer-encoding", b"upgrade",
    }
)  # fmt: skip
_NOT_PASSED_ON = _HOP_BY_HOP | {
    b"content-length", b"expect", b"forwarded", b"host", b"http2-settings", b"x-forwarded-for", b"x-forwarded-host",
    b"x-forwarded-prefix", b"x-forwarded-proto", b"x-real-ip",
}  # fmt: skip
_NOT_PASSED_BACK = _HOP_BY_HOP | {b"alt-svc", b"date"}
"""The server says the date itself; other services of the machine's name are not an app's to announce."""
_ABOUT_OUR_ORIGIN = frozenset(
    {
        b"accept-ch", b"clear-site-data", b"critical-ch", b"expect-ct", b"nel", b"public-key-pins", b"report-to",
        b"reporting-endpoints", b"service-worker-allowed", b"set-cookie2", b"strict-transport-security",
    }
)  # fmt: skip
"""Below a path of the server's own name these would speak for the whole server."""
SANDBOX = (
    b"sandbox allow-downloads allow-forms allow-modals allow-pointer-lock allow-popups allow-popups-to-escape-sandbox "
    b"allow-scripts"
)
"""Without allow-same-origin a page below /apps/ is a stranger to the dashboard, though both have one name."""
_BAD_NAME = re.compile(rb"[\x00-\x20\x7f-\xff()<>@,;:\\\"/\[\]?={}]")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_LOCAL = frozenset({"127.0.0.1", "::1"})
_OUR_COOKIES = (b"__host-anchor", b"__secure-anchor", b"anchor")


class BadHead(Exception):
    """A head that nobody should act on; the message says why."""


def body_of(headers: Headers) -> tuple[int | None, bool]:
    """How a request's body is framed: its length where it says so, and whether it comes in chunks."""
    length, chunked = None, False
    for name, value in headers:
        if name == b"content-length":
            if length is not None or not value.isdigit() or len(value) > 18:
                raise BadHead("The length of the body is not one number.")
            length = int(value)
        elif name == b"transfer-encoding":
            if chunked or value.strip().lower() != b"chunked":
                raise BadHead("The only transfer encoding is chunked.")
            chunked = True
    if chunked and length is not None:
        raise BadHead("A body has a length or comes in chunks, not both.")
    return length, chunked


def request_head(
    method: str,
    target: bytes,
    headers: Headers,
    meant: Meant,
    *,
    scheme: str,
    client: str,
    framing: bytes = b"",
    upgrade: bytes = b"",
) -> bytes:
    """The head as the app gets it; `framing` is the line that says how long the body is, `upgrade` the protocol to
    change to. Of what a proxy says of the caller's address and scheme only one on this machine is believed."""
    named = _named_by_connection(headers)
    out = [method.encode(), b" ", target, b" HTTP/1.1\r\n"]
    host = forwarded_for = b""
    is_local = client in _LOCAL
    proto = scheme.encode()
    size = 0
    for name, value in headers:
        size += len(name) + len(value) + 4
        if name in _NOT_PASSED_ON or name in named:
            if name == b"host":
                host = value
            elif is_local and name == b"x-forwarded-for":
                forwarded_for = forwarded_for + b", " + value if forwarded_for else value
            elif is_local and name == b"x-forwarded-proto" and value.lower() in {b"http", b"https"}:
                proto = value.lower()
            continue
        if b"_" in name and name.replace(b"_", b"-") in _NOT_PASSED_ON:
            continue  # what servers behind a gateway interface cannot tell from the name with a dash
        if name == b"cookie":
            value = without_our_cookies(value)
            if not value:
                continue
        elif name == b"authorization" and value[:10].lower() == b"bearer anc":
            continue
        out += (name, b": ", value, b"\r\n")
    if len(headers) > REQUEST_HEADERS_MAX or size > HEAD_BYTES_MAX:
        raise BadHead("The head of the request is too large.")
    address = client.encode()
    out += (
        b"host: ", host, b"\r\nx-forwarded-host: ", host, b"\r\nx-forwarded-proto: ", proto,
        b"\r\nx-forwarded-for: ", forwarded_for + b", " + address if forwarded_for else address, b"\r\n",
    )  # fmt: skip
    if meant.prefix:
        out += (b"x-forwarded-prefix: ", meant.prefix.encode("latin-1"), b"\r\n")
    if upgrade:
        out += (b"connection: upgrade\r\nupgrade: ", upgrade, b"\r\n")
    out += (framing, b"\r\n")
    return b"".join(out)


def is_from_anywhere(headers: Headers, client: str) -> bool:
    """Whether the caller has an address of the public internet, and so reaches here what everybody reaches; of one that
    has not, its place in a network may be what lets it in."""
    last = next((value for name, value in reversed(headers) if name == b"x-forwarded-for"), b"")
    text = last.rpartition(b",")[2].strip().decode("latin-1") if client in _LOCAL and last else client
    try:
        return ipaddress.ip_address(text.removeprefix("::ffff:")).is_global
    except ValueError:
        return False


def without_our_cookies(value: bytes) -> bytes:
    """A Cookie header without what the server itself is known by."""
    if b"anchor" not in value.lower():
        return value
    kept = [one for one in value.split(b";") if not one.strip().lower().startswith(_OUR_COOKIES)]
    return b";".join(kept).strip()


def response_headers(
    headers: Headers, meant: Meant, *, host: bytes = b"", origin: bytes = b""
) -> list[tuple[bytes, bytes]]:
    """The headers as the caller gets them; BadHead where they would not be understood by all alike. `host` and
    `origin` are what the caller sent under these names, `origin` only where it `is_from_anywhere`: whatever site a
    browser shows can have a page of no origin, and have it ask what only that browser reaches."""
    named = _named_by_connection(headers)
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name in _NOT_PASSED_BACK or name in named:
            continue
        if _BAD_NAME.search(name) or _BAD_VALUE.search(value):
            raise BadHead("a header has bytes that do not belong there")
        if name == b"set-cookie":
            value = own_cookie(value, meant.prefix.encode("latin-1"))
            if not value:
                continue
        kept.append((name, value))
    return _below_prefix(kept, meant.prefix.encode("latin-1"), host, origin) if meant.prefix else kept


def _below_prefix(kept: Headers, prefix: bytes, host: bytes, origin: bytes) -> list[tuple[bytes, bytes]]:
    found: list[tuple[bytes, bytes]] = []
    allows = False
    for name, value in kept:
        if name in _ABOUT_OUR_ORIGIN:
            continue
        if name == b"location":
            value = moved_location(value, prefix, host)
        allows = allows or name == b"access-control-allow-origin"
        found.append((name, value))
    found.append((b"content-security-policy", SANDBOX))
    if origin == b"null" and not allows:
        # What a page in the sandbox asks of its own app comes from no origin at all.
        found.append((b"access-control-allow-origin", b"null"))
    return found


def preflight(asked: Headers, answered: Headers) -> list[tuple[bytes, bytes]] | None:
    """What a browser is told that asks, for a page in the sandbox, whether that may send something to its own app; None
    where it does not ask that, or the app said something on it itself."""
    said = dict(asked)
    method = said.get(b"access-control-request-method")
    if method is None or said.get(b"origin") != b"null" or _BAD_VALUE.search(method):
        return None
    allowed = [value for name, value in answered if name == b"access-control-allow-origin"]
    if allowed != [b"null"] or any(name == b"access-control-allow-methods" for name, _ in answered):
        return None
    wanted = said.get(b"access-control-request-headers", b"")
    return [
        (b"access-control-allow-origin", b"null"),
        (b"access-control-allow-methods", method),
        *([(b"access-control-allow-headers", wanted)] if wanted and not _BAD_VALUE.search(wanted) else []),
        (b"vary", b"origin"),
    ]


def own_cookie(value: bytes, prefix: bytes) -> bytes:
    """A Set-Cookie that reaches nobody but the app that sets it; empty where it may not be set."""
    pair, *attributes = value.split(b";")
    name = pair.partition(b"=")[0].strip().lower()
    if name.startswith(_OUR_COOKIES) or (prefix and name.startswith(b"__host-")):
        return b""
    kept, path = [pair], b""
    for attribute in attributes:
        key, _, given = attribute.partition(b"=")
        key = key.strip().lower()
        if key == b"domain":
            continue
        if prefix and key == b"path":
            path = given.strip().strip(b'"')
            continue
        kept.append(attribute)
    if prefix:
        kept.append(b" Path=" + _below(path if path.startswith(b"/") else b"/", prefix))
    return b";".join(kept)


def moved_location(value: bytes, prefix: bytes, host: bytes) -> bytes:
    """Where an app sends its caller to, as an address below the prefix if it means itself."""
    for scheme in (b"http://", b"https://"):
        if value.lower().startswith(scheme + host.lower()) and host:
            path = value[len(scheme) + len(host) :]
            if not path or path[:1] in b"/?#":
                return value[: len(scheme) + len(host)] + _below(path if path[:1] == b"/" else b"/" + path, prefix)
    if value.startswith(b"/") and not value.startswith((b"//", b"/\\")):
        return _below(value, prefix)
    return value


def _below(path: bytes, prefix: bytes) -> bytes:
    return path if path == prefix or path.startswith(prefix + b"/") else prefix + path


def _named_by_connection(headers: Headers) -> Iterable[bytes]:
    found: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            found.update(token.strip().lower() for token in value.split(b","))
    return found - {b"host", b"content-type", b"authorization", b"cookie", b"set-cookie"} if found else ()
