"""V8 isolates by the C interface of mini-racer's library: one thread less per isolate and a tenth of the start-up time
of its Python classes, and a call returns the raw bytes of a string."""

import ctypes
import queue
from typing import Any, Final

from py_mini_racer._dll import MR_CALLBACK, init_mini_racer

# The limit on the heap is looked at after collections; what is young then comes on top of it, up to three times this.
_FLAGS: Final = ("--single-threaded", "--max-semi-space-size=16")
# V8 itself, once for all forks of the process that imports this: with these flags it starts no thread before the first
# isolate does.
_LIBRARY: Final = init_mini_racer(flags=_FLAGS, ignore_duplicate_init=True)
_INTEGER: Final = 3
_DOUBLE: Final = 4
_STRING: Final = 5
_UNDEFINED: Final = 11
_BUFFERS: Final = (101, 102)
_THROWN: Final = 200
_UNPARSABLE: Final = 201
_OUT_OF_MEMORY: Final = 202
_TERMINATED: Final = (203, 204)
_ANSWER: Final = 1


class ScriptError(Exception):
    """JavaScript threw, or could not be parsed (`parsing`); the text is V8's own description with the source line."""

    def __init__(self, description: str, *, parsing: bool) -> None:
        super().__init__(description)
        self.description = description
        self.parsing = parsing


class HeapFull(Exception):
    """The isolate's heap limit was reached; the isolate is of no further use."""


class Terminated(Exception):
    """Execution was stopped from outside."""


class Isolate:
    """One V8 isolate with one context. Calls block until the JavaScript returns; microtasks may still be running then,
    and the next call waits for them."""

    def __init__(self) -> None:
        self._dll = _LIBRARY
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # ctypes does not keep callbacks alive: V8 may call this one until the context is freed.
        self._callback = MR_CALLBACK(lambda _, value: self._answers.put(value))
        self._context = self._dll.mr_init_context(self._callback)
        self._undefined = self._dll.mr_alloc_int_val(self._context, 0, _UNDEFINED)
        self._no_arguments = self.evaluate("[]")

    def close(self) -> None:
        """Stop whatever still runs in the isolate and free it with every value that came out of it."""
        self._dll.mr_free_context(self._context)

    def limit_heap(self, size_bytes: int) -> None:
        """Stop JavaScript (HeapFull) once a garbage collection leaves more than this."""
        self._dll.mr_set_hard_memory_limit(self._context, size_bytes)

    @property
    def is_full(self) -> bool:
        """Whether the heap limit was reached; JavaScript is stopped then wherever it is, also between two calls."""
        return bool(self._dll.mr_hard_memory_limit_reached(self._context))

    def text(self, value: str) -> Any:
        """A string as a value for `call`."""
        encoded = value.encode("utf-8", "surrogatepass")
        return self._dll.mr_alloc_string_val(self._context, encoded, len(encoded), _STRING)

    def number(self, value: int) -> Any:
        """An integer as a value for `call`."""
        return self._dll.mr_alloc_double_val(self._context, float(value), _DOUBLE)

    def evaluate(self, source: str) -> Any:
        """The value of a program. Raises ScriptError, HeapFull or Terminated."""
        self._dll.mr_eval(self._context, self.text(source), _ANSWER)
        return self._answer()

    def call(self, function: Any, *values: Any) -> Any:
        """Call a function value. Raises ScriptError, HeapFull or Terminated."""
        arguments = self.evaluate("[]") if values else self._no_arguments
        for value in values:
            self._dll.mr_array_push(self._context, arguments, value)
        self._dll.mr_call_function(self._context, function, self._undefined, arguments, _ANSWER)
        return self._answer()

    def item(self, array: Any, index: int) -> Any:
        """A value out of an array value."""
        return self._dll.mr_get_object_item(
            self._context, array, self._dll.mr_alloc_int_val(self._context, index, _INTEGER)
        )

    def _answer(self) -> Any:
        value = self._answers.get()
        kind = value.contents.type
        if kind == _OUT_OF_MEMORY or (kind >= _THROWN and self.is_full):
            raise HeapFull
        if kind in _TERMINATED:
            raise Terminated
        if kind >= _THROWN:
            raise ScriptError(_bytes_of(value).decode("utf-8", "replace"), parsing=kind == _UNPARSABLE)
        return value


def _bytes_of(value: Any) -> bytes:
    raw = value.contents
    return bytes(raw.value.bytes_val[: raw.len])


def read(value: Any) -> bytes | float:
    """The UTF-8 bytes of a string value, or the number that a value is."""
    match value.contents.type:
        case kind if kind == _STRING:
            return _bytes_of(value)
        case kind if kind == _INTEGER:
            return float(value.contents.value.int_val)
        case kind if kind == _DOUBLE:
            return float(value.contents.value.double_val)
        case kind:
            raise TypeError(f"a value of V8 type {kind} is neither text nor number")


def memory_of(value: Any) -> memoryview:
    """The memory behind a buffer value: live, writable, and not to be touched once its isolate is closed."""
    raw = value.contents
    if raw.type not in _BUFFERS:
        raise TypeError(f"a value of V8 type {raw.type} is no buffer")
    if raw.len == 0:
        return memoryview(bytearray())
    return memoryview((ctypes.c_ubyte * raw.len).from_address(raw.value.value_ptr)).cast("B")
