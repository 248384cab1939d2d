"""What follows from the ends of steps: against a plain reading of the rules, whatever the graph and the order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from anchor.core.dag import Drawing, Graph, RunState, Step
from anchor.core.graph_check import checked
from anchor.core.plan import Plan
from anchor.core.run_view import MARK_OF, Mark, RunView, ended_as, tallied, windows
from anchor.core.task import State

ENDS = sorted(MARK_OF)


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 9))
    steps = []
    for at in range(size):
        parents = draw(st.lists(st.sampled_from(range(at)), unique=True, max_size=4)) if at else []
        cut = draw(st.integers(0, len(parents)))
        names = [f"s{parent}" for parent in parents]
        steps.append(
            Step(
                id=f"s{at}",
                type="noop",
                dependencies=names[:cut],
                soft_dependencies=names[cut:],
                always=draw(st.integers(0, 5)) == 0,
            )
        )
    return steps


def rules(steps, states):
    """The ready and the skipped steps, read off the words of the manual: `states` are those of all tasks there are."""
    bare = {step.id for step in steps if step.always and not step.dependencies and not step.soft_dependencies}
    skipped, changed = set(), True
    ended = {name for name, state in states.items() if state in MARK_OF}
    while changed:
        changed = False
        for step in steps:
            if step.always or step.id in skipped or step.id in states:
                continue
            if any(name in skipped or (name in ended and states[name] != "succeeded") for name in step.dependencies):
                skipped.add(step.id)
                changed = True
    over = ended | skipped
    ready = set()
    for step in steps:
        if step.id in bare:
            waits_for = {other.id for other in steps} - bare
        else:
            waits_for = {*step.dependencies, *step.soft_dependencies}
        if step.id not in states and step.id not in skipped and waits_for <= over:
            ready.add(step.id)
    return ready, skipped, over


def plan_of(steps):
    drawn, faults = checked(Graph(name="g", steps=steps))
    return None if faults else Plan.of(Drawing(drawn))


@settings(max_examples=150, deadline=None)
@given(graphs(), st.data())
def test_a_view_that_hears_of_ends_in_any_order_agrees_with_the_rules(steps, data):
    plan = plan_of(steps)
    if plan is None:  # something depends on a step that always runs last
        return
    view = RunView(plan)
    states: dict[str, str] = {}
    while True:
        ready, skipped, over = rules(steps, states)
        outlook = view.outlook()
        assert {plan.ids[at] for at in outlook.ready} == ready
        assert {plan.ids[at] for at in range(plan.size) if view.marks[at] == Mark.SKIPPED} == skipped
        assert view.left == plan.size - len(over)
        assert view.left == 0 or outlook.ready or outlook.blockers
        assert all(view.marks[at] < Mark.SUCCEEDED for at in outlook.blockers)
        view.released(outlook.ready)
        states |= dict.fromkeys(ready, "queued")
        live = sorted(name for name, state in states.items() if state not in MARK_OF)
        if not live:
            break
        for name in data.draw(st.lists(st.sampled_from(live), min_size=1, unique=True)):
            states[name] = data.draw(st.sampled_from(ENDS))
            view.note(plan.ids.index(name), State(states[name]))
            if data.draw(st.booleans()):
                view.note(plan.ids.index(name), State.QUEUED)  # older news
        again = RunView(plan)  # a server that has just started
        for name, state in states.items():
            again.note(plan.ids.index(name), State(state))
        ready, skipped, over = rules(steps, states)
        assert {plan.ids[at] for at in again.outlook().ready} == ready
        assert again.left == plan.size - len(over)
    assert view.left == 0
    bad = [at for at, step in enumerate(steps) if states.get(step.id, "succeeded") != "succeeded"]
    assert ended_as(view) == ((RunState.FAILED, bad[0]) if bad else (RunState.SUCCEEDED, None))
    assert sum(tallied(view).values()) == plan.size


def test_a_release_whose_outcome_is_unknown_is_tried_again():
    view = RunView(plan_of([Step(id="a", type="noop"), Step(id="b", type="noop", dependencies=["a"])]))
    assert view.outlook().ready == [0]
    view.released([0])
    assert view.outlook().ready == []
    view.held_back([0])
    assert view.outlook().ready == [0]


def test_a_join_is_walked_along_once_however_many_wait():
    size = 3000
    steps = [Step(id=f"s{at}", type="noop") for at in range(size)]
    steps.append(Step(id="join", type="noop", dependencies=[step.id for step in steps]))
    plan = plan_of(steps)
    looked = 0

    class Counting(bytearray):
        def __getitem__(self, at):
            nonlocal looked
            looked += 1
            return super().__getitem__(at)

    view = RunView(plan)
    view.released(view.outlook().ready)
    view.marks = Counting(view.marks)
    for at in range(size):
        view.note(at, State.SUCCEEDED)
        assert view.outlook().ready == ([] if at < size - 1 else [size])
    assert looked < 20 * size


def test_steps_are_looked_up_in_few_reads():
    assert windows([7, 1, 3, 100, 12], 10) == [range(1, 8), range(12, 13), range(100, 101)]
    assert windows([], 10) == []
