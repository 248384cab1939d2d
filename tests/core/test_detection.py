"""What a source is, told from the names of its files and what a few of them say."""

import json
import time

import pytest

from anchor.core import npm_lock, python_source, requirements
from anchor.core.app import AppConfig, Plan
from anchor.core.detection import READ_BYTES_MAX, detected, is_read
from anchor.core.errors import InvalidRequest

ASGI = "--host 0.0.0.0 --port $PORT --proxy-headers --forwarded-allow-ips '*'"


def plan_of(files: dict[str, str], **config: object) -> Plan:
    read = {path: text.encode() if is_read(path) else None for path, text in files.items()}
    return detected(read, AppConfig(**config))  # type: ignore[arg-type]


def web_of(files: dict[str, str], **config: object) -> str:
    return plan_of(files, **config).processes["web"]


def fault_in(files: dict[str, str], **config: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as told:
        plan_of(files, **config)
    return told.value


def package(**told: object) -> str:
    return json.dumps({"name": "app", **told})


def test_a_start_script_is_what_is_run() -> None:
    plan = plan_of(
        {"package.json": package(scripts={"start": "node s.js"}, dependencies={"express": "^5"}), "s.js": ""}
    )
    assert plan == Plan(kind="node", processes={"web": "node s.js"}, install="npm")


def test_a_start_script_with_something_around_it_is_run_by_npm() -> None:
    assert web_of({"package.json": package(scripts={"prestart": "x", "start": "node s.js"})}) == "npm start"


@pytest.mark.parametrize(
    ("main", "there", "run"),
    [
        ("./lib/a.js", "lib/a.js", "node lib/a.js"),
        ("gone.js", "server.js", "node server.js"),
        ("", "index.mjs", "node index.mjs"),
        ("", "app.cjs", "node app.cjs"),
        ("a b.js", "app.js", "node app.js"),
    ],
)
def test_without_a_start_script_the_main_file_is_run(main: str, there: str, run: str) -> None:
    assert web_of({"package.json": package(main=main), there: "", "a b.js": ""}) == run


def test_a_build_script_is_run_and_only_then_are_development_packages_installed() -> None:
    files = {"package.json": package(scripts={"build": "tsc", "start": "node x"}, devDependencies={"typescript": "5"})}
    assert plan_of(files).build == "npm run build"
    assert plan_of(files, build="make").build == "make"


@pytest.mark.parametrize(
    ("tool", "root"), [("vite", "dist"), ("react-scripts", "build"), ("@11ty/eleventy", "_site"), ("next", "out")]
)
def test_a_source_that_is_only_built_is_a_static_site(tool: str, root: str) -> None:
    plan = plan_of(
        {"package.json": package(scripts={"build": "b"}, devDependencies={tool: "1"}), "index.html": "<script>"}
    )
    assert (plan.kind, plan.root, plan.install, plan.build) == ("static", root, "npm", "npm run build")


@pytest.mark.parametrize(
    ("wanted", "code", "run"),
    [
        ("fastapi", "from fastapi import FastAPI\napp = FastAPI()", f"uvicorn main:app {ASGI}"),
        ("Starlette[full]>=1", "import starlette.applications as s\nx = s.Starlette()", f"uvicorn main:x {ASGI}"),
        ("quart\nhypercorn", "import quart\napp: object = quart.Quart('x')", "hypercorn --bind 0.0.0.0:$PORT main:app"),
        (
            "flask",
            "from flask import Flask as F\napi = F('x')",
            "waitress-serve --listen=0.0.0.0:$PORT --threads=8 main:api",
        ),
        (
            "flask\ngunicorn==23",
            "import flask\na = flask.Flask('x')",
            "gunicorn --bind 0.0.0.0:$PORT --threads 8 main:a",
        ),
        (
            "flask",
            "from shop import create\napp = create()",
            "waitress-serve --listen=0.0.0.0:$PORT --threads=8 main:app",
        ),
        ("fastapi", "from shop import create\napp = create()", f"uvicorn main:app {ASGI}"),
        ("requests", "print('hello')", "python main.py"),
        ("flask", "def broken(:", "python main.py"),
    ],
)
def test_a_web_application_in_python_is_found_and_served(wanted: str, code: str, run: str) -> None:
    assert web_of({"requirements.txt": wanted, "main.py": code}) == run


def test_an_application_is_also_found_in_the_usual_folders() -> None:
    files = {"pyproject.toml": '[project]\nname="x"\ndependencies=["fastapi"]', "app/main.py": "import fastapi\n"}
    files["app/main.py"] += "app = fastapi.FastAPI()"
    assert web_of(files).startswith("uvicorn app.main:app ")


def test_django_is_served_by_its_own_module() -> None:
    files = {"requirements.txt": "Django", "manage.py": "", "shop/wsgi.py": "", "shop/settings.py": ""}
    assert web_of(files).endswith(" shop.wsgi:application")


def test_a_program_that_requires_nothing_is_run_as_it_is() -> None:
    plan = plan_of({"main.py": "1", "docs/index.html": ""})
    assert plan == Plan(kind="python", processes={"web": "python main.py"})


@pytest.mark.parametrize("root", ["", "public", "dist", "_site"])
def test_an_index_page_makes_a_static_site(root: str) -> None:
    plan = plan_of({f"{root}/index.html".lstrip("/"): ""})
    assert plan == Plan(kind="static", processes={"web": "serve"}, root=root)


def test_a_procfile_names_the_processes_and_the_files_the_language() -> None:
    text = "\ufeff# what runs\n\nweb: node a.js $PORT\nworker:   node b.js  \nrelease: node c.js\r\n"
    plan = plan_of({"Procfile": text, "package.json": package(dependencies={"a": "1"})})
    assert plan.processes == {"web": "node a.js $PORT", "worker": "node b.js", "release": "node c.js"}
    assert (plan.kind, plan.install) == ("node", "npm")


def test_of_two_languages_the_one_that_the_commands_begin_with_counts() -> None:
    files = {"package.json": package(), "requirements.txt": "flask", "Procfile": "web: gunicorn a:b"}
    assert plan_of(files).kind == "python"
    assert plan_of({**files, "Procfile": "web: node a.js"}).kind == "node"


def test_a_procfile_alone_runs_programs_of_the_machine() -> None:
    assert plan_of({"Procfile": "web: ./serve"}).kind == "command"
    assert plan_of({"Procfile": "web: node x.js"}).kind == "node"


def test_what_the_config_says_comes_first() -> None:
    files = {"Procfile": "web: ./a\nworker: ./b", "index.html": ""}
    plan = plan_of(files, command="./c", processes={"worker": "./d", "clock": "./e"}, kind="command")
    assert plan.processes == {"web": "./c", "worker": "./d", "clock": "./e"}
    assert plan_of(files, kind="static").processes["web"] == "serve"


def test_a_folder_that_is_no_app_is_told_so_with_what_was_looked_for_and_found() -> None:
    error = fault_in({"notes.txt": "", "pics/a.png": "", "pics/b.png": ""})
    assert error.code == "not_an_app"
    assert "package.json" in error.message
    assert "Found notes.txt, pics/." in error.hint
    assert "Nothing was found" in fault_in({}).hint


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"package.json": '{\n "a": }'}, "bad_package_json", "line 2, column 7"),
        ({"package.json": "[" * 100_000}, "bad_package_json", "nested"),
        ({"package.json": '{"scripts": {"start": 1}}'}, "bad_package_json", "scripts"),
        ({"package.json": "{}"}, "not_an_app", "started"),
        ({"package.json": package(dependencies={"a": "file:../a"}), "app.js": ""}, "dependency_error", "file:../a"),
        (
            {"package.json": package(dependencies={"a": "http://127.0.0.1/a.tgz"}), "app.js": ""},
            "dependency_error",
            "a",
        ),
        ({"package.json": package(dependencies={"a": "me/a"}), "app.js": ""}, "dependency_error", "me/a"),
        ({"package.json": package(workspaces=["a"]), "app.js": ""}, "dependency_error", "workspaces"),
        ({"Procfile": "web: a\nnonsense"}, "bad_procfile", "Line 2"),
        ({"Procfile": "web: a\nweb: b"}, "bad_procfile", "second time"),
        ({"Procfile": "Web: a"}, "bad_procfile", "small letters"),
        ({"Procfile": "# nothing"}, "bad_procfile", "no process"),
        ({"Procfile": "release: a"}, "not_an_app", "keeps running"),
        ({"Procfile": "\n".join(f"p{at}: x" for at in range(21))}, "too_many_processes", "21"),
        ({"requirements.txt": "flask\n-e ."}, "dependency_error", "Line 2 of requirements.txt"),
        ({"requirements.txt": "--index-url http://x\nflask"}, "dependency_error", "--index-url"),
        ({"requirements.txt": "a @ https://example.com/a.whl"}, "dependency_error", "Line 1"),
        ({"requirements.txt": "git+https://example.com/a"}, "dependency_error", "Line 1"),
        ({"requirements.txt": "../a"}, "dependency_error", "Line 1"),
        ({"requirements.txt": "-r more.txt"}, "dependency_error", "more.txt"),
        ({"requirements.txt": "-r requirements.txt"}, "dependency_error", "includes it"),
        ({"pyproject.toml": "[project\n"}, "bad_pyproject", "line 1"),
        ({"pyproject.toml": "[tool.poetry.dependencies]\nflask='*'"}, "dependency_error", "Poetry"),
        ({"pyproject.toml": "[project]\ndynamic=['dependencies']"}, "dependency_error", "dynamic"),
        ({"Pipfile": "", "main.py": ""}, "dependency_error", "Pipfile"),
        ({"go.mod": "", "main.go": ""}, "not_an_app", "in Go"),
        ({"requirements.txt": "numpy"}, "not_an_app", "No web application"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(files: dict[str, str], code: str, words: str) -> None:
    error = fault_in(files)
    assert error.code == code
    assert words in error.message
    assert error.hint


def test_scaling_what_is_not_there_or_runs_once_is_refused() -> None:
    files = {"Procfile": "web: a\nrelease: b"}
    assert "runs once" in fault_in(files, scale={"release": 2}).message
    assert "which the app does not have" in fault_in(files, scale={"wrker": 2}).message
    assert fault_in(files, command="x", processes={"web": "y"}).code == "invalid_request"


def test_requirements_are_read_with_their_hashes_markers_and_inclusions() -> None:
    files: dict[str, bytes | None] = {
        "requirements.txt": b"-r requirements-web.txt\nnumpy>=1,<3 ; python_version < '3.14' # numbers\n",
        "requirements-web.txt": b"flask==3.0 \\\n    --hash=sha256:00ff \\\n    --hash=sha256:11aa\n",
    }
    lines = requirements.stated(files)
    assert requirements.names_in(lines) == {"flask", "numpy"}
    assert not requirements.is_locked(lines)
    assert requirements.is_locked(lines[:1])


def test_lines_made_to_take_long_are_refused_at_once() -> None:
    began = time.perf_counter()
    for line in ("a" + " " * 200_000 + "!", "a" * 200_000 + "!", "a" + ">1," * 60_000 + "!", "a[" + "b," * 90_000):
        assert fault_in({"requirements.txt": line}).code == "dependency_error"
    assert time.perf_counter() - began < 2


def test_a_command_with_a_nul_is_refused() -> None:
    told = [
        ({"main.py": ""}, {"command": "sleep 1\0"}),
        ({"main.py": ""}, {"build": "make\0"}),
        ({"package.json": '{"scripts": {"start": "node \\u0000"}}'}, {}),
    ]
    for files, config in told:
        assert fault_in(files, **config).code == "invalid_config"


def test_of_a_long_program_only_the_beginning_is_parsed() -> None:
    made = "from fastapi import FastAPI\napp = FastAPI()\n"
    long = "def page():\n    return [\n" + "        'row',\n" * 15_000 + "]\n"
    assert len(long) < READ_BYTES_MAX
    files = {"requirements.txt": b"fastapi", "main.py": (made + long).encode()}
    assert detected(files, AppConfig()).processes["web"].startswith("uvicorn main:app ")
    parsed = []
    for text in (made + long, made + "x = 1\n" * 30_000, "a;" * 120_000, "\n" * 100_000):
        began = python_source._beginning(text.encode())
        assert len(began) <= 48 * 1024
        parsed.append(len(began))
    assert parsed[0] == len(made)
    assert parsed[1] > 40_000
    assert parsed[2:] == [0, 0]


def test_a_package_lock_keeps_its_hashes_and_loses_its_addresses() -> None:
    entry = {"version": "1.0.0", "resolved": "http://10.0.0.1/a.tgz", "integrity": "sha512-x"}
    public = {**entry, "resolved": f"{npm_lock.PUBLIC_REGISTRY}b/-/b.tgz"}
    lock = {"lockfileVersion": 3, "packages": {"": {}, "node_modules/a": entry, "node_modules/b": public}}
    packages = json.loads(npm_lock.cleaned(json.dumps(lock).encode()))["packages"]
    assert packages["node_modules/a"] == {"version": "1.0.0", "integrity": "sha512-x"}
    assert packages["node_modules/b"] == public


@pytest.mark.parametrize(
    "lock",
    [
        {"packages": {"node_modules/a": {"link": True, "resolved": "../a"}}},
        {"packages": {"node_modules/a": {"version": "1.0.0", "resolved": "git+ssh://git@example.com/a"}}},
        {"dependencies": {"a": {"version": "1.0.0", "dependencies": {"b": {"version": "file:../../b"}}}}},
        {"packages": {"node_modules/../../cache/a": {"version": "1.0.0"}}},
        {"packages": {"../elsewhere/node_modules/a": {"version": "1.0.0"}}},
        {"packages": {"node_modules/a/node_modules/@s/..": {"version": "1.0.0"}}},
        {"dependencies": {"../../cache/a": {"version": "1.0.0"}}},
        {"packages": []},
        [],
    ],
)
def test_a_package_lock_that_names_anything_but_the_registry_is_refused(lock: object) -> None:
    with pytest.raises(InvalidRequest) as told:
        npm_lock.cleaned(json.dumps(lock).encode())
    assert told.value.code == "dependency_error"


def test_overrides_and_peers_come_from_the_registry_too() -> None:
    for told in (
        {"overrides": {"a": {"b": "http://127.0.0.1/b.tgz"}}},
        {"peerDependencies": {"a": "git+https://example.com/a"}},
    ):
        with pytest.raises(InvalidRequest):
            npm_lock.wanted_of(told)
    assert npm_lock.wanted_of({"overrides": {"a": "$a", "b": {".": "1.2"}}, "scripts": {"x": "y"}}) == {
        "private": True,
        "overrides": {"a": "$a", "b": {".": "1.2"}},
    }
