"""Machines: list them, take them in and out of service, label them."""

from anchor.core.access import Role
from anchor.core.errors import Fault, InvalidRequest, NotFound
from anchor.core.node import Status
from anchor.orchestrator.nodes import set_labels, set_status
from anchor.server import views
from anchor.server.http import Answer, Call, Handler, Route
from anchor.wire.rest import NodeDecision, NodeLabels, NodeView

REASON_LENGTH_MAX = 300
LABELS_MAX = 50
LABEL_LENGTH_MAX = 100


async def index(call: Call) -> Answer:
    """Every node."""
    world = call.desk.world
    shown = [views.node_view(node, world) for node in await world.store.nodes()]
    return Answer(shown, headers={"x-total-count": str(len(shown))})


async def show(call: Call) -> NodeView:
    """One node."""
    world = call.desk.world
    node = await world.store.node(call.path["id"])
    if node is None:
        raise NotFound(
            f"There is no node {call.path['id']!r}.", hint="List what there is: `anchor node ls`, or GET /api/nodes."
        )
    return views.node_view(node, world)


def _becomes(status: Status) -> Handler:
    async def change(call: Call) -> NodeView:
        wish: NodeDecision = call.body
        why = wish.reason.strip()
        if len(why) > REASON_LENGTH_MAX or not why.isprintable():
            message = f"reason has to be at most {REASON_LENGTH_MAX} printable characters."
            hint = "Say it in a sentence, or leave it out."
            raise InvalidRequest(message, hint=hint, code="invalid_field", errors=[Fault("/reason", message)])
        world = call.desk.world
        node = await set_status(world, call.path["id"], status, by=call.principal.name, why=why)
        return views.node_view(node, world)

    return change


async def label(call: Call) -> NodeView:
    """A node has these labels from now on, beside those its machine says of itself."""
    wish: NodeLabels = call.body
    labels = list(dict.fromkeys(one.strip() for one in wish.labels))
    if len(labels) > LABELS_MAX:
        raise _wrong_labels(f"A node may be given at most {LABELS_MAX} labels.", "/labels")
    for at, one in enumerate(labels):
        if not 1 <= len(one) <= LABEL_LENGTH_MAX or not one.isprintable():
            message = f"A label has to be 1 to {LABEL_LENGTH_MAX} printable characters."
            raise _wrong_labels(message, f"/labels/{at}")
    world = call.desk.world
    node = await set_labels(world, call.path["id"], labels, by=call.principal.name)
    return views.node_view(node, world)


def _wrong_labels(message: str, where: str) -> InvalidRequest:
    hint = "Tasks ask for labels such as site:Vigo or gpu-lab."
    return InvalidRequest(message, hint=hint, code="invalid_field", errors=[Fault(where, message)])


ROUTES = [
    Route(
        method="GET",
        path="/api/nodes",
        handler=index,
        summary="List nodes",
        roles=(Role.VIEWER,),
        response=list[NodeView],
    ),
    Route(
        method="GET",
        path="/api/nodes/{id}",
        handler=show,
        summary="One node",
        roles=(Role.VIEWER,),
        response=NodeView,
    ),
    Route(
        method="PUT",
        path="/api/nodes/{id}/labels",
        handler=label,
        summary="Give a node labels, beside those its machine says of itself",
        roles=(Role.OPERATOR,),
        body=NodeLabels,
        response=NodeView,
    ),
    *(
        Route(
            method="POST",
            path=f"/api/nodes/{{id}}/{verb}",
            handler=_becomes(status),
            summary=summary,
            roles=(Role.OPERATOR,),
            body=NodeDecision,
            body_optional=True,
            response=NodeView,
            status=202,
        )
        for verb, status, summary in (
            ("drain", Status.DRAINING, "Give a node no more work; what runs on it finishes"),
            ("resume", Status.READY, "Take a node back into service"),
            ("block", Status.BLOCKED, "Refuse a node's connections and work"),
        )
    ),
]
