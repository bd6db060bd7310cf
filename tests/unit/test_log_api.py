"""The routes of the log, the feedback, the drift test and the jobs, through the web app."""

import io
import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from flask.testing import FlaskClient

from autobird.core.files import write_json
from autobird.drift.names import AUDIO_FEATURES, DRIFT_FEATURES, MODEL_FEATURES
from autobird.serving import recent_drift
from autobird.serving.app import create_app
from autobird.serving.compute.pool import InlinePool
from autobird.serving.drift_answer import ALARM_RATE, FEWEST, drift_of
from autobird.serving.jobs.job import JobLimits
from autobird.serving.jobs.queue import Jobs
from autobird.serving.services import Services
from autobird.serving.settings import ServeSettings
from autobird.serving.store.entries import LogEntry
from autobird.serving.store.sqlite import SqliteBackend
from autobird.serving.store.store import Store
from tests.scripted_jobs import LONG, Scripted, wait_until
from tests.unit.test_predict import make_bundle

FINGERPRINT = "0123456789abcdef"


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> InlinePool:
    return InlinePool(make_bundle(tmp_path_factory.mktemp("bundle"), (0.0, 1.0)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(SqliteBackend(tmp_path / "log.sqlite"))
    yield found
    found.close(0)


@pytest.fixture
def client(pool: InlinePool, store: Store) -> FlaskClient:
    return create_app(Services(pool, ServeSettings(), store)).test_client()


@pytest.fixture
def job_client(pool: InlinePool, store: Store, tmp_path: Path) -> Iterator[FlaskClient]:
    jobs = Jobs(tmp_path / "state", pool, JobLimits(max_bytes=2_000_000, max_seconds=30.0, max_jobs=3), store)
    yield create_app(Services(pool, ServeSettings(), store, jobs)).test_client()
    jobs.close()


def entry(n: int, species: str = "Parus major", level: float = 0.0, bundle: str = FINGERPRINT) -> LogEntry:
    rng = np.random.default_rng(n)
    features = dict(zip(DRIFT_FEATURES, rng.normal(size=len(DRIFT_FEATURES)).tolist(), strict=True))
    return LogEntry(bundle, 5.0, species, 0.9, features | {"level": features["level"] + level}, f"r{n}")


def recording(seconds: float = 12.0) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(int(16000 * seconds)), 16000, format="WAV")
    return file.getvalue()


def test_the_log_is_paged_from_the_newest_to_the_oldest(client: FlaskClient, store: Store) -> None:
    for n in range(5):
        store.append(entry(n, "Corvus corone" if n == 2 else "Parus major"), LONG)
    seen, before = [], ""
    while True:
        page = client.get(f"/v1/predictions?limit=2{before}").get_json()
        seen += [row["request"] for row in page["predictions"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == ["r4", "r3", "r2", "r1", "r0"]
    found = client.get("/v1/predictions?species=Corvus+corone&role=answer").get_json()["predictions"]
    assert [row["request"] for row in found] == ["r2"]
    assert client.get("/v1/predictions?role=shadow").get_json() == {"predictions": [], "next": None}


def test_answers_are_in_the_log_with_the_id_of_their_request(client: FlaskClient) -> None:
    body = client.post("/v1/predict", data=recording(), headers={"X-Request-Id": "mine"}).get_json()
    [row] = client.get("/v1/predictions").get_json()["predictions"]
    assert (row["id"], row["request"], row["role"]) == (body["prediction"], "mine", "answer")
    assert row["detections"] == [
        {name: d[name] for name in ("start", "end", "species", "probability")} for d in body["detections"]
    ]
    assert row["unknown_score"] == body["unknown_score"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "limit=-1", "limit=²", "before=0", "before=99999999999999999999", "role=all", "limit=1e2"],
)  # fmt: skip
def test_parameters_that_are_not_possible_are_problems(client: FlaskClient, query: str) -> None:
    response = client.get(f"/v1/predictions?{query}")
    assert response.status_code == 400
    assert "is not possible; give" in response.get_json()["detail"]


GOOD = {"request": "r1", "start": 0, "end": 5.0, "species": "Parus major", "decision": "yes"}


def test_feedback_is_stored_and_listed(client: FlaskClient, store: Store) -> None:
    store.append(entry(1), LONG)
    assert client.post("/v1/feedback", json=GOOD).status_code == 201
    other = {
        "prediction": 1,
        "start": 1,
        "end": 1,
        "species": "a",
        "decision": "other",
        "other_species": "b",
        "reviewer": "Ann",
    }
    response = client.post("/v1/feedback", json=other)
    page = client.get("/v1/feedback?limit=1").get_json()
    assert page["next"] == response.get_json()["id"]
    [row] = page["feedback"]
    assert {name: row[name] for name in other} == other
    assert row["request"] == ""


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"request": "r9"}, "the log has no entry of the request 'r9'; give `request` of an answer"),
        ({"request": "r" * 150}, f"the log has no entry of the request '{'r' * 64}...'; give"),
        (
            {"request": None, "prediction": 7},
            "the log has no entry 7; give `prediction` of an answer, or `id` of an entry",
        ),
        ({"prediction": 2}, "the log has another request ('r2') for the entry 2; give `prediction`"),
        ({"prediction": 2**53}, "the log has no entry 9007199254740992"),
        ({"request": "r1\0"}, ""),
        ({"request": None, "prediction": 2}, ""),
        ({"prediction": 1}, ""),
    ],
)
def test_feedback_is_about_entries_of_the_log(
    client: FlaskClient, store: Store, change: dict[str, Any], detail: str
) -> None:
    for n in (1, 2):
        store.append(entry(n), LONG)
    response = client.post("/v1/feedback", json=GOOD | change)
    if not detail:
        assert response.status_code == 201
        return
    assert (response.status_code, response.get_json()["type"]) == (404, "/docs#unknown-prediction")
    assert detail in response.get_json()["detail"]
    assert store.feedback() == []


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"request": None}, "give `request` (the id of an answer) or `prediction`"),
        ({"prediction": 1.5}, "give `request`"),
        ({"prediction": "1"}, "`prediction` is '1'; give a number from 1"),
        ({"start": -1}, "`start` is -1; give a number from 0"),
        ({"start": True}, "`start` is True; give a number"),
        ({"end": float("nan")}, "`end` is nan; give a number from 0"),
        ({"start": 6}, "`end` is 5.0; give a number from 6"),
        ({"species": " "}, "`species` is ' '; give a text"),
        ({"species": "a" * 201}, "give a text of at most 200 characters"),
        ({"decision": "perhaps"}, "`decision` is 'perhaps'; give one of yes, no, other, unsure"),
        ({"other_species": "b"}, "`decision` is not `other`"),
        ({"comment": "x"}, "there is no field 'comment'; the fields are decision, end"),
    ],
)
def test_feedback_that_is_not_possible_is_a_problem(client: FlaskClient, change: dict[str, Any], detail: str) -> None:
    response = client.post("/v1/feedback", json=GOOD | change)
    assert response.status_code == 400
    assert detail in response.get_json()["detail"]


