"""Sources in Python: which web application they define, and which server runs it."""

import ast
import itertools
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from anchor.core import requirements
from anchor.core.app import WEB, Plan
from anchor.core.errors import InvalidRequest

Files = Mapping[str, bytes | None]
Interface = Literal["asgi", "wsgi"]

PROGRAMS: Final = frozenset(
    {"python", "python3", "gunicorn", "uvicorn", "hypercorn", "waitress-serve", "flask", "celery"}
)
"""Commands that say that an app is one in Python."""
SERVERS: Final[dict[str, tuple[str, ...]]] = {
    "uvicorn": ("uvicorn>=0.30,<1", "websockets>=13"),
    "waitress-serve": ("waitress>=3,<4",),
    "gunicorn": ("gunicorn>=22,<30",),
    "hypercorn": ("hypercorn>=0.16,<1",),
}
"""What is installed for a process that starts with this program, where the source does not require the first itself."""
_FILES: Final = ("main", "app", "wsgi", "asgi", "server", "application", "api")
_FOLDERS: Final = ("", "app", "src", "api")
_READ_MAX: Final = 50
"""Files in which an application is looked for."""
_PARSED_BYTES_MAX: Final = 48 * 1024
"""How far into a file: while it is parsed nothing else runs in this process, and some texts take a second a MiB."""
_BEGINS: Final = re.compile(rb"\n(?=[^\s#)\]}])")
_VARIABLES: Final = ("app", "application", "api", "asgi", "wsgi")
_MAKERS: Final[dict[str, Interface]] = {
    "fastapi.FastAPI": "asgi",
    "starlette.applications.Starlette": "asgi",
    "litestar.Litestar": "asgi",
    "quart.Quart": "asgi",
    "sanic.Sanic": "asgi",
    "blacksheep.Application": "asgi",
    "falcon.asgi.App": "asgi",
    "socketio.ASGIApp": "asgi",
    "connexion.AsyncApp": "asgi",
    "django.core.asgi.get_asgi_application": "asgi",
    "flask.Flask": "wsgi",
    "bottle.Bottle": "wsgi",
    "bottle.default_app": "wsgi",
    "falcon.App": "wsgi",
    "django.core.wsgi.get_wsgi_application": "wsgi",
}
"""What makes an application, and which interface it then has."""
_ASGI_PACKAGES: Final = frozenset(
    {"fastapi", "starlette", "litestar", "quart", "sanic", "blacksheep", "uvicorn", "hypercorn", "connexion"}
)
_WSGI_PACKAGES: Final = frozenset({"flask", "bottle", "django", "gunicorn", "waitress", "falcon", "pyramid"})


class Found(NamedTuple):
    """A variable that holds a web application."""

    module: str
    variable: str
    interface: Interface


def is_read(path: str) -> bool:
    """Whether the content of this file matters here."""
    return requirements.is_read(path) or ("/" not in path and path.endswith(".py")) or _is_likely(path)


def is_one(files: Files) -> bool:
    """Whether it is a source in Python, by the files that state what it requires."""
    return requirements.is_one(files) or "manage.py" in files


def has_main(files: Files) -> bool:
    """Whether there is a program to start though it requires nothing."""
    return "main.py" in files or "app.py" in files


def plan(files: Files, known: Mapping[str, str], *, build: str) -> Plan:
    """How to run it; `known` are the commands that are told elsewhere."""
    wanted = requirements.stated(files)
    processes = dict(known)
    if WEB not in processes and not processes.keys() - {"release"}:
        processes[WEB] = _web(files, requirements.names_in(wanted))
    needs = wanted or added(processes, wanted)
    return Plan(kind="python", processes=processes, install="pip" if needs else "", build=build)


def added(processes: Mapping[str, str], wanted: list[str]) -> list[str]:
    """The requirements of the servers that processes start and the source does not require itself."""
    names = requirements.names_in(wanted)
    found: list[str] = []
    for command in processes.values():
        program = (command.split() or [""])[0]
        server = SERVERS.get(program, ())
        if server and program.removesuffix("-serve") not in names:
            found += [one for one in server if one not in found]
    return found


