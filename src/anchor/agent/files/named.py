"""A task's inputs by name, put together into the one JSON object that its code gets."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from anchor.agent.files.inputs import Inputs
from anchor.agent.job import Ran, failed
from anchor.agent.threads import in_thread
from anchor.core.errors import FailureCode
from anchor.core.inputs import InputValue
from anchor.core.pieces import piece_of
from anchor.core.spec import MIB

VALUES_BYTES_MAX = 64 * MIB
"""What the inputs of one task may be together, as JSON: they are held in memory."""
_checked = msgspec.json.Decoder(msgspec.Raw).decode


async def spliced(inputs: Mapping[str, InputValue], kept: Inputs) -> bytes | Ran:
    """The inputs as one JSON object, its values as they were written; or why the task cannot run.

    Unavailable where a blob cannot be fetched, NoRoom or OSError where the disk does not take it.
    """
    named: dict[str, str] = {}
    for name, given in inputs.items():
        if given.blob is None:
            continue
        piece = piece_of(given.blob)
        if piece is None:
            return failed(FailureCode.INVALID_PAYLOAD, f"The input {name!a} is not sha256:… of a blob.")
        named[name] = piece.name
    async with kept.held(named.values()) as held:
        size = sum(held[blob][1] for blob in named.values())
        if size > VALUES_BYTES_MAX:
            return failed(
                FailureCode.INVALID_PAYLOAD,
                f"The inputs have {size / MIB:.1f} MiB together, more than the {VALUES_BYTES_MAX // MIB} a node holds.",
                "Have the steps before leave files instead, and bring those with payload.files.",
            )
        return await in_thread(_put_together, inputs, {name: held[blob][0] for name, blob in named.items()})


def _put_together(inputs: Mapping[str, InputValue], files: Mapping[str, Path]) -> bytes | Ran:
    parts: list[bytes] = []
    for name, given in inputs.items():
        value = files[name].read_bytes() if name in files else msgspec.json.encode(given.value)
        if name in files:
            try:
                _checked(value)
            except msgspec.DecodeError as error:
                return failed(
                    FailureCode.INVALID_PAYLOAD,
                    f"The blob of the input {name!a} is not JSON: {error}.",
                    "Upload JSON, or bring the blob as a file with payload.files.",
                )
        parts.append(msgspec.json.encode(name) + b":" + value)
    return b"{" + b",".join(parts) + b"}"
