"""Which app a request means: by the name it is asked under, or by a path below /apps/."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

PATH_PREFIX = b"/apps/"
APPS_LABEL = "apps"
HOST_LENGTH_MAX = 260
KNOWN_MAX = 2000
"""Host headers whose meaning is remembered."""
HOST_LENGTH_MAX = 300
"""No name is longer."""


@dataclass(frozen=True, slots=True)
class Meant:
    """An app's name, as asked for (there may be no such app). `prefix` is what stands before the app's own paths: ""
    where it was asked for by a host name of its own. `lacks_slash`: the path ends with the app's name."""

    name: str
    prefix: str = ""
    lacks_slash: bool = False


class Hosts:
    """Reads Host headers. Apps are asked for as NAME.`domain`, or where there is no domain, as NAME.apps.ANYTHING;
    `own_url` is where the server itself is asked for, whatever that looks like."""

    def __init__(self, domain: str, own_url: str) -> None:
        self._domain = domain
        self._own = urlsplit(own_url).hostname or ""
        self._known: dict[bytes, Meant | None] = {}

    def meant(self, headers: Sequence[tuple[bytes, bytes]], raw_path: bytes) -> Meant | None:
        """The app that a request means, or None: the server itself. ValueError where several Host headers contradict
        each other."""
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) == 1:
            found = self._by_host(hosts[0])
        else:
            all_found = {self._by_host(host) for host in hosts}
            if len(all_found) > 1 or any(all_found):
                raise ValueError("more than one Host header")
            found = None
        if found is None and raw_path.startswith(PATH_PREFIX):
            return by_path(raw_path)
        return found

    def _by_host(self, host: bytes) -> Meant | None:
        try:
            return self._known[host]
        except KeyError:
            if len(host) > HOST_LENGTH_MAX:
                return None
            found = self._read(host)
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            if len(host) <= HOST_LENGTH_MAX:
                self._known[host] = found
            return found

    def _read(self, host: bytes) -> Meant | None:
        name = host.decode("latin-1").strip().lower()
        if not name.endswith("]"):
            head, colon, port = name.rpartition(":")
            if colon and (port.isdigit() or not port):
                name = head
        name = name.removesuffix(".")
        if name == self._own:
            return None
        if self._domain:
            label = name.removesuffix(f".{self._domain}")
            return Meant(label) if label != name else None
        label, _, rest = name.partition(".")
        return Meant(label) if rest.partition(".")[0] == APPS_LABEL and rest != APPS_LABEL else None


def by_path(raw_path: bytes) -> Meant | None:
    """The app named in a path below /apps/, if one is."""
    name, slash, _ = raw_path[len(PATH_PREFIX) :].partition(b"/")
    if not name:
        return None
    text = name.decode("latin-1")
    return Meant(text, f"/apps/{text}", not slash)
