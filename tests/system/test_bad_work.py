"""Work that cannot succeed: whatever runs it, its author gets the code, one clear sentence, and the place."""

import base64
import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from tests.system.offering import Ended, Offering, together

EXAMPLES = Path(__file__).parents[2] / "examples" / "wasi"
LONGEST_SENTENCE = 200
NOWHERE = "sha256:" + "0" * 64


@dataclass(frozen=True)
class Bad:
    """A payload, and what its author has to be told: the failure's code, the whole message as a pattern, and words of
    the hint."""

    payload: dict[str, Any]
    code: str
    says: str
    hint: str = ""


def wat(text: str) -> str:
    return base64.b64encode(bytes(wasmtime.wat2wasm(text))).decode()


def isolate(source: str, **more: Any) -> dict[str, Any]:
    return {"runtime": "isolate", "sourceCode": source, **more}


def python(source: str, **more: Any) -> dict[str, Any]:
    return {"runtime": "python", "sourceCode": source, **more}


def node(source: str, **more: Any) -> dict[str, Any]:
    return {"runtime": "native", "language": "javascript", "sourceCode": source, **more}


def cpython(source: str, **more: Any) -> dict[str, Any]:
    return {"runtime": "native", "language": "python", "sourceCode": source, **more}


def command(*words: str, **more: Any) -> dict[str, Any]:
    return {"runtime": "native", "command": list(words), **more}


def shell(script: str, **more: Any) -> dict[str, Any]:
    return command("sh", "-c", script, **more)


NUMBERS = base64.b64encode((EXAMPLES / "numbers.wasm").read_bytes()).decode()
PRIMES = base64.b64encode((EXAMPLES / "primes.wasm").read_bytes()).decode()


def gcd(*args: Any, function: str = "gcd") -> dict[str, Any]:
    return {"runtime": "wasm", "module": NUMBERS, "function": function, "args": list(args)}


