"""From an app's archive to what its replicas run: settled, installed and built once, confined, told as it happens."""

import asyncio
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from tests.agent.blob_server import BlobServer, blob_server
from tests.runtimes.test_native_installs import Index

from anchor.agent.apps.building import Builds
from anchor.agent.apps.built import Built, CannotBuild
from anchor.agent.parcels import Parcels
from anchor.agent.runtimes.native.environments import Environments
from anchor.agent.runtimes.native.installer import SYSTEM_PATH, foreign
from anchor.agent.runtimes.native.shelf import Shelf
from anchor.agent.runtimes.native.toolchains import node_on_path
from anchor.agent.sandbox.confinement import Cell, Confinement, Mount
from anchor.agent.sandbox.probe import probe
from anchor.agent.sandbox.supervise import Program, supervise
from anchor.core.app import AppConfig
from anchor.core.attempt import Reason
from anchor.core.detection import detected
from anchor.wire.link import HostItem
from anchor.wire.source_archive import opened
from anchor.wire.source_packing import packed_files

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined"),
]
needs_node = pytest.mark.skipif(node_on_path() is None, reason="no node with npm on PATH")


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class Yard:
    """Builds of one node, and what they said last."""

    def __init__(self, state: Path, server: BlobServer, confinement: Confinement) -> None:
        self.state = state
        self.server = server
        self.confinement = confinement
        self.parcels = Parcels()
        self.parcels.url, self.parcels.token = server.url, "token"
        self.environments = Environments(state, confinement)
        self.environments.prepare()
        self.builds = Builds(state, self.environments, confinement, self.parcels)
        self.said = ""

    def item(self, files: dict[str, str], lock: bytes | None = None, **config: object) -> HostItem:
        content = packed_files(files)
        settings = AppConfig(**config)  # type: ignore[arg-type]
        return HostItem(
            app=1,
            name="shop",
            process="web",
            index=0,
            generation=1,
            release=1,
            source=self.server.add(content),
            lock="" if lock is None else self.server.add(lock),
            config=settings,
            plan=detected(opened(BytesIO(content)).files, settings),
            env=b"",
        )

    @asynccontextmanager
    async def built(self, item: HostItem) -> AsyncIterator[Built]:
        said: list[str] = []
        try:
            async with self.builds.kept(item, lambda _, text: said.append(text)) as built:
                yield built
        finally:
            self.said = "".join(said)

    async def refusal(self, item: HostItem) -> Reason:
        with pytest.raises(CannotBuild) as told:
            async with self.built(item):
                pass
        return told.value.reason

    async def run(self, built: Built, command: str, copy: Path) -> str:
        """What a command prints in a cell as a replica's is."""
        await asyncio.to_thread(_copied, built.source, copy)
        printed: list[str] = []
        program = Program(
            argv=["/bin/sh", "-c", command],
            env={**built.env, "HOME": "/app", "PORT": "8080", "PATH": ":".join([*built.path, SYSTEM_PATH])},
            cell=Cell(directory=Mount(copy, "/app", writable=True), mounts=foreign(built.mounts), memory_mib=512),
            timeout_seconds=20,
        )
        ended = await supervise(self.confinement, program, lambda _, text: bool(printed.append(text)) or True)
        assert ended.cut is None, ended
        return "".join(printed)


def _copied(source: Path, copy: Path) -> None:
    copy.mkdir()
    for path in source.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(source)).write_bytes(path.read_bytes())


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture
async def yard(index: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Yard]:
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{index}/simple")
    monkeypatch.setenv("npm_config_registry", f"{index}/")
    async with blob_server() as server:
        yard = Yard(state, server, probe())
        await yard.builds.prepare()
        yield yard
        await yard.parcels.close()


def package(**told: object) -> str:
    return json.dumps({"name": "shop", **told})


