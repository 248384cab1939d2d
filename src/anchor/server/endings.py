"""What a node says about the end of an attempt, made fit to be kept: nodes are not trusted to send what can be read."""

import re

import msgspec
from msgspec.structs import replace

from anchor.core.attempt import Ending, Outcome, Reason, Result
from anchor.core.errors import FailureCode
from anchor.core.file_names import fault_in_name
from anchor.core.spec import INLINE_BYTES_MAX, MIB
from anchor.orchestrator.whole import read_whole
from anchor.ports.blobs import Blobs
from anchor.server.json_body import is_deep

TEXT_LENGTH_MAX = 8_000
"""The longest message or hint of a reason that is kept."""
CODE_LENGTH_MAX = 100
BLOB_BYTES_MAX = 16 * MIB
"""The largest result; no runtime brings a larger one."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


async def sound(ending: Ending, blobs: Blobs) -> Ending:
    """The ending as it may be kept: a result that nobody could read becomes an error, a long reason is cut."""
    if ending.outcome is Outcome.SUCCEEDED:
        if ending.result is None or await _is_readable(ending.result, blobs):
            return ending
        reason = Reason(
            FailureCode.RESULT_INVALID,
            "The node reported a result that cannot be read.",
            "Results are JSON: up to 64 KiB itself, above it in a blob that was uploaded; so are files.",
        )
        return replace(ending, outcome=Outcome.ERRORED, result=None, reason=reason, seal=b"")
    if ending.reason is None:
        return ending
    reason = ending.reason
    cut = Reason(reason.code[:CODE_LENGTH_MAX], reason.message[:TEXT_LENGTH_MAX], reason.hint[:TEXT_LENGTH_MAX])
    return replace(ending, reason=cut)


async def _is_readable(result: Result, blobs: Blobs) -> bool:
    return await _has_files(result, blobs) and await _has_value(result, blobs)


async def _has_files(result: Result, blobs: Blobs) -> bool:
    """Whether every file has a name of its own that is safe to save it under, and its bytes are here."""
    names = [file.name for file in result.files]
    if len(set(names)) != len(names) or any(fault_in_name(name) is not None for name in names):
        return False
    return not result.files or not await blobs.missing({file.sha256 for file in result.files})


async def _is_json(result: Result, blobs: Blobs) -> bool:
    """Whether a blob is what is said of it. Its text becomes part of the text of lists: were it none of its own, it
    could end there what others answered, and begin it anew."""
    if not _DIGEST.fullmatch(result.blob) or result.size > BLOB_BYTES_MAX:
        return False
    if await blobs.size(result.blob) != result.size:
        return False
    content = await read_whole(blobs, result.blob)
    try:
        content.decode()
        msgspec.json.decode(content, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


async def _has_value(result: Result, blobs: Blobs) -> bool:
    if result.blob:
        return await _is_json(result, blobs)
    if len(result.json) > INLINE_BYTES_MAX or result.size not in (0, len(result.json)) or is_deep(result.json):
        return False
    try:
        msgspec.json.decode(result.json)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
