"""The API of the server: predictions of one and several recordings, options, tables, species and model."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from flask.testing import FlaskClient

from autobird.core.files import write_json
from autobird.predict import Classifier
from autobird.predict.bundle import bundle_manifest
from autobird.serving import request_options
from autobird.serving.api import predict as api_predict
from autobird.serving.bundle_info import BundleInfos, card_metrics
from autobird.serving.compute.pool import InlinePool
from autobird.serving.compute.requests import ClientGone, QueueFull, TaskProblem
from autobird.serving.form import base_name
from tests.api import CARD, client_of, make_complete_bundle, sound


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_complete_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def client(bundle: Path) -> FlaskClient:
    return client_of(bundle, max_megabytes=1, max_seconds=20, max_files=3)


@pytest.fixture(scope="module")
def song() -> bytes:
    return sound(7)


def form(*fields: tuple[str, bytes | str, str | None]) -> dict[str, Any]:
    """A multipart form of names, contents and file names."""
    data: dict[str, list[Any]] = {}
    for name, content, filename in fields:
        binary = content.encode() if isinstance(content, str) else content
        value = content if filename is None else (io.BytesIO(binary), filename)
        data.setdefault(name, []).append(value)
    return {"data": data}


def ask(client: FlaskClient, query: str = "", **options: Any) -> Any:
    response = client.post(f"/v1/predict{query}", **options)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()


def problem(client: FlaskClient, query: str = "", **options: Any) -> tuple[int, str, str]:
    response = client.post(f"/v1/predict{query}", **options)
    assert response.content_type == "application/problem+json"
    value = response.get_json()
    assert value["status"] == response.status_code
    assert value["request"] == response.headers["X-Request-Id"]
    return response.status_code, value["title"], value["detail"]


def test_the_answer_has_the_probabilities_of_the_classifier(client: FlaskClient, bundle: Path, song: bytes) -> None:
    classifier = Classifier(bundle)
    expected = classifier.predict(io.BytesIO(song))
    value = ask(client, "?name=a.flac", data=song)
    assert value["schema"] == "autobird/answer/1"
    assert value["file"] == "a.flac"
    assert value["model"] == {"name": "tiny", "variant": "float", "fingerprint": "0123456789abcdef"}
    assert (value["duration"], value["note"], value["warnings"]) == (7.0, "", [])
    for found, p in zip(
        [value["species"], *(w["species"] for w in value["windows"])],
        [expected.recording, *expected.probabilities],
        strict=True,
    ):
        assert {s["species"]: s["probability"] for s in found} == pytest.approx(
            dict(zip(classifier.labels, p, strict=True)), abs=1e-4
        )
    assert [(w["start"], w["end"], w["quiet"]) for w in value["windows"]] == [(0, 5, False), (2.5, 7, False)]
    assert [(d["start"], d["end"], d["species"]) for d in value["detections"]] == [(0, 7, "Parus major")]
    assert value["thresholds"] == {"Parus major": 0.0, "Corvus corone": 1.0}
    assert set(value["seconds"]) == {"queue", "decode", "features", "network", "answer", "total"}
    assert value["seconds"]["total"] >= value["seconds"]["network"] > 0


def test_the_answer_has_the_technical_facts_of_the_recording(client: FlaskClient, song: bytes) -> None:
    assert ask(client, data=song)["audio"] == {
        "format": "FLAC PCM_16", "sample_rate": 16000, "channels": 1, "level_dbfs": -20.0, "peak_dbfs": pytest.approx(-7, abs=1.5),
        "clipped_share": 0.0, "bandwidth_hz": 8000, "upper_band_missing": False,
    }  # fmt: skip


def test_sound_of_8_khz_lacks_the_upper_band_also_after_a_conversion_to_48_khz(client: FlaskClient) -> None:
    samples, _ = soundfile.read(io.BytesIO(sound(6, 8000)))
    converted = io.BytesIO()
    soundfile.write(converted, soxr.resample(samples, 8000, 48000), 48000, format="FLAC")
    for data, rate in ((sound(6, 8000), 8000), (converted.getvalue(), 48000)):
        value = ask(client, data=data)
        assert value["audio"]["sample_rate"] == rate
        assert value["audio"]["upper_band_missing"]
        assert value["audio"]["bandwidth_hz"] < 4600
        assert "the upper band is missing: there is no sound above 4." in value["warnings"][0]


def test_clipped_and_quiet_recordings_have_warnings(client: FlaskClient) -> None:
    for samples, message in (
        (
            np.clip(np.random.default_rng(0).standard_normal(48000), -1, 1),
            "% of the samples are at full scale (clipped)",
        ),
        (np.zeros(48000), "the whole recording is quiet, so nothing is detected"),
    ):
        file = io.BytesIO()
        soundfile.write(file, samples, 16000, format="WAV")
        value = ask(client, data=file.getvalue())
        assert any(message in warning for warning in value["warnings"])
        if not samples.any():
            assert value["audio"]["level_dbfs"] is value["audio"]["bandwidth_hz"] is None
            assert value["species"] == []


def test_options_are_parameters_or_fields_of_the_form(client: FlaskClient, song: bytes) -> None:
    options = {"top_k": "1", "threshold": "1", "windows": "0", "spectrogram": "true", "species": "corvus_corone"}
    query = "?" + "&".join(f"{name}={value}" for name, value in options.items())
    of_query = ask(client, query, data=song)
    fields = [(name, value, None) for name, value in options.items()]
    of_form = ask(client, **form(("file", song, "a.flac"), ("comment", "at the lake", None), *fields))
    for value in (of_query, of_form):
        assert len(value["species"]) == 1
        assert value["detections"] == value["windows"] == []
        assert value["spectrogram"]["bands"] == 64
        assert value["warnings"] == []
    # A parameter replaces the field of the same name.
    assert len(ask(client, "?top_k=2", **form(("file", song, "a.flac"), *fields))["species"]) == 2


def test_all_probabilities_are_given_on_request(client: FlaskClient, bundle: Path, song: bytes) -> None:
    expected = Classifier(bundle).predict(io.BytesIO(song)).recording
    for text in ("0", "all", "ALL"):
        value = ask(client, f"?top_k={text}", data=song)
        assert list(value["probabilities"].values()) == pytest.approx(expected, abs=1e-4)
        assert len(value["windows"][0]["species"]) == 2
    assert "probabilities" not in ask(client, data=song)


def test_thresholds_follow_the_options(client: FlaskClient, song: bytes) -> None:
    value = ask(client, "?precision=0.6", data=song)
    assert value["thresholds"] == {"Parus major": 0.5, "Corvus corone": None}
    assert value["warnings"] == [
        "thresholds are those for a precision of 0.9, the next one that the bundle has",
        "not reported, because a precision of 0.9 was not reached on validation recordings: Corvus corone",
    ]
    assert ask(client, "?threshold=0.25", data=song)["thresholds"] == {"Parus major": 0.25, "Corvus corone": 0.25}
    value = ask(client, "?threshold=0&species=Corvus corone,&species=", data=song)
    assert {d["species"] for d in value["detections"]} == {"Corvus corone"}
    assert value["thresholds"]["Parus major"] is None


def test_the_overlap_of_windows_can_be_chosen(client: FlaskClient, bundle: Path, song: bytes) -> None:
    expected = Classifier(bundle).predict(io.BytesIO(song))
    value = ask(client, "?overlap=4", data=song)
    assert [w["start"] for w in value["windows"]] == [0, 1, 2]
    assert value["windows"][0]["species"][0]["probability"] == pytest.approx(expected.probabilities[0].max(), abs=1e-4)
    assert [w["start"] for w in ask(client, "?overlap=0", data=song)["windows"]] == [0, 5]
    assert ask(client, "?overlap=2.5", data=song)["windows"] == ask(client, data=song)["windows"]
    assert problem(client, "?overlap=4.9", data=song)[2] == (
        "overlap 4.9 s is not possible with windows of 5 s; give 0 to 4.5 s"
    )


def test_the_size_of_an_answer_is_limited(client: FlaskClient, song: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autobird.serving.compute.answer._MAX_VALUES", 5)
    assert len(ask(client, "?top_k=2", data=song)["windows"]) == 2
    assert problem(client, "?top_k=0&overlap=4", data=song)[2] == (
        "the answer would have 6 probabilities of windows, more than 5; give a smaller top_k, a smaller overlap, or windows=0"
    )
    assert len(ask(client, "?top_k=0&overlap=4&windows=0", data=song)["probabilities"]) == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("top_k=-1", "top_k='-1' is not possible; give a whole number from 0"),
        ("top_k=1.5", "top_k='1.5' is not possible"),
        ("top_k=%D9%A3", "top_k='\\u0663' is not possible"),
        ("threshold=2", "threshold='2' is not possible; give a number from 0 to 1"),
        ("threshold=nan", "threshold='nan' is not possible"),
        ("threshold=" + "1" * 500, "1...' is not possible"),
        ("precision=0", "precision 0 is not possible: give a precision above 0, at most 0.9"),
        ("precision=0.95", "precision 0.95 is not possible: give a precision above 0, at most 0.9"),
        ("overlap=inf", "overlap='inf' is not possible; give a number from 0 to 60"),
        ("windows=perhaps", "windows='perhaps' is not possible; give 1 or 0, true or false"),
        ("format=xml", "format='xml' is not possible; give one of json, csv, raven, audacity"),
        ("species=Parus majr", "the model does not know the species 'Parus majr' (similar: Parus major); /v1/species"),
        ("species=%00%ff", "the model does not know the species '\\x00%FF'"),
    ],
)
def test_options_that_are_not_possible_are_refused(client: FlaskClient, song: bytes, query: str, message: str) -> None:
    status, title, detail = problem(client, f"?{query}", data=song)
    assert (status, title) == (400, "Wrong option")
    assert message.replace("1...'", "1'...") in detail


@pytest.mark.parametrize("form", ["json", "csv", "raven", "audacity"])
def test_a_misspelt_parameter_is_refused(client: FlaskClient, song: bytes, form: str) -> None:
    status, title, detail = problem(client, f"?treshold=0.9&format={form}", data=song)
    assert (status, title) == (400, "Wrong option")
    assert "there is no parameter 'treshold'; known are top_k, threshold, precision" in detail
    assert detail.endswith(", format, name")


def test_several_recordings_have_an_answer_or_a_problem_each(client: FlaskClient, song: bytes) -> None:
    single = ask(client, data=song)
    response = client.post(
        "/v1/predict", **form(("file", song, "a.flac"), ("file", "text", "b.wav"), ("file", song, "c.flac"))
    )
    value = response.get_json()
    assert value["schema"] == "autobird/answers/1"
    assert value["request"] == response.headers["X-Request-Id"]
    assert [entry["file"] for entry in value["files"]] == ["a.flac", "b.wav", "c.flac"]
    assert value["files"][2]["windows"] == single["windows"]
    assert value["files"][1] == {
        "file": "b.wav",
        "problem": {
            "type": "/docs#not-a-usable-recording", "title": "Not a usable recording", "status": 422, "detail": "text, not audio",
        },
    }  # fmt: skip


def test_if_no_recording_can_be_used_the_answer_is_the_first_problem(client: FlaskClient) -> None:
    fields = form(("file", "text", "a.wav"), ("file", b"\0" * 50, "b.wav"))
    response = client.post("/v1/predict", **fields)
    assert (response.status_code, response.content_type) == (422, "application/problem+json")
    assert response.get_json()["detail"] == "no file has an answer, the first one because: text, not audio"
    assert [f["problem"]["detail"] for f in response.get_json()["files"]] == ["text, not audio", "only zero bytes"]


def test_a_field_named_as_for_several_recordings_always_gives_a_list(client: FlaskClient, song: bytes) -> None:
    for name in ("files", "file[]", "files[]"):
        value = ask(client, **form((name, song, "a.flac")))
        assert [entry["file"] for entry in value["files"]] == ["a.flac"]


def test_the_number_of_recordings_is_limited(client: FlaskClient) -> None:
    status, title, detail = problem(client, **form(*[("file", "x", f"{n}.wav") for n in range(4)]))
    assert (status, title) == (413, "Too many files")
    assert detail == "the form has 4 recordings, more than 3 (--max-files); send several requests"


def test_the_answers_of_several_recordings_are_bounded_together(
    client: FlaskClient, song: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_predict, "_MAX_VALUES", 3)
    files = ask(client, **form(("file", song, "a"), ("file", song, "b")))["files"]
    assert len(files[0]["windows"]) == 2
    assert files[1]["problem"]["title"] == "Answer too large"
    assert "have 4 probabilities of windows, more than 3" in files[1]["problem"]["detail"]
    files = ask(client, "?windows=0", **form(("file", song, "a"), ("file", song, "b")))["files"]
    assert not any("problem" in file for file in files)


def test_a_full_disk_is_no_internal_error(client: FlaskClient, song: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autobird.serving.spool.Spool.write", fail)
    assert problem(client, data=song)[:2] == (507, "Disk full")


def test_one_request_at_a_time_looks_for_similar_names(client: FlaskClient, song: bytes) -> None:
    query = "?species=Parus majr,Parus mejor"
    assert "'Parus majr' (similar: Parus major), 'Parus mejor';" in problem(client, query, data=song)[2]
    with request_options._searching:
        assert "similar" not in problem(client, query, data=song)[2]


def test_names_of_files_have_no_folders_and_no_control_characters(client: FlaskClient, song: bytes) -> None:
    for name, kept in (
        ("../../etc/a.flac", "a.flac"),
        ("C:\\Users\\Ann\\ä 1.flac", "ä 1.flac"),
        ("a\x07\u202eb.flac", "ab.flac"),
        ("x" * 400, "x" * 255),
    ):
        assert base_name(name) == kept
    assert ask(client, **form(("file", song, "../ä.flac")))["file"] == "ä.flac"
    assert ask(client, "?name=..%2Fa.flac", data=song)["file"] == "a.flac"


def test_site_and_time_come_from_the_name_of_the_file(client: FlaskClient, song: bytes) -> None:
    value = ask(client, **form(("file", song, "POND_20240501_053000.flac")))
    assert value["recording"] == {"site": "POND", "recorder": "POND", "recorded_at": "2024-05-01T05:30:00"}


def test_tables_have_the_columns_of_the_command_line(client: FlaskClient, song: bytes) -> None:
    fields = [("file", song, "POND_20240501_053000.flac"), ("file", song, "b.flac")]
    response = client.post("/v1/predict?format=csv", **form(*fields))
    assert response.content_type == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == "attachment; filename=detections.csv"
    first, second = csv.DictReader(io.StringIO(response.get_data(as_text=True)))
    assert first | {"probability": ""} == {
        "file": "POND_20240501_053000.flac", "start": "0", "end": "7", "species": "Parus major", "probability": "", "site": "POND",
        "recorder": "POND", "recorded_at": "2024-05-01T05:30:00", "date": "2024-05-01", "time": "05:30:00", "unknown_score": "",
    }  # fmt: skip
    assert (second["file"], second["site"]) == ("b.flac", "")

    raven = client.post("/v1/predict?format=raven", **form(fields[0]))
    assert "POND_20240501_053000.Table.1.selections.txt" in raven.headers["Content-Disposition"]
    (row,) = csv.DictReader(io.StringIO(raven.get_data(as_text=True)), delimiter="\t")
    assert (row["Begin Path"], row["Begin File"], row["High Freq (Hz)"]) == (fields[0][2], fields[0][2], "8000")
    audacity = client.post("/v1/predict?format=audacity", **form(fields[0]))
    assert audacity.get_data(as_text=True) == "0.000000\t7.000000\tParus major\n"


def test_the_format_can_be_chosen_by_the_header_accept(client: FlaskClient, song: bytes) -> None:
    for accept, kind in (
        ("text/csv", "text/csv"),
        ("text/tab-separated-values", "text/tab-separated-values"),
        ("application/json;q=0.5, text/csv", "text/csv"),
        ("*/*", "application/json"),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("image/png", "application/json"),
        ("nonsense;q=x", "application/json"),
    ):
        response = client.post("/v1/predict", data=song, headers={"Accept": accept})
        assert response.mimetype == kind, accept
    assert (
        client.post("/v1/predict?format=json", data=song, headers={"Accept": "text/csv"}).mimetype == "application/json"
    )


def test_a_table_of_several_recordings_drops_none_silently(client: FlaskClient, song: bytes) -> None:
    fields = [("file", song, "a.flac"), ("file", "text", "b.wav")]
    status, _, detail = problem(client, "?format=csv", **form(*fields))
    assert status == 422
    assert (
        "1 of 2 files have no answer, the first one because: text, not audio; leave them out, or use format=json"
        in detail
    )
    fields = [("file", song, "a.flac"), ("file", song, "b.flac")]
    for name in ("raven", "audacity"):
        assert problem(client, f"?format={name}", **form(*fields))[:2] == (409, "Too many files for this format")


def test_the_id_of_the_request_is_the_clients_if_it_is_sane(client: FlaskClient) -> None:
    for given in ("abc-1.2_X", "a" * 64):
        assert client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given
    for given in ("", "a" * 65, "a b", "<script>", "ä"):
        found = client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"]
        assert len(found) == 36
    assert client.get("/healthz").headers["X-Request-Id"] != client.get("/healthz").headers["X-Request-Id"]


def test_large_uploads_are_given_to_the_pool_as_files_that_are_removed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "uploads"
    folder.mkdir()
    (folder / "upload-of-a-killed-server").write_bytes(b"x")
    client = client_of(bundle, {"jobs": object()}, state=str(tmp_path))
    assert list(folder.iterdir()) == []
    seen: list[Any] = []
    from autobird.serving.compute import answer

    original = answer.answer_of

    def spy(classifier: Any, task: Any, progress: Any = None) -> Any:
        seen.append((type(task.source), list(folder.iterdir())))
        return original(classifier, task, progress)

    monkeypatch.setattr(answer, "answer_of", spy)
    large = sound(40, form="WAV")
    assert len(large) > 1 << 20
    for data in ({"data": large}, form(("file", large, "a.wav"))):
        assert ask(client, **data)["duration"] == 40
    assert ask(client, data=sound(2))["duration"] == 2
    client.post("/v1/predict", data=b"x" * (2 << 20))
    assert [issubclass(kind, Path) for kind, _ in seen] == [True, True, False, True]
    assert len(seen[0][1]) == 1
    assert list(folder.iterdir()) == []


class Pool:
    """A pool that does not compute."""

    def __init__(self, inner: Any, outcome: Any) -> None:
        self._inner, self._outcome = inner, outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def submit(self, *_: Any, **__: Any) -> Any:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


@pytest.mark.parametrize(
    ("outcome", "status", "retry"),
    [
        (QueueFull("64 requests wait, as many as are allowed (--queue)", 7), 503, "7"),
        (TaskProblem(503, "Out of memory", "x"), 503, "5"),
        (TaskProblem(422, "Damaged recording", "x"), 422, None),
        (ClientGone(), 499, None),
        (RuntimeError("/secret/path"), 500, None),
    ],
)
def test_what_the_pool_refuses_becomes_a_problem(
    bundle: Path, song: bytes, outcome: Any, status: int, retry: str | None
) -> None:
    from autobird.serving.app import create_app
    from autobird.serving.compute.pool import InlinePool
    from autobird.serving.services import Services
    from autobird.serving.settings import ServeSettings

    app = create_app(Services(Pool(InlinePool(bundle), outcome), ServeSettings()))
    response = app.test_client().post("/v1/predict", data=song)
    assert (response.status_code, response.headers.get("Retry-After")) == (status, retry)
    assert "secret" not in response.get_data(as_text=True)


def test_the_species_have_names_and_thresholds(client: FlaskClient) -> None:
    first, second = client.get("/v1/species").get_json()
    assert first | {"common_name": None} == {
        "species": "Parus major", "threshold": 0.0, "scientific_name": "Parus major", "common_name": None,
        "precision_thresholds": {"0.5": 0.25, "0.9": 0.5},
    }  # fmt: skip
    assert second["precision_thresholds"] == {"0.5": 0.75, "0.9": None}


def test_the_model_is_described_by_what_its_bundle_holds(client: FlaskClient) -> None:
    value = client.get("/v1/model").get_json()
    assert (value["name"], value["variant"], value["species"]) == ("tiny", "float", 2)
    assert value["limits"] == {
        "megabytes": 1, "seconds": 20, "values": 460_800_000, "files": 3, "waiting_requests": 64, "jobs": None,
    }  # fmt: skip
    assert value["card"] == CARD
    assert value["licence"]["recordings"] == {"BY": 7}
    assert value["metrics"] == [
        {
            "metric": "macro-F1 of the most probable species",
            "per_recording": {"value": 0.222, "low": 0.005, "high": 0.931},
            "per_window": {"value": 0.233, "low": None, "high": None},
        },
        {
            "metric": "AUROC (area under the ROC curve)",
            "per_recording": None,
            "per_window": {"value": -0.72, "low": -0.8, "high": 0.993},
        },
    ]
    for path, accept in (("/v1/model/card", "*/*"), ("/v1/model", "text/markdown")):
        response = client.get(path, headers={"Accept": accept})
        assert (response.mimetype, response.get_data(as_text=True)) == ("text/markdown", CARD)
    assert "a.mp3,Ann Ë" in client.get("/v1/model/attribution").get_data(as_text=True)


def test_the_scores_of_a_card_as_the_release_writes_it_are_read() -> None:
    from autobird.release.card import _METRICS, _metric_row

    values = {"value": 0.5, "low": 0.25, "high": 0.75}
    test = {f"{name}_by_{unit}": values for name in _METRICS for unit in ("recording", "window")}
    rows = [_metric_row(_Scores(values), name, text) for name, text in _METRICS.items()]
    card = "\n".join(
        ["# x", "", "## Performance", "", "| metric | per recording | per window |", "|---|---|---|", *rows, "", "## Y"]
    )
    assert test
    assert card_metrics(card) == [
        {"metric": text, "per_recording": values, "per_window": values} for text in _METRICS.values()
    ]


class _Scores(dict[str, Any]):
    """Metrics that have the same values under every name."""

    def __init__(self, values: Any) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, key: str) -> Any:
        return self if key.startswith("by_") or key in ("recording", "window") else self._values


def test_a_bundle_without_card_has_empty_texts(tmp_path: Path) -> None:
    from tests.unit.test_predict import make_bundle

    client = client_of(make_bundle(tmp_path / "bundle"))
    value = client.get("/v1/model").get_json()
    assert (value["card"], value["metrics"], value["licence"]) == ("", [], {})
    assert client.get("/v1/species").get_json()[0]["precision_thresholds"] == {}


def test_a_bundle_with_the_same_network_and_other_texts_is_read_again(tmp_path: Path) -> None:
    folder, infos = make_complete_bundle(tmp_path / "bundle"), BundleInfos()
    former = InlinePool(folder).bundle()
    assert infos.of(former) is infos.of(former)
    assert "# Model card: tiny" in infos.of(former).card
    (folder / "MODEL_CARD.md").write_text("# Model card: corrected")
    write_json(folder / "manifest.json", bundle_manifest(folder))
    assert infos.of(InlinePool(folder).bundle()).card == "# Model card: corrected"
    assert "# Model card: tiny" in infos.of(former).card


def test_the_state_of_the_server_is_told(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json() == {"status": "ok", "model": "0123456789abcdef"}
    assert client.get("/readyz").get_json()["status"] == "ready"


def test_a_server_that_is_not_ready_says_why_without_a_path(bundle: Path) -> None:
    from dataclasses import replace

    from autobird.serving.app import create_app
    from autobird.serving.compute.pool import InlinePool
    from autobird.serving.services import Services
    from autobird.serving.settings import ServeSettings

    inner = InlinePool(bundle)
    pool = Pool(inner, None)
    shadow = bundle.parent / "other"
    for folder in (bundle, shadow):
        state = replace(inner.state(), ready=False, swap_error=f"{folder} is damaged")
        pool.state = lambda state=state: state  # type: ignore[attr-defined]
        response = create_app(Services(pool, ServeSettings(shadow=str(shadow)))).test_client().get("/readyz")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
        assert response.get_json()["swap_error"] == f"{folder.name} is damaged"


def test_predictions_are_counted(bundle: Path, song: bytes) -> None:
    client = client_of(bundle)
    for _ in range(2):
        ask(client, data=song)
    client.post("/v1/predict", data=b"text")
    lines = dict(
        line.rsplit(" ", 1) for line in client.get("/metrics").get_data(as_text=True).splitlines() if line[0] != "#"
    )
    assert lines["autobird_audio_seconds_total"] == "14.0"
    assert lines["autobird_prediction_duration_seconds_count"] == "2.0"
    assert lines['autobird_errors_total{status="422"}'] == "1.0"
    assert lines['autobird_model_loaded{bundle="tiny",variant="float"}'] == "1.0"
    assert lines["autobird_processes"] == "1.0"
    assert float(lines['autobird_stage_seconds_total{stage="network"}']) > 0


def test_answers_go_to_the_log_with_the_id_of_the_request(bundle: Path, song: bytes) -> None:
    pytest.importorskip("autobird.serving.store.entries")

    class Store:
        entries: list[Any] = []  # noqa: RUF012

        def append(self, entry: Any) -> int:
            self.entries.append(entry)
            return len(self.entries)

    client = client_of(bundle, {"store": Store()})
    response = client.post("/v1/predict", data=song, headers={"X-Request-Id": "mine"})
    assert response.get_json()["prediction"] == 1
    assert Store.entries[0].request == "mine"


def test_files_of_the_page_have_types_and_are_not_sent_twice(bundle: Path, tmp_path: Path) -> None:
    from autobird.serving.app import create_app
    from autobird.serving.compute.pool import InlinePool
    from autobird.serving.services import Services
    from autobird.serving.settings import ServeSettings

    folder = tmp_path / "static"
    (folder / "js").mkdir(parents=True)
    (folder / "js/a.js").write_text("1")
    (folder / "secret.py").write_text("1")
    (tmp_path / "outside.txt").write_text("1")
    client = create_app(Services(InlinePool(bundle), ServeSettings()), folder).test_client()
    for path, kind in (("/", "text/html; charset=utf-8"), ("/static/js/a.js", "text/javascript; charset=utf-8")):
        response = client.get(path)
        assert (response.content_type, response.headers["Cache-Control"]) == (kind, "no-cache")
        again = client.get(path, headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert client.head(path).data == b""
    for name in ("secret.py", "../outside.txt", "%2e%2e/outside.txt", "js", "js/", "nothing.js", "js//a.js", "a%00.js"):
        assert client.get(f"/static/{name}").status_code in (404, 308), name


def test_the_page_of_the_api_loads_nothing_from_elsewhere_and_explains_every_problem(client: FlaskClient) -> None:
    html = client.get("/docs").get_data(as_text=True)
    assert "<script" not in html
    assert "style=" not in html
    assert "https://" not in html
    kind = client.post("/v1/predict", data=b"text").get_json()["type"]
    assert f'id="{kind.partition("#")[2]}"' in html
    assert client.get("/static/docs.css").mimetype == "text/css"
    assert client.get("/nothing").get_json()["type"] == "about:blank"


def test_the_app_needs_no_onnx_runtime_and_no_scipy_of_its_own() -> None:
    """The front's memory: the compute processes load them."""
    import subprocess

    code = "import sys; import autobird.serving.app; print(*{'onnxruntime', 'scipy', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_json_of_answers_is_strict(client: FlaskClient) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(text)

    for seconds in (0.5, 0.6, 7):
        response = client.post("/v1/predict?top_k=0", data=sound(seconds))
        json.loads(response.get_data(as_text=True), parse_constant=refuse)


