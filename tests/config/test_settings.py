"""Settings: which source wins, and what is said about a bad one."""

from pathlib import Path

import pytest

from anchor.agent.policy import Policy, share_bytes, task_memory_mib
from anchor.config import Settings, load
from anchor.core.errors import InvalidRequest
from anchor.core.spec import MIB
from anchor.wiring.agent import policy_of


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(env: dict[str, str] | None = None, **flags: object) -> Settings:
    return load(flags, {"XDG_DATA_HOME": str(Path.cwd() / "share"), "HOME": str(Path.cwd()), **(env or {})})


def refusal(env: dict[str, str] | None = None, **flags: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        settings(env, **flags)
    return caught.value


def test_without_any_source_the_defaults_hold() -> None:
    got = settings()
    assert (got.host, got.port, got.slots, got.labels) == ("127.0.0.1", 5000, None, ())
    assert got.data == Path.cwd() / "share" / "anchor"
    assert got.admin_token_file == got.data / "admin-token"


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() -> None:
    assert settings().port == 5000
    Path("anchor.toml").write_text("port = 1001\n")
    assert settings().port == 1001
    assert settings({"ANCHOR_PORT": "1002"}).port == 1002
    assert settings({"ANCHOR_PORT": "1002"}, port=1003).port == 1003


def test_the_file_in_the_data_directory_is_read_where_the_working_directory_has_none(tmp_path: Path) -> None:
    data = tmp_path / "elsewhere"
    data.mkdir()
    (data / "anchor.toml").write_text('labels = ["fast", "lab"]\n')
    assert settings(data=str(data)).labels == ("fast", "lab")
    assert settings({"ANCHOR_DATA": str(data)}).labels == ("fast", "lab")


def test_labels_in_the_environment_are_separated_by_commas() -> None:
    assert settings({"ANCHOR_LABELS": "fast, lab ,"}).labels == ("fast", "lab")


def test_our_own_variable_wins_over_the_name_other_software_uses() -> None:
    assert settings({"PORT": "8080"}).port == 8080
    assert settings({"PORT": "8080", "ANCHOR_PORT": "8081"}).port == 8081


def test_a_home_directory_in_a_path_is_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings(data="~/anchor").data == tmp_path / "anchor"


@pytest.mark.parametrize(
    ("env", "flags", "names"),
    [
        ({"ANCHOR_PORT": "http"}, {}, "ANCHOR_PORT is 'http'; it must be a port"),
        ({"PORT": "70000"}, {}, "PORT is '70000'"),
        ({}, {"port": -1}, "--port is -1"),
        ({}, {"lease_seconds": 0.0}, "--lease-seconds is 0.0"),
        ({"ANCHOR_SLOTS": "0"}, {}, "ANCHOR_SLOTS is '0'; it must be a whole number from 1"),
        ({"ANCHOR_LOG_LEVEL": "loud"}, {}, "debug, info, warning or error"),
        ({"ANCHOR_INSECURE": "perhaps"}, {}, "ANCHOR_INSECURE"),
        ({"ANCHOR_LEASE_SECONDS": "nan"}, {}, "ANCHOR_LEASE_SECONDS"),
        ({"ANCHOR_RAM": "4"}, {}, "ANCHOR_RAM is '4'; it must be an amount like 4GiB or 512MiB, or a share"),
        ({"ANCHOR_RAM": "120%"}, {}, "ANCHOR_RAM is '120%'"),
        ({"ANCHOR_RAM": "0%"}, {}, "ANCHOR_RAM is '0%'"),
        ({}, {"ram": "8MiB"}, "--ram is '8MiB'; less than 64MiB is of no use"),
        ({}, {"disk": "100 GB"}, "--disk is '100 GB'"),
        ({"ANCHOR_CPUS": "0"}, {}, "ANCHOR_CPUS is '0'; it must be a number of cores"),
        ({"ANCHOR_CPUS": "nan"}, {}, "ANCHOR_CPUS is 'nan'"),
        ({"ANCHOR_ALLOW_NETWORK": "perhaps"}, {}, "ANCHOR_ALLOW_NETWORK is 'perhaps'; it must be true or false"),
        ({"ANCHOR_RUNTIMES": "isolate,nativ"}, {}, "ANCHOR_RUNTIMES names the runtime 'nativ', which there is not"),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_where_it_was_set(
    env: dict[str, str], flags: dict[str, object], names: str
) -> None:
    assert names in refusal(env, **flags).message


def test_a_bad_value_in_a_file_names_the_key_and_the_file() -> None:
    Path("anchor.toml").write_text('port = "5000"\n')
    assert refusal().message.startswith("'port' in anchor.toml is '5000'; it must be a port")


def test_an_unknown_key_in_a_file_is_an_error_with_a_suggestion() -> None:
    Path("anchor.toml").write_text("prot = 5000\n")
    error = refusal()
    assert "'prot' in anchor.toml" in error.message
    assert error.hint == "Did you mean port?"


def test_an_unknown_variable_is_an_error_with_a_suggestion() -> None:
    error = refusal({"ANCHOR_PROT": "5000"})
    assert "ANCHOR_PROT" in error.message
    assert error.hint == "Did you mean ANCHOR_PORT?"


def test_variables_read_by_clients_and_tests_are_left_alone() -> None:
    env = {"ANCHOR_URL": "x", "ANCHOR_TOKEN": "y", "ANCHOR_TEST_MONGO_URL": "z", "ANCHOR_SKIP_WEB": "1"}
    assert settings(env) == settings()


def test_a_file_that_is_not_toml_is_named() -> None:
    Path("anchor.toml").write_text("port 5000\n")
    assert "anchor.toml is not valid TOML" in refusal().message


def test_a_file_asked_for_and_missing_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match=r"nowhere\.toml cannot be read"):
        load({}, {}, Path("nowhere.toml"))


@pytest.mark.parametrize("secret", ["changeme", "your-secret-key", "short"])
def test_a_sample_secret_is_refused_with_the_way_to_make_a_real_one(secret: str) -> None:
    error = refusal({"JWT_SECRET": secret})
    assert error.code == "sample_secret"
    assert "JWT_SECRET" in error.message
    assert "token_urlsafe" in error.hint


def test_a_real_secret_is_taken_under_either_name() -> None:
    assert settings({"JWT_SECRET": "correct horse battery"}).secret == "correct horse battery"
    assert settings({"ANCHOR_SECRET": "correct horse battery"}).secret == "correct horse battery"


SHARED = {"MONGO_URI": "mongodb://db/anchor", "JWT_SECRET": "correct horse battery"}


def test_the_store_and_the_queue_go_by_their_usual_names() -> None:
    found = settings(SHARED | {"REDIS_HOST": "::1", "REDIS_PORT": "7000", "REDIS_PASSWORD": "p@ss/word"})
    assert found.store == "mongodb://db/anchor"
    assert found.queue == "redis://:p%40ss%2Fword@[::1]:7000"
    assert settings({"ANCHOR_STORE": "sqlite", "ANCHOR_QUEUE": "local"}).is_embedded


def test_mongodb_without_redis_is_a_server_that_is_alone() -> None:
    found = settings({"ANCHOR_STORE": "mongodb://db"})
    assert found.is_alone
    assert not found.is_embedded


def test_redis_beside_the_embedded_store_is_refused_with_the_reason() -> None:
    error = refusal({"ANCHOR_QUEUE": "redis://localhost"})
    assert "belongs to one server" in error.message
    assert "ANCHOR_STORE" in error.hint


def test_several_servers_need_a_secret_that_is_set() -> None:
    error = refusal({"ANCHOR_STORE": "mongodb://db", "ANCHOR_QUEUE": "redis://localhost"})
    assert error.code == "secret_needed"
    assert "ANCHOR_SECRET" in error.hint


@pytest.mark.parametrize("variable", ["REDIS_PORT", "REDIS_PASSWORD"])
def test_a_part_of_a_redis_address_without_its_host_is_refused_not_ignored(variable: str) -> None:
    error = refusal({variable: "value"})
    assert variable in error.message
    assert "REDIS_HOST" in error.hint


@pytest.mark.parametrize("variable", ["ANCHOR_STORE", "ANCHOR_QUEUE"])
def test_an_address_that_is_wrong_is_not_repeated_for_it_may_hold_a_password(variable: str) -> None:
    error = refusal({variable: "postgres://me:hunter2@db"})
    assert variable in error.message
    assert "hunter2" not in error.message + error.hint


@pytest.mark.parametrize("url", ["https://a;id", "https://a$(id)", "https://a'b", "https://me:word@a", 'https://a"b'])
def test_what_is_pasted_into_shells_holds_nothing_that_they_would_act_on(url: str) -> None:
    assert "ANCHOR_PUBLIC_URL" in refusal({"ANCHOR_PUBLIC_URL": url}).message
    assert load({}, {"ANCHOR_PUBLIC_URL": "https://[fd00::1]:8443"}).public_url == "https://[fd00::1]:8443"


def test_a_client_command_does_not_mind_what_only_a_server_would_refuse() -> None:
    assert load({}, {"MONGO_URI": "mongodb://x", "JWT_SECRET": "changeme"}, serving=False).port == 5000


def test_a_lease_that_one_lost_heartbeat_would_end_is_refused() -> None:
    assert "lease" in refusal(lease_seconds=4.0).message


def test_a_runtime_that_is_misspelt_brings_a_suggestion() -> None:
    error = refusal(runtimes=("isolat",))
    assert (error.code, error.hint) == ("unknown_runtime", "Did you mean isolate?")


def test_what_the_owner_allows_is_read_from_every_source() -> None:
    Path("anchor.toml").write_text('programs = ["ffmpeg"]\ncpus = 1\nallow_gpu = true\n')
    found = settings({"ANCHOR_RUNTIMES": "isolate, wasm", "ANCHOR_ALLOW_NETWORK": "true"}, ram="1.5GiB", disk="10%")
    assert (found.runtimes, found.programs, found.cpus) == (("isolate", "wasm"), ("ffmpeg",), 1.0)
    assert (found.allow_network, found.allow_gpu, found.allow_unconfined) == (True, True, False)
    assert (found.ram, found.disk) == ("1.5GiB", "10%")


def test_an_owner_who_says_nothing_offers_every_runtime_and_neither_network_nor_gpu() -> None:
    policy = policy_of(settings())
    assert policy == Policy()


def test_shares_are_measured_against_the_machine_and_never_exceed_it() -> None:
    assert share_bytes("50%", 1000 * MIB) == 500 * MIB
    assert share_bytes("1.5GiB", 4096 * MIB) == 1536 * MIB
    assert share_bytes("2TiB", 4096 * MIB) == 4096 * MIB
    policy = policy_of(settings(ram="100MiB", disk="1GiB", cpus=0.5, runtimes=()))
    assert (policy.memory_mib, policy.disk_mib, policy.cores, policy.runtimes) == (100, 1024, 0.5, ())


@pytest.mark.parametrize(("machine_mib", "tasks_mib"), [(512, 256), (1024, 512), (4096, 3277), (65536, 52429)])
def test_without_a_share_of_memory_the_machine_stays_usable(machine_mib: int, tasks_mib: int) -> None:
    assert task_memory_mib(Policy(), machine_mib * MIB) == tasks_mib
    assert task_memory_mib(Policy(memory_mib=machine_mib), machine_mib * MIB) == machine_mib