def _web(files: Files, packages: set[str]) -> str:
    found = _django(files) or _application(files, packages)
    if found is not None:
        return _served(found, packages)
    for name in ("main.py", "app.py", "server.py", "run.py", "__main__.py"):
        if name in files:
            return f"python {name}"
    raise InvalidRequest(
        "No web application was found in the Python files.",
        hint="Looked for a variable such as app = FastAPI() or app = Flask(…) in main.py, app.py, wsgi.py, asgi.py and "
        "server.py, and for a main.py or app.py to start; or say how it is started: a Procfile, or config.command.",
        code="not_an_app",
    )


def _served(found: Found, packages: set[str]) -> str:
    target = f"{found.module}:{found.variable}"
    if found.interface == "asgi":
        if "hypercorn" in packages and "uvicorn" not in packages:
            return f"hypercorn --bind 0.0.0.0:$PORT {target}"
        # Behind the server's own proxy, which says what the visitor asked for.
        return f"uvicorn {target} --host 0.0.0.0 --port $PORT --proxy-headers --forwarded-allow-ips '*'"
    if "gunicorn" in packages:
        return f"gunicorn --bind 0.0.0.0:$PORT --threads 8 {target}"
    return f"waitress-serve --listen=0.0.0.0:$PORT --threads=8 {target}"


def _django(files: Files) -> Found | None:
    if "manage.py" not in files:
        return None
    at = sorted(path for path in files if path.count("/") == 1 and path.endswith("/wsgi.py"))
    return Found(at[0].removesuffix(".py").replace("/", "."), "application", "wsgi") if at else None


def _application(files: Files, packages: set[str]) -> Found | None:
    """The first variable that holds an application: one made by a known class; else one named as such are, where the
    packages tell its interface."""
    guess: Found | None = None
    for path in itertools.islice(_likely(files), _READ_MAX):
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for variable, maker in _variables(files[path] or b""):
            if interface := _MAKERS.get(maker):
                return Found(module, variable, interface)
            if guess is None and variable in _VARIABLES and (by_packages := _by_packages(packages)):
                guess = Found(module, variable, by_packages)
    return guess


def _by_packages(packages: set[str]) -> Interface | None:
    if packages & _ASGI_PACKAGES:
        return "asgi"
    return "wsgi" if packages & _WSGI_PACKAGES else None


def _is_likely(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return folder in _FOLDERS and name.removesuffix(".py") in (*_FILES, "__init__") and name.endswith(".py")


def _likely(files: Files) -> Iterator[str]:
    """The files in which an application is looked for, the likeliest first."""
    first = [f"{folder}/{name}.py".lstrip("/") for folder in _FOLDERS for name in (*_FILES, "__init__")]
    yield from (path for path in first if path in files)
    yield from sorted(path for path in files if "/" not in path and path.endswith(".py") and path not in first)


def _variables(content: bytes) -> Iterator[tuple[str, str]]:
    """Variables of a module that a call is assigned to, with the full name of what is called."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(_beginning(content))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # it says so itself when it is run; here it only defines nothing
    names: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {
                (one.asname or one.name.split(".")[0]): (one.name if one.asname else one.name.split(".")[0])
                for one in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, _full_name(node.value.func, names)


def _beginning(content: bytes) -> bytes:
    """As many whole lines as may be parsed, up to one that begins a statement of the module's own."""
    if len(content) <= _PARSED_BYTES_MAX:
        return content
    ends = [found.end() for found in _BEGINS.finditer(content, 0, _PARSED_BYTES_MAX)]
    return content[: ends[-1]] if ends else b""


def _full_name(called: ast.expr, names: Mapping[str, str]) -> str:
    parts: list[str] = []
    while isinstance(called, ast.Attribute):
        parts.append(called.attr)
        called = called.value
    if not isinstance(called, ast.Name):
        return ""
    return ".".join([names.get(called.id, called.id), *reversed(parts)])
