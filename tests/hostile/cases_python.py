"""Hostile work for the python runtime: CPython in WebAssembly, whose walls are the engine's and the worker's."""

from typing import Any

from tests.hostile.case import Case

SAY = "import _eryx\ndef say(piece): _eryx._eryx_report_output(1, piece)\n"
REFUSED = "script_error"
OUTSIDE = ("timeout", "memory_limit", REFUSED)
"""How code ends that fills memory outside of the interpreter: a refusal there aborts the process at any size."""
TIME = {"timeoutSeconds": 4.0}
"""Enough to fill the memory, or the stack, on a busy machine."""


def case(name: str, source: str, *args: Any, **rest: Any) -> Case:
    return Case(name, {"sourceCode": source}, *args, **rest)


def patient(name: str, source: str, *args: Any, **rest: Any) -> Case:
    return case(name, source, *args, limits=TIME, **rest)


LOOPS = [
    case("a loop", "while True: pass", "timeout"),
    case("a sleep", "import time\ntime.sleep(3600)", "timeout"),
    case("a regular expression that never ends", "import re\nre.match('(a+)+$', 'a' * 50 + 'b')", "timeout"),
    case("a number that takes for ever", "x = 9 ** 9 ** 8\nprint(len(str(x)))", "timeout"),
    case("a sort that never ends", "sorted(range(10**6), key=lambda n: sum(range(n)))", "timeout"),
    patient(
        "a generator without end as the result", "import itertools\nresult = list(itertools.cycle([1]))", "memory_limit"
    ),
    case(
        "a loop that swallows everything raised in it",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "timeout",
    ),
    case(
        "an exit that is swallowed",
        "import sys\nwhile True:\n    try: sys.exit(0)\n    except SystemExit: pass",
        "timeout",
    ),
    case("an end that never ends", "import atexit\n@atexit.register\ndef again():\n    while True: pass", "timeout"),
    case(
        "an exception whose text never ends",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
        "timeout",
    ),
    case(
        "a result whose writing never ends",
        "class D(dict):\n    def items(self):\n        while True: yield (1, 1)\nresult = D(a=1)",
        ("timeout", "memory_limit"),
    ),
    patient(
        "coroutines that start each other for ever", "import asyncio\nasync def main():\n    await main()", REFUSED
    ),
    case(
        "a tracer that never returns",
        "import sys\ndef t(*_):\n    while True: pass\nsys.settrace(t)\nprint(1)\ndef main(): pass",
        "timeout",
    ),
]

MEMORY = [
    patient("one block too large", "x = bytearray(1 << 30)", "memory_limit", alone=True),
    patient("lists in a list", "x = []\nwhile True: x.append([0] * 1000)", "memory_limit", alone=True),
    patient("a text that doubles", "x = 'x'\nwhile True: x += x", "memory_limit", alone=True),
    case(
        "memory that is asked for again after every refusal",
        "x = []\nwhile True:\n    try:\n        while True: x.append(bytearray(1 << 20))\n    except MemoryError: pass",
        ("timeout", "memory_limit"),
        alone=True,
    ),
    case("a number that grows", "x = 3\nwhile True: x = x * x", ("memory_limit", "timeout"), alone=True),
    patient(
        "a dictionary without end",
        "x = {}\nwhile True: x[len(x)] = str(len(x)) * 100",
        "memory_limit",
        alone=True,
    ),
    patient(
        "memory taken while an object is deleted",
        "x = []\nclass A:\n    def __del__(self):\n        while True: x.append(bytearray(1 << 20))\nA()",
        None,
        alone=True,
    ),
    patient(
        "cycles that only the collector frees",
        "import gc\ngc.disable()\nclass A: pass\nwhile True:\n    a = A(); a.a = a; a.b = bytearray(1 << 16)",
        "memory_limit",
        alone=True,
    ),
    case(
        "output that is kept outside of the interpreter",
        SAY + "x = b'o' + b'x' * (1 << 22)\nwhile True: say(x)",
        OUTSIDE,
        alone=True,
    ),
    case(
        "answers without end",
        SAY + "x = b'r' + b'x' * (1 << 22)\nwhile True: say(x)",
        OUTSIDE,
        alone=True,
    ),
]

