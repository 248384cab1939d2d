"""Pieces of a blob as input files: only their bytes travel, once, and one that is not all there is refused."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.agent.blob_server import BlobServer, blob_server

from anchor.agent import parcels as parcels_module
from anchor.agent.files.inputs import Inputs
from anchor.agent.parcels import Parcels
from anchor.core.errors import Unavailable
from anchor.core.pieces import Piece, piece_named, piece_of

MIB = 1024 * 1024
CONTENT = random.Random(5).randbytes(3 * MIB)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anchor.agent.files.inputs.RETRY_SECONDS", 0.01)
    monkeypatch.setattr(parcels_module, "RETRY_SECONDS", 0.01)


@asynccontextmanager
async def node(directory: Path, blobs: BlobServer) -> AsyncIterator[Inputs]:
    parcels = Parcels()
    parcels.url, parcels.token = blobs.url, "token"
    try:
        yield Inputs(directory / "inputs", parcels, bytes_max=100 * MIB)
    finally:
        await parcels.close()


@pytest.mark.parametrize(("start", "end"), [(0, 10), (7, 2 * MIB + 1), (MIB, None), (3 * MIB - 1, 3 * MIB), (0, None)])
async def test_only_the_bytes_of_a_piece_travel_and_once(tmp_path: Path, start: int, end: int | None) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        name = Piece(blobs.add(CONTENT), start, end).name
        read = await asyncio.gather(*(inputs.read(name) for _ in range(20)))
        assert set(read) == {CONTENT[start:end]}
        assert await inputs.read(name) == CONTENT[start:end]
        assert blobs.asked["GET"] == 1
        assert blobs.bytes_out == len(CONTENT[start:end])


async def test_a_piece_whose_line_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        name = Piece(blobs.add(CONTENT), 100, 2 * MIB).name
        blobs.cuts = [300_000, 10, 700_000]
        assert await inputs.read(name) == CONTENT[100 : 2 * MIB]
        assert blobs.bytes_out == 2 * MIB - 100


@pytest.mark.parametrize(("start", "end"), [(0, 3 * MIB + 1), (3 * MIB, None), (4 * MIB, 5 * MIB)])
async def test_a_piece_that_is_not_all_in_the_blob_is_said(tmp_path: Path, start: int, end: int | None) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        with pytest.raises(Unavailable, match="are not all in blob"):
            await inputs.read(Piece(blobs.add(CONTENT), start, end).name)
        assert [path for path in (tmp_path / "inputs").rglob("*") if path.is_file()] == []


async def test_a_piece_from_a_server_without_ranges_is_refused_and_never_the_wrong_bytes(tmp_path: Path) -> None:
    async with blob_server() as blobs, node(tmp_path, blobs) as inputs:
        blobs.knows_ranges = False
        with pytest.raises(Unavailable, match="something else was sent"):
            await inputs.read(Piece(blobs.add(CONTENT), 5, 10).name)


async def test_a_kept_piece_which_nothing_proves_is_fetched_again_after_a_restart(tmp_path: Path) -> None:
    async with blob_server() as blobs:
        name = Piece(blobs.add(CONTENT), 5, 10).name
        for _ in range(2):
            async with node(tmp_path, blobs) as inputs:
                assert await inputs.read(name) == CONTENT[5:10]
                (tmp_path / "inputs" / name).chmod(0o600)
                (tmp_path / "inputs" / name).write_bytes(b"wrong")
        assert blobs.asked["GET"] == 2


DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("reference", "piece"),
    [
        (f"sha256:{DIGEST}", Piece(DIGEST)),
        (f"sha256:{DIGEST}[:]", Piece(DIGEST)),
        (f"sha256:{DIGEST}[3:]", Piece(DIGEST, 3)),
        (f"sha256:{DIGEST}[:7]", Piece(DIGEST, 0, 7)),
        (f"sha256:{DIGEST}[3:7]", Piece(DIGEST, 3, 7)),
        (f"sha256:{DIGEST}[7:7]", None),
        (f"sha256:{DIGEST}[8:7]", None),
        (f"sha256:{DIGEST}[-1:7]", None),
        (f"sha256:{DIGEST}[3:7]\n", None),
        (f"sha256:{DIGEST}[٣:7]", None),
        (f"sha256:{DIGEST}[3]", None),
        (DIGEST, None),
    ],
)
def test_a_reference_names_a_blob_or_a_piece_of_it(reference: str, piece: Piece | None) -> None:
    assert piece_of(reference) == piece
    assert piece is None or piece_named(piece.name) == piece