def test_the_pages_share_their_frame(bundle: Path) -> None:
    """What is in both pages is written once, in `serving/pages`, and no template is served as it is."""
    from autobird.serving.api.page import PAGES, page_response

    client = client_of(bundle)
    with client.application.test_request_context():
        texts = [page_response(name).get_data(as_text=True) for name in ("index.html", "review.html")]
    for part in (
        '<meta name="viewport"',
        '<form id="key-form"',
        '<select id="colours">',
        '<a class="skip" href="#main">',
    ):
        assert [text.count(part) for text in texts] == [1, 1]
        assert sum(file.read_text().count(part) for file in PAGES.iterdir()) == 1
    for text in texts:
        assert "{%" not in text
        assert "{{" not in text
    assert client.get("/").get_data(as_text=True) == texts[0]
    assert client.get("/static/index.html").status_code == 404


def test_predictions_answer_alike_with_and_without_the_dispatch_of_flask(bundle: Path) -> None:
    """`/v1/predict` is answered directly, `/v1/predict/` by Flask: the same status, headers and content."""
    client = client_of(bundle, allow_origin=("https://example.org",))
    song, origin = sound(6), {"Origin": "https://example.org", "X-Request-Id": "a1"}
    cases: list[dict[str, Any]] = [
        {"data": song},
        {"data": song, "headers": origin},
        {"data": song, "query_string": {"format": "csv"}},
        {"data": song, "query_string": {"threshold": "2"}},
        {"data": song, "headers": {"Origin": "https://evil.example"}},
        {"data": song, "headers": {"Host": "evil.example"}},
        {"data": b"text"},
        {"data": b""},
        {"data": {"files": [(io.BytesIO(song), "a.flac"), (io.BytesIO(song), "b.flac")]}},
        {"data": {"files": [(io.BytesIO(b"x"), "a.flac")]}},
    ]
    for case in cases:
        found = []
        for path in ("/v1/predict", "/v1/predict/"):
            files = case["data"]["files"] if isinstance(case["data"], dict) else []
            for file, _ in files:
                file.seek(0)
            copies = {"files": [(io.BytesIO(file.read()), name) for file, name in files]} if files else case["data"]
            response = client.post(path, **(case | {"data": copies}))
            headers = {name: value for name, value in response.headers if name != "X-Request-Id" or value == "a1"}
            body = response.get_json(silent=True)
            if body is None:
                body = response.get_data(as_text=True)
            headers.pop("Content-Length")
            for part in [body, *body.get("files", ())] if isinstance(body, dict) else []:
                for name in ("request", "seconds"):
                    part.pop(name, None)
            found.append((response.status_code, headers, body))
        assert found[0] == found[1]
