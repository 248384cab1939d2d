"""What is said of an app before any server is asked: its file, its archive, its name, the words of a command line."""

import os
import re
import tarfile
import zipfile
from pathlib import Path

import msgspec
import pytest
from tests.cli.command import exit_code_in_process

from anchor.cli.app_options import replicas_of, variables_of
from anchor.cli.exits import Usage
from anchor.client.app_file import app_file_of
from anchor.client.deploys import overlaid
from anchor.client.packing import Packed, packed_app
from anchor.core.app import AppConfig
from anchor.core.app_names import app_name_of, is_app_name
from anchor.core.errors import InvalidRequest, TooLarge

ROOT = Path(__file__).parents[2]
NOWHERE = {"ANCHOR_URL": "http://127.0.0.1:9"}


def folder(place: Path, **files: str) -> Path:
    place.mkdir(exist_ok=True)
    for name, text in files.items():
        path = place / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return place


def packed(source: Path, name: str = "", **config: object) -> Packed:
    made = packed_app(source, name, config=config)
    made.discard()
    return made


def test_an_app_is_called_what_is_said_first_of_flag_file_package_and_folder(tmp_path: Path) -> None:
    plain = folder(tmp_path / "My Web App", index_dot_html="hi")
    assert (packed(plain).title, packed(plain).name) == ("My Web App", "my-web-app")
    folder(plain, package_dot_json='{"name": "@lab/shop"}')
    assert packed(plain).name == "shop"
    (plain / "anchor-app.toml").write_text('name = "The Shop"')
    assert packed(plain).name == "the-shop"
    assert packed(plain, "Other").name == "other"
    (plain / "anchor-app.toml").unlink()
    (plain / "package.json").write_text("{")
    assert packed(plain).name == "my-web-app"


def test_a_folder_an_archive_and_texts_are_packed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    site = folder(tmp_path / "site", index_dot_html="hi", css__style_dot_css="b{}")
    folder(site, node_modules__x_dot_js="no")
    (site / "anchor-app.toml").write_text('ram = "64MB"\nscale = {web = 2}\n')
    made = packed_app(site)
    assert made.temporary is not None
    assert made.temporary.stat().st_size == made.source.size
    assert (made.files, made.ignored) == (3, ("node_modules/",))
    made.discard()
    assert not made.temporary.exists()
    assert packed(site).source.digest == made.source.digest
    assert made.config == {"ram": "64MB", "scale": {"web": 2}}
    assert packed(site, scale={"worker": 1}, ram="128MB").config == {"ram": "128MB", "scale": {"web": 2, "worker": 1}}

    for name, form in (("shop.zip", "zip"), ("shop.tar.gz", "w:gz")):
        path = tmp_path / name
        if form == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.write(site / "index.html", "index.html")
                archive.write(site / "anchor-app.toml", "anchor-app.toml")
        else:
            with tarfile.open(path, form) as archive:
                archive.add(site / "index.html", "index.html")
                archive.add(site / "anchor-app.toml", "anchor-app.toml")
        taken = packed_app(path)
        assert (taken.name, taken.files, taken.config["ram"]) == ("shop", 2, "64MB")
        taken.discard()
        assert path.exists()

    texts = packed_app({"index.html": "hi", "anchor-app.toml": "port = 8080"}, "texts")
    assert (texts.files, texts.config) == (2, {"port": 8080})


