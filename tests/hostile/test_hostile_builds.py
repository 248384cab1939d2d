"""Builds that mean harm to the machine they run on: what they leave leads nowhere, and is no larger than it seems."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.agent.blob_server import blob_server
from tests.agent.test_building_apps import Yard

from anchor.agent.apps import making
from anchor.agent.apps.cells import make_place
from anchor.agent.sandbox.probe import probe

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(60),
    pytest.mark.skipif(probe().level != "confined", reason=probe().why or "confined"),
]


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with blob_server() as server:
        yard = Yard(tmp_path / "agent", server, probe())
        await yard.builds.prepare()
        yield yard
        await yard.parcels.close()


async def test_a_site_is_served_from_nowhere_but_what_was_built(yard: Yard, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "index.html").write_text("precious")
    builds = (
        f"ln -s {precious} dist",
        f"mkdir dist; ln -s {precious}/index.html dist/index.html",
        f"ln -s ../../../../precious dist; ln -s {precious} public",
        "ln -s loop dist; ln -s dist loop",
    )
    for build in builds:
        reason = await yard.refusal(yard.item({"a": ""}, kind="static", build=build))
        assert "left no index.html" in reason.message, build
    inside = yard.item({"site/index.html": "mine"}, kind="static", build="ln -s site dist")
    async with yard.built(inside) as built:
        assert (make_place(tmp_path / "copy", built.source).directory / "index.html").read_text() == "mine"
    # What a server says of a plan is no more than what somebody says.
    for root in (str(precious), "../../../../precious", "nothing"):
        plan = msgspec.structs.replace(inside.plan, build="", root=root)
        told = msgspec.structs.replace(inside, plan=plan)
        assert "no folder to serve" in (await yard.refusal(told)).message


async def test_what_a_build_leaves_is_no_larger_once_it_is_copied(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "BUILD_DISK_MIB", 40)
    sparse = "truncate -s 30M a b"
    linked = "head -c 15000000 /dev/zero > a; ln a b; ln a c"
    for build in (sparse, linked):
        reason = await yard.refusal(yard.item({"main.py": ""}, build=build))
        assert reason.code == "build_failed"
        assert "once they are copied" in reason.message
    async with yard.built(
        yard.item({"main.py": ""}, build="mkfifo pipe; mkdir in; mkfifo in/pipe; echo x > y")
    ) as built:
        place = make_place(tmp_path / "copy", built.source)
        assert sorted(path.name for path in place.directory.iterdir()) == ["in", "main.py", "y"]


async def test_a_lock_that_a_node_made_up_names_packages_of_the_index_only(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine registry login me password canary-of-the-owner\n")
    pinned = f"x==1 --hash=sha256:{'0' * 64}"
    made_up = (
        "-r /anchor/home/.netrc",
        f"{pinned} \\\n-r /anchor/home/.netrc",
        "--index-url http://127.0.0.1:9/simple",
        f"x @ http://127.0.0.1:9/x-1-py3-none-any.whl --hash=sha256:{'0' * 64}",
        "x==1",
    )
    for lock in made_up:
        reason = await yard.refusal(yard.item({"requirements.txt": "x", "main.py": ""}, lock.encode()))
        assert reason.code == "dependency_error"
        assert "canary" not in reason.message + yard.said
        assert "requirements.lock" in reason.message or "hash" in reason.message, reason
