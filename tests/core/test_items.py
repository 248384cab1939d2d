"""Lists of items: what a list is read from, how a shuffle turns it round, and how far its items are."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchor.core.items import NoList, Walk, list_in

REFERENCE = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "pointer"),
    [(b'{"a":1}', ""), (b'{"a":1}', "/b"), (b"[1]", "/5"), (b"[1]", "/x"), (b"[1]", "a"), (b"null", "/a")],
)
def test_what_holds_no_list_is_refused(text: bytes, pointer: str) -> None:
    with pytest.raises(NoList):
        list_in(text, pointer, "values")


def test_a_pointer_leads_through_objects_lists_and_escapes() -> None:
    assert [bytes(one) for one in list_in(b'{"a/b":[0,{"~":[1,"x"]}]}', "/a~1b/1/~0", "values")] == [b"1", b'"x"']


@pytest.mark.parametrize("text", [b"[5]", b'["here.txt"]', b'[{"a":"sha256:no"}]'])
def test_an_item_over_files_names_blobs(text: bytes) -> None:
    with pytest.raises(NoList):
        list_in(text, "", "files")


def test_a_shuffle_gathers_the_files_of_each_name_in_the_order_of_the_items() -> None:
    left = [{"value": 1, "files": {"part-1": "b0", "part-0": "a0"}}, None, {"value": 2, "files": {"part-1": "b2"}}]
    shares = [msgspec.json.decode(one) for one in list_in(msgspec.json.encode(left), "", "shuffle")]
    assert shares == [{"000000": "a0"}, {"000000": "b0", "000002": "b2"}]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.booleans()), max_size=60), st.sets(st.integers(0, 4)))
def test_an_item_ends_once_and_fails_only_when_both_its_copies_have(
    news: list[tuple[int, bool, bool]], copies: set[int]
) -> None:
    walk = Walk(5)
    walk.made, walk.copies = 5, copies
    ended: dict[int, bool] = {}
    for number, succeeded, twice in news:
        if number >= 5 and number - 5 not in copies:
            continue
        first = ended.setdefault(number, succeeded)
        for _ in range(1 + twice):
            walk.note(number, succeeded=first)
    halves = {item: [item, item + 5] if item in copies else [item] for item in range(5)}
    won = {item for item, both in halves.items() if any(ended.get(half) for half in both)}
    lost = {item for item, both in halves.items() if all(ended.get(half) is False for half in both)}
    assert (walk.succeeded, walk.failed) == (len(won), len(lost))
    assert set(walk.unended()) == set(range(5)) - won - lost
