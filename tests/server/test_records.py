"""Records over the API: events are filtered and saved, usage is everybody's own, settings tell no secret."""

import csv
import datetime
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from puppet import Puppet
from served import Served, assert_problem

from anchor.config import ENV_PREFIX, SECRET_FIELDS, Settings, load
from anchor.core.attempt import Ending, Outcome, Result
from anchor.wire.link import Recorded
from anchor.wiring.settings_shown import MEANINGS, shown

SECRET = "a-secret-that-nobody-may-see-0123456789"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a secret and a setting of its own."""
    server = Served(tmp_path_factory.mktemp("kept"), secret=SECRET, retention_days=12.5)
    server.start()
    yield server
    server.end()


def test_events_are_filtered_by_all_that_is_known_of_them(kept: Served) -> None:
    puppet = Puppet(kept)
    for verb in ("drain", "resume"):
        assert kept.client.post(f"/api/nodes/{puppet.node}/{verb}").status_code == 202
    kept.key("Ännchen", "viewer")

    def found(**query: str | int) -> list[str]:
        answer = kept.client.get("/api/audit", params={"limit": 1000, **query})
        assert answer.status_code == 200, answer.text
        return [entry["kind"] for entry in answer.json()]

    assert found(subject=puppet.node) == ["node_resumed", "node_drained", "node_joined"]
    assert found(subject=puppet.node, kind="node_drained", by="local") == ["node_drained"]
    assert found(text="äNNCHEN") == ["key_created"]
    now = datetime.datetime.now(datetime.UTC)
    later, before = (now + datetime.timedelta(hours=1)).isoformat(), (now - datetime.timedelta(hours=1)).isoformat()
    assert found(since=later) == []
    assert found(until=before) == []
    assert found(since=before, until=later) == found()
    first = kept.client.get("/api/audit", params={"by": "local", "since": before, "limit": 1})
    assert first.json()[0]["kind"] == "key_created"
    on = kept.client.get(first.links["next"]["url"])
    assert [entry["kind"] for entry in on.json()] == ["node_resumed"], "the next page is filtered as the first"
    assert_problem(kept.client.get("/api/audit", params={"since": "yesterday"}), 400, "invalid_query")
    assert_problem(kept.client.get("/api/audit", params={"as": "xml"}), 400, "invalid_query")


def test_all_that_fits_is_saved_as_a_file(kept: Served) -> None:
    for number in range(3):
        kept.key(f"-file {number}", "viewer")
    kept.key("\uff1dwide", "viewer")
    listed = kept.client.get("/api/audit", params={"text": "-file", "limit": 1000}).json()
    answer = kept.client.get("/api/audit", params={"text": "-file", "as": "jsonl", "limit": 1})
    assert answer.headers["content-disposition"] == 'attachment; filename="anchor-events.jsonl"'
    assert [json.loads(line) for line in answer.text.splitlines()] == listed
    answer = kept.client.get("/api/audit", params={"text": "-file", "as": "csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["subject"] for row in rows] == ["'-file 2", "'-file 1", "'-file 0"]
    assert [int(row["number"]) for row in rows] == [entry["number"] for entry in listed]
    answer = kept.client.get("/api/audit", params={"text": "\uff1dwide", "as": "csv"})
    assert [row["subject"] for row in csv.DictReader(io.StringIO(answer.text))] == ["'\uff1dwide"]


def test_a_submitter_sees_what_it_used_itself(kept: Served) -> None:
    puppet = Puppet(kept)
    tokens = {name: kept.key(name, "submitter") for name in ("ann", "bob")}
    with puppet.connect() as session:
        for name, count in (("ann", 2), ("bob", 1)):
            with kept.as_holder_of(tokens[name]) as client:
                for _ in range(count):
                    answer = client.post("/api/tasks", json={"name": "t", "type": "noop"})
                    assert answer.status_code == 201, answer.text
        session.report(
            [
                Ending(item.task, item.attempt, Outcome.SUCCEEDED, Result(json=b"1", size=1))
                for item in session.assigned(3)
            ]
        )
        session.next(Recorded)
    with kept.as_holder_of(tokens["ann"]) as client:
        view = client.get("/api/usage", params={"by": "owner", "days": 2}).json()
        assert [(row["name"], row["tasks"], row["failed"]) for row in view["rows"]] == [("ann", 2, 0)]
        assert [day["tasks"] for day in view["days"]] == [0, 2]
        [row] = client.get("/api/usage", params={"by": "node"}).json()["rows"]
        assert (row["name"], row["tasks"]) == (puppet.node, 2)
    everybody = kept.client.get("/api/usage").json()
    assert {row["name"]: row["tasks"] for row in everybody["rows"]} == {"ann": 2, "bob": 1}
    assert everybody["days"][-1]["day"] == datetime.datetime.now(datetime.UTC).date().isoformat()
    for query in ({"days": 0}, {"days": 91}, {"by": "colour"}):
        assert_problem(kept.client.get("/api/usage", params=query), 400, "invalid_query")


def test_settings_are_shown_with_where_they_come_from_and_without_secrets(kept: Served) -> None:
    answer = kept.client.get("/api/settings")
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text
    view = answer.json()
    settings = {one["name"]: one for one in view["settings"]}
    assert (settings["secret"]["value"], settings["secret"]["source"]) == ("set", "ANCHOR_SECRET")
    assert (settings["retention_days"]["value"], settings["retention_days"]["source"]) == (
        "12.5",
        "ANCHOR_RETENTION_DAYS",
    )
    assert settings["data"]["source"] == "--data"
    assert (settings["lease_seconds"]["value"], settings["lease_seconds"]["source"]) == ("15", "default")
    assert [(one["part"], one["trouble"]) for one in view["engines"]] == [
        ("store", None),
        ("queue", None),
        ("blobs", None),
    ]
    assert view["dataBytes"] > 0
    with kept.as_holder_of(kept.key("op", "operator")) as client:
        assert_problem(client.get("/api/settings"), 403, "forbidden")


def test_every_setting_has_its_words_and_no_password_is_among_them(tmp_path: Path) -> None:
    assert set(MEANINGS) == set(Settings.__struct_fields__) - {"sources"}
    urls = {"store": "mongodb://u:hush@h/a", "queue": "redis://:hush@h:1", "peer_url": "https://u:hu@hush@h"}
    settings = load({"data": tmp_path, "secret": SECRET, **urls}, env={}, file=None)
    values = {one.name: one.value for one in shown(settings)}
    assert {name: values[name] for name in SECRET_FIELDS} == dict.fromkeys(SECRET_FIELDS, "set")
    assert "hush" not in str(values)
    assert values["peer_url"] == "https://h"
    assert all(one.variable.startswith(ENV_PREFIX) for one in shown(settings))


def test_join_tokens_are_listed_with_what_became_of_them(kept: Served) -> None:
    puppet = Puppet(kept)
    made = kept.client.post("/api/nodes/join-tokens", json={}).json()
    tokens = kept.client.get("/api/keys", params={"kind": "join"}).json()
    assert tokens[0]["state"] == "waiting"
    assert made["id"].startswith(tokens[0]["id"])
    used = [one for one in tokens if one["usedBy"] == puppet.node]
    assert [one["state"] for one in used] == ["used"]
    assert kept.client.delete(f"/api/keys/{tokens[0]['id']}").status_code == 200
    assert made["id"][:16] not in str(kept.client.get("/api/keys", params={"kind": "join"}).json())
    kinds = [entry["kind"] for entry in kept.client.get("/api/audit", params={"subject": tokens[0]["id"]}).json()]
    assert kinds == ["join_token_revoked"]
