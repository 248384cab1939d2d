"""Lists and counts of tasks, put together from bounded looks at the store: between two, others get their turn."""

from collections import Counter
from math import inf

from anchor.core.task import State
from anchor.core.task_query import TaskQuery
from anchor.ports.store import Counted, Page, TaskStore

LOOKS_MAX = 25
"""Looks at the store for one page, of 20,000 tasks each: one that found too little by then says where to go on."""


async def page_of(store: TaskStore, query: TaskQuery, *, below: int | None, limit: int, skip: int = 0) -> Page:
    """The newest `limit` tasks below `below` that fit, after `skip` of them; fewer where they are far apart."""
    page = await store.page(query, below=below, limit=limit, skip=skip)
    for _ in range(LOOKS_MAX - 1):
        if page.below is None or len(page.tasks) == limit:
            break
        left = limit - len(page.tasks)
        rest = await store.page(query, below=page.below, limit=left, skip=skip - page.skipped)
        page = Page([*page.tasks, *rest.tasks], rest.below, page.skipped + rest.skipped)
    return page


async def count_of(
    store: TaskStore,
    query: TaskQuery,
    *,
    below: int | None = None,
    above: int | None = None,
    looks_max: float = inf,
) -> Counted:
    """How many tasks between two ids fit, by state; `below` is None unless that took more than `looks_max` looks."""
    counts: Counter[State] = Counter()
    looks = 0
    while looks == 0 or (below is not None and looks < looks_max):
        part = await store.count(query, below=below, above=above)
        counts.update(part.counts)
        below = part.below
        looks += 1
    return Counted(counts, below)
