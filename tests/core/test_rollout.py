"""How an app's document goes on, told as a manual: what was, what was heard, what is next."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from anchor.core.app import App, AppConfig, Plan, ReleaseState, Replica, ReplicaState, Wanted, routable
from anchor.core.app_placement import NodeFacts, Promised
from anchor.core.app_releases import back_to, released, restarted, scaled
from anchor.core.app_sightings import Sighting, told
from anchor.core.attempt import Reason
from anchor.core.errors import Conflict, NotFound
from anchor.core.node import Node, Profile, Status
from anchor.core.rollout import CALM_MS, step

NOW = 1_800_000_000_000
WEB = Plan(kind="node", processes={"web": "node server.js"})
BOTH = Plan(kind="command", processes={"web": "serve", "worker": "work", "release": "migrate"})
CRASH = Reason("crash_loop", "It ended 5 times within 60 seconds.")
BUILD = Reason("build_failed", "npm ci ended with 1.")


def node(name: str, *, ram: float = 8.0, cores: int = 4, **rest) -> NodeFacts:
    status = rest.pop("status", Status.READY)
    profile = Profile(ram=ram, cores=cores, features=("apps",), labels=rest.pop("labels", ()))
    made = Node(
        id=name, owner="o", public_key=b"", joined_at=0, profile=profile, status=status, lease_until=NOW + 10**9
    )
    return NodeFacts(made, **rest)


THREE = [node("A"), node("B"), node("C")]


class Story:
    """An app, its nodes and the time, driven by what nodes say."""

    def __init__(self, plan: Plan = WEB, nodes: Sequence[NodeFacts] = THREE, **config) -> None:
        self.now = NOW
        self.nodes = list(nodes)
        self.app = App(id=1, name="shop", title="Shop", owner="o", created_at=NOW)
        self.release(plan, **config)

    def release(self, plan: Plan = WEB, **config) -> None:
        settings = AppConfig(**config)
        self.change(released(self.app, config=settings, plan=plan, source="s", env={}, by="o", now=self.now))

    def change(self, app: App) -> None:
        self.app = step(app, self.nodes, self.now)

    def pass_time(self, ms: int) -> None:
        self.now += ms
        self.change(self.app)

    def say(self, generation: int, state: ReplicaState | None, reason: Reason | None = None) -> None:
        """One replica's news; of the others its node says what it said before."""
        speaker = self.app.replica(generation)
        assert speaker is not None
        others = [
            Sighting(one.generation, one.state, reason=one.reason)
            for one in self.app.replicas
            if one.node == speaker.node and one.generation != generation
        ]
        news = Sighting(generation, state, reason=reason)
        self.change(told(self.app, speaker.node, [*others, news], self.now))

    def all_healthy(self) -> None:
        """Every replica does what it is to do, until nothing changes any more."""
        for _ in range(100):
            busy = [one for one in self.app.replicas if one.state in (ReplicaState.PLACED, ReplicaState.DRAINING)]
            if not busy:
                return
            for one in busy:
                if self.app.replica(one.generation) is not None:
                    self.say(one.generation, None if one.state is ReplicaState.DRAINING else ReplicaState.HEALTHY)
            self.never_twice()
        raise AssertionError(self.app.replicas)

    def never_twice(self) -> None:
        healthy = [one.place for one in self.app.replicas if one.state is ReplicaState.HEALTHY]
        assert len(healthy) == len(set(healthy))

    def lines(self) -> list[str]:
        return [
            f"{one.process}.{one.index} r{one.release} g{one.generation} {one.node or '-'} {one.state}"
            for one in self.app.replicas
        ]

    def states(self) -> list[ReleaseState]:
        return [one.state for one in self.app.releases]


def up(count: int = 1, plan: Plan = WEB, nodes: Sequence[NodeFacts] = THREE, **config) -> Story:
    story = Story(plan, nodes, scale={"web": count}, **config)
    story.all_healthy()
    return story


def test_the_first_replica_of_a_release_goes_ahead_alone_then_all_others_at_once() -> None:
    story = Story(scale={"web": 3})
    assert story.lines() == ["web.0 r1 g1 A placed"]
    story.say(1, ReplicaState.BUILDING)
    assert story.lines() == ["web.0 r1 g1 A building"]
    assert story.states() == [ReleaseState.PENDING]
    story.say(1, ReplicaState.HEALTHY)
    assert story.lines() == ["web.0 r1 g1 A healthy", "web.1 r1 g2 B placed", "web.2 r1 g3 C placed"]
    assert story.states() == [ReleaseState.LIVE]
    assert story.app.live == 1
    story.all_healthy()
    assert story.app.releases[0].settled


