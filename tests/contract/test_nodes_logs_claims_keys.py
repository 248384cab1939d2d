"""The smaller parts of the store: machines, output, idempotency keys, credentials."""

import asyncio

import pytest
from msgspec.structs import replace

from anchor.core.access import Key, Role
from anchor.core.attempt import Reason
from anchor.core.errors import Conflict
from anchor.core.node import Metrics, Node, Profile, Status, beat, greet, with_status
from anchor.ports.store import Claim, LogChunk

pytestmark = pytest.mark.anyio

NODE = Node(id="REX-A1B2C3", owner="ann", public_key=bytes(range(32)), joined_at=5)
PROFILE = Profile(host="lab-7", cores=8, ram=15.5, gpus=("RTX",), runtimes={"wasm": "50"}, missing={"python": "old"})
KEY = Key(digest="ab" * 32, name="laptop", role=Role.NODE, created_at=5, expires_at=9, uses_left=1)


async def test_a_node_comes_back_whole_after_a_restart(store, reopened):
    node = greet(NODE, profile=PROFILE, slots=4, now=7, lease_ms=30)
    node = with_status(beat(node, Metrics(cpu_usage=1.5), now=8, lease_ms=30), Status.DRAINING, Reason("x", "y"))
    assert await store.insert_node(node)
    assert await (await reopened(store)).node(node.id) == node


async def test_a_node_id_is_taken_once(store):
    assert await store.insert_node(NODE)
    assert not await store.insert_node(replace(NODE, owner="mallory"))
    assert await store.node(NODE.id) == NODE


async def test_a_node_changes_only_from_the_version_that_is_stored(store):
    await store.insert_node(NODE)
    newer = greet(NODE, profile=PROFILE, slots=4, now=7, lease_ms=30)
    assert await store.swap_node(NODE, newer)
    assert not await store.swap_node(NODE, replace(newer, slots=9))
    assert not await store.swap_node(replace(NODE, id="MAX-000000"), replace(newer, id="MAX-000000"))
    assert await store.node(NODE.id) == newer


async def test_nodes_are_listed_by_id(store):
    for name in ("MAX-000000", "ABE-000000", "REX-000000"):
        await store.insert_node(replace(NODE, id=name))
    assert [node.id for node in await store.nodes()] == ["ABE-000000", "MAX-000000", "REX-000000"]
    assert await store.node("ZOE-000000") is None


async def test_output_comes_back_in_order_with_every_character(store, reopened):
    texts = ["a", "\x00", "\r\n", "世界 🐙", "", "x" * 100_000]
    chunks = [LogChunk(7, attempt, seq, 99, "stderr", text) for attempt in (1, 2) for seq, text in enumerate(texts, 1)]
    await store.append(list(reversed(chunks)))
    assert await (await reopened(store)).read(7, attempt=0, seq=0, limit=100) == chunks


async def test_output_goes_on_after_the_last_piece_seen(store):
    chunks = [LogChunk(7, attempt, seq, 1, "stdout", "x") for attempt in (1, 2) for seq in (1, 2, 3)]
    await store.append([*chunks, LogChunk(8, 1, 1, 1, "stdout", "not mine")])
    assert await store.read(7, attempt=1, seq=2, limit=2) == chunks[2:4]
    assert await store.read(7, attempt=2, seq=3, limit=2) == []


async def test_a_piece_of_output_is_kept_once_and_as_it_came_first(store):
    first = LogChunk(7, 1, 1, 1, "stdout", "first")
    await store.append([first])
    await asyncio.gather(store.append([replace(first, text="again")]), store.append([replace(first, seq=2)]))
    assert [chunk.text for chunk in await store.read(7, attempt=0, seq=0, limit=10)] == ["first", "first"]


async def test_the_first_claim_of_a_key_wins_and_is_what_everybody_gets(store, reopened):
    claims = [Claim("ann", "k", f"digest{at}", 256 * at, 3, False, at) for at in range(1, 9)]
    answers = await asyncio.gather(*map(store.claim, claims))
    first = answers[0]
    assert first in claims
    assert answers == [first] * 8
    again = await reopened(store)
    assert [await again.claim(claim) for claim in claims] == [first] * 8


async def test_keys_of_different_owners_do_not_meet(store):
    mine, yours = Claim("ann", "k", "d", 1, 1, False, 1), Claim("bob", "k", "e", 2, 1, False, 1)
    assert await store.claim(mine) == mine
    assert await store.claim(yours) == yours


async def test_a_fulfilled_claim_says_so(store, reopened):
    claim = Claim("ann", "k", "d", 1, 1, False, 1)
    await store.claim(claim)
    await store.fulfil(claim)
    assert await (await reopened(store)).claim(claim) == replace(claim, done=True)


async def test_a_credential_comes_back_whole_and_leaves_when_told(store, reopened):
    await store.add_key(KEY)
    store = await reopened(store)
    assert await store.key(KEY.digest) == KEY
    assert await store.key("00") is None
    assert await store.remove_key(KEY.digest)
    assert not await store.remove_key(KEY.digest)
    assert await store.key(KEY.digest) is None


async def test_a_credential_cannot_be_added_over_another(store):
    await store.add_key(KEY)
    with pytest.raises(Conflict):
        await store.add_key(replace(KEY, role=Role.ADMIN))
    assert await store.key(KEY.digest) == KEY


async def test_a_single_use_is_taken_exactly_once(store):
    await store.add_key(KEY)
    used = replace(KEY, ver=2, uses_left=0)
    assert sorted(await asyncio.gather(*[store.swap_key(KEY, used) for _ in range(20)])) == [False] * 19 + [True]
    assert await store.key(KEY.digest) == used


async def test_credentials_are_listed_newest_first(store):
    for at in (3, 9, 5):
        await store.add_key(replace(KEY, digest=f"{at}", created_at=at))
    assert [key.created_at for key in await store.keys()] == [9, 5, 3]
