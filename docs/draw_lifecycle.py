"""Draws docs/lifecycle.md from the table that decides a task's life; `just docs` runs it."""

from pathlib import Path

from anchor.core.task import HELD, TERMINAL, TRANSITIONS, Event, State

PAGE = Path(__file__).with_name("lifecycle.md")

STATES = {
    State.WAITING: "Its items run: tasks of their own, whose results become its result.",
    State.VERIFYING: "Copies of it run, on nodes of different owners; what they agree on becomes its result.",
    State.QUEUED: "It waits for a node that fits and has an open slot.",
    State.LEASED: "A node holds an attempt. Shown as `running` once the agent has acknowledged it.",
    State.BACKOFF: "An attempt failed; the task rests before the next one.",
    State.CANCELLING: "Somebody asked for its end while a node holds it; the node has been told to stop.",
    State.SUCCEEDED: "It is over and has a result.",
    State.FAILED: "It is over: it used up its attempts, or no attempt could have mended what was wrong.",
    State.CANCELLED: "It is over because somebody asked for its end.",
    State.INCONCLUSIVE: "It is over: its copies gave different answers, and no more may run.",
}
EVENTS = {
    Event.LEASE: "an open slot is found; the attempt number rises by one",
    Event.SUCCEED: "the live attempt (or enough items, or enough copies that agree) succeeds",
    Event.FAIL: "the live attempt ends without success and another one is due",
    Event.GIVE_UP: "the live attempt fails and no other is due",
    Event.RETURN: "the node gives the attempt back, or never got it; nothing is charged",
    Event.WAKE: "the rest is over",
    Event.CANCEL: "somebody asks for its end",
    Event.STOP: "the live attempt (or the last item or copy) ends, however it does",
    Event.DISAGREE: "no answer has enough votes and no more copies may run",
}


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join(
        [
            "# The life of a task",
            "",
            "Drawn from `TRANSITIONS` in `src/anchor/core/task.py` by `docs/draw_lifecycle.py`; change the table, then "
            "run `just docs`. An event that has no row for a state is refused.",
            "",
            "```mermaid",
            "stateDiagram-v2",
            *(f"  [*] --> {state}" for state in (State.QUEUED, State.WAITING, State.VERIFYING)),
            *(f"  {state} --> {target}: {event}" for (state, event), target in TRANSITIONS.items()),
            *(f"  {state} --> [*]" for state in State if state in TERMINAL),
            "```",
            "",
            "## States",
            "",
            "| state | meaning | a node holds it | it is over |",
            "|---|---|---|---|",
            *(
                f"| `{state}` | {STATES[state]} | {_mark(state in HELD)} | {_mark(state in TERMINAL)} |"
                for state in State
            ),
            "",
            "## Transitions",
            "",
            "| from | event | when | to |",
            "|---|---|---|---|",
            *(
                f"| `{state}` | {event} | {EVENTS[event]} | `{target}` |"
                for (state, event), target in TRANSITIONS.items()
            ),
            "",
        ]
    )


def _mark(holds: bool) -> str:
    return "yes" if holds else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