def test_one_of_each_process_has_to_be_healthy_before_a_release_is_live() -> None:
    story = Story(BOTH, scale={"worker": 2})
    assert story.lines() == ["web.0 r1 g1 A placed"]
    story.say(1, ReplicaState.HEALTHY)
    assert story.lines() == ["web.0 r1 g1 A healthy", "worker.0 r1 g2 B placed"]
    assert story.states() == [ReleaseState.PENDING]
    story.say(2, ReplicaState.HEALTHY)
    assert story.lines()[2:] == ["worker.1 r1 g3 C placed"]
    assert story.states() == [ReleaseState.LIVE]
    assert [one.process for one in routable(story.app)] == ["web"]


def test_an_update_replaces_one_place_after_the_other_and_each_only_once_the_new_one_is_healthy() -> None:
    story = up(2)
    story.release(scale={"web": 2})
    assert story.lines() == ["web.0 r1 g1 A healthy", "web.0 r2 g3 A placed", "web.1 r1 g2 B healthy"]
    story.say(3, ReplicaState.STARTING)
    assert story.lines()[0] == "web.0 r1 g1 A healthy"
    story.say(3, ReplicaState.HEALTHY)
    assert story.lines() == [
        "web.0 r1 g1 A draining",
        "web.0 r2 g3 A healthy",
        "web.1 r1 g2 B healthy",
        "web.1 r2 g4 B placed",
    ]
    assert story.states() == [ReleaseState.SUPERSEDED, ReleaseState.LIVE]
    story.all_healthy()
    assert story.lines() == ["web.0 r2 g3 A healthy", "web.1 r2 g4 B healthy"]


def test_eight_places_are_moved_two_at_a_time() -> None:
    story = up(8, nodes=[node("A", ram=64.0)])
    story.release(scale={"web": 8})
    story.say(9, ReplicaState.HEALTHY)
    assert sum("placed" in line for line in story.lines()) == 2


def test_a_release_that_fails_everywhere_leaves_what_is_live_alone() -> None:
    story = up(2)
    story.release(scale={"web": 2})
    tried = []
    for generation in (3, 4, 5):
        tried.append(story.app.replica(generation).node)
        story.say(generation, ReplicaState.FAILED, CRASH)
    assert sorted(tried) == ["A", "B", "C"]
    assert story.lines() == ["web.0 r1 g1 A healthy", "web.1 r1 g2 B healthy"]
    assert story.states() == [ReleaseState.LIVE, ReleaseState.FAILED]
    assert story.app.releases[1].reason == CRASH
    assert story.app.reason == Reason(
        "crash_loop", "Release 2 failed; release 1 goes on. web: It ended 5 times within 60 seconds."
    )


def test_a_fault_of_the_code_is_not_tried_on_another_node() -> None:
    story = up(1)
    story.release()
    story.say(2, ReplicaState.FAILED, BUILD)
    assert story.states() == [ReleaseState.LIVE, ReleaseState.FAILED]


def test_without_a_live_release_a_failed_one_stays_failed_until_somebody_restarts_it() -> None:
    story = Story()
    story.say(1, ReplicaState.FAILED, BUILD)
    assert (story.lines(), story.app.live, story.app.wake_at) == ([], 0, None)
    assert story.app.reason == Reason(
        "build_failed", "Release 1 failed; there is no earlier one to go on with. web: npm ci ended with 1."
    )
    story.pass_time(10**6)
    assert story.lines() == []
    story.change(restarted(story.app))
    assert story.lines() == ["web.0 r1 g2 A placed"]
    assert story.app.reason is None


def test_a_worker_that_fails_takes_the_release_back_with_its_web_process() -> None:
    story = up(1, BOTH)
    story.release(BOTH)
    story.say(3, ReplicaState.HEALTHY)
    worker = story.app.replicas[-1]
    assert (worker.process, worker.release) == ("worker", 2)
    story.say(worker.generation, ReplicaState.FAILED, BUILD)
    assert story.app.live == 1
    story.all_healthy()
    assert [line.split()[:2] for line in story.lines()] == [["web.0", "r1"], ["worker.0", "r1"]]


@pytest.mark.parametrize(("state", "ms"), [(ReplicaState.PLACED, 60_000), (ReplicaState.STARTING, 75_000)])
def test_a_replica_that_does_not_get_on_is_tried_elsewhere(state: ReplicaState, ms: int) -> None:
    story = Story()
    if state is not ReplicaState.PLACED:
        story.say(1, state)
    story.pass_time(ms - 1)
    assert story.lines() == [f"web.0 r1 g1 A {state}"]
    story.pass_time(1)
    assert story.lines() == ["web.0 r1 g2 B placed"]


