"""`autobird review`: candidates that are made once, summary, thresholds beside the bundle, and the session that the server uses."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from autobird import cli
from autobird.predict import Classifier
from autobird.predict.bundle import Bundle
from autobird.predict.origin import Places
from autobird.predict.overlay_path import overlay_path
from autobird.review import candidates
from autobird.review.candidates import PoolOptions, build_pool
from autobird.review.pool import Pool
from autobird.review.queues import QueueOptions
from autobird.review.session import ReviewSession
from autobird.sources.review_table import read_reviews
from tests.unit.test_predict import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("run") / "release" / "bundle")


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """Four recordings of two sites, of which one is text, and a part of one is silent."""
    folder = tmp_path / "survey"
    for number, name in enumerate(("lake/20260501_040000.wav", "lake/20260501_200000.wav", "hill/20260501_040000.wav")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        samples = 0.1 * np.random.default_rng(number).standard_normal(16000 * 30)
        if number == 2:
            samples[: 16000 * 15] = 0
        soundfile.write(folder / name, samples, 16000)
    (folder / "hill/20260502_040000.wav").write_text("words" * 1000)
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["review", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_candidates_are_all_windows_that_are_not_quiet(bundle: Path, survey: Path, tmp_path: Path) -> None:
    pool = build_pool(Bundle.load(bundle), survey, tmp_path / "pool.npz")
    assert [file.name for file in pool.files] == [
        "hill/20260501_040000.wav", "hill/20260502_040000.wav", "lake/20260501_040000.wav", "lake/20260501_200000.wav",
    ]  # fmt: skip
    assert [file.site for file in pool.files] == ["hill", "hill", "lake", "lake"]
    assert pool.files[1].problem
    # From noon to noon: the morning at the lake is another session than its evening.
    assert [file.session for file in pool.files] == [
        "hill 2026-04-30", "hill 2026-05-01", "lake 2026-04-30", "lake 2026-05-01",
    ]  # fmt: skip
    prediction = Classifier(bundle).predict(survey / "hill/20260501_040000.wav")
    rows = pool.window_file == 0
    assert pool.window_start[rows].tolist() == prediction.starts[~prediction.quiet].tolist()
    probabilities = prediction.probabilities[~prediction.quiet]
    items = rows[pool.item_window]
    assert items.sum() == (probabilities >= pool.floor).sum()
    np.testing.assert_allclose(pool.item_probability[items], probabilities[probabilities >= pool.floor], rtol=1e-6)
    assert str(pool.local_time(int(np.flatnonzero(rows)[0]))) == "2026-05-01 04:00:12.500000"


def test_the_files_of_a_pool_are_found_by_any_name(bundle: Path, survey: Path, tmp_path: Path) -> None:
    (survey / "lake/20260501_040000.wav").rename(survey / os.fsdecode(b"lake/m\xe9lange.wav"))
    pool = build_pool(Bundle.load(bundle), survey, tmp_path / "pool.npz")
    assert "lake/m\\xe9lange.wav" in [file.name for file in pool.files]
    assert all(file.path(survey).is_file() for file in pool.files)
    only = survey / "lake/20260501_200000.wav"
    assert [f.path(only) for f in build_pool(Bundle.load(bundle), only, tmp_path / "one.npz").files] == [only]


def test_only_new_and_changed_recordings_are_classified_again(
    bundle: Path, survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_pool(Bundle.load(bundle), survey, tmp_path / "pool.npz")
    classified: list[str] = []
    original = candidates._classify
    monkeypatch.setattr(
        candidates,
        "_classify",
        lambda b, files, o: [classified.extend(f.below for f in files), *original(b, files, o)][1:],
    )
    again = build_pool(Bundle.load(bundle), survey, tmp_path / "pool.npz")
    assert classified == []
    for name in ("window_start", "item_window", "item_species", "item_probability"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert again.files == first.files
    # Another way to determine the site needs no classification.
    no_site = PoolOptions(places=Places("none"))
    assert {file.site for file in build_pool(Bundle.load(bundle), survey, tmp_path / "pool.npz", no_site).files} == {""}
    assert {file.site for file in Pool.load(tmp_path / "pool.npz").files} == {""}
    soundfile.write(survey / "lake/20260502_040000.wav", 0.1 * np.random.default_rng(9).standard_normal(160000), 16000)
    (survey / "hill/20260501_040000.wav").unlink()
    build_pool(Bundle.load(bundle), survey, tmp_path / "pool.npz")
    assert classified == ["lake/20260502_040000.wav"]
    (tmp_path / "pool.npz").write_bytes(b"damaged")
    assert len(build_pool(Bundle.load(bundle), survey, tmp_path / "pool.npz").files) == 4


def test_the_session_goes_on_where_a_reviewer_stopped(bundle: Path, survey: Path, tmp_path: Path) -> None:
    def session() -> ReviewSession:
        return ReviewSession(bundle, survey, tmp_path / "review", QueueOptions(count=12))

    first = session()
    items = first.next_items("Ann", 3)
    assert [item.id for item in items] == [item.id for item in first.queue[:3]]
    for item in items:
        first.decide(item.id, "Ann", "no")
    first.undo("Ann")
    again = session()
    assert again.next_items("Ann")[0] == items[2]
    assert again.next_items("Ben")[0] == items[0]
    progress = again.progress("Ann")
    assert (progress.items, progress.decided, progress.by_decision) == (len(again.queue), 2, {"no": 2})
    assert sum(total for _, total in progress.by_stratum.values()) == len(again.queue)
    rows = read_reviews(tmp_path / "review/reviews.csv")
    assert [(r.decision, r.model) for r in rows] == [("no", "0123456789abcdef")] * 3 + [("undo", "0123456789abcdef")]
    again.decide(items[0].id, "Ann", "yes")
    again.undo("Ann")
    assert again.progress(" Ann ").by_decision == {"no": 2}
    with pytest.raises(KeyError):
        again.decide("nothing", "Ann", "yes")


def test_summary_and_thresholds_beside_the_bundle(
    bundle: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (bundle.parent.parent, "--recordings", survey, "--output", tmp_path / "review", "--jobs", 1)
    assert run(*common, "--report") == 0
    assert "nothing to summarise yet" in capsys.readouterr().out
    session = ReviewSession(bundle, survey, tmp_path / "review")
    for n, item in enumerate(session.queue):
        session.decide(item.id, "Ann", "yes" if n % 3 else "no")
    assert run(*common, "--report") == 0
    text = capsys.readouterr().out
    assert f"{len(session.queue)} reviewed items with a clear answer" in text
    assert "share right" in text
    assert "at the thresholds in use" in text
    path = overlay_path(bundle)
    try:
        assert run(*common, "--apply-precision", "0.5") == 0
        assert f"{path} written" in capsys.readouterr().out
        lines = path.read_text().splitlines()
        assert lines[0] == "bundle,species,threshold"
        assert {line.split(",")[1] for line in lines[1:]} == {"Parus major", "Corvus corone"}
        assert Classifier(bundle).bundle.thresholds.tolist() == [float(line.split(",")[2]) for line in lines[1:]]
    finally:
        path.unlink(missing_ok=True)


def test_a_report_of_one_decision_says_what_is_not_known(
    bundle: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (bundle.parent.parent, "--recordings", survey, "--output", tmp_path / "review", "--jobs", 1)
    session = ReviewSession(bundle, survey, tmp_path / "review")
    item = session.queue[0]
    session.decide(item.id, "Ann", "yes")
    assert run(*common, "--report") == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "not known" in line]
    assert rows
    assert all(row.split()[2:] == ["0", "0", "not", "known"] for row in rows)
    path = overlay_path(bundle)
    try:
        assert run(*common, "--apply-precision", "0.5") == 0
        other = ({"Parus major", "Corvus corone"} - {item.species}).pop()
        assert f"unchanged, because no reviewed item is about them: {other}\n" in capsys.readouterr().out
    finally:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--species", "Pica pica"), "the bundle knows Parus major, Corvus corone"),
        (("--only-site", "moor"), "the recordings have the sites hill, lake"),
        (("--queue", "similar"), "give --clip FILE"),
        (("--queue", "unlike"), "needs detections and a bundle with unknown scores"),
        (("--apply-precision", "0.9"), "has no decision about items that were drawn at random"),
    ],
)
def test_options_that_do_not_fit_are_explained(
    bundle: Path,
    survey: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    message: str,
) -> None:
    assert run(bundle, "--recordings", survey, "--output", tmp_path / "review", "--jobs", 1, *options) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--recordings", tmp_path) == 2
    assert "is neither the folder of a finished run nor a bundle" in capsys.readouterr().err
