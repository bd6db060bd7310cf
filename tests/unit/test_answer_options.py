"""Thresholds, species and occurrence that users choose for a bundle when they predict."""

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from autobird import cli
from autobird.backbone.occurrence import ALL_YEAR, OccurrenceModel
from autobird.core.errors import AutobirdError
from autobird.core.files import read_rows
from autobird.predict import Classifier, batch
from autobird.predict.answer_options import AS_RELEASED, AnswerOptions
from autobird.predict.bundle import Bundle, bundle_manifest
from autobird.predict.classifier import Detection
from autobird.predict.journal import Journal
from autobird.predict.occurrence_filter import Location, OccurrenceFilter, location_of
from autobird.predict.overlay_path import overlay_path
from autobird.predict.settings import PredictSettings
from autobird.predict.threshold_overlay import write_overlay
from tests.unit.test_predict import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    (tmp_path / "bundle").mkdir()
    folder = make_bundle(tmp_path / "bundle", (0.0, 1.0))
    description = json.loads((folder / "bundle.json").read_text())
    description["precision_thresholds"] = {"0.5": [0.2, 0.3], "0.9": [0.6, None]}
    (folder / "bundle.json").write_text(json.dumps(description))
    (folder / "manifest.json").write_text(json.dumps(bundle_manifest(folder)))
    return Bundle.load(folder)


def test_without_options_the_thresholds_are_those_of_the_bundle(bundle: Bundle) -> None:
    assert AnswerOptions().apply(bundle).thresholds.tolist() == bundle.thresholds.tolist()


def test_a_table_beside_the_bundle_changes_some_thresholds_for_every_user_of_the_bundle(bundle: Bundle) -> None:
    write_overlay(bundle, {bundle.labels[1]: 0.77})
    expected = [bundle.thresholds[0], 0.77]
    assert AnswerOptions().apply(bundle).thresholds.tolist() == expected
    assert Classifier(bundle.folder).bundle.thresholds.tolist() == expected
    assert AS_RELEASED.apply(bundle).thresholds.tolist() == bundle.thresholds.tolist()
    assert "bundle.thresholds.csv" in AnswerOptions().notes(bundle)[0]
    overlay_path(bundle.folder).write_text("bundle,species,threshold\nffff,x,0.5\n")
    with pytest.raises(AutobirdError, match="chosen for the bundle ffff"):
        Classifier(bundle.folder)


def test_a_note_names_the_table_beside_the_bundle_only_if_its_thresholds_count(bundle: Bundle) -> None:
    path = write_overlay(bundle, {bundle.labels[1]: 0.7})
    assert AnswerOptions().notes(bundle) == [f"thresholds of 1 species come from {path}"]
    assert AnswerOptions(threshold=0.4).notes(bundle) == []
    assert AnswerOptions(overlay=False).notes(bundle) == []


def test_a_wanted_precision_uses_the_next_one_and_reports_nothing_that_does_not_reach_it(bundle: Bundle) -> None:
    options = AnswerOptions(precision=0.7)
    assert options.apply(bundle).thresholds.tolist() == [0.6, np.inf]
    notes = options.notes(bundle)
    assert "precision of 0.9, the next one" in notes[0]
    assert notes[1].endswith(bundle.labels[1])
    assert AnswerOptions(precision=0.5).apply(bundle).thresholds.tolist() == [0.2, 0.3]
    for value in (0.95, 0.0, 1.0, float("nan")):
        with pytest.raises(AutobirdError, match=r"at most 0\.9"):
            AnswerOptions(precision=value).apply(bundle)
    with pytest.raises(AutobirdError, match="earlier version"):
        AnswerOptions(precision=0.5).apply(replace(bundle, precision_thresholds={}))


def test_one_threshold_for_the_listed_species_only(bundle: Bundle) -> None:
    options = AnswerOptions(threshold=0.4, species=(bundle.labels[0],))
    assert options.apply(bundle).thresholds.tolist() == [0.4, np.inf]
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(AutobirdError, match="from 0 to 1"):
            AnswerOptions(threshold=value).apply(bundle)