@needs_node
async def test_npm_packages_are_settled_once_and_the_lock_makes_the_same_elsewhere(yard: Yard, tmp_path: Path) -> None:
    files = {
        "package.json": package(dependencies={"canary": "^1"}),
        "server.mjs": "import x from 'canary'\nconsole.log(x)",
    }
    files["sub/deep.cjs"] = "console.log(require('canary') + 1)"
    async with yard.built(yard.item(files)) as built:
        assert built.lock is not None
        assert (
            await yard.run(built, "node server.mjs && node sub/deep.cjs && npm --version", tmp_path / "a") > "42\n43\n1"
        )
    assert "settling the versions" in yard.said
    assert "127.0.0.1" not in built.lock.decode()
    assert not list(yard.state.rglob("ran"))  # what the package's install scripts would leave
    began = time.perf_counter()
    async with yard.built(yard.item(files, built.lock)) as again:
        assert again.source == built.source
    assert time.perf_counter() - began < 2, "milliseconds on a machine that does nothing else"
    elsewhere = Yard(tmp_path / "elsewhere", yard.server, yard.confinement)
    await elsewhere.builds.prepare()
    async with elsewhere.built(elsewhere.item(files, built.lock)) as same:
        assert same.lock == built.lock
    assert "settling" not in elsewhere.said
    assert "installing npm packages (1)" in elsewhere.said
    await elsewhere.parcels.close()


async def test_python_packages_are_settled_with_hashes_and_found_by_the_app(yard: Yard, tmp_path: Path) -> None:
    files = {"requirements.txt": "honest<2\n", "main.py": "import honest\nprint(honest.VALUE)"}
    async with yard.built(yard.item(files)) as built:
        assert await yard.run(built, built.processes["web"], tmp_path / "a") == "41\n"
    assert built.lock is not None
    assert built.lock.startswith(b"honest==1.0")
    assert b"--hash=sha256:" in built.lock
    pinned = {**files, "requirements.txt": built.lock.decode()}
    async with yard.built(yard.item(pinned)) as built:
        assert built.lock is None
    reason = await yard.refusal(yard.item({**pinned, "requirements.txt": _with_other_hash(pinned["requirements.txt"])}))
    assert reason.code == "dependency_error"
    assert "ash mismatch" in reason.message


def _with_other_hash(text: str) -> str:
    return text[: text.index("sha256:") + len("sha256:")] + hashlib.sha256(b"other").hexdigest() + "\n"


async def test_packages_that_cannot_be_had_are_told_in_the_installers_words(yard: Yard) -> None:
    reason = await yard.refusal(yard.item({"requirements.txt": "needy\nhonest==2.0", "main.py": ""}))
    assert reason.code == "dependency_error"
    assert "honest<2" in reason.message
    assert str(yard.state) not in reason.message


