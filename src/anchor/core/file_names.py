"""Which names the files of a task may have: relative to its working directory, and never outside it."""

import re
from collections.abc import Iterable

FILE_NAME_BYTES_MAX = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def fault_in_name(name: str) -> str | None:
    """What is wrong with a file's name and what to do about it; None where nothing is."""
    if (wrong := _fault_in_path(name)) is not None:
        return wrong
    if any(part in (".", "..", "") for part in name.split("/")):
        return "leads outside the task's directory or round about; write a plain relative path such as data/in.csv"
    return None


def fault_in_pattern(pattern: str) -> str | None:
    """What is wrong with a glob pattern of output files; None where nothing is."""
    if (wrong := _fault_in_path(pattern)) is not None:
        return wrong
    parts = pattern.split("/")
    if ".." in parts:
        return "leads outside the task's directory; only files inside it can be kept, so leave the .. out"
    if "." in parts or "" in parts:
        return "has an empty part or a single dot between its slashes; write it like plots/*.png"
    if any("**" in part and part != "**" for part in parts):
        return "has ** beside other characters; it stands for folders only by itself, as in logs/**/*.txt"
    return None


def clash_among(names: Iterable[str]) -> tuple[str, str] | None:
    """The first name that another one needs as a folder, and that other one; None where all of them fit together."""
    known = set(names)
    for name in known:
        at = name.rfind("/")
        while at > 0:
            if name[:at] in known:
                return name[:at], name
            at = name.rfind("/", 0, at)
    return None


def _fault_in_path(path: str) -> str | None:
    if not path:
        return "is empty; write a relative path such as data/in.csv"
    if path.startswith("/"):
        return "is an absolute path; paths start at the task's directory, so leave the leading / out"
    if "\\" in path:
        return "contains a backslash; separate folders with /"
    if _CONTROL.search(path):
        return "contains a control character (a line break, a tab, an escape sequence); remove it"
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "contains half a surrogate pair, which no file name can hold; remove it"
    if size > FILE_NAME_BYTES_MAX:
        return f"has {size} bytes; at most {FILE_NAME_BYTES_MAX} are allowed, so shorten it"
    return None
