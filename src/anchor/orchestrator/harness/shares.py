"""Runs a map or a reduce in Python: this text stands behind the user's own, and imports nothing of Anchor."""

# Imports are inside and every name begins alike, so that nothing of the user's is in the way or hidden.
# ruff: noqa: PLC0415
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ANCHOR_COMBINE_AT = 256


def _anchor_key(key: "Any") -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)
    raise TypeError(f"a key is a str or an int, not {type(key).__name__}: {key!r:.100}")


def _anchor_records(task_input: "Any") -> "Any":
    import os

    kind = os.environ["ANCHOR_MAP_OVER"]
    if kind == "values":
        return task_input
    with open("item", "rb") as file:
        content = file.read()
    return [content if kind == "bytes" else content.decode("utf-8", "replace")]


def _anchor_map(names: "dict[str, Any]") -> "dict[str, int]":
    """Map what this task got, and write a file for each reducer that gets something."""
    import json
    import os
    import zlib

    command = os.environ.get("ANCHOR_COMMAND")
    mapper: Any = names.get("map")
    combine = names.get("combine")
    if command is None and not callable(mapper):
        raise NameError("the source defines no function map(item)")
    groups: dict[str, list[Any]] = {}
    records = pairs = 0
    for record in [None] if command else _anchor_records(names["input"]):
        records += 1
        made = _anchor_lines(command, "item") if command else mapper(record)
        if made is None:
            continue
        for key, value in made.items() if hasattr(made, "items") else made:
            pairs += 1
            if key.__class__ is not str:
                key = _anchor_key(key)
            values = groups.get(key)
            if values is None:
                groups[key] = [value]
                continue
            values.append(value)
            if combine is not None and len(values) >= _ANCHOR_COMBINE_AT:
                groups[key] = [combine(key, values)]
    if combine is not None:
        for key, values in groups.items():
            if len(values) > 1:
                groups[key] = [combine(key, values)]
    reducers = int(os.environ["ANCHOR_REDUCERS"])
    shares: list[dict[str, list[Any]]] = [{} for _ in range(reducers)]
    crc32 = zlib.crc32
    for key, values in groups.items():
        shares[crc32(key.encode("utf-8", "replace")) % reducers][key] = values
    for number, share in enumerate(shares):
        if share or not (groups or number):  # where nothing was emitted, one file says so
            with open(f"part-{number:04}", "w", encoding="utf-8") as file:
                file.write(json.dumps(share, allow_nan=False))
    return {"records": records, "pairs": pairs, "keys": len(groups)}


def _anchor_reduce(names: "dict[str, Any]") -> "list[list[Any]]":
    """Reduce the share of this task: [key, value] for each key, sorted by key."""
    import json
    import os

    command = os.environ.get("ANCHOR_COMMAND")
    reducer: Any = names.get("reduce")
    if command is None and not callable(reducer):
        raise NameError("the source defines no function reduce(key, values)")
    groups: dict[str, list[Any]] = {}
    for name in sorted(json.loads(os.environ["ANCHOR_SHARE"])):
        with open(name, encoding="utf-8") as file:
            share = json.load(file)
        if not groups:
            groups = share
            continue
        for key, values in share.items():
            known = groups.get(key)
            if known is None:
                groups[key] = values
            else:
                known += values
    if command is None:
        return [[key, reducer(key, groups[key])] for key in sorted(groups)]
    with open("item", "w", encoding="utf-8", newline="") as file:
        for key in sorted(groups):
            file.writelines(f"{key}\t{value}\n" for value in groups[key])
    return [list(pair) for pair in _anchor_lines(command, "item")]


def _anchor_lines(command: str, source: str) -> "Any":
    """Run a program over a file; the lines `key TAB value` that it prints."""
    import json
    import subprocess

    with open(source, "rb") as file:
        program = subprocess.Popen(json.loads(command), stdin=file, stdout=subprocess.PIPE)
    assert program.stdout is not None
    for line in program.stdout:
        key, _, value = line.decode("utf-8", "replace").rstrip("\n").partition("\t")
        yield key, value
    if program.wait():
        raise RuntimeError(f"the program ended with exit code {program.returncode}")