def test_a_server_that_has_not_heard_of_the_nodes_yet_lets_no_deadline_pass() -> None:
    story = Story()
    assert step(story.app, THREE, NOW + 10**7, patient=True).replicas == story.app.replicas


def test_a_live_replica_that_fails_goes_elsewhere_and_where_there_is_no_other_node_it_is_tried_again_later() -> None:
    story = up(1, nodes=[node("A"), node("B")])
    story.say(1, ReplicaState.FAILED, CRASH)
    assert story.lines() == ["web.0 r1 g2 B placed"]
    story.say(2, ReplicaState.FAILED, CRASH)
    assert story.lines() == ["web.0 r1 g2 B failed"]
    assert (story.app.replicas[0].reason, story.app.live) == (CRASH, 1)
    waits = []
    for _ in range(7):
        failed_at = story.now
        while story.app.replicas[0].state is ReplicaState.FAILED:
            story.pass_time(story.app.wake_at - story.now)
        waits.append((story.now - failed_at) // 1000)
        for _ in range(2):
            story.say(story.app.replicas[0].generation, ReplicaState.FAILED, CRASH)
    assert waits == [30, 60, 120, 240, 480, 600, 600]


def test_a_steady_time_in_health_is_a_clean_slate() -> None:
    story = up(1, nodes=[node("A"), node("B")])
    story.say(1, ReplicaState.FAILED, CRASH)
    assert story.app.replicas[0].avoided == ("A",)
    story.say(2, ReplicaState.HEALTHY)
    story.pass_time(60_000)
    story.say(2, ReplicaState.FAILED, CRASH)
    assert story.lines() == ["web.0 r1 g3 A placed"]


def test_replicas_that_came_to_share_a_node_are_spread_again_one_by_one_once_all_has_been_calm() -> None:
    story = up(3, nodes=[node("A")])
    assert {one.node for one in story.app.replicas} == {"A"}
    story.nodes = THREE
    story.pass_time(CALM_MS - 1)
    assert {one.node for one in story.app.replicas} == {"A"}, "a node that came just now may go again"
    story.pass_time(1)
    assert story.lines() == [
        "web.0 r1 g1 A healthy",
        "web.0 r1 g4 B placed",
        "web.1 r1 g2 A healthy",
        "web.2 r1 g3 A healthy",
    ]
    story.all_healthy()
    assert story.lines() == ["web.0 r1 g4 B healthy", "web.1 r1 g2 A healthy", "web.2 r1 g3 A healthy"]
    story.pass_time(CALM_MS)
    story.all_healthy()
    assert sorted(one.node for one in story.app.replicas) == ["A", "B", "C"]
    spread = story.lines()
    for _ in range(5):
        story.pass_time(CALM_MS)
    assert story.lines() == spread


def test_what_does_not_get_up_on_the_emptier_node_goes_on_where_it_is_and_is_not_moved_there_again() -> None:
    story = up(2, nodes=[node("A")])
    story.nodes = [node("A"), node("B"), node("C", status=Status.DRAINING)]
    story.pass_time(CALM_MS)
    story.say(3, ReplicaState.FAILED, CRASH)
    assert story.lines() == ["web.0 r1 g1 A healthy", "web.0 r1 g4 A placed", "web.1 r1 g2 A healthy"]
    story.all_healthy()
    assert story.lines() == ["web.0 r1 g4 A healthy", "web.1 r1 g2 A healthy"]
    for _ in range(3):
        story.pass_time(CALM_MS)
    assert story.lines() == ["web.0 r1 g4 A healthy", "web.1 r1 g2 A healthy"]


def test_a_node_that_is_as_full_of_the_app_gets_nothing_more_of_it() -> None:
    story = up(3, nodes=[node("A"), node("B")])
    before = story.lines()
    story.pass_time(CALM_MS)
    assert story.lines() == before


def test_what_ran_on_a_node_that_is_gone_is_off_the_route_with_the_write_that_replaces_it() -> None:
    story = up(2)
    story.nodes = [node("A", gone=True, reached=False), node("B"), node("C")]
    story.pass_time(1)
    assert story.lines() == ["web.0 r1 g3 C placed", "web.1 r1 g2 B healthy"]
    assert story.app.replicas[0].reason.code == "node_lost"


def test_what_runs_on_a_silent_node_goes_on_when_it_speaks_again_where_no_other_node_fits() -> None:
    story = up(1, nodes=[node("A")])
    silent = node("A", gone=True, silent=True, reached=False)
    story.nodes = [silent]
    story.pass_time(1)
    assert story.lines() == ["web.0 r1 g1 A unhealthy", "web.0 r1 g2 - unplaced"]
    assert story.app.replicas[0].reason.code == "node_lost"
    assert not routable(story.app)
    story.nodes = [node("A")]
    story.say(1, ReplicaState.HEALTHY)
    assert story.lines() == ["web.0 r1 g1 A healthy"]


def test_what_runs_on_a_silent_node_is_gone_with_the_write_that_finds_another_for_it() -> None:
    story = up(1, nodes=[node("A")])
    story.nodes = [node("A", gone=True, silent=True, reached=False)]
    story.pass_time(1)
    story.nodes.append(node("B"))
    story.pass_time(1)
    assert story.lines() == ["web.0 r1 g2 B placed"]


def test_what_runs_on_a_silent_node_is_gone_at_once_where_nobody_wants_it() -> None:
    story = up(1, nodes=[node("A")])
    story.nodes = [node("A", gone=True, silent=True, reached=False)]
    story.change(replace(story.app, wanted=Wanted.STOPPED))
    assert story.lines() == []


def test_a_node_that_drains_keeps_a_replica_until_there_is_a_healthy_one_elsewhere() -> None:
    story = up(1)
    story.nodes[0] = node("A", status=Status.DRAINING)
    story.pass_time(1)
    assert story.lines() == ["web.0 r1 g1 A healthy", "web.0 r1 g2 B placed"]
    story.say(2, ReplicaState.HEALTHY)
    assert story.lines() == ["web.0 r1 g1 A draining", "web.0 r1 g2 B healthy"]


def test_a_node_taken_back_keeps_what_it_has() -> None:
    story = up(1)
    story.nodes[0] = node("A", status=Status.DRAINING)
    story.pass_time(1)
    story.nodes[0] = node("A")
    story.pass_time(1)
    assert story.lines() == ["web.0 r1 g1 A healthy", "web.0 r1 g2 B draining"]


def test_a_place_without_a_node_says_how_many_nodes_lack_what_and_is_placed_when_one_comes() -> None:
    nodes = [
        node("A", reached=False),
        node("B", ram=0.25),
        node("C", status=Status.DRAINING),
        node("D", promised=Promised(0, 0.0, (8080,))),
        node("F", promised=Promised(0, 15.5)),
    ]
    story = Story(nodes=nodes, port=8080)
    assert story.lines() == ["web.0 r1 g1 - unplaced"]
    assert story.app.replicas[0].reason.message == (
        "No node fits. 1 node: has its port 8080 taken by another app; 1 node: has promised 0 of its 256 MiB for apps, "
        "and 512 are needed; 1 node: has promised 15.5 of at most 16 cores (4 times what it has) for apps, "
        "and 1 more are needed; 1 node: is draining; 1 node: is not connected."
    )
    assert story.app.wake_at == NOW + 15_000
    story.nodes.append(node("E"))
    story.pass_time(15_000)
    assert story.lines() == ["web.0 r1 g1 E placed"]
    assert story.app.replicas[0].reason is None


@pytest.mark.parametrize(
    ("fits", "config"),
    [
        (node("Z"), {"cpu": 5}),
        (node("Z", promised=Promised(0, 15.5)), {}),
        (node("Z", promised=Promised(8000, 0)), {}),
        (node("Z", leaving=True), {}),
        (node("Z"), {"network": True}),
    ],
)
def test_a_node_that_lacks_something_is_left_out(fits: NodeFacts, config) -> None:
    assert Story(nodes=[fits], **config).lines() == ["web.0 r1 g1 - unplaced"]


def test_replicas_are_spread_then_go_where_most_memory_is_left() -> None:
    nodes = [node("A"), node("B", ram=16.0), node("C", promised=Promised(4000))]
    assert [line.split()[3] for line in up(4, nodes=nodes).lines()] == ["B", "A", "C", "B"]


def test_a_replica_its_node_does_not_have_is_started_there_again() -> None:
    story = up(1)
    story.change(told(story.app, "A", [], NOW))
    assert story.lines() == ["web.0 r1 g1 A placed"]


def test_only_the_node_of_a_generation_speaks_for_it_and_a_draining_one_never_comes_back() -> None:
    story = up(1)
    stranger = [Sighting(1, ReplicaState.FAILED, reason=CRASH)]
    assert told(story.app, "B", stranger, NOW) is story.app
    story.release()
    story.say(2, ReplicaState.HEALTHY)
    assert "draining" in story.lines()[0]
    late = [Sighting(1, ReplicaState.HEALTHY), Sighting(2, ReplicaState.HEALTHY)]
    assert told(story.app, "A", late, NOW) is story.app
    story.say(1, None)
    assert story.lines() == ["web.0 r2 g2 A healthy"]


def test_a_replica_that_never_ends_draining_is_parted_with() -> None:
    story = up(1, drain_seconds=5)
    story.change(replace(story.app, wanted=Wanted.STOPPED))
    assert story.lines() == ["web.0 r1 g1 A draining"]
    story.pass_time(15_000)
    assert (story.lines(), story.app.wake_at) == ([], None)


def test_scaling_down_takes_the_highest_places_and_scaling_up_fills_them_at_once() -> None:
    story = up(1)
    story.change(scaled(story.app, {"web": 3}))
    assert [line.split()[0] for line in story.lines()] == ["web.0", "web.1", "web.2"]
    story.all_healthy()
    story.change(scaled(story.app, {"web": 1}))
    assert [line.split()[-1] for line in story.lines()] == ["healthy", "draining", "draining"]
    with pytest.raises(Conflict, match="no process 'cron'"):
        scaled(story.app, {"cron": 1})


def test_a_restart_replaces_every_generation_one_after_the_other() -> None:
    story = up(2)
    story.change(restarted(story.app))
    assert story.lines() == ["web.0 r1 g1 A healthy", "web.0 r1 g3 A placed", "web.1 r1 g2 B healthy"]
    story.all_healthy()
    assert [line.split()[2] for line in story.lines()] == ["g3", "g4"]


def test_going_back_repeats_the_release_that_was_live_before() -> None:
    story = up(1)
    with pytest.raises(Conflict, match="no earlier release"):
        back_to(story.app, None, by="o", now=NOW)
    story.release()
    story.all_healthy()
    story.change(back_to(story.app, None, by="o", now=NOW))
    assert (story.app.releases[-1].of, story.app.releases[-1].number) == (1, 3)
    with pytest.raises(NotFound, match="no release 9"):
        back_to(story.app, 9, by="o", now=NOW)
    story.all_healthy()
    with pytest.raises(Conflict, match="is the live one"):
        back_to(story.app, 3, by="o", now=NOW)


def test_going_back_gives_up_what_is_on_its_way_out() -> None:
    story = up(1)
    story.release()
    story.change(back_to(story.app, None, by="o", now=NOW))
    assert story.states() == [ReleaseState.LIVE, ReleaseState.SUPERSEDED]
    assert story.lines() == ["web.0 r1 g1 A healthy", "web.0 r2 g2 A draining"]


def test_the_live_release_is_kept_up_while_another_is_on_its_way_out() -> None:
    story = up(1)
    story.release()
    story.say(1, ReplicaState.FAILED, CRASH)
    assert sorted(line.split()[1] for line in story.lines()) == ["r1", "r2"]
    assert {one.state for one in story.app.replicas} == {ReplicaState.PLACED}


def test_a_newer_release_takes_the_place_of_one_that_was_not_live_yet() -> None:
    story = up(1)
    story.release()
    story.release()
    assert story.states() == [ReleaseState.LIVE, ReleaseState.SUPERSEDED, ReleaseState.PENDING]
    story.all_healthy()
    assert story.lines() == ["web.0 r3 g3 A healthy"]


def test_only_so_many_releases_are_kept_and_the_live_one_always() -> None:
    story = up(1)
    for _ in range(20):
        story.release()
        story.say(story.app.generations, ReplicaState.FAILED, BUILD)
    assert [one.number for one in story.app.releases] == [1, *range(12, 22)]


def test_a_release_without_replicas_is_live_at_once() -> None:
    assert Story(scale={"web": 0}).states() == [ReleaseState.LIVE]


def test_where_nothing_is_to_do_the_document_stays_the_same_object() -> None:
    story = up(2)
    assert step(story.app, THREE, NOW + 1000) is story.app


def test_no_generation_is_ever_used_twice() -> None:
    story = up(3)
    used: dict[int, Replica] = {}
    for change in range(60):
        match change % 5:
            case 0:
                story.release(scale={"web": 1 + change % 4})
            case 1:
                story.say(story.app.replicas[0].generation, ReplicaState.FAILED, CRASH)
            case 2:
                story.change(restarted(story.app))
            case 3:
                story.nodes[change % 3] = node("ABC"[change % 3], gone=change % 2 == 0, reached=change % 2 == 1)
                story.pass_time(1000)
            case _:
                story.all_healthy()
        for one in story.app.replicas:
            known = used.setdefault(one.generation, one)
            assert (known.place, known.release) == (one.place, one.release)
        story.never_twice()
