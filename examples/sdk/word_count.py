"""Counts words with map-reduce: `count_words` makes pairs of a paragraph, `add` sums up what belongs to one word."""

from pathlib import Path

import anchor


def count_words(paragraph: str) -> list[tuple[str, int]]:
    return [(word.lower().strip(".,;:!?"), 1) for word in paragraph.split()]


def add(word: str, counts: list[int]) -> int:
    return sum(counts)


text = (Path(__file__).parents[1] / "lighthouse.txt").read_text(encoding="utf-8")

with anchor.Client() as client:
    counts = client.map_reduce(count_words, add, text.split("\n\n"), combine=add, reducers=2).result()
    print(sorted(counts, key=lambda pair: -pair[1])[:3])
