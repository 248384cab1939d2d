"""What scripts in an isolate find beside the language: encodings, clones, crypto, aborting, progress, files."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.runtimes.isolate_stage import message_of, run, value_of

from anchor.core.errors import FailureCode
from anchor.core.progress import read_progress


@pytest.mark.parametrize(
    "text", ["", "abc", "é€😀\x00\ufeffx", "\ud800a\udc00", "x" * 5000 + "😀", "\U0010ffff\u07ff\u0800\uffff"]
)
def test_text_becomes_utf_8_and_text_again(text: str) -> None:
    source = """
        const bytes = new TextEncoder().encode(input);
        const into = new Uint8Array(4);
        const back = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
        return [Array.from(bytes), back, new TextEncoder().encodeInto(input, into)];
    """
    whole = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    bytes_, back, into = value_of(source, value=text)
    assert (bytes(bytes_), back) == (whole.encode(), whole)
    assert into["written"] <= 4


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa",
        b"\xff\xfe",
        b"\xc0\x80",
        b"\xe2\x82",
        b"\xf0\x9f\x98\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"a\xe2\x28b",
        b"\xf0\x9f\x98a",
    ],
)
def test_bytes_are_decoded_as_python_and_the_standard_do(data: bytes) -> None:
    source = """
        const bytes = new Uint8Array(input);
        let fatal;
        try { fatal = new TextDecoder('utf8', { fatal: true }).decode(bytes) } catch (e) { fatal = e.name }
        const stream = new TextDecoder();
        let piecewise = '';
        for (const byte of bytes) piecewise += stream.decode(new Uint8Array([byte]), { stream: true });
        return [new TextDecoder().decode(bytes), piecewise + stream.decode(), fatal];
    """
    expected = data.decode("utf-8-sig", "replace")
    whole, piecewise, fatal = value_of(source, value=list(data))
    assert whole == piecewise == expected
    assert fatal == ("TypeError" if "\ufffd" in expected else expected)


def test_other_encodings() -> None:
    source = """
        const units = new Uint8Array([0x3d, 0xd8, 0x00, 0xde, 0x61, 0x00, 0x00, 0xd8]);
        let refused;
        try { new TextDecoder('shift_jis') } catch (e) { refused = e.message }
        const western = new TextDecoder(' Latin1 ').decode(new Uint8Array([0x80, 0xe9]));
        return [new TextDecoder('utf-16').decode(units), western,
                new TextDecoder('latin1').encoding, refused, btoa('\\xff\\x00a'), atob(' /wBh '), atob('YQ')];
    """
    assert value_of(source) == [
        "😀a\ufffd",
        "€é",
        "windows-1252",
        "The encoding 'shift_jis' is not supported; use utf-8, utf-16le or latin1",
        "/wBh",
        "\u00ff\u0000a",
        "a",
    ]


@pytest.mark.parametrize("text", ["a", "YQ=", "Y!==", "====="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    assert value_of("try { atob(input) } catch (e) { return [e.name, e.code, e instanceof Error] }", value=text) == [
        "InvalidCharacterError",
        5,
        True,
    ]


def test_clones_are_deep_and_keep_their_kind() -> None:
    source = """
        const self = { date: new Date(5), map: new Map([[{ k: 1 }, new Set([1n])]]), re: /a+/gi, big: 2n,
                       hole: [1, , 3], bytes: new Float32Array([1.5]), none: undefined, boxed: Object('x'),
                       nan: NaN, zero: -0 };
        self.self = self;
        self.view = new DataView(self.bytes.buffer);
        self.error = new RangeError('far', { cause: self });
        const copy = structuredClone(self);
        const [key] = copy.map.keys();
        const moved = new Uint8Array([1, 2]);
        const taken = structuredClone(moved, { transfer: [moved.buffer] });
        class Point { constructor() { this.x = 1 } get y() { return 2 } }
        const point = structuredClone(new Point());
        return [copy !== self, copy.self === copy, copy.date.getTime(), copy.map.get(key).has(1n), String(copy.re),
          copy.re.flags, String(copy.big), 1 in copy.hole, copy.hole.length, copy.bytes[0],
          copy.view.buffer === copy.bytes.buffer,
          copy.bytes.buffer !== self.bytes.buffer, 'none' in copy, typeof copy.boxed, Number.isNaN(copy.nan),
          Object.is(copy.zero, -0),
          copy.error instanceof RangeError, copy.error.message, copy.error.cause === copy, moved.length, taken.length,
          point.constructor === Object, Object.keys(point)];
    """
    assert value_of(source) == [
        True,
        True,
        5,
        True,
        "/a+/gi",
        "gi",
        "2",
        False,
        3,
        1.5,
        True,
        True,
        True,
        "object",
        True,
        True,
        True,
        "far",
        True,
        0,
        2,
        True,
        ["x"],
    ]


@pytest.mark.parametrize(
    "value",
    ["() => 1", "Symbol('s')", "{ deep: [new WeakMap()] }", "Promise.resolve(1)", "{ f() {} }", "(function* () {})()"],
)
def test_what_cannot_be_cloned_is_a_data_clone_error(value: str) -> None:
    source = f"try {{ structuredClone({value}) }} catch (e) {{ return [e.name, e.code, e instanceof DOMException] }}"
    assert value_of(source) == ["DataCloneError", 25, True]


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("size", [0, 3, 100_000])
def test_digests_are_right(name: str, size: int) -> None:
    source = """
        const digest = await crypto.subtle.digest({ name: input[0] }, new Uint8Array(input[1] + 2).fill(7).subarray(2));
        const hex = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0'));
        return [digest instanceof ArrayBuffer, hex.join('')];
    """
    expected = hashlib.new(name, b"\x07" * size).hexdigest()
    assert value_of(source, value=[name.replace("sha", "sha-"), size]) == [True, expected]


def test_randomness_is_fresh_in_every_isolate_and_looks_random() -> None:
    source = """
        const bytes = crypto.getRandomValues(new Uint8Array(65536));
        const counts = new Array(256).fill(0);
        for (const byte of bytes) counts[byte]++;
        let refused;
        try { crypto.getRandomValues(new Uint8Array(65537)) } catch (e) { refused = e.name }
        try { crypto.getRandomValues(new Float32Array(1)) } catch (e) { refused += e.name }
        return [crypto.randomUUID(), Math.min(...counts), Math.max(...counts), refused];
    """
    found = [value_of(source) for _ in range(3)]
    assert len({uuid for uuid, *_ in found}) == 3
    for uuid, least, most, refused in found:
        assert uuid[14] == "4"
        assert uuid[19] in "89ab"
        # 256 expected, with a standard deviation of 16.
        assert 160 < least < most < 352
        assert refused == "QuotaExceededErrorTypeMismatchError"


def test_the_cipher_behind_the_randomness_is_chacha20() -> None:
    # RFC 8439, A.1, test vector 1: key, nonce and counter all zero.
    part = (Path(__file__).parents[2] / "src/anchor/agent/runtimes/isolate/crypto.js").read_text("utf-8")
    source = f"""
        const {{ crypto }} = (0, eval)({json.dumps(f"({part})")})({{ seed: new Array(8).fill(0) }});
        return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
    """
    assert value_of(source) == "76b8e0ada0f13d90405d6ae55386bd28"


def test_aborting() -> None:
    source = """
        const seen = [];
        const controller = new AbortController();
        controller.signal.addEventListener('abort', (event) => seen.push(event.type), { once: true });
        controller.signal.onabort = () => seen.push('on');
        const any = AbortSignal.any([controller.signal]);
        controller.abort();
        controller.abort('again');
        const late = AbortSignal.timeout(5);
        await new Promise((go) => late.addEventListener('abort', go));
        let thrown;
        try { any.throwIfAborted() } catch (e) { thrown = e.name }
        return [seen, controller.signal.reason.name, thrown, late.reason.name, AbortSignal.abort(7).reason];
    """
    assert value_of(source) == [["on", "abort"], "AbortError", "AbortError", "TimeoutError", 7]


def test_progress_is_told_and_only_the_latest_of_a_flood() -> None:
    _, printed = run("for (let i = 0; i <= 1e5; i++) anchor.progress(i / 1e5, `step ${i}`)")
    told = [read_progress(text) for stream, text in printed if stream == "progress"]
    assert told[-1] is not None
    assert (told[-1].fraction, told[-1].message) == (1.0, "step 100000")
    assert len(told) < 500
    _, printed = run("anchor.progress(NaN, 'x\\ny'); return 1")
    assert printed.on("progress") == "0% x\n"


def test_files_are_read_written_and_listed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "data.bin").write_bytes(bytes(range(256)))
    (tmp_path / "in" / "table.json").write_text('\ufeff{"a": "é"}', "utf-8")
    (tmp_path / "empty").touch()
    source = """
        const bytes = await anchor.files.read('in/data.bin');
        const view = new Uint8Array([9, 8, 7, 6]).subarray(1, 3);
        const writing = anchor.files.write('out/deep/view.bin', view);
        view[0] = 0;
        await writing;
        await Promise.all([anchor.files.write('out/a.txt', 'é😀'), anchor.files.write('out/a.txt', 'short')]);
        return [bytes.constructor.name, bytes.length, bytes[255], (await anchor.files.json('in/table.json')).a,
                (await anchor.files.read('empty')).length, await anchor.files.text('out/a.txt'),
                await anchor.files.list()];
    """
    names = ["empty", "in/data.bin", "in/table.json", "out/a.txt", "out/deep/view.bin"]
    assert value_of(source, directory=tmp_path) == ["Uint8Array", 256, 255, "é", 0, "short", names]
    assert (tmp_path / "out/deep/view.bin").read_bytes() == b"\x08\x07"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("read('nowhere')", "there is no such file"),
        ("read('in')", "it is not a file"),
        ("read('../secret')", "a name is a relative path"),
        ("read('/etc/passwd')", "a name is a relative path"),
        ("read('a//b')", "a name is a relative path"),
        ("read('in\\\\x')", "a name is a relative path"),
        ("text('in/\\0')", "a name is a relative path"),
        ("read('link')", "it is a link, which is not followed"),
        ("write('up/x', '')", "it is a link, which is not followed"),
        ("text('in/x/y')", "there is no such file"),
        ("write('in', 'x')", "a directory and a file would have the same name"),
        ("write('in/x/y', 'x')", "a directory and a file would have the same name"),
        ("json('in/x')", "Unexpected token"),
        ("write('x', 5)", "anchor.files.write needs a text"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_the_place_in_the_script(tmp_path: Path, call: str, said: str) -> None:
    directory = tmp_path / "job"
    (directory / "in").mkdir(parents=True)
    (directory / "in" / "x").write_text("no json")
    (tmp_path / "secret").write_text("s")
    (directory / "link").symlink_to(tmp_path / "secret")
    (directory / "up").symlink_to(tmp_path)
    ended, _ = run(f"\nawait anchor.files.{call}", directory=directory)
    assert ended.code is FailureCode.SCRIPT_ERROR
    assert said in ended.message
    assert "(line 2, column" in ended.message or "json" in call
    assert str(tmp_path) not in ended.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job", "secret"]


def test_files_may_take_as_much_disk_as_the_limit_says(tmp_path: Path) -> None:
    source = """
        const half = new Uint8Array(600 * 1024);
        await anchor.files.write('a', half);
        await anchor.files.write('a', half);
        let code;
        try { await anchor.files.write('b', half) } catch (e) { code = e.code }
        await anchor.files.write('a', '');
        await anchor.files.write('b', half);
        return code;
    """
    ended, _ = run(source, directory=tmp_path, disk_mib=1)
    assert (ended.code, ended.value) == (None, b'"disk_limit"')
    ended, _ = run("await anchor.files.write('c', new Uint8Array(1 << 20))", directory=tmp_path, disk_mib=1)
    assert ended.code is FailureCode.DISK_LIMIT
    assert "may take 1 MiB on disk" in ended.message


def test_a_file_larger_than_the_memory_is_a_memory_limit(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 43)
    ended, _ = run("await anchor.files.read('huge')", directory=tmp_path)
    assert ended.code is FailureCode.MEMORY_LIMIT


def test_a_task_without_files_is_told_so() -> None:
    assert "the task has no files" in message_of("await anchor.files.list()")