DEPTH = [
    patient("a function that calls itself", "def f(n): return f(n + 1)\nf(0)", REFUSED, says="RecursionError"),
    patient(
        "a function that calls itself without a limit",
        "import sys\nsys.setrecursionlimit(2**31 - 1)\ndef f(n): return f(n + 1)\nf(0)",
        (REFUSED, "memory_limit"),
    ),
    patient(
        "recursion through C",
        "class A:\n    def __getattr__(self, n): return getattr(self, n)\nA().x",
        (REFUSED, "memory_limit"),
    ),
    patient("JSON that is nested too deeply", "import json\njson.loads('[' * 200_000)", (REFUSED, "memory_limit")),
    patient(
        "a result that is nested too deeply",
        "x = []\nfor _ in range(200_000): x = [x]\nresult = x",
        ("result_invalid", REFUSED, "memory_limit"),
    ),
    patient("source that is nested too deeply", "(" * 5000 + ")" * 5000, (REFUSED, "memory_limit")),
]

FLOODS = [
    case("a flood of output", "while True: print('x' * 1000)", "timeout"),
    case(
        "a flood of single letters",
        "import sys\nwhile True:\n    sys.stderr.write('x')\n    sys.stderr.flush()",
        "timeout",
    ),
    case("a flood of progress", "while True: anchor.progress(0.5, 'x' * 1000)", "timeout"),
    case("a flood past the streams", "import os\nwhile True: os.write(1, b'x' * 1000)", "timeout"),
]

WALLS = [
    case("a program", "import subprocess\nsubprocess.run(['/bin/ls'])", REFUSED, says="does not support processes"),
    case("a shell", "import os\nresult = os.system('id')", REFUSED, says="has no attribute 'system'"),
    case("a fork", "import os\nos.fork()", REFUSED, says="has no attribute 'fork'"),
    case("a thread", "import _thread\n_thread.start_new_thread(print, ())", REFUSED, says="can't start new thread"),
    case("C by ctypes", "import ctypes\nctypes.CDLL(None)", REFUSED, says="_ctypes"),
    case(
        "a connection",
        "import socket\nsocket.create_connection(('127.0.0.1', 5000), 1)",
        REFUSED,
        says="networking not enabled",
    ),
    case(
        "a connection below the module",
        "import _eryx\nprint(_eryx._eryx_tcp_connect('127.0.0.1', 5000))\nresult = 1",
        None,
        result=1,
    ),
    case("a name that is looked up", "import socket\nsocket.getaddrinfo('localhost', 80)\nresult = 1", None, result=1),
    case("the host's users", "print(open('/etc/passwd').read())", REFUSED, says="No such file"),
    case("the host's processes", "import os\nprint(os.listdir('/proc'))", REFUSED, says="No such file"),
    case("the agent's environment", "import os\nresult = sorted(os.environ)", None, result=[]),
    case("the way up", "print(open('../../../../../../etc/passwd').read())", REFUSED, says="No such file"),
    case("a link out of the directory", "import os\nos.symlink('/etc/passwd', 'x')\nprint(open('x').read())", REFUSED),
    case(
        "a change of the library",
        "open('/python-stdlib/json/__init__.py', 'a').write('1/0')",
        REFUSED,
        says="not permitted",
    ),
    case("a signal to another process", "import os\nos.kill(1, 9)", REFUSED),
]

TRICKS = [
    case(
        "builtins taken from the next task",
        "import builtins, json\nbuiltins.len = builtins.print = None\njson.dumps = None",
        None,
    ),
    case("the modules of the interpreter taken away", "import sys\nsys.modules.clear()\nresult = 1", None, result=1),
    case("streams taken away", "import sys\nsys.stdout = sys.stderr = None\nresult = 5", REFUSED),
    case("an answer that is no answer", SAY + "say(b'r\\xff{')\nimport os\nos.abort()", REFUSED),
    case(
        "an answer from a frame above",
        "import sys\nf = sys._getframe()\nwhile f.f_back: f = f.f_back\nf.f_globals['_tell'] = None",
        None,
    ),
    case("the interpreter ended by hand", "import os\nos.abort()", REFUSED, says="interpreter"),
    case(
        "a bytecode that is none",
        "def f(): pass\nf.__code__ = f.__code__.replace(co_code=bytes([200, 255]) * 50, co_stacksize=1)\nf()",
        (REFUSED, "memory_limit", "timeout", "crashed"),
    ),
    case("a module that is not there", "import numpy", REFUSED, says="numpy"),
]

CASES: list[Case] = [*LOOPS, *MEMORY, *DEPTH, *FLOODS, *WALLS, *TRICKS]
