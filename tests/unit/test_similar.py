"""`autobird similar`: the windows of a folder that are most similar to a clip, and the cache of embeddings."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from autobird import cli
from autobird.audio.settings import FeatureSettings
from autobird.backbone.base import Backbone, BackboneInfo, Samples
from autobird.core.errors import AutobirdError
from autobird.predict import embed_files, similar, sought_clip
from autobird.predict.bundle import Bundle
from autobird.predict.classification import Calibration
from autobird.predict.embedding_cache import CachedFile, EmbeddingCache, unit_rows, user_cache_folder
from autobird.predict.similarity import Match, cosines, most_similar

RATE = 8000
INFO = BackboneInfo(
    name="bands", sha256="5" * 64, sample_rate=RATE, window=1.0, width=20, licence="CC0", source="this test"
)


class Bands(Backbone):
    """The energy in bands of 200 Hz: tones of the same frequency are similar, whatever their level."""

    info = INFO

    def embed(self, samples: Samples) -> np.ndarray:
        power = np.abs(np.fft.rfft(samples, axis=1)[:, 1:]) ** 2
        return np.sqrt(power.reshape(len(samples), INFO.width, -1).sum(axis=2)).astype(np.float32)


def bundle(folder: Path, backbone: BackboneInfo | None = INFO, hop: float = 0.5) -> Bundle:
    features = FeatureSettings(sample_rate=RATE, window=1.0, hop=hop, fmax=4000.0)
    calibration = Calibration.softmax(1.0, np.array([0.5, 0.5]), "mean")
    return Bundle(folder, "tones", "float", "f" * 16, ("low", "high"), features, calibration, backbone)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the bundle and its backbone; workers are forked, and so have the stand-ins too."""
    monkeypatch.setattr(Bundle, "load", lambda folder: bundle(folder, None if folder.name == "network" else INFO))
    monkeypatch.setattr(similar, "check_backbone", lambda *_: None)
    monkeypatch.setattr(similar, "load_bundle_backbone", lambda *_: Bands())
    monkeypatch.setattr(embed_files, "load_bundle_backbone", lambda *_: Bands())


def tones(*frequencies: float, level: float = 0.3) -> np.ndarray:
    """One second of each frequency; 0 is noise that is hardly audible."""
    t, rng = np.arange(RATE) / RATE, np.random.default_rng(0)
    return np.concatenate(
        [level * np.sin(2 * np.pi * f * t) if f else 0.001 * rng.standard_normal(RATE) for f in frequencies]
    )


def folder_of_tones(root: Path) -> Path:
    folder = root / "field"
    (folder / "site").mkdir(parents=True)
    soundfile.write(folder / "a.wav", tones(0, 500, 0, 1500, 0), RATE)
    soundfile.write(folder / "site/b.flac", tones(0, 0, 1510, 0), RATE)
    soundfile.write(folder / "c.wav", tones(2500, 3100), RATE)
    (folder / "broken.wav").write_text("This is text.")
    soundfile.write(root / "clip.wav", tones(0, 1500, 0, level=0.05), RATE)
    return folder


def run(root: Path, *options: str, clip: str = "clip.wav") -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(
            ["similar", str(root / "head"), str(root / clip), str(root / "field"), "--jobs", "1", "--cache",
             str(root / "cache"), *options]
        )  # fmt: skip
    return int(end.value.code or 0)


def test_the_most_similar_windows_are_listed_first_and_overlapping_ones_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of_tones(tmp_path)
    assert run(tmp_path, "--csv", "--count", "4") == 1  # a file could not be used
    printed = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert [(Path(r["file"]).name, r["start"], r["end"]) for r in rows[:2]] == [
        ("a.wav", "3", "4"),
        ("b.flac", "2", "3"),
    ]
    assert float(rows[0]["similarity"]) == pytest.approx(1, abs=0.01)
    assert float(rows[2]["similarity"]) < 0.9
    assert f"{folder / 'broken.wav'}: skipped: text, not audio" in printed.err
    assert "embedding 4 files" in printed.err