@needs_node
async def test_an_index_that_is_away_is_the_nodes_fault(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    reason = await yard.refusal(yard.item({"requirements.txt": "honest==2.0\nstarter", "main.py": ""}))
    assert reason.code == "index_unreachable"


@needs_node
async def test_a_build_has_the_development_packages_and_no_network_and_leaves_the_shared_ones_alone(
    yard: Yard, index: str, tmp_path: Path
) -> None:
    port = index.rpartition(":")[2]
    build = f"""
import fs from "node:fs";
import net from "node:net";
import canary from "canary";
fs.mkdirSync("dist");
fs.writeFileSync("node_modules/canary/mark", "x");
const line = net.connect({port}, "127.0.0.1");
line.on("connect", () => process.exit(1));
line.on("error", () => fs.writeFileSync("dist/index.html", `made with ${{canary}}`));
console.log("half way");
"""
    files = {
        "package.json": package(scripts={"build": "node build.mjs"}, devDependencies={"canary": "*"}),
        "build.mjs": build,
        "index.html": "unbuilt",
    }
    item = yard.item(files)
    assert item.plan.kind == "static"
    async with yard.built(item) as built:
        assert (built.source / "index.html").read_text() == "made with 42"
        served = (
            f"({built.processes['web']}) & until curl -s --fail http://127.0.0.1:8080/; do sleep 0.05; done; kill $!"
        )
        assert await yard.run(built, served, tmp_path / "a") == "made with 42"
    assert "half way" in yard.said
    assert not list((yard.state / "environments").rglob("mark"))
    async with yard.built(item):
        pass
    assert yard.said == ""


@needs_node
async def test_what_a_source_brings_as_node_modules_is_not_in_the_way(yard: Yard, tmp_path: Path) -> None:
    files = {"package.json": package(dependencies={"canary": "1.0.0"}), "app.js": "console.log(require('canary'))"}
    for at, brought in enumerate(({"node_modules": "a file"}, {"node_modules/canary/index.js": "throw 1"})):
        async with yard.built(yard.item(files | brought)) as built:
            assert await yard.run(built, "node app.js", tmp_path / str(at)) == "42\n"


@needs_node
async def test_a_build_that_fails_is_told_with_its_last_lines(yard: Yard) -> None:
    script = "for i in $(seq 60); do echo line $i; done; echo 'src/a.ts(3,7): wrong' >&2; exit 3"
    item = yard.item({"package.json": package(scripts={"start": "node x"})}, build=script)
    reason = await yard.refusal(item)
    assert reason.code == "build_failed"
    assert "ended with exit code 3." in reason.message
    lines = reason.message.splitlines()
    assert lines[-1] == "src/a.ts(3,7): wrong" or lines[-1].startswith("line")
    assert len(lines) == 41
    assert "line 60" in reason.message
    assert not list((yard.state / "apps/trees").glob("tmp-*"))
    nothing = await yard.refusal(yard.item({"index.html": ""}, kind="static", build="rm index.html"))
    assert "left no index.html" in nothing.message


async def test_the_same_build_asked_for_by_many_is_made_once(yard: Yard) -> None:
    item = yard.item({"Procfile": "web: ./x", "x": ""}, build="sleep 0.3; echo made >&2")
    said: list[str] = []

    async def one() -> Path:
        async with yard.builds.kept(item, lambda _, text: said.append(text)) as built:
            return built.source

    assert len({*await asyncio.gather(one(), one(), one())}) == 1
    assert "".join(said).count("made\n") == 1
    assert yard.server.asked[f"GET {item.source}"] == 1


async def test_a_build_that_is_called_off_ends_and_can_be_made_again(yard: Yard) -> None:
    item = yard.item({"Procfile": "web: ./x"}, build="echo begun; test -e /tmp/never || sleep 4321")
    begun = asyncio.Event()

    async def build() -> None:
        async with yard.builds.kept(item, lambda _, text: begun.set() if "begun\n" in text else None):
            raise AssertionError

    task = asyncio.create_task(build())
    await asyncio.wait_for(begun.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list((yard.state / "apps/trees").glob("tmp-*"))
    assert not await asyncio.to_thread(_running, b"sleep\x004321")


def _running(command: bytes) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += [path] if command in path.read_bytes() else []
    return found


async def test_a_source_is_fetched_on_from_where_the_line_was_cut_and_checked(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anchor.agent.apps.fetching.RETRY_SECONDS", 0.0)
    noise = "".join(hashlib.sha256(str(at).encode()).hexdigest() for at in range(20_000))
    item = yard.item({"index.html": "cut", "noise.txt": noise})
    yard.server.cuts = [200_000, 100_000]
    async with yard.built(item) as built:
        assert (built.source / "noise.txt").read_text() == noise
    assert len(yard.server.starts) == 3
    assert yard.server.starts[1] > 0
    lie = yard.item({"index.html": "lie"})
    yard.server.blobs[lie.source] = b"something else"
    assert (await yard.refusal(lie)).code == "source_unavailable"
    gone = yard.item({"index.html": "gone"})
    del yard.server.blobs[gone.source]
    assert (await yard.refusal(gone)).code == "source_unavailable"


async def test_folders_on_a_shelf_are_bounded_and_one_in_use_stays(tmp_path: Path) -> None:
    shelf, other = (Shelf(tmp_path, count_max=2, bytes_max=1 << 20) for _ in range(2))
    (tmp_path / "tmp-left").mkdir()
    shelf.prepare()
    made: list[str] = []

    async def fill(folder: Path) -> None:
        made.append(folder.name)
        (folder / "x").write_bytes(bytes(300_000))

    def there() -> set[str]:
        return {path.name for path in tmp_path.iterdir() if path.is_dir()}

    async with shelf.kept("a", fill) as kept:
        for key in ("b", "c", "d"):
            async with other.kept(key, fill):
                pass
        assert (kept / "x").exists()
        assert there() == {"a", "c", "d"}
    async with shelf.kept("e", fill), shelf.kept("a", fill):
        assert there() == {"a", "e"}
    assert len(made) == 6  # "a" twice: by then nobody used it, and it was the oldest


async def test_without_confinement_an_app_finds_its_packages_beside_it(yard: Yard, tmp_path: Path) -> None:
    if node_on_path() is None:
        pytest.skip("no node with npm on PATH")
    bare = Yard(tmp_path / "bare", yard.server, Confinement("process"))
    await bare.builds.prepare()
    item = bare.item({"package.json": package(dependencies={"canary": "1"}), "server.js": "1"}, build="echo $PWD")
    async with bare.built(item) as built:
        assert (built.source / "node_modules/canary/package.json").exists()
        assert (built.source / "node_modules").is_symlink()
    await bare.parcels.close()
