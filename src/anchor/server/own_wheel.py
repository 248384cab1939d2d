"""This server's own package as a wheel, for machines that have no Anchor yet: made of what is installed, byte for byte
the same each time, so that whoever was told its SHA-256 can tell whether it arrived whole."""

import base64
import functools
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import anchor

PACKAGE = "anchor-network"
_FACTS = ("METADATA", "entry_points.txt", "licenses/LICENSE")
_WHEEL = b"Wheel-Version: 1.0\nGenerator: anchor\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644 << 16
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel as it is sent."""

    name: str
    content: bytes
    sha256: str


def own_wheel() -> Wheel | None:
    """The wheel of what runs here; None where it was never installed. The first call takes a second of work."""
    with _making:  # anybody may ask, so many may at once: it is made once all the same
        return _own_wheel()


@functools.lru_cache(maxsize=1)
def _own_wheel() -> Wheel | None:
    found = _installed()
    if found is None:
        return None
    content = _packed(found)
    return Wheel(_name(found), content, sha256(content).hexdigest())


def wheel_name() -> str | None:
    """What the wheel is called, without making it."""
    found = _installed()
    return None if found is None else _name(found)


def _installed() -> Distribution | None:
    try:
        return distribution(PACKAGE)
    except PackageNotFoundError:
        return None


def _name(installed: Distribution) -> str:
    return f"{_stem(installed)}-py3-none-any.whl"


def _stem(installed: Distribution) -> str:
    return f"{PACKAGE.replace('-', '_')}-{installed.version}"


def _packed(installed: Distribution) -> bytes:
    folder = f"{_stem(installed)}.dist-info"
    record = []
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = _FILE_MODE
            archive.writestr(entry, content)

        for name, content in [*_package(), *_facts(installed, folder)]:
            add(name, content)
            digest = base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}\n")
        add(f"{folder}/RECORD", "".join([*record, f"{folder}/RECORD,,\n"]).encode())
    return packed.getvalue()


def _package() -> Iterator[tuple[str, bytes]]:
    """The files of the package, by name: none that Python or a tool left there."""
    root = Path(anchor.__file__).parent
    for path in sorted(root.rglob("*")):
        folders = path.relative_to(root).parts[:-1]
        if path.is_file() and not any(name.startswith(".") or name == "__pycache__" for name in folders):
            yield f"anchor/{path.relative_to(root).as_posix()}", path.read_bytes()


def _facts(installed: Distribution, folder: str) -> Iterator[tuple[str, bytes]]:
    """What is known of the package: its version, what it needs, its commands."""
    yield f"{folder}/WHEEL", _WHEEL
    for name in _FACTS:
        text = installed.read_text(name)
        if text is not None:
            yield f"{folder}/{name}", text.encode()
