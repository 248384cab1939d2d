"""Votes are counted by rules that hold for any ballots in any order."""

from hypothesis import given
from hypothesis import strategies as st

from anchor.core.tally import Ballot, Open, counted, poisoned
from anchor.core.verification import Round, Undecided, Verdict, Verify, dissenters

ballots_of = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 4), st.sampled_from(["x", "y", "z", "script_error"]), st.integers(0, 9)
    ),
    max_size=8,
).map(
    lambda drawn: [
        Ballot(at, f"node {node}", f"owner {owner}", answer, answer == "script_error", 0, ended)
        for at, (node, owner, answer, ended) in enumerate(drawn)
    ]
)
policies = st.sampled_from([Verify(copies=2, agree=2), Verify(), Verify(copies=5, agree=3), Verify(policy="adaptive")])


def ballot(copy: int, answer: str = "x", *, owner: str = "", failure: bool = False) -> Ballot:
    return Ballot(copy, f"node {copy}", owner or f"owner {copy}", answer, failure, 0, copy)


def count(policy: Verify, ballots: list[Ballot], *, asked: int, cap: int = 8, live: int = 0) -> Verdict | Open:
    answers = {one.copy: one.answer for one in ballots}
    round_ = Round(first=0, cap=cap, asked=asked)
    return counted(policy, round_, ballots, live=live, same=lambda one, two: answers[one] == answers[two], spared=False)


@given(ballots_of, policies, st.integers(0, 3))
def test_16_a_node_and_an_owner_have_one_vote_each(ballots: list[Ballot], policy: Verify, live: int) -> None:
    outcome = count(policy, ballots, asked=len(ballots) + live, live=live)
    if isinstance(outcome, Verdict):
        assert len({vote.node for vote in outcome.votes}) == len(outcome.votes)
        assert len({vote.owner for vote in outcome.votes}) == len(outcome.votes)


@given(ballots_of, policies, st.integers(0, 3))
def test_17_agreed_are_only_as_many_equal_votes_as_were_asked_for(
    ballots: list[Ballot], policy: Verify, live: int
) -> None:
    outcome = count(policy, ballots, asked=len(ballots) + live, live=live)
    if isinstance(outcome, Open):
        assert outcome.more > 0 or live > 0
        assert outcome.more <= max(8 - len(ballots) - live, 0)
    elif outcome.agreed:
        agreed = [vote.answer for vote in outcome.votes if vote.agreed]
        assert len(agreed) >= policy.agree
        assert len(set(agreed)) == 1
        assert outcome.winner in {vote.copy for vote in outcome.votes if vote.agreed}
    else:
        assert len(ballots) + live >= 8
        assert live == 0


@given(ballots_of, policies, st.randoms(use_true_random=False))
def test_the_order_in_which_ballots_are_read_makes_no_difference(ballots, policy, dice) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(ballots)
    dice.shuffle(shuffled)
    assert count(policy, ballots, asked=8) == count(policy, shuffled, asked=8)


def test_two_answers_that_as_many_gave_decide_nothing() -> None:
    both = [ballot(0, "x"), ballot(1, "x"), ballot(2, "y"), ballot(3, "y")]
    assert count(Verify(), both, asked=4) == Open(1)
    at_the_cap = count(Verify(), both, asked=4, cap=4)
    assert isinstance(at_the_cap, Verdict)
    assert (at_the_cap.agreed, at_the_cap.winner, at_the_cap.why) == (False, -1, Undecided.NO_MAJORITY)


def test_while_copies_that_could_decide_are_under_way_no_more_are_asked() -> None:
    assert count(Verify(), [ballot(0)], asked=3, live=2) == Open(0)
    assert count(Verify(), [ballot(0), ballot(1, "y")], asked=3, live=1) == Open(0)
    assert count(Verify(), [ballot(0), ballot(1, "y"), ballot(2, "z")], asked=3) == Open(1)


def test_closeness_need_not_be_transitive() -> None:
    values = {0: 1.0, 1: 1.8, 2: 2.6}
    ballots = [ballot(copy, str(value)) for copy, value in values.items()]
    outcome = counted(
        Verify(copies=3, agree=3),
        Round(first=0, cap=6, asked=3),
        ballots,
        live=0,
        same=lambda one, two: abs(values[one] - values[two]) <= 1,
        spared=False,
    )
    assert isinstance(outcome, Verdict)
    assert (outcome.agreed, outcome.winner) == (True, 1)


def test_the_only_answer_of_a_trusted_node_is_taken_and_its_failure_is_not() -> None:
    adaptive, round_ = Verify(policy="adaptive"), Round(first=0, cap=6, asked=1)
    right = counted(adaptive, round_, [ballot(0)], live=0, same=lambda one, two: True, spared=True)
    assert isinstance(right, Verdict)
    assert (right.agreed, right.spared) == (True, True)
    failed = [ballot(0, "script_error", failure=True)]
    assert counted(adaptive, round_, failed, live=0, same=lambda one, two: True, spared=True) == Open(1)


def test_a_limit_of_the_machine_contradicts_nobody() -> None:
    late = count(Verify(), [ballot(0), ballot(1), ballot(2, "timeout", failure=True)], asked=3)
    slow = count(Verify(), [ballot(0), ballot(1, "timeout", failure=True), ballot(2, "timeout", failure=True)], asked=3)
    broken = count(Verify(), [ballot(0), ballot(1), ballot(2, "script_error", failure=True)], asked=3)
    assert isinstance(late, Verdict)
    assert isinstance(slow, Verdict)
    assert isinstance(broken, Verdict)
    assert dissenters(late) == dissenters(slow) == []
    assert [vote.copy for vote in dissenters(broken)] == [2]


def test_poison_ends_a_round_and_accuses_nobody() -> None:
    ended = poisoned([ballot(0), ballot(1, "y")])
    assert (ended.agreed, ended.why, dissenters(ended)) == (False, Undecided.POISON, [])
