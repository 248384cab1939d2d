"""Where a server is and how to say so: addresses as people write them."""

import os
from ipaddress import ip_address
from urllib.parse import urlsplit

from anchor.core.errors import InvalidRequest

DEFAULT_URL = "http://127.0.0.1:5000"


def normal_url(text: str | None) -> str:
    """The base URL meant by `lab-server:5000` or a full URL; without a text ANCHOR_URL, then the local default."""
    text = (text or os.environ.get("ANCHOR_URL") or DEFAULT_URL).strip()
    full = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(full)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or " " in full or "@" in parts.netloc:
        raise InvalidRequest(
            f"{text!r} is not the address of a server.", hint="Write it like http://lab-server:5000.", code="bad_url"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_loopback(url: str) -> bool:
    """Whether an address is this very machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
