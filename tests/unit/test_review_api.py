"""The routes of a review: queues, decisions that are on the disk, undo, sound of the candidates alone, summary, thresholds."""

import csv
import io
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
from flask.testing import FlaskClient

from autobird.review.queues import QueueOptions
from autobird.review.session import ReviewSession
from autobird.serving.app import create_app
from autobird.serving.compute.inline_pool import InlinePool
from autobird.serving.review.desk import ReviewDesk
from autobird.serving.services import Services
from autobird.serving.settings import ServeSettings
from autobird.sources.review_table import read_reviews
from tests.api import client_of
from tests.review_folder import make_review
from tests.unit.test_openapi import check


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A review without decisions, which no test changes."""
    folder = tmp_path_factory.mktemp("review")
    make_review(folder)
    return folder


@pytest.fixture
def session(folder: Path, tmp_path: Path) -> ReviewSession:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)  # with the times of the files, which the candidates hold
    return ReviewSession(tmp_path / "bundle", tmp_path / "recordings", tmp_path / "review", QueueOptions(count=12))


@pytest.fixture
def client(session: ReviewSession) -> FlaskClient:
    services = Services(InlinePool(session.bundle.folder), ServeSettings(), review=ReviewDesk(session))
    return create_app(services).test_client()


def first(client: FlaskClient, reviewer: str = "Ann", query: str = "") -> dict[str, Any]:
    """Return the first item about which a reviewer has not decided."""
    value: dict[str, Any] = client.get(f"/v1/review/queue?reviewer={reviewer}{query}").get_json()["items"][0]
    return value


def decide(
    client: FlaskClient, item: dict[str, Any], decision: str, reviewer: str = "Ann", query: str = "", **more: str
) -> Any:
    body = {"reviewer": reviewer, "decision": decision, **more}
    return client.post(f"/v1/review/items/{item['id']}/decision?{query}", json=body)


def test_a_server_without_a_review_has_neither_its_routes_nor_their_description(session: ReviewSession) -> None:
    client = client_of(session.bundle.folder)
    assert client.get("/v1/review").status_code == 404
    assert client.get("/review").status_code == 404
    assert not any("review" in path for path in client.get("/openapi.json").get_json()["paths"])


def test_the_answers_are_as_described(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    item = first(client)
    base = "/v1/review/items/{identifier}"
    responses = [
        (client.get("/v1/review"), "/v1/review", "get"),
        (client.get("/v1/review/queue?reviewer=Ann&limit=3"), "/v1/review/queue", "get"),
        (client.get("/v1/review/queue"), "/v1/review/queue", "get"),
        (client.get(f"/v1/review/items/{item['id']}?reviewer=Ann"), base, "get"),
        (client.get(f"/v1/review/items/{item['id']}/audio"), f"{base}/audio", "get"),
        (client.get("/v1/review/summary"), "/v1/review/summary", "get"),
        (decide(client, item, "yes"), f"{base}/decision", "post"),
        (decide(client, item, "maybe"), f"{base}/decision", "post"),
        (client.get("/v1/review/summary?precision=0.5"), "/v1/review/summary", "get"),
        (client.get("/v1/review/decisions"), "/v1/review/decisions", "get"),
        (client.get("/v1/review/species?text=par"), "/v1/review/species", "get"),
        (client.post("/v1/review/apply-precision", json={"precision": 0.5}), "/v1/review/apply-precision", "post"),
        (client.post("/v1/review/undo", json={"reviewer": "Ann"}), "/v1/review/undo", "post"),
        (client.post("/v1/review/undo", json={"reviewer": "Ann"}), "/v1/review/undo", "post"),
    ]
    for response, path, method in responses:
        check(document, response, path, method)
    assert [response.status_code for response, _, _ in responses] == [200, 200, 400, *[200] * 4, 400, *[200] * 6]
    paths = {str(rule).replace("<", "{").replace(">", "}") for rule in client.application.url_map.iter_rules()}
    assert {p for p in paths if p.startswith("/v1/review")} == {p for p in document["paths"] if "review" in p}


def test_a_decision_is_synchronised_to_the_disk_before_the_answer(
    client: FlaskClient, session: ReviewSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    synchronised: list[int] = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (real(descriptor), synchronised.append(os.fstat(descriptor).st_size))[0]
    )
    item = first(client)
    answer = decide(client, item, "yes").get_json()
    assert synchronised[-1] == session.table.path.stat().st_size
    (row,) = read_reviews(session.table.path)
    assert (row.file, row.start, row.species, row.decision, row.reviewer) == (
        item["file"],
        item["start"],
        item["species"],
        "yes",
        "Ann",
    )
    assert row.sampling_probability == answer["stored"]["sampling_probability"]
    assert answer["progress"]["decided"] == 1
    assert first(client)["id"] != item["id"]


def test_what_a_killed_server_has_acknowledged_is_there_after_a_restart(tmp_path: Path, session: ReviewSession) -> None:
    """The first server is never closed, and dies within a line that it has not acknowledged."""
    one = create_app(
        Services(InlinePool(session.bundle.folder), ServeSettings(), review=ReviewDesk(session))
    ).test_client()
    items = one.get("/v1/review/queue?reviewer=Ann&limit=4").get_json()["items"]
    for item in items[:3]:
        assert decide(one, item, "no").status_code == 200
    with session.table.path.open("ab") as file:
        file.write(b"lake/2026")
    again = ReviewSession(session.bundle.folder, session.recordings, session.folder, session.options)
    two = create_app(
        Services(InlinePool(session.bundle.folder), ServeSettings(), review=ReviewDesk(again))
    ).test_client()
    assert first(two)["id"] == items[3]["id"]
    assert decide(two, items[3], "yes").status_code == 200
    assert [r.decision for r in read_reviews(session.table.path)] == ["no", "no", "no", "yes"]


def test_undo_shows_the_item_again(client: FlaskClient, session: ReviewSession) -> None:
    items = client.get("/v1/review/queue?reviewer=Ann").get_json()["items"]
    decide(client, items[0], "yes")
    decide(client, items[1], "no")
    undone = client.post("/v1/review/undo", json={"reviewer": "Ann"}).get_json()
    assert (undone["item"]["id"], undone["undone"]["decision"], undone["item"]["decision"]) == (
        items[1]["id"],
        "no",
        None,
    )
    assert undone["progress"]["decided"] == 1
    assert first(client)["id"] == items[1]["id"]
    assert [r.decision for r in read_reviews(session.table.path)] == ["yes", "no", "undo"]
    assert client.post("/v1/review/undo", json={"reviewer": "Ben"}).get_json()["undone"] is None


def test_reviewers_who_disagree_are_counted_and_the_item_is_no_answer(client: FlaskClient) -> None:
    item = first(client)
    decide(client, item, "yes", "Ann")
    assert first(client, "Ben")["id"] == item["id"]
    assert first(client, "Ben", "&leave_out_others=1")["id"] != item["id"]
    progress = decide(client, item, "no", "Ben").get_json()["progress"]
    assert progress["disagree"] == 1
    assert progress["reviewers"] == [{"reviewer": "Ann", "decisions": 1}, {"reviewer": "Ben", "decisions": 1}]
    summary = client.get("/v1/review/summary").get_json()
    assert (summary["reviewed"], summary["unknown"], summary["disagree"]) == (0, 1, 1)


def test_several_reviewers_at_the_same_time_lose_nothing(client: FlaskClient, session: ReviewSession) -> None:
    items = client.get("/v1/review/queue?reviewer=x&limit=12").get_json()["items"]

    def review(name: str) -> None:
        other = client.application.test_client()
        for item in items:
            assert decide(other, item, "no", name).status_code == 200

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(review, "ABCD"))
    rows = read_reviews(session.table.path)
    assert {name: len({r.key for r in rows if r.reviewer == name}) for name in "ABCD"} == dict.fromkeys("ABCD", 12)


def test_another_species_is_stored_by_the_label_of_the_model(client: FlaskClient, session: ReviewSession) -> None:
    item = first(client)
    own, other = item["species"], next(name for name in session.bundle.labels if name != item["species"])
    assert decide(client, item, "other", other_species=other.upper()).get_json()["stored"]["other_species"] == other
    for value in ("", own):
        assert decide(client, item, "other", other_species=value).status_code == 400
    assert decide(client, item, "yes", other_species=other).status_code == 400
    assert decide(client, item, "other", other_species="a\nb").status_code == 400


def test_species_are_found_by_a_part_of_their_name(client: FlaskClient, session: ReviewSession) -> None:
    label = session.bundle.labels[0]
    found = client.get(f"/v1/review/species?text={label[2:5]}").get_json()
    assert label in [entry["species"] for entry in found if entry["is_own"]]
    assert client.get("/v1/review/species?text=qqqq").get_json() == []


def test_the_sound_is_the_window_with_its_context(client: FlaskClient, session: ReviewSession) -> None:
    item = first(client)
    response = client.get(f"/v1/review/items/{item['id']}/audio?context=1.5")
    samples, rate = soundfile.read(io.BytesIO(response.data))
    start, end = max(0, item["start"] - 1.5), min(item["duration"], item["end"] + 1.5)
    original, own_rate = soundfile.read(session.recordings / item["file"])
    assert rate == own_rate
    assert len(samples) == round((end - start) * rate)
    assert abs(samples - original[round(start * rate) : round(end * rate)]).max() < 1e-4
    assert client.get(f"/v1/review/items/{item['id']}/audio?context=31").status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "../secret.wav",
        "..%2fsecret.wav",
        "%2e%2e/%2e%2e/secret.wav",
        "/etc/passwd",
        "lake%2f20260501_040000.wav",
        "0" * 16,
    ],
)
def test_only_items_of_the_queue_have_a_sound(client: FlaskClient, session: ReviewSession, name: str) -> None:
    (session.recordings.parent / "secret.wav").write_bytes(
        (session.recordings / "lake/20260501_040000.wav").read_bytes()
    )
    response = client.get(f"/v1/review/items/{name}/audio")
    assert response.status_code == 404
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("name", ["../secret.wav", "/secret.wav", "lake/../../secret.wav"])
def test_a_table_of_candidates_cannot_name_a_file_outside_the_recordings(
    client: FlaskClient, session: ReviewSession, name: str
) -> None:
    secret = session.recordings.parent / "secret.wav"
    secret.write_bytes((session.recordings / "lake/20260501_040000.wav").read_bytes())
    status = secret.stat()
    item = first(client)
    files = tuple(
        f._replace(name=name, size=status.st_size, modified=status.st_mtime_ns) if f.name == item["file"] else f
        for f in session.pool.files
    )
    session.pool = replace(session.pool, files=files)
    response = client.get(f"/v1/review/items/{item['id']}/audio")
    assert response.status_code == 409
    assert "leads out of the folder" in response.get_json()["detail"]


def test_a_recording_that_was_changed_or_removed_has_no_sound(client: FlaskClient, session: ReviewSession) -> None:
    item = first(client)
    path = session.recordings / item["file"]
    os.utime(path, (1, 1))
    assert "was changed" in client.get(f"/v1/review/items/{item['id']}/audio").get_json()["detail"]
    path.unlink()
    text = client.get(f"/v1/review/items/{item['id']}/audio").get_json()["detail"]
    assert "is not in the folder" in text
    assert str(session.recordings) not in text


def test_queues_and_filters(client: FlaskClient) -> None:
    def files(query: str) -> set[str]:
        items = client.get(f"/v1/review/queue?reviewer=Ann&limit=100&count=100&{query}").get_json()["items"]
        return {item["file"] for item in items}

    assert files("site=lake") == {"lake/20260501_040000.wav", "lake/20260502_200000.wav"}
    assert files("hours=3-6") == {"lake/20260501_040000.wav", "hill/20260501_040000.wav"}
    assert files("site=hill&hours=22-3") == set()
    assert first(client, query="&queue=uncertain")["stratum"] == "uncertain"
    orders = [
        [i["id"] for i in client.get(f"/v1/review/queue?reviewer=A&queue=random&seed={seed}").get_json()["items"]]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("reviewer=", 400), ("reviewer=a%0ab", 400), ("reviewer=A&queue=best", 400), ("reviewer=A&site=sea", 400), ("reviewer=A&hours=25-3", 400),
        ("reviewer=A&count=0", 400), ("reviewer=A&seed=-1", 400), ("reviewer=A&min_probability=nan", 400), ("reviewer=A&species=x", 400),
        ("reviewer=A&limit=101", 400), ("reviewer=A&queue=similar", 409),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(client: FlaskClient, query: str, status: int) -> None:
    assert client.get(f"/v1/review/queue?{query}").status_code == status


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"reviewer": 3, "decision": "yes"}', b'{"reviewer": "A"}', b'{"reviewer": "A", "decision": "undo"}', b'{"x": 1}']
)  # fmt: skip
def test_wrong_bodies_are_refused_and_nothing_is_stored(
    client: FlaskClient, session: ReviewSession, body: bytes
) -> None:
    item = first(client)
    address = f"/v1/review/items/{item['id']}/decision"
    assert client.post(address, data=body, content_type="application/json").status_code == 400
    # A page of another site can send this type without asking the server first.
    assert (
        client.post(address, data=b'{"reviewer": "A", "decision": "yes"}', content_type="text/plain").status_code == 415
    )
    assert not session.table.path.exists()


def test_a_page_of_another_site_cannot_decide(client: FlaskClient, session: ReviewSession) -> None:
    item, headers = first(client), {"Origin": "http://evil.example"}
    body = {"reviewer": "Ann", "decision": "yes"}
    assert client.post(f"/v1/review/items/{item['id']}/decision", json=body, headers=headers).status_code == 403
    assert client.post("/v1/review/apply-precision", json={"precision": 0.5}, headers=headers).status_code == 403
    assert not session.table.path.exists()


def test_a_table_that_cannot_be_written_is_reported_without_its_path(
    client: FlaskClient, session: ReviewSession
) -> None:
    item = first(client)
    session.table.path.mkdir()
    response = decide(client, item, "yes")
    assert response.status_code == 503
    assert str(session.folder) not in response.get_json()["detail"]


def test_the_summary_and_the_thresholds(client: FlaskClient, session: ReviewSession) -> None:
    items = client.get("/v1/review/queue?reviewer=Ann&limit=100&count=100").get_json()["items"]
    for item in items:
        decide(client, item, "yes" if item["probability"] > 0.5 else "no", query="count=100")
    summary = client.get("/v1/review/summary?count=100&precision=0.9").get_json()
    assert summary["reviewed"] == len(items)
    shares = [(s["low"], s["share"]["value"]) for s in summary["strata"] if s["candidates"]]
    assert all(share == (low >= 0.5) for low, share in shares)
    assert [t["precision"]["value"] for t in summary["thresholds"]][1] == 1.0
    assert all("0.6" in r["text"] for r in summary["remaining"] if r["threshold"] == 0.6)
    before = set(session.bundle.folder.parent.iterdir())
    written = client.post("/v1/review/apply-precision?count=100", json={"precision": 0.9}).get_json()["written"]
    (overlay,) = set(session.bundle.folder.parent.iterdir()) - before
    rows = list(csv.DictReader(overlay.open()))
    assert {r["species"]: float(r["threshold"]) for r in rows} == {w["species"]: w["threshold"] for w in written}
    assert {w["species"] for w in written} == set(session.bundle.labels)


def test_thresholds_need_decisions(client: FlaskClient, session: ReviewSession) -> None:
    response = client.post("/v1/review/apply-precision", json={"precision": 0.9})
    assert response.status_code == 409
    assert "review some" in response.get_json()["detail"]
    assert str(session.folder.parent) not in response.get_json()["detail"]


def test_the_decisions_can_be_downloaded(client: FlaskClient, session: ReviewSession) -> None:
    decide(client, first(client), "unsure")
    response = client.get("/v1/review/decisions")
    assert response.data == session.table.path.read_bytes()
    assert "reviews.csv" in response.headers["Content-Disposition"]
