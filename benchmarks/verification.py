"""How often a wrong answer is accepted, and what checking costs: 200 simulated nodes, some of which lie, by policy.

`python -m benchmarks.verification [--seed N] [--tasks N]` prints the table of docs/guarantees.md. It runs the functions
that decide in a server (tally, reputation, quarantine); nodes and their answers are simulated, from one seed.
"""

import argparse
from collections import deque
from collections.abc import Callable
from random import Random

import msgspec

from anchor.core.case import Case, is_to_blame
from anchor.core.ids import STEP, first_key_of
from anchor.core.node import Finding, Node, Status, absolved, found
from anchor.core.reputation import check_chance
from anchor.core.tally import Ballot, Open, counted
from anchor.core.verification import Verdict, Verify, dissenters, opened

NODES = 200
OWNERS = 100
SPOT_CHECK_SHARE = 0.05
HONEST_FIRST = 20
"""Answers that a node gives honestly before it begins to cheat."""
NOW = 1_790_000_000_000
RUNTIME = "wasm"
RIGHT = "right"

POLICIES = {
    "none": None,
    "quorum 2 of 2": Verify(copies=2, agree=2),
    "quorum 2 of 3": Verify(copies=3, agree=2),
    "quorum 3 of 5": Verify(copies=5, agree=3),
    "adaptive": Verify(policy="adaptive"),
}

Answer = Callable[["Liar", int, Random], str]
"""What a liar says to the task of this number."""


