"""The WebAssembly examples: what is committed runs, and is what its source says where a compiler is there."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.runtimes.wasm_steps import Bench

EXAMPLES = Path(__file__).parents[2] / "examples" / "wasi"
TARGETS = Path("/usr/lib/wasm32-wasi")
needs_clang = pytest.mark.skipif(
    shutil.which("clang") is None or shutil.which("wasm-ld") is None or not TARGETS.is_dir(),
    reason="clang, lld and wasi-libc are not installed",
)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def built(source: Path, to: Path) -> Path:
    """The module made by the command that the source names in its comment."""
    [command] = [line[3:].split() for line in source.read_text().splitlines() if line.startswith("//   clang ")]
    wasm = to / source.with_suffix(".wasm").name
    command[command.index("-o") + 1] = str(wasm)
    command[-1] = str(source)
    subprocess.run(command, check=True, timeout=60)
    return wasm


def judge_histogram(bench: Bench, module: Path, home: Path) -> None:
    home.mkdir()
    (home / "a.txt").write_text("Hello, World")
    (home / "b.txt").write_text("a")
    ended = bench.run(module.read_bytes(), home)
    assert ended.code is None, ended.message
    assert json.loads(ended.value) == {"files": 2, "letters": 11}
    rows = dict(line.split(",") for line in (home / "counts.csv").read_text().splitlines())
    assert (rows["l"], rows["o"], rows["a"], rows["z"]) == ("3", "2", "1", "0")


def judge_numbers(bench: Bench, module: Path) -> None:
    called = bench.run(module.read_bytes(), function="gcd", args=("9007199254740994", 6))
    assert json.loads(called.value) == 2
    called = bench.run(module.read_bytes(), function="chord", args=(1, 0, 0, 0, 1, 0))
    assert json.loads(called.value) == pytest.approx(2**0.5)


def test_the_histogram_reads_files_and_leaves_one(bench: Bench, tmp_path: Path) -> None:
    judge_histogram(bench, EXAMPLES / "histogram.wasm", tmp_path / "home")


def test_the_numbers_are_called_by_name(bench: Bench) -> None:
    judge_numbers(bench, EXAMPLES / "numbers.wasm")


@needs_clang
def test_what_the_sources_build_to_does_the_same(bench: Bench, tmp_path: Path) -> None:
    judge_histogram(bench, built(EXAMPLES / "histogram.c", tmp_path), tmp_path / "home")
    judge_numbers(bench, built(EXAMPLES / "numbers.c", tmp_path))
    primes = bench.run(built(EXAMPLES / "primes.c", tmp_path).read_bytes(), args=("1000",))
    assert json.loads(primes.value) == {"below": 1000, "count": 168, "largest": 997}


LIBRARY = r"""
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void check(int right, const char *what) {
    if (!right) { fprintf(stderr, "%s (errno %d)\n", what, errno); exit(1); }
}

static void reads(const char *path) {
    char text[8] = "";
    FILE *file = fopen(path, "r");
    check(file != NULL, path);
    check(fgets(text, sizeof text, file) != NULL && strcmp(text, "given") == 0, path);
    fclose(file);
}

int main(int argc, char **argv) {
    reads("in.txt");
    reads("./in.txt");
    reads("/in.txt");
    check(fopen("/etc/passwd", "r") == NULL && fopen("../in.txt", "r") == NULL, "something is outside");
    check(mkdir("sub", 0777) == 0 && rename("in.txt", "sub/moved") == 0, "renaming");
    check(access("sub/moved", F_OK) == 0 && access("in.txt", F_OK) != 0, "access");
    FILE *file = fopen("sub/log", "a+");
    check(file != NULL && fputs("one ", file) >= 0 && fputs("two", file) >= 0 && fflush(file) == 0, "appending");
    check(fseek(file, 4, SEEK_SET) == 0 && fgetc(file) == 't', "seeking");
    check(ftruncate(fileno(file), 3) == 0 && fclose(file) == 0, "truncating");
    struct stat about;
    check(stat("sub/log", &about) == 0 && about.st_size == 3, "stat");
    check(unlink("sub/log") == 0 && unlink("sub/moved") == 0 && rmdir("sub") == 0, "removing");
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    check(usleep(20000) == 0, "sleeping");
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long passed = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
    check(passed >= 20000000, "time passed");
    unsigned char chance[32] = {0}, none[32] = {0};
    check(getentropy(chance, sizeof chance) == 0 && memcmp(chance, none, sizeof none) != 0, "chance");
    check(argc == 3 && strcmp(argv[2], "zwei") == 0 && strcmp(getenv("NAME"), "value") == 0, "arguments");
    char line[32];
    check(fgets(line, sizeof line, stdin) != NULL && strcmp(line, "a line\n") == 0, "stdin");
    puts("\"all is well\"");
    return 0;
}
"""


@needs_clang
@pytest.mark.parametrize("deterministic", [False, True], ids=["plain", "deterministic"])
def test_the_c_library_finds_files_clocks_chance_and_arguments(
    bench: Bench, tmp_path: Path, deterministic: bool
) -> None:
    source = tmp_path / "library.c"
    source.write_text(LIBRARY)
    wasm = tmp_path / "library.wasm"
    command = ["clang", "--target=wasm32-wasi", "--sysroot=/usr", "-O1", "-o", str(wasm), str(source)]
    subprocess.run(command, check=True, timeout=60)
    home = tmp_path / "home"
    home.mkdir()
    (home / "in.txt").write_text("given")
    ended = bench.run(
        wasm.read_bytes(),
        home,
        args=("eins", "zwei"),
        env={"NAME": "value"},
        stdin=b"a line\n",
        deterministic=deterministic,
    )
    assert ended.code is None, ended.message
    assert json.loads(ended.value) == "all is well"
