"""The one line with which a machine joins, for each system, and the scripts that those lines fetch and run."""

import re
from collections.abc import Mapping
from importlib import resources
from urllib.parse import urlsplit

from starlette.types import Scope

from anchor.server.desk import Desk
from anchor.server.gate import LOOPBACK_HOSTS
from anchor.server.own_wheel import PACKAGE, own_wheel, wheel_name
from anchor.server.sessions import is_https
from anchor.wire.rest import JoinCommands

SHELL, POWERSHELL = "join.sh", "join.ps1"
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")


def commands(url: str, token: str) -> JoinCommands:
    """The lines to run on a machine that has no Anchor yet."""
    wheel = wheel_name()
    install = "" if wheel is None else f"pip install {_word(f'{url}/dist/{wheel}')} && "
    shell, powershell, server = _word(f"{url}/{SHELL}"), _word(f"{url}/{POWERSHELL}"), _word(url)
    return JoinCommands(
        linux=f"curl -fsSL {shell} | sh -s -- {server} {token}",
        windows=f"& ([scriptblock]::Create((irm {powershell}))) {server} {token}",
        python=f"{install}anchor join {server} {token}",
    )


def _word(url: str) -> str:
    """A URL as one word of any shell, which may take the brackets of an IPv6 address for a pattern of file names."""
    return f'"{url}"' if "[" in url else url


def address_for(scope: Scope, headers: Mapping[str, str], desk: Desk) -> str:
    """How a machine reaches this server: as it is said to be called, else as the caller just called it; and where that
    was from this very machine, as others call it, if they can."""
    host = headers.get("host", "")
    is_known = bool(desk.gate.own_url) or not _HOST.fullmatch(host)
    if is_known or (_is_loopback(f"http://{host}") and not _is_loopback(desk.url)):
        return desk.url
    return f"{'https' if is_https(scope, headers) else 'http'}://{host}"


def script(name: str) -> bytes:
    """A script as it is sent: it knows what this server would have installed."""
    wheel = own_wheel()
    text = resources.files("anchor.server").joinpath("joining", name).read_text(encoding="utf-8")
    known = {"@WHEEL@": wheel.name if wheel else "", "@SHA256@": wheel.sha256 if wheel else "", "@PACKAGE@": PACKAGE}
    for mark, value in known.items():
        text = text.replace(mark, value)
    return text.encode()


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK_HOSTS