def _model(labels: list[str], values: list[float]) -> OccurrenceModel:
    class Fixed(OccurrenceModel):
        def occurrence(self, latitude: float, longitude: float, week: int = ALL_YEAR) -> np.ndarray:
            return np.array(values, np.float32) * (0.5 if week == 1 else 1)

    return Fixed(tuple(labels), np.zeros(48, np.float32), (), ())


def test_species_that_hardly_occur_are_left_out_and_unknown_ones_are_kept() -> None:
    model = _model(["Pica pica_Magpie", "Parus major_Great Tit"], [0.02, 0.8])
    found = OccurrenceFilter(("parus_major", "Magpie", "Fictornis"), Location(50, 8, None, 0.03), model, {0: 1, 1: 0})
    assert found.unknown == ["Fictornis"]
    detections = [Detection(0, 3, name, 0.9) for name in found.labels]
    kept, left_out = found.split(detections, None)
    assert [(d.species, d.occurrence) for d in kept] == [("parus_major", 0.8), ("Fictornis", None)]
    assert [(d.species, d.occurrence) for d in left_out] == [("Magpie", 0.02)]
    assert found.split(detections, dt.date(2025, 1, 2))[0][0].occurrence == 0.4
    shown = replace(found, location=Location(50, 8))
    assert len(shown.split(detections, None)[0]) == 3


def test_options_of_the_location_belong_together() -> None:
    assert location_of(None, None, None, None) is None
    assert location_of(50.0, 8.0, 3, 0.03) == Location(50.0, 8.0, 3, 0.03)
    for options, message in (
        ((50.0, None, None, None), "belong together"),
        ((None, None, 3, None), "--week 3 needs"),
        ((None, None, None, 0.03), "--min-occurrence 0.03 needs"),
        ((50.0, 8.0, None, 3.0), "from 0 to 1"),
    ):
        with pytest.raises(AutobirdError, match=message):
            location_of(*options)


