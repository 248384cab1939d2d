"""Graphs carried out: a step's task is made when all it waits for has ended, and never twice."""

from anchor.orchestrator.graphs.advance import advance
from anchor.orchestrator.graphs.cancel import cancel
from anchor.orchestrator.graphs.known import drawing_of_run, plan_of
from anchor.orchestrator.graphs.rerun import rerun, rerun_once
from anchor.orchestrator.graphs.schedule import Scheduled, schedule, schedule_once
from anchor.orchestrator.graphs.sweep import sweep

__all__ = [
    "Scheduled",
    "advance",
    "cancel",
    "drawing_of_run",
    "plan_of",
    "rerun",
    "rerun_once",
    "schedule",
    "schedule_once",
    "sweep",
]