NOT_JSON = r"The result cannot be written as JSON: "
WASM = {
    "no module at all": Bad(
        {"module": base64.b64encode(b"#!/bin/sh\n").decode()},
        "invalid_task",
        r"/payload/module is not WebAssembly: it does not begin with the bytes 00 61 73 6d",
    ),
    "a blob that is no module": Bad(
        {"module": "a blob"}, "invalid_module", r"The module is not WebAssembly: it does not begin with 00 61 .*\."
    ),
    "a damaged module": Bad(
        {"module": base64.b64encode(base64.b64decode(PRIMES)[:5000]).decode()},
        "invalid_module",
        r"The module is not valid WebAssembly: .+\.",
    ),
    "an import of somebody else": Bad(
        {"module": wat('(module (import "env" "abort" (func)) (func (export "_start")))')},
        "invalid_module",
        r"The module imports env\.abort, which this runtime does not offer\.",
        "link everything else into the module",
    ),
    "an import that WASI does not have": Bad(
        {"module": wat('(module (import "wasi_snapshot_preview1" "fork" (func)) (func (export "_start")))')},
        "invalid_module",
        r"The module imports wasi_snapshot_preview1\.fork, which this runtime does not offer\.",
        "can be imported",
    ),
    "a module without a start": Bad(
        {"module": NUMBERS},
        "invalid_payload",
        r"The module is no command: it does not export _start\. It exports gcd, chord\.",
        "payload.function",
    ),
    "an unknown export": Bad(
        gcd(48, 36, function="gdc"), "invalid_payload", r"The module exports no function 'gdc'\. Did you mean gcd\?"
    ),
    "an argument of another type": Bad(
        gcd("x", 36), "invalid_payload", r'Argument 1 of gcd\(i64, i64\) must be an integer of 64 bits, not "x"\.'
    ),
    "an argument with a fraction": Bad(
        gcd(1, 36.5), "invalid_payload", r"Argument 2 of gcd\(i64, i64\) must be an integer of 64 bits, not 36\.5\."
    ),
    "too few arguments": Bad(
        gcd(48), "invalid_payload", r"The function gcd\(i64, i64\) takes 2 arguments, and payload\.args has 1\."
    ),
    "a result that JSON does not have": Bad(
        {"module": wat('(module (func (export "f") (result f64) f64.const nan))'), "function": "f"},
        "result_invalid",
        r"The function returned nan, which JSON cannot express\.",
    ),
}
ISOLATE = {
    "a syntax error": Bad(
        isolate("const a = 1;\nreturn a +;"), "script_error", r"SyntaxError: Unexpected token ';' \(line 2, column 11\)"
    ),
    "an error": Bad(isolate("\n  throw new Error('bad')"), "script_error", r"Error: bad \(line 2, column 9\)"),
    "an error in another module": Bad(
        isolate("import './lib/a.js'", modules={"lib/a.js": "\nthrow new Error('bad')"}),
        "script_error",
        r"Error: bad \(lib/a\.js, line 2, column 7\)",
    ),
    "a module that is not there": Bad(
        isolate("\nimport x from './nope.js'"),
        "script_error",
        r"Error: Cannot find module '\./nope\.js' \(line 2, column 15\)",
    ),
    "a package": Bad(
        isolate("const _ = require('lodash')"),
        "script_error",
        r"ReferenceError: require is not defined \(line 1, column 11\)",
        "use runtime native",
    ),
    "a function as its result": Bad(
        isolate("return () => 1"), "result_invalid", NOT_JSON + r"it is a function\.", "Return plain objects"
    ),
    "a result that contains itself": Bad(
        isolate("const a = {}; a.a = a; return a"), "result_invalid", NOT_JSON + r"it contains itself\.", "Return plain"
    ),
    "a promise nothing settles": Bad(
        isolate("await new Promise(() => {})"),
        "script_error",
        r"The script waits for a promise that nothing is left to settle\.",
        "never resolved",
    ),
}
PYTHON = {
    "a syntax error": Bad(
        python("a = 1\nb = = 2"), "script_error", r"SyntaxError: invalid syntax \(line 2, column 5\)"
    ),
    "an error": Bad(
        python("def f():\n    raise ValueError('bad')\nf()"),
        "script_error",
        r"ValueError: bad \(line 2, column 5\)",
    ),
    "a package": Bad(
        python("import numpy"),
        "script_error",
        r"ModuleNotFoundError: No module named 'numpy' \(line 1, column 1\)",
        "use runtime native",
    ),
    "a set as its result": Bad(
        python("result = {1}"), "result_invalid", NOT_JSON + r"Object of type set is not .*\.", "Return dicts"
    ),
    "an end of its own": Bad(
        python("import sys\nsys.exit('no data')"),
        "script_error",
        r"The script ended itself with exit code 1: no data",
    ),
}
NATIVE = {
    "JavaScript: a syntax error": Bad(
        node("const a = 1;\nreturn a +;"), "script_error", r"SyntaxError: Unexpected token ';' \(line 2, column 11\)"
    ),
    "JavaScript: an error": Bad(
        node("import fs from 'fs';\n  throw new Error('bad')"), "script_error", r"Error: bad \(line 2, column 9\)"
    ),
    "JavaScript: a package nobody named": Bad(
        node("require('lodash')"),
        "script_error",
        r"Error: Cannot find module 'lodash' \(line 1, column 1\)",
        "payload.dependencies",
    ),
    "JavaScript: a package nobody named, imported": Bad(
        node("import _ from 'lodash'; export default 1"),
        "script_error",
        r"Error: Cannot find package 'lodash'",
        "payload.dependencies",
    ),
    "JavaScript: a function as its result": Bad(
        node("return () => 1"), "result_invalid", NOT_JSON + r"it is a function\.", "Return plain objects"
    ),
    "JavaScript: a result that contains itself": Bad(
        node("const a = {}; a.a = a; return a"), "result_invalid", NOT_JSON + r"it contains itself\.", "Return plain"
    ),
    "Python: a syntax error": Bad(
        cpython("a = 1\nb = = 2"), "script_error", r"SyntaxError: invalid syntax \(line 2, column 5\)"
    ),
    "Python: an error": Bad(
        cpython("def f():\n    raise ValueError('bad')\nf()"),
        "script_error",
        r"ValueError: bad \(line 2, column 5\)",
    ),
    "Python: a package nobody named": Bad(
        cpython("import nobody_named_it"),
        "script_error",
        r"ModuleNotFoundError: No module named 'nobody_named_it' \(line 1, column 1\)",
        "payload.dependencies",
    ),
    "Python: a set as its result": Bad(
        cpython("result = {1}"), "result_invalid", NOT_JSON + r"Object of type set is not .*\.", "Return dicts"
    ),
    "Python: packages that do not go together": Bad(
        cpython("result = 1", dependencies=["upper", "lower==1"]),
        "dependency_error",
        r"(?s)No solution found .*upper depend.* on lower>=2.*you require lower==1.*unsatisfiable\.",
        "versions",
    ),
    "a program that is not there": Bad(
        command("nosuchtool"), "script_error", r"The program nosuchtool was not found \(exit code 127\)\.", "finds"
    ),
    "a shell whose program is not there": Bad(
        shell("nosuchtool"), "script_error", r"sh ended with exit code 127: .*nosuchtool: .*not found"
    ),
    "a file that is no program": Bad(
        command("/etc/passwd"), "script_error", r"The program /etc/passwd cannot be run: .+\.", "may be executed"
    ),
    "an exit code": Bad(shell("echo oh no >&2; exit 4"), "script_error", r"sh ended with exit code 4: oh no"),
    "a result file that is no JSON": Bad(
        shell("echo { > result.json"), "result_invalid", r"result\.json is not JSON: Input data was truncated\."
    ),
    "a result file that is a folder": Bad(
        shell("mkdir result.json"), "result_invalid", r"result\.json is not a regular file\."
    ),
    "a result file that is missing": Bad(
        shell("touch other.json", outputs=["result.json"]),
        "output_missing",
        r"No file matches the output pattern result\.json; the directory holds other\.json\.",
        "payload.outputs",
    ),
}
HONEST = {
    "wasm": {"module": PRIMES, "args": ["10"]},
    "isolate": isolate("return 1"),
    "python": python("result = 1"),
    "native": command("true"),
}