def test_what_cannot_be_deployed_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    for source, name, config, says in (
        (folder(tmp_path / "日本", a="1"), "", {}, "makes no name"),
        (folder(tmp_path / "a", a="1"), "", {"port": 70_000}, "port"),
        (folder(tmp_path / "a"), "", {"prot": 8080}, "prot"),
        (tmp_path / "absent", "", {}, "is no folder"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            packed_app(source, name, config=config)
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(InvalidRequest):
        packed_app(tmp_path / "text.zip")
    with (tmp_path / "huge.zip").open("wb") as file:
        file.truncate(257 << 20)
    with pytest.raises(TooLarge, match="at most 256 MiB"):
        packed_app(tmp_path / "huge.zip")
    outside = folder(tmp_path / "links", a="1")
    os.symlink("/etc/passwd", outside / "passwd")
    with pytest.raises(InvalidRequest, match="passwd is a link that leads out"):
        packed_app(outside)
    with pytest.raises(InvalidRequest, match="no name"):
        packed_app({"index.html": "hi"})


@pytest.mark.parametrize(
    ("text", "says", "hints"),
    [
        ("port = 1\nport 2", "(at line 2, column 6)", "docs/apps.md"),
        ('ram = "1GB"\nhealth_path = "/up"', "line 2: there is no setting 'health_path'", "'healthPath'"),
        ("prot = 1", "line 1: there is no setting 'prot'", "'port'"),
        ('[zzzzz]\na = "b"', "line 1: there is no setting 'zzzzz'", "It may say name, port"),
        ("# a comment\n\nport = 70000", "line 3: port: Expected `int` <= 65535", "docs/apps.md"),
        ('cpu = 1\n[scale]\nweb = "two"', "line 2: scale", "docs/apps.md"),
        ("name = 5", "line 1: name: Expected a text", "docs/apps.md"),
        ("a = " + "[" * 5000, "nested", "docs/apps.md"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(text: str, says: str, hints: str) -> None:
    with pytest.raises(InvalidRequest) as told:
        app_file_of(text)
    assert says in told.value.message
    assert hints in told.value.hint


def test_a_name_is_made_of_a_title() -> None:
    for title, name in (
        ("My Web App", "my-web-app"),
        ("9 lives", "app-9-lives"),
        ("Café!", "cafe"),
        ("a" * 80, "a" * 63),
    ):
        assert app_name_of(title) == name
        assert is_app_name(name)
    for text in ("", "Shop", "-a", "a-", "1a", "a.b", "a\n"):
        assert not is_app_name(text)


def test_changes_are_laid_over_a_config_and_process_by_process_over_its_numbers() -> None:
    before = AppConfig(port=8080, scale={"web": 3, "worker": 1})
    assert overlaid(before, {"scale": {"web": 2}, "ram": "1GB"}) == {
        "port": 8080,
        "ram": "1GB",
        "scale": {"web": 2, "worker": 1},
    }


def test_replicas_and_variables_are_read(tmp_path: Path) -> None:
    assert replicas_of(["3", "worker=0"]) == {"web": 3, "worker": 0}
    file = tmp_path / "env"
    file.write_text("# secrets\nexport A=1\nB='two words'\nC=\"line\\nbreak\"\n\nD=\n", encoding="utf-8")
    assert variables_of(["A=9", "E=x=y"], str(file)) == {
        "A": "9",
        "B": "two words",
        "C": "line\nbreak",
        "D": "",
        "E": "x=y",
    }
    for words in (["web=-1"], ["=3"], ["web"]):
        with pytest.raises(Usage):
            replicas_of(words)
    file.write_text("A=1\nnonsense\n")
    with pytest.raises(Usage, match="line 2"):
        variables_of([], str(file))
    with pytest.raises(Usage, match="cannot be read"):
        variables_of([], str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["deploy", "absent"], 2),
        (["deploy", ".", "--scale", "web"], 2),
        (["deploy", ".", "--env", "A"], 2),
        (["deploy", ".", "--kind", "cobol"], 6),
        (["deploy", ".", "--port", "99999"], 6),
        (["deploy", ".", "--name", "日本"], 6),
        (["scale", "shop", "web=many"], 2),
        (["env", "shop", "set"], 2),
        (["env", "shop", "frobnicate"], 2),
        (["env", "shop", "set", "A"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_have_their_exit_codes(
    words: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder(tmp_path / "shop", index_dot_html="hi"))
    assert exit_code_in_process(["app", *words], NOWHERE, monkeypatch) == code


def test_the_guide_has_every_setting_and_every_example_says_what_it_is() -> None:
    page = (ROOT / "docs" / "apps.md").read_text(encoding="utf-8")
    table = page.partition("## Config")[2].partition("## Addresses")[0]
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == {field.encode_name for field in msgspec.structs.fields(AppConfig)}
    examples = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    for folder in sorted((ROOT / "examples" / "apps").iterdir()):
        assert f"`{folder.name}`" in examples
        packed_app(folder).discard()
    [toml] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert app_file_of(toml).config == {"healthPath": "/health", "ram": "256MB", "scale": {"web": 2}}