class Liar:
    """One that does not always tell the truth; `given` counts its answers."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.given = 0


def at_random(liar: Liar, task: int, rng: Random) -> str:
    """Wrong every other time, each time in its own way."""
    return f"{liar.node} {task}" if rng.random() < 0.5 else RIGHT


def always(liar: Liar, task: int, rng: Random) -> str:
    """Always the same wrong answer, which is its own."""
    return liar.node


def together(liar: Liar, task: int, rng: Random) -> str:
    """One wrong answer, agreed on with all the others."""
    return f"plot {task}"


def after_a_while(liar: Liar, task: int, rng: Random) -> str:
    """Honest until it has a name, then wrong together with the others."""
    return RIGHT if liar.given <= HONEST_FIRST else f"plot {task}"


SCENARIOS: dict[str, tuple[float, Answer]] = {
    "10 % lie at random": (0.1, at_random),
    "10 % always lie": (0.1, always),
    "10 % of owners collude": (0.1, together),
    "20 % of owners collude": (0.2, together),
    "10 % honest, then collude": (0.1, after_a_while),
}


class Row(msgspec.Struct):
    """What came of one policy in one scenario: counts over `tasks`."""

    tasks: int
    wrong: int = 0
    undecided: int = 0
    copies: int = 0
    liars_out: int = 0
    honest_out: int = 0


class Network:
    """The nodes, their reputation, and the cases of the one program that all tasks run."""

    def __init__(self, rng: Random, share: float, says: Answer, *, judges: bool) -> None:
        self.rng, self.says, self.judges = rng, says, judges
        owners = rng.sample(range(OWNERS), int(OWNERS * share))
        self.nodes: dict[str, Node] = {}
        self.liars: dict[str, Liar] = {}
        for number in range(NODES):
            name = f"N{number:03}"
            self.nodes[name] = Node(id=name, owner=f"o{number % OWNERS}", public_key=b"", joined_at=NOW)
            if number % OWNERS in owners:
                self.liars[name] = Liar(name)
        self.serving = list(self.nodes)
        self.cases: deque[Case] = deque(maxlen=200)

    def answer(self, node: str, task: int) -> str:
        """What a node says to a task."""
        liar = self.liars.get(node)
        if liar is None:
            return RIGHT
        liar.given += 1
        return self.says(liar, task, self.rng)

    def draw(self, taken: list[Ballot]) -> Node | None:
        """A node of an owner that has no copy of this task yet, by chance."""
        owners = {ballot.owner for ballot in taken}
        for _ in range(1_000):
            node = self.nodes[self.rng.choice(self.serving)]
            if node.owner not in owners:
                return node
        return None

    def verify(self, policy: Verify, task: int, row: Row) -> None:
        """One round, from its first copies to its verdict and what follows from it."""
        round_ = opened(policy, first=0)
        ballots: list[Ballot] = []
        while True:
            while len(ballots) < round_.asked and (node := self.draw(ballots)) is not None:
                at = len(ballots)
                ballots.append(Ballot(at, node.id, node.owner, self.answer(node.id, task), False, NOW, NOW))
                row.copies += 1
            outcome = counted(
                policy,
                round_,
                ballots,
                live=0,
                same=lambda one, two: ballots[one].answer == ballots[two].answer,
                spared=self._is_spared(ballots[0].node),
            )
            if isinstance(outcome, Verdict):
                break
            assert isinstance(outcome, Open)
            assert outcome.more
            round_ = msgspec.structs.replace(round_, asked=round_.asked + outcome.more)
        if not outcome.agreed:
            row.undecided += 1
            return
        row.wrong += ballots[outcome.winner].answer != RIGHT
        if self.judges and not outcome.spared:
            self._judge(outcome, first_key_of(NOW) + task * STEP)

    def _is_spared(self, node: str) -> bool:
        reputation = self.nodes[node].reputation.get(RUNTIME)
        return self.rng.random() >= check_chance(reputation, share=SPOT_CHECK_SHARE)

    def _judge(self, verdict: Verdict, task: int) -> None:
        wrong = {vote.node for vote in dissenters(verdict)}
        if wrong:
            case = Case(
                id=task, owner="", task_name="", runtime=RUNTIME, opened_at=NOW, votes=verdict.votes,
                dissenters=tuple(sorted(wrong)), differs="", evidence="",
            )  # fmt: skip
            self.cases.append(case)
            if is_to_blame(self.cases):
                ids = {case.id for case in self.cases}
                for name in {name for case in self.cases for name in case.dissenters}:
                    self.nodes[name] = absolved(self.nodes[name], ids, now=NOW)
                wrong = set()
        for vote in verdict.votes:
            if vote.agreed or vote.node in wrong:
                finding = Finding(vote.node, RUNTIME, task, vote.agreed)
                self.nodes[vote.node] = found(self.nodes[vote.node], [finding], now=NOW)
        if wrong:
            self.serving = [name for name, node in self.nodes.items() if node.status is Status.READY]


def simulated(policy: Verify | None, share: float, says: Answer, *, seed: int, tasks: int, judges: bool) -> Row:
    """Run so many tasks, one after the other, under one policy."""
    network = Network(Random(seed), share, says, judges=judges)
    row = Row(tasks)
    for task in range(tasks):
        if policy is None:
            node = network.draw([])
            assert node is not None
            row.copies += 1
            row.wrong += network.answer(node.id, task) != RIGHT
        else:
            network.verify(policy, task, row)
    out = [name for name, node in network.nodes.items() if node.status is Status.QUARANTINED]
    row.liars_out = sum(name in network.liars for name in out)
    row.honest_out = len(out) - row.liars_out
    return row


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=10_000)
    args = parser.parse_args()
    columns = (
        "who lies | policy | wrong accepted | without judging | undecided | copies a task | liars out | honest out"
    )
    print(f"| {columns} |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    for scenario, (share, says) in SCENARIOS.items():
        for name, policy in POLICIES.items():
            row, bare = (
                simulated(policy, share, says, seed=args.seed, tasks=args.tasks, judges=judges)
                for judges in (True, False)
            )
            print(
                f"| {scenario} | {name} | {row.wrong / row.tasks:.2%} | {bare.wrong / row.tasks:.2%} "
                f"| {row.undecided / row.tasks:.2%} | {row.copies / row.tasks:.2f} "
                f"| {row.liars_out} of {int(NODES * share)} | {row.honest_out} |"
            )


if __name__ == "__main__":
    main()