def test_the_loudest_window_of_a_long_clip_is_searched_unless_another_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of_tones(tmp_path)
    soundfile.write(tmp_path / "long.wav", np.concatenate([tones(500), tones(0, 2500, level=0.9)]), RATE)
    run(tmp_path, "--json", "--count", "1", clip="long.wav")
    found = json.loads(capsys.readouterr().out)
    assert found["clip"] == {"file": str(tmp_path / "long.wav"), "start": 2.0, "end": 3.0}
    assert (Path(found["matches"][0]["file"]).name, found["matches"][0]["start"]) == ("c.wav", 0)
    assert found["bundle"]["backbone"] == "bands"
    run(tmp_path, "--json", "--count", "1", "--at", "0", clip="long.wav")
    found = json.loads(capsys.readouterr().out)
    assert (Path(found["matches"][0]["file"]).name, found["matches"][0]["start"]) == ("a.wav", 1)


def test_a_clip_of_the_folder_does_not_find_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of_tones(tmp_path)
    run(tmp_path, "--json", "--at", "3", clip="field/a.wav")
    first = json.loads(capsys.readouterr().out)["matches"][0]
    assert (Path(first["file"]).name, first["start"]) == ("b.flac", 2)


def test_clips_are_written_at_the_sampling_rate_of_their_recording(tmp_path: Path) -> None:
    folder_of_tones(tmp_path)
    run(tmp_path, "--clips", str(tmp_path / "clips"), "--count", "2", "--csv", "--output", str(tmp_path / "found.csv"))
    names = sorted(p.name for p in (tmp_path / "clips").iterdir())
    assert re.fullmatch(r"1_(1\.000|0\.99\d)_a_3s\.flac", names[0])
    samples, rate = soundfile.read(tmp_path / "clips" / names[0])
    assert (rate, len(samples)) == (RATE, RATE)
    np.testing.assert_allclose(samples, tones(1500), atol=1e-3)
    assert str(tmp_path / "clips" / names[0]) in (tmp_path / "found.csv").read_text()


def test_a_file_that_was_embedded_is_taken_from_the_cache_also_under_another_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of_tones(tmp_path)
    (folder / "broken.wav").unlink()
    run(tmp_path, "--csv")
    first = capsys.readouterr()
    (folder / "ab").mkdir()
    (folder / "a.wav").rename(folder / "ab/renamed.wav")
    monkeypatch.setattr(
        embed_files, "run_each", lambda _, jobs, *__, **___: iter([pytest.fail("embedded again")] if jobs else [])
    )
    assert run(tmp_path, "--csv") == 0
    assert capsys.readouterr().out == first.out.replace("a.wav", "ab/renamed.wav")


def test_a_bundle_without_a_backbone_is_refused_in_one_line_that_says_why(tmp_path: Path) -> None:
    folder_of_tones(tmp_path)
    with pytest.raises(AutobirdError, match=r"has no embeddings .* give the bundle of a run on a backbone"):
        similar.print_similar(
            tmp_path / "network", tmp_path / "clip.wav", tmp_path / "field", similar.SimilarOptions()
        )  # fmt: skip


@pytest.mark.parametrize(
    ("clip", "at", "message"),
    [
        ("field/broken.wav", None, "broken.wav: text, not audio"),
        ("clip.wav", 60.0, "starts at 60 s of a file of 3.0 s; correct its start (--at 60)"),
        ("missing.wav", None, "missing.wav: cannot be read"),
    ],
)
def test_a_clip_that_cannot_be_used_is_an_error_in_one_line(
    tmp_path: Path, clip: str, at: float | None, message: str
) -> None:
    folder_of_tones(tmp_path)
    with pytest.raises(AutobirdError, match=re.escape(message)):
        sought_clip.read_clip(tmp_path / clip, at, 1.0, RATE)


def test_the_clip_is_read_before_the_folder_is_embedded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of_tones(tmp_path)
    assert run(tmp_path, clip="missing.wav") == 2
    assert "embedding" not in capsys.readouterr().err