def test_feedback_that_is_no_json_object_is_a_problem(client: FlaskClient) -> None:
    for data, kind, status in (
        (b"{", "application/json", 400), (b"[]", "application/json", 400), (b"[" * 60_000, "application/json", 400),
        (b"1" * 70_000, "application/json", 413), (json.dumps(GOOD).encode(), "text/plain", 415), (b"\xff", "application/json", 400),
    ):  # fmt: skip
        response = client.post("/v1/feedback", data=data, content_type=kind)
        assert (response.status_code, response.content_type) == (status, "application/problem+json")


def test_feedback_waits_for_a_locked_log_and_reading_a_damaged_one_is_a_problem_without_its_path(
    client: FlaskClient, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    store.append(entry(1), 0.001)
    wait_until(lambda: store.state().error != "")
    # The entry of its request is not in the log yet.
    assert client.post("/v1/feedback", json=GOOD | {"request": "r0"}).status_code == 404
    response = client.post("/v1/feedback", json=GOOD)
    assert (response.status_code, response.get_json()) == (202, {"id": None})
    lock.rollback()
    lock.close()
    wait_until(lambda: store.state().waiting == 0)
    assert len(client.get("/v1/feedback").get_json()["feedback"]) == 1
    store.close()
    for name in ("log.sqlite", "log.sqlite-wal", "log.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "log.sqlite").write_bytes(b"damaged " * 1000)
    for path in ("/v1/predictions", "/v1/feedback", "/v1/drift"):
        response = client.get(path)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert str(tmp_path) not in response.get_data(as_text=True)
    assert client.post("/v1/feedback", json=GOOD).status_code == 503


def test_a_server_without_a_log_says_so(pool: InlinePool) -> None:
    client = create_app(Services(pool, ServeSettings())).test_client()
    for path in ("/v1/predictions", "/v1/feedback", "/v1/drift", "/v1/jobs", f"/v1/jobs/{'0' * 32}"):
        response = client.get(path)
        assert response.status_code == 404
        assert "start it with --" in response.get_json()["detail"]


@pytest.fixture
def reference(pool: InlinePool) -> Iterator[Path]:
    """Adds a drift reference to the bundle."""
    path = pool.bundle().folder / "drift_reference.json"
    rng = np.random.default_rng(9)
    write_json(
        path,
        {
            name: {"features": list(names), "values": rng.normal(size=(200, len(names))).tolist(), "groups": list(range(200))}
            for name, names in (("audio", AUDIO_FEATURES), ("model", MODEL_FEATURES))
        },
    )  # fmt: skip
    yield path
    path.unlink(missing_ok=True)


def test_drift_is_tested_with_the_last_recordings_of_the_bundle(
    client: FlaskClient, store: Store, pool: InlinePool, reference: Path
) -> None:
    for n in range(60):
        store.append(entry(n, level=100.0, bundle="another"), LONG)
    for n in range(FEWEST - 1):
        store.append(entry(n), LONG)
    few = client.get("/v1/drift").get_json()
    assert (few["state"], few["recordings"], few["needed"], few["features"]) == (
        "too few recordings",
        FEWEST - 1,
        FEWEST,
        [],
    )
    for n in range(40):
        store.append(entry(n + 100, level=3.0), LONG)
    assert client.get("/v1/drift").get_json() == few  # the result of the last minute
    fresh = create_app(Services(pool, ServeSettings(), store)).test_client().get("/v1/drift").get_json()
    assert (fresh["state"], fresh["recordings"]) == ("drift", FEWEST + 39)
    found = {feature.pop("feature"): feature for feature in fresh["features"]}
    assert set(found) == set(DRIFT_FEATURES)
    assert [name for name, feature in found.items() if feature["drift"]] == ["level"]
    assert found["level"]["p_value"] < 0.01
    assert found["level"]["median"] > found["level"]["reference_median"] + 1
    assert all(feature["p_value"] > 0.01 for name, feature in found.items() if name != "level")
    assert "in: level" in fresh["summary"]


def test_similar_recordings_do_not_drift_and_a_bundle_without_reference_says_so(
    pool: InlinePool, reference: Path
) -> None:
    folder = pool.bundle().folder
    features = [list(entry(n).features.values()) for n in range(100)]
    found = drift_of(features, folder, FINGERPRINT)
    assert found["state"] == "ok"
    assert drift_of(features, folder, "another")["state"] == "no reference"
    reference.unlink()
    assert drift_of(features, folder, FINGERPRINT)["state"] == "no reference"


def test_p_values_are_those_of_the_whole_test(pool: InlinePool, reference: Path) -> None:
    """Two groups of features are tested, each with half of the false-alarm rate; a p value below the whole rate means drift."""
    assert reference.exists()
    features = np.array([list(entry(n).features.values()) for n in range(60)])
    seen = set()
    for shift in np.arange(0.3, 0.8, 0.05):
        moved = features.copy()
        moved[:, DRIFT_FEATURES.index("level")] += shift
        for found in drift_of(moved.tolist(), pool.bundle().folder, FINGERPRINT)["features"]:
            assert found["drift"] == (found["p_value"] < ALARM_RATE), found
            seen.add(found["p_value"])
    assert any(ALARM_RATE / 2 < p < 2 * ALARM_RATE for p in seen)


def test_recordings_that_the_shadow_bundle_classified_again_count_once(store: Store) -> None:
    for n in range(3):
        store.append(entry(n), LONG)
        store.append(replace(entry(n), role="shadow"), LONG)
    assert len(store.features(FINGERPRINT, 100)) == 3


def test_only_one_thread_waits_for_the_drift_test(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on, calls = threading.Event(), threading.Event(), []

    def slow(*_: object) -> dict[str, Any]:
        calls.append(1)
        began.set()
        go_on.wait(60)
        raise recent_drift.DriftFailed

    monkeypatch.setattr(recent_drift, "_computed", slow)
    monkeypatch.setattr(recent_drift, "_WAIT", 0.0)
    app = client.application
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(lambda: app.test_client().get("/v1/drift").status_code)
        assert began.wait(60)
        other = client.get("/v1/drift")
        assert (other.status_code, other.headers["Retry-After"]) == (503, "5")
        go_on.set()
        assert first.result(60) == 500
    assert client.get("/v1/drift").status_code == 500
    assert len(calls) == 1  # a test that fails is not repeated at once


def test_a_large_reference_is_reduced_to_whole_groups(pool: InlinePool, reference: Path) -> None:
    rng = np.random.default_rng(1)
    content = {
        name: {"features": list(names), "values": rng.normal(size=(6000, len(names))).tolist(), "groups": (np.arange(6000) // 3).tolist()}
        for name, names in (("audio", AUDIO_FEATURES), ("model", MODEL_FEATURES))
    }  # fmt: skip
    write_json(reference, content)
    features = [list(entry(n).features.values()) for n in range(30)]
    assert drift_of(features, pool.bundle().folder, FINGERPRINT)["state"] == "ok"


def wait_for(client: FlaskClient, location: str, state: str = "done") -> dict[str, Any]:
    wait_until(lambda: client.get(location).get_json()["state"] == state)
    found: dict[str, Any] = client.get(location).get_json()
    return found


def test_a_job_gives_the_same_answer_as_a_request(job_client: FlaskClient) -> None:
    data = recording()
    response = job_client.post("/v1/jobs?windows=1&top_k=1&name=dawn.wav", data=data)
    assert response.status_code == 202
    location = response.headers["Location"]
    shown = wait_for(job_client, location)
    assert (shown["file"], shown["duration"], shown["bytes"]) == ("dawn.wav", 12.0, len(data))
    of_job = job_client.get(f"{location}/result").get_json()
    of_request = job_client.post("/v1/predict?top_k=1&name=dawn.wav", data=data).get_json()
    assert of_job.pop("request") == shown["id"]
    of_request.pop("request")
    for body in (of_job, of_request):
        assert isinstance(body.pop("prediction"), int)
        body.pop("seconds")
    assert of_job == of_request
    rows = job_client.get("/v1/predictions").get_json()["predictions"]
    assert [(row["role"], row["request"]) for row in rows][1] == ("job", shown["id"])
    assert [job["id"] for job in job_client.get("/v1/jobs").get_json()["jobs"]] == [shown["id"]]


def test_the_result_of_a_job_has_all_formats(job_client: FlaskClient) -> None:
    response = job_client.post(
        "/v1/jobs", data={"file": (io.BytesIO(recording()), "dawn chorus.wav"), "threshold": "0.1"}
    )
    location = response.headers["Location"]
    wait_for(job_client, location)
    assert job_client.get(f"{location}/result").get_json()["windows"] == []
    for query, accept, kind, start in (
        ("?format=csv", "", "text/csv", "file,start,end,species"),
        ("", "text/csv", "text/csv", "file,start,end,species"),
        ("?format=raven", "", "text/tab-separated-values", "Selection\tView"),
        ("?format=audacity", "", "text/plain", "0.000000\t"),
    ):
        response = job_client.get(f"{location}/result{query}", headers={"Accept": accept} if accept else {})
        assert response.content_type.startswith(kind)
        assert response.get_data(as_text=True).startswith(start)
        assert "dawn chorus" in response.headers["Content-Disposition"]
    assert job_client.get(f"{location}/result?format=mp3").status_code == 400


def test_a_job_that_fails_has_the_problem_of_the_recording_as_its_result(job_client: FlaskClient) -> None:
    for data, status in ((b"no recording", 422), (recording(31.0), 413)):
        location = job_client.post("/v1/jobs", data=data).headers["Location"]
        shown = wait_for(job_client, location, "failed")
        response = job_client.get(f"{location}/result")
        assert response.status_code == shown["problem"]["status"] == status
        assert response.get_json()["detail"] == shown["problem"]["detail"]


def test_uploads_and_options_that_are_not_possible_leave_nothing(job_client: FlaskClient, tmp_path: Path) -> None:
    two = {"files": [(io.BytesIO(b"RIFF1"), "1.wav"), (io.BytesIO(b"RIFF2"), "2.wav")]}
    for path, data, status, detail in (
        ("/v1/jobs", b"", 400, "is empty"),
        ("/v1/jobs", b"x" * 2_000_001, 413, "raise --max-job-megabytes"),
        ("/v1/jobs", two, 413, "a job has one recording"),
        ("/v1/jobs?spectrogram=1", b"RIFF", 400, "spectrogram is not possible for jobs"),
        ("/v1/jobs?species=Dodo", b"RIFF", 400, "Dodo"),
        ("/v1/jobs", {"file": (io.BytesIO(b"RIFF"), "a.wav"), "threshold": "2"}, 400, "threshold"),
    ):
        response = job_client.post(path, data=data)
        assert response.status_code == status, path
        assert detail in response.get_json()["detail"]
    assert job_client.get("/v1/jobs").get_json() == {"jobs": []}
    assert [p.name for p in (tmp_path / "state" / "jobs").iterdir()] == ["lock"]


def test_jobs_are_cancelled_and_removed(pool: InlinePool, tmp_path: Path) -> None:
    compute = Scripted(waits=True)
    jobs = Jobs(tmp_path, compute)
    client = create_app(Services(pool, ServeSettings(), None, jobs)).test_client()
    location = client.post("/v1/jobs", data=recording()).headers["Location"]
    assert compute.started.acquire(timeout=LONG)
    response = client.get(f"{location}/result")
    assert response.status_code == 409
    assert "Retry-After" in response.headers
    assert client.delete(location).status_code == 204
    for method, path in (
        ("GET", location),
        ("DELETE", location),
        ("GET", f"{location}/result"),
        ("GET", "/v1/jobs/..%2f..%2fx"),
    ):
        assert client.open(path, method=method).status_code == 404
    jobs.close()


def test_too_many_jobs_are_refused_with_retry_after(pool: InlinePool, tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, Scripted(waits=True), JobLimits(max_jobs=1))
    client = create_app(Services(pool, ServeSettings(), None, jobs)).test_client()
    assert client.post("/v1/jobs", data=b"RIFF").status_code == 202
    response = client.post("/v1/jobs", data=b"RIFF")
    assert (response.status_code, response.get_json()["title"]) == (503, "Too many jobs")
    assert int(response.headers["Retry-After"]) > 0
    jobs.close()


def test_the_openapi_document_describes_every_route(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    for path, methods in {
        "/v1/predictions": {"get"}, "/v1/feedback": {"get", "post"}, "/v1/drift": {"get"}, "/v1/jobs": {"get", "post"},
        "/v1/jobs/{job_id}": {"get", "delete"}, "/v1/jobs/{job_id}/result": {"get"},
    }.items():  # fmt: skip
        assert set(document["paths"][path]) == methods
    names = set(document["components"]["schemas"])
    assert {
        ref.partition("schemas/")[2].rstrip('"')
        for ref in json.dumps(document).split('"$ref": "')[1:]
        for ref in [ref.partition('"')[0]]
    } <= names


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_generated_requests_never_fail_and_the_answers_conform(
    pool: InlinePool, store: Store, tmp_path: Path, mode: str
) -> None:
    """Schemathesis makes valid or invalid requests from the document; no status 5xx, nothing undocumented."""
    import hypothesis

    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.generation import GenerationMode

    jobs = Jobs(tmp_path, Scripted(), JobLimits(max_jobs=1_000_000), store)
    app = create_app(Services(pool, ServeSettings(), store, jobs))
    for n in range(60):
        store.append(entry(n), LONG)
    document = schemathesis.openapi.from_wsgi("/openapi.json", app)
    names = {
        "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
        "response_headers_conformance", "unsupported_method",
    }  # fmt: skip
    checks = [check for check in schemathesis.checks.CHECKS.get_all() if check.__name__ in names]
    assert len(checks) == len(names)
    tested = set()
    for result in document.get_all_operations():
        operation = result.ok()
        if not operation.path.startswith(("/v1/jobs", "/v1/predictions", "/v1/feedback", "/v1/drift")):
            continue

        @hypothesis.settings(
            max_examples=100,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
        def run(case: Any) -> None:
            existing = jobs.listed()
            if "job_id" in (case.path_parameters or {}) and mode == "positive" and existing:
                case.path_parameters["job_id"] = existing[0]["id"]
            case.call_and_validate(checks=checks)

        try:
            run()
            tested.add((operation.method, operation.path))
        except hypothesis.errors.Unsatisfiable:  # an operation without parameters has no invalid request
            assert mode == "negative"
    jobs.close()
    assert len(tested) >= 6
