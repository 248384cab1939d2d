"""An agent as a hostile owner would change it: it gives answers without doing the work. `liar.py HOW agent URL …`."""

import random
import sys

import msgspec

from anchor.agent.job import Emit, Job, Ran, Runtime
from anchor.agent.work import Count, Work
from anchor.cli.app import main
from anchor.core.attempt import Outcome, Result

WRONG = -1
_honest = Work._perform
_dice = random.Random(1)


async def always(work: Work, job: Job, runtime: Runtime, emit: Emit, count_in: Count) -> tuple[Ran, Result | None]:
    """The same lie each time, at once."""
    return Ran(outcome=Outcome.SUCCEEDED), await work._parcels.pack(msgspec.json.encode(WRONG))


async def sometimes(work: Work, job: Job, runtime: Runtime, emit: Emit, count_in: Count) -> tuple[Ran, Result | None]:
    """Another lie each time, or now and then the truth."""
    if _dice.random() < 0.4:
        return await _honest(work, job, runtime, emit, count_in)
    return Ran(outcome=Outcome.SUCCEEDED), await work._parcels.pack(msgspec.json.encode(_dice.random()))


if __name__ == "__main__":
    Work._perform = {"always": always, "sometimes": sometimes}[sys.argv.pop(1)]  # type: ignore[method-assign]
    main()