def test_the_level_is_that_of_high_frequencies() -> None:
    rng = np.random.default_rng(0)
    wind = 20000 * np.sin(2 * np.pi * 5 * np.arange(RATE) / RATE)
    samples = np.concatenate([wind, 3000 * tones(2000), rng.normal(0, 30, RATE)]).astype(np.int16)
    assert sought_clip.loudest(samples, RATE, RATE // 10) == RATE
    assert sought_clip.loudest(samples[:RATE], RATE, RATE // 10) == 0


def test_cosines_equal_those_of_float64_for_files_in_any_order() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(700, 24))
    rows = unit_rows(values)
    query = rng.normal(size=24).astype(np.float32)
    files = [CachedFile(300, 400, 0.0), CachedFile(0, 100, 0.0), CachedFile(100, 150, 0.0)]
    order = np.concatenate([np.arange(f.first, f.first + f.windows) for f in files])
    expected = values @ query / np.linalg.norm(values, axis=1) / np.linalg.norm(query)
    np.testing.assert_allclose(cosines(rows, files, query), expected[order], atol=5e-4)
    assert not unit_rows(np.zeros((1, 24))).any()
    assert not cosines(rows, files[:1], np.zeros(24, np.float32)).any()


def test_the_best_windows_are_those_of_a_full_sort() -> None:
    rng = np.random.default_rng(1)
    similarities = rng.integers(0, 400, 3000).astype(np.float32)  # many equal values
    windows = [1000, 0, 500, 1500]
    matches = most_similar(similarities, windows, 200, apart=3)
    starts = np.cumsum([0, *windows])
    taken: list[tuple[int, int]] = []
    for position in np.argsort(-similarities, kind="stable"):
        file = int(np.searchsorted(starts, position, side="right")) - 1
        window = int(position - starts[file])
        if all(f != file or abs(w - window) >= 3 for f, w in taken):
            taken.append((file, window))
    assert [(m.file, m.window) for m in matches] == taken[:200]
    assert most_similar(similarities[:2], [2], 5, apart=1, excluded={0: (0, 0)}) == [Match(0, 1, similarities[1])]


def test_rows_without_a_file_are_overwritten_after_a_process_was_killed(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, INFO, bundle(tmp_path).features)
    cache.add("a", np.eye(3, 20), 2.0)
    with (cache.folder / "rows.f16").open("ab") as file:
        file.write(b"half a row")
    again = EmbeddingCache(tmp_path, INFO, bundle(tmp_path).features)
    again.add("b", 2 * np.eye(2, 20), 1.0)
    again.add("b", np.ones((9, 20)), 1.0)  # another process was faster
    assert again.files(["a", "b", "c"]) == {"a": CachedFile(0, 3, 2.0), "b": CachedFile(3, 2, 1.0)}
    np.testing.assert_array_equal(again.rows(), np.concatenate([np.eye(3, 20), np.eye(2, 20)]).astype(np.float16))


def test_other_windows_or_another_backbone_have_a_cache_of_their_own(tmp_path: Path) -> None:
    features = bundle(tmp_path).features
    # A file without fixed lengths can be used at several rates and with several windows.
    changes: list[dict[str, object]] = [
        {"sha256": "6" * 64}, {"sample_rate": 2 * RATE}, {"window": 2.0}, {"input": "x"}, {"output": "y"}, {"peak": 0.5}
    ]  # fmt: skip
    folders = {
        EmbeddingCache(tmp_path, info, f).folder
        for info in (INFO, *(INFO.model_copy(update=change) for change in changes))
        for f in (features, features.model_copy(update={"hop": 0.25}))
    }
    assert len(folders) == 14
    moved = INFO.model_copy(update={"licence": "MIT", "source": "elsewhere"})
    assert EmbeddingCache(tmp_path, moved, features).folder in folders


def test_a_cache_folder_that_cannot_be_used_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "embeddings").write_text("a file")
    with pytest.raises(AutobirdError, match=r"cannot be used .* --cache"):
        EmbeddingCache(tmp_path, INFO, bundle(tmp_path).features)


def test_the_cache_is_in_the_folder_that_the_system_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_folder() == tmp_path / "autobird"