def test_what_seldom_occurs_is_left_out_of_every_output_and_counted_also_when_a_run_continues(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bundle.labels
    model = _model([f"{first}_x", f"{second}_y"], [0.02, 0.8])
    monkeypatch.setattr("autobird.predict.occurrence_filter._model", lambda: model)
    survey = tmp_path / "survey"
    (survey / "north").mkdir(parents=True)
    soundfile.write(survey / "north/a.wav", 0.1 * np.random.default_rng(1).standard_normal(16000 * 6), 16000)
    options = ("--threshold", "0", "--latitude", "50", "--longitude", "8", "--min-occurrence", "0.03", "--jobs", "1")
    assert _predict(bundle.folder, survey, *options) == 0
    captured = capsys.readouterr()
    assert f"{second}  0." in captured.out
    assert "(occurrence 0.80)" in captured.out
    assert first not in captured.out
    left_out = f"note: --min-occurrence left out 1 detection of species that hardly occur there and then: {first} (1)"
    assert left_out in captured.err
    output = tmp_path / "out/d"
    monkeypatch.setattr(Journal, "remove", Journal.close)  # as after a kill before the last step
    for root, site in ((survey, "north"), (survey / "north", "")):
        assert _predict(bundle.folder, root, "--format", "json,csv", "--windows", "--output", output, *options) == 0
        assert left_out in capsys.readouterr().err
        (found,) = json.loads((tmp_path / "out/d.json").read_text())["files"]
        assert [(d["species"], d["occurrence"]) for d in found["detections"]] == [(second, 0.8)]
        assert {name for window in found["windows"] for name in window["detected"]} == {second}
        assert found.get("site", "") == site
    assert "results of 1 file are taken over" in _taken_over(bundle, survey, output, options, capsys)


def test_the_stage_of_snakemake_predict_knows_species_codes_and_place(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bundle.labels
    model = _model([f"{first}_x", f"{second}_y"], [0.02, 0.8])
    monkeypatch.setattr("autobird.predict.occurrence_filter._model", lambda: model)
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(1).standard_normal(16000 * 6), 16000)
    (tmp_path / "manifest.csv").write_text("recording,sha256\na.wav,1\n")
    (tmp_path / "list.txt").write_text("mine\n")
    (tmp_path / "names.csv").write_text(f"{first},mine\n")
    (tmp_path / "codes.csv").write_text(f"species,code\n{second},two\n")

    def rows(*options: str) -> list[dict[str, str]]:
        outputs = [
            text for n in ("detections", "files", "skipped", "features") for text in (f"--{n}", f"{tmp_path / n}.csv")
        ]
        common = ["--bundle", str(bundle.folder), "--manifest", str(tmp_path / "manifest.csv"), "--root", str(tmp_path)]
        batch.main([*common, *outputs, "--threshold=0", *options])
        return read_rows(tmp_path / "detections.csv")

    assert {row["species"] for row in rows()} == {first, second}
    listed = rows("--species", f"{tmp_path / 'list.txt'}", "--names", f"{tmp_path / 'names.csv'}")
    assert {row["species"] for row in listed} == {first}
    assert {(row["species"], row["code"]) for row in rows("--codes", f"{tmp_path / 'codes.csv'}")} == {
        (first, ""),
        (second, "two"),
    }
    place = ("--latitude=50", "--longitude=8")
    assert {(row["species"], row["occurrence"]) for row in rows(*place)} == {(first, "0.0200"), (second, "0.8000")}
    assert {row["species"] for row in rows(*place, "--min-occurrence=0.03")} == {second}
    assert {row["occurrence"] for row in rows(*place, "--week=1")} == {"0.0100", "0.4000"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": "n.csv"}, "names needs species"),
        ({"latitude": 50}, "belong together"),
        ({"week": 3}, "need latitude and longitude"),
        ({"min_occurrence": 0.1}, "need latitude and longitude"),
        ({"latitude": 50, "longitude": 8, "week": 0}, "week 0 does not exist"),
        ({"latitude": 95, "longitude": 8}, "latitude"),
    ],
)
def test_settings_of_the_batch_prediction_that_do_not_fit_together_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        PredictSettings.model_validate(settings)


def _taken_over(
    bundle: Bundle, survey: Path, output: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> str:
    """Messages of a run with a lower `--min-occurrence`, which uses the same journal."""
    changed = ["0.01" if text == "0.03" else text for text in options]
    assert _predict(bundle.folder, survey, "--format", "json", "--windows", "--output", output, *changed) == 0
    (found,) = json.loads(output.with_name("d.json").read_text())["files"]
    assert {d["species"] for d in found["detections"]} == set(bundle.labels)
    return capsys.readouterr().err


def _predict(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_the_command_applies_threshold_and_species(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound, listed = tmp_path / "a.wav", tmp_path / "list.txt"
    soundfile.write(sound, 0.1 * np.random.default_rng(1).standard_normal(16000 * 6), 16000)
    listed.write_text(bundle.labels[0])
    assert _predict(bundle.folder, sound, "--csv", "--threshold", "0", "--jobs", "1") == 0
    assert {line.split(",")[3] for line in capsys.readouterr().out.splitlines()[1:]} == set(bundle.labels)
    assert _predict(bundle.folder, sound, "--csv", "--threshold", "0", "--species", listed, "--jobs", "1") == 0
    assert {line.split(",")[3] for line in capsys.readouterr().out.splitlines()[1:]} == {bundle.labels[0]}
    for options, message in (
        (("--threshold", "0.5", "--precision", "0.5"), "cannot be used together"),
        (("--names", listed), "--names needs --species"),
        (("--precision", "0.99"), "at most 0.9"),
        (("--latitude", "50"), "belong together"),
        (("--species", tmp_path / "none.txt"), "cannot be read"),
    ):
        assert _predict(bundle.folder, sound, *options) == 2
        assert message in capsys.readouterr().err