def of_files(runtime: str) -> dict[str, Bad]:
    """What is wrong with files in the same way everywhere."""
    payload = HONEST[runtime]
    return {
        "an output that is missing": Bad(
            {**payload, "outputs": ["out/*.png"]},
            "output_missing",
            r"No file matches the output pattern out/\*\.png; the directory holds nothing\.",
            "working directory",
        ),
        "an output outside": Bad(
            {**payload, "outputs": ["../*"]},
            "invalid_task",
            r"/payload/outputs/0 leads outside the task's directory; .*",
        ),
        "an output from the top": Bad(
            {**payload, "outputs": ["/etc/*"]}, "invalid_task", r"/payload/outputs/0 is an absolute path; .*"
        ),
        "an input outside": Bad(
            {**payload, "files": {"../x": NOWHERE}},
            "invalid_task",
            r"/payload/files/\.\.~1x leads outside the task's directory .*",
        ),
        "an input nobody uploaded": Bad(
            {**payload, "files": {"x": NOWHERE}}, "blob_missing", rf"/payload/files/x names {NOWHERE}"
        ),
    }


TABLES = {"wasm": WASM, "isolate": ISOLATE, "python": PYTHON, "native": NATIVE}
CASES = {
    f"{runtime}: {name}": bad
    for runtime, table in TABLES.items()
    for name, bad in {**table, **of_files(runtime)}.items()
}


def wheel(name: str, version: str, requires: str = "") -> tuple[str, bytes]:
    made = io.BytesIO()
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-{version}-py3-none-any.whl", made.getvalue()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An index on disk, where `upper` needs another `lower` than the old one."""
    index = tmp_path_factory.mktemp("index")
    index.chmod(0o755)
    for name, content in (wheel("upper", "1.0", "lower>=2"), wheel("lower", "1.0"), wheel("lower", "2.0")):
        (index / name).write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_DEFAULT_INDEX", f"file://{index}/simple")
        patch.setenv("UV_FIND_LINKS", str(index))
        yield


@pytest.fixture(scope="module")
def offered(packages: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Offering]:
    with Offering(tmp_path_factory.mktemp("bad-work")) as made:
        yield made


@pytest.fixture(scope="module")
def ended(offered: Offering) -> dict[str, Ended]:
    blob = offered.upload(b"#!/bin/sh\necho hi\n")
    payloads = {
        name: bad.payload | ({"module": blob} if bad.payload.get("module") == "a blob" else {})
        for name, bad in CASES.items()
        if offered.has(name.partition(":")[0])
    }
    return together(offered, payloads)


@pytest.mark.parametrize("name", CASES)
def test_its_author_is_told_what_is_wrong_and_where(offered: Offering, ended: dict[str, Ended], name: str) -> None:
    offered.require(name.partition(":")[0])
    bad, told = CASES[name], ended[name]
    assert told.code == bad.code, told
    assert re.fullmatch(bad.says, told.message), told.message
    assert bad.hint in told.hint, told.hint
    if bad.code != "dependency_error":
        # A resolver explains itself in as many lines as it takes; all else is one sentence.
        assert "\n" not in told.message
        assert len(told.message) <= LONGEST_SENTENCE
