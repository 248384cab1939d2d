"""Work as people write it in Python, a function or a source text with options, as the tasks and steps of the API."""

import inspect
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypedDict, get_type_hints

import msgspec

from anchor.client.code import LATE_ANNOTATIONS, definition_of, source_of_function
from anchor.core.errors import InvalidRequest

Code = Callable[..., Any] | str
"""A Python function, or source text: JavaScript unless options say otherwise."""


class Options(TypedDict, total=False):
    """How a piece of work runs; all of it may be left out.

    `requirements` are packages to install (pip's for Python, npm's for JavaScript), `needs` what a node must have (the
    `requirements` of the API), `files` input files (name → `sha256:…`), `outputs` patterns of the files to keep.
    A function runs in runtime `native` unless `runtime` says `python`, the sandboxed interpreter, which installs
    nothing. `kwargs` are keyword arguments of a function.
    """

    name: str
    runtime: Literal["isolate", "python", "native"]
    language: Literal["javascript", "python"]
    requirements: Sequence[str]
    kwargs: Mapping[str, Any]
    needs: Mapping[str, Any]
    env: Mapping[str, str]
    files: Mapping[str, str]
    outputs: Sequence[str]
    network: bool
    memory_mb: int
    timeout_seconds: float
    attempts: int
    non_retryable: Sequence[str]
    priority: int
    labels: Sequence[str]
    verify: str | Mapping[str, Any]


OPTIONS = frozenset(get_type_hints(Options))


def task_for(code: Code, args: Sequence[Any], options: Options) -> dict[str, Any]:
    """The task that calls a function with these arguments, or runs a source text with at most one, its `input`."""
    kwargs = options.get("kwargs", {})
    if isinstance(code, str):
        if len(args) > 1 or kwargs:
            raise InvalidRequest(
                "Source text takes one argument, which it finds as `input`.", hint="Pass a list or an object."
            )
        given = as_json(args[0], "The argument") if args else None
        return task_of(source_payload(code, options, given), options, name="script")
    must_fit(code, args, kwargs)
    given = as_json({"args": list(args), "kwargs": dict(kwargs)}, f"What {code.__name__} is called with")
    call = called(code, '*input["args"], **input["kwargs"]')
    return task_of(function_payload(code, call, options, given), options, name=code.__name__)


def tasks_for_each(code: Code, items: Iterable[Any], options: Options) -> Iterable[dict[str, Any]]:
    """A task for each item, which is the one argument."""
    if isinstance(code, str):
        for item in items:
            yield task_of(source_payload(code, options, as_json(item, "An item")), options, name="script")
        return
    if "kwargs" in options:
        given_to_all = as_json(dict(options["kwargs"]), "kwargs")
        call = called(code, 'input["item"], **input["kwargs"]')
    else:
        given_to_all, call = None, called(code, "input")
    payload = function_payload(code, call, options, None)
    name = code.__name__
    for item in items:
        must_fit(code, (item,), options.get("kwargs", {}))
        given = as_json(item, f"An item of {name}")
        value = given if given_to_all is None else {"item": given, "kwargs": given_to_all}
        yield task_of({**payload, "input": value}, options, name=name)


def source_payload(source: str, options: Options, given: Any) -> dict[str, Any]:
    """The payload of a source text."""
    payload: dict[str, Any] = {"sourceCode": source}
    payload |= {name: options[name] for name in ("runtime", "language") if name in options}
    if given is not None:
        payload["input"] = given
    return {**payload, **_around(options)}


def function_payload(function: Callable[..., Any], call: str, options: Options, given: Any) -> dict[str, Any]:
    """The payload of a function; `call` is the text of how it is called there."""
    payload: dict[str, Any] = {
        "sourceCode": f"{source_of_function(function)}\n\n{call}\n",
        "language": "python",
        "runtime": options.get("runtime", "native"),
    }
    if given is not None:
        payload["input"] = given
    return {**payload, **_around(options)}


def called(function: Callable[..., Any], arguments: str) -> str:
    """The text that calls a function and has its value as the result of the task."""
    if inspect.iscoroutinefunction(function):
        return f"import asyncio\nresult = asyncio.run({function.__name__}({arguments}))"
    return f"result = {getattr(function, '__name__', '_')}({arguments})"


def must_fit(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """InvalidRequest where a function does not take these arguments."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(function, "__name__", "The function")
        raise InvalidRequest(f"{name} cannot be called like this: {error}.", hint="Look at its parameters.") from None


def as_json(value: Any, what: str) -> Any:
    """The value as it travels; InvalidRequest where it is no JSON."""
    try:
        return msgspec.Raw(json.dumps(value, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"{what} cannot travel as JSON: {error}.",
            hint="Pass numbers, text, lists and dicts; upload bytes and name them in files.",
            code="not_sendable",
        ) from None


def task_of(
    payload: Mapping[str, Any], options: Options, *, name: str, known: Collection[str] = OPTIONS
) -> dict[str, Any]:
    """A task as the JSON object of the API; InvalidRequest where there is no such option."""
    if strangers := [one for one in options if one not in known]:
        close = get_close_matches(strangers[0], known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(sorted(known))}."
        raise InvalidRequest(f"There is no option {strangers[0]!r}.", hint=hint)
    task: dict[str, Any] = {"name": options.get("name", name)[:200], "payload": payload}
    limits = {"memoryMb": options.get("memory_mb"), "timeoutSeconds": options.get("timeout_seconds")}
    retry = {"attempts": options.get("attempts"), "nonRetryable": options.get("non_retryable")}
    more: dict[str, Any] = {
        "requirements": options.get("needs"),
        "limits": _said(limits),
        "retry": _said(retry),
        "priority": options.get("priority"),
        "labels": options.get("labels"),
        "verify": options.get("verify"),
    }
    return task | _said(more)


def _around(options: Options) -> dict[str, Any]:
    return _said(
        {
            "dependencies": options.get("requirements"),
            "env": options.get("env"),
            "files": options.get("files"),
            "outputs": options.get("outputs"),
            "network": options.get("network"),
        }
    )


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None and value != {}}


def job_for(map: Code, reduce: Code, combine: Code | None, options: Options) -> dict[str, Any]:
    """The parts of a map-reduce job that are code, and how its tasks run."""
    payloads = {"map": _part(map, "map", options), "reduce": _part(reduce, "reduce", options)}
    job = task_of({}, options, name="map-reduce") | payloads
    del job["payload"]
    if combine is not None:
        job["combine"] = combine if isinstance(combine, str) else _renamed(combine, "combine")
    return job


def _part(code: Code, role: str, options: Options) -> dict[str, Any]:
    if isinstance(code, str):
        return source_payload(code, options, None)
    return {
        "sourceCode": LATE_ANNOTATIONS + _renamed(code, role),
        "language": "python",
        "runtime": options.get("runtime", "native"),
        **_around(options),
    }


def _renamed(function: Callable[..., Any], role: str) -> str:
    name = function.__name__
    return definition_of(function) + ("" if name == role else f"\n\n{role} = {name}\n")
