"""Why a replica's program ended, never listened or cannot run, in the words its owner reads."""

import signal

from anchor.agent.sandbox.confinement import PROCESSES_MAX
from anchor.agent.sandbox.supervise import Ended
from anchor.core.app import AppConfig, mib_of
from anchor.core.attempt import Reason
from anchor.core.errors import FailureCode

_SIGNALS_FROM = 128
_LAST_LINES = " Its last lines:"
_NO_NETWORK = (
    "ENETUNREACH",
    "EAI_AGAIN",
    "ENOTFOUND",
    "Network is unreachable",
    "name resolution",
    "Name or service not known",
)
"""What programs print that look for somebody where there is no network."""


def reason_of(ended: Ended, config: AppConfig, tail: str) -> Reason:
    """The reason for one end; `tail` are the program's last lines."""
    if ended.cut is FailureCode.MEMORY_LIMIT:
        mib = mib_of(config.ram)
        return Reason(
            "memory_limit", f"It used more than its {mib} MiB of memory.", "Raise config.ram, or have it use less."
        )
    if ended.cut is FailureCode.PROCESS_LIMIT:
        what = f"It had more than {PROCESSES_MAX} processes and threads."
        return Reason("process_limit", what, "Have it start fewer: the limit is the same for every replica.")
    if ended.cut is FailureCode.DISK_LIMIT:
        most = f"{mib_of(config.disk)} MiB"
        what = f"It wrote {ended.overfull or f'more than {most}'}; its limit on disk is {most}."
        return Reason("disk_limit", what, "Raise config.disk, or have it write less.")
    if ended.never_started:
        what = f"Its cell could not be set up: {ended.never_started}."
        return Reason("cell_failed", what, "Run `anchor doctor` on the node.")
    return Reason("ended", f"{_how(ended.code)}{_last_lines(tail)}", _what_to_do(config, tail))


def in_short(reason: Reason) -> str:
    """The reason without the program's own words, which its log has anyway."""
    return reason.message.partition(_LAST_LINES)[0]


def crash_loop(ends: int, seconds: float, last: Reason) -> Reason:
    """It was started often enough. A limit keeps its own code: that is what to change."""
    code = "crash_loop" if last.code == "ended" else last.code
    return Reason(code, f"It ended {ends} times within {seconds:g} s, at last so: {last.message}", last.hint)


def release_failed(ended: Ended, config: AppConfig, tail: str, seconds: float) -> Reason:
    """The process RELEASE did not end well."""
    if ended.cut is FailureCode.TIMEOUT:
        what = f"it ran longer than {seconds:g} s."
    else:
        what = reason_of(ended, config, tail).message
    hint = "Nothing of this release was started. Correct it and deploy again."
    return Reason("release_failed", f"Its release command failed: {what}", hint)


def never_listened(port: int, others: list[int], seconds: float, fault: str, tail: str) -> Reason:
    """It runs, and is not healthy in time. `others` are ports that it listens on instead."""
    if port not in others and others:
        return wrong_port(port, others)
    if port in others:
        what = f"It did not become healthy within {seconds:g} s: {fault}."
        return Reason("never_healthy", what + _last_lines(tail), "Correct config.healthPath, or raise startSeconds.")
    what = f"It did not listen on port {port} within {seconds:g} s."
    hint = "Listen on the port in the variable PORT, on all addresses; or raise config.startSeconds."
    return Reason("never_listened", what + _last_lines(tail), hint)


def wrong_port(port: int, others: list[int]) -> Reason:
    """It listens, elsewhere."""
    found = " and ".join(map(str, others[:3]))
    return Reason(
        "wrong_port",
        f"It listens on port {found}, not on {port}. Listen on the port in the variable PORT.",
        f"Or set config.port to {others[0]}, if the program cannot be told.",
    )


def _what_to_do(config: AppConfig, tail: str) -> str:
    if not config.network and any(sign in tail for sign in _NO_NETWORK):
        return "It has no network. Deploy with --network (config.network) for one; the machine's owner has to allow it."
    return "Mend what its last lines say, and deploy again." if tail else "Have it print why it ends, and deploy again."


def _how(code: int) -> str:
    if code <= _SIGNALS_FROM:
        return f"It ended with code {code}."
    try:
        name = signal.Signals(code - _SIGNALS_FROM).name
    except ValueError:
        return f"It ended with code {code}."
    return f"It was ended by signal {code - _SIGNALS_FROM} ({name})."


def _last_lines(tail: str) -> str:
    return f"{_LAST_LINES}\n{tail}" if tail else " It printed nothing."
