"""The one place that picks adapters and ties everything together: the server, the agent, and both in one command."""

from anchor.wiring.backup import adopt_epoch, back_up, restore
from anchor.wiring.own_agent import enrol, policy_of, run_agent
from anchor.wiring.program import run
from anchor.wiring.serving import serve, up

__all__ = ["adopt_epoch", "back_up", "enrol", "policy_of", "restore", "run", "run_agent", "serve", "up"]
