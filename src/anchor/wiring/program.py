"""What every program of ours begins with: its log and its event loop."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from anchor.config import Settings

T = TypeVar("T")


def set_up_logs(settings: Settings) -> None:
    """Log to standard error, as text or as one JSON object a line."""
    output: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            output,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a program on the fastest event loop this machine has."""
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - there is none for Windows

        return uvloop.run(main)
    return asyncio.run(main)
