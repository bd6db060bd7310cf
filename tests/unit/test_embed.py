"""Embeddings of windows: where the backbone's windows are, blocks and processes do not matter, rows match the segments."""

import csv
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autobird.audio import segment
from autobird.audio.access import RecordingLocation
from autobird.audio.decode import decode
from autobird.audio.settings import WindowSettings
from autobird.audio.windows import window_count
from autobird.backbone import embed, stream
from autobird.backbone.base import Backbone, BackboneInfo
from autobird.backbone.known import BackboneKey, embedding_key
from autobird.backbone.load import load_backbone
from autobird.backbone.settings import BackboneSettings
from autobird.backbone.stream import EmbeddingStream, WindowGrid
from autobird.core import workers
from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text
from autobird.core.tables import read_table
from autobird.corpus import recordings
from autobird.sources.listing import MANIFEST_COLUMNS
from tests.backbones import RATE, SETTINGS, WIDTH, needs_birdnet, write_onnx

INFO = BackboneInfo(name="fake", sha256="0" * 64, sample_rate=100, window=3.0, width=3, licence="CC0", source="")


class Fake(Backbone):
    """Its embedding is the first sample of a window in 16 bit, the number of samples that are not 0, and 1."""

    def __init__(self, info: BackboneInfo = INFO) -> None:
        self.info, self.calls = info, 0

    def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        assert samples.shape[1] == self.info.window_samples
        self.calls += len(samples)
        first, count = samples[:, 0] * 32768, (samples != 0).sum(axis=1)
        return np.stack([first, count, np.ones(len(samples))], axis=1).astype(np.float32)


def windows_of(window: float, hop: float, rate: int = 100) -> WindowSettings:
    return WindowSettings.model_construct(sample_rate=rate, window=window, hop=hop)


def embedded(
    samples: int, settings: WindowSettings, backbone: Fake | None = None, block: int = 10**9
) -> NDArray[np.float16]:
    """Embeddings of a recording whose samples are 1, 2, 3, ..., which arrives in blocks."""
    found = EmbeddingStream(backbone or Fake(), settings)
    for part in np.array_split(np.arange(1, samples + 1, dtype=np.int16), max(1, samples // block)):
        found.add(part)
    rate = settings.sample_rate
    return found.finish(window_count(samples * rate // 100, settings.window_samples, settings.hop_samples))


@pytest.mark.parametrize(
    ("window", "taken", "offsets"),
    [
        (3.0, 300, [0]),
        (2.0, 200, [0]),
        (3.01, 300, [0, 1]),
        (5.0, 300, [0, 200]),
        (6.0, 300, [0, 300]),
        (7.0, 300, [0, 200, 400]),
        (9.0, 300, [0, 300, 600]),
        (10.0, 300, [0, 233, 467, 700]),
    ],
)
def test_backbone_windows_are_spread_evenly_over_a_longer_window(window: float, taken: int, offsets: list[int]) -> None:
    grid = WindowGrid(windows_of(window, window), INFO)
    assert (grid.taken, grid.offsets) == (taken, offsets)


def test_positions_are_rounded_to_the_rate_of_the_backbone() -> None:
    grid = WindowGrid(windows_of(5.0, 2.5, 16000), INFO.model_copy(update={"sample_rate": 22050, "window": 3.0}))
    assert [grid.start(n) for n in range(4)] == [0, 55125, 110250, 165375]
    assert grid.offsets == [0, 44100]
    odd = WindowGrid(
        WindowSettings(sample_rate=16000, window=1.0, hop=0.7), INFO.model_copy(update={"sample_rate": 11025})
    )
    assert [odd.start(n) for n in range(3)] == [0, 7718, 15435]  # 7717.5 and 15435.0


def test_a_window_of_the_length_of_the_backbone_holds_one() -> None:
    found = embedded(1000, windows_of(3.0, 3.0))
    np.testing.assert_array_equal(found[:, 0], [1, 301, 601, 901])
    np.testing.assert_array_equal(found[:, 1], [300, 300, 300, 100])


def test_a_shorter_window_is_padded_with_zeros() -> None:
    found = embedded(500, windows_of(2.0, 1.0))
    np.testing.assert_array_equal(found[:, 0], [1, 101, 201, 301])
    np.testing.assert_array_equal(found[:, 1], [200, 200, 200, 200])


def test_a_longer_window_is_the_mean_of_the_backbone_windows_in_it() -> None:
    found = embedded(1000, windows_of(5.0, 2.5))
    np.testing.assert_array_equal(found[:, 0], [(1 + 201) / 2, (251 + 451) / 2, (501 + 701) / 2])


def test_backbone_windows_after_the_end_of_the_recording_are_left_out() -> None:
    found = embedded(650, windows_of(5.0, 5.0))
    np.testing.assert_array_equal(found[:, 0], [101, 501])  # the second window has a start at 701, too
    np.testing.assert_array_equal(found[:, 1], [300, 150])


def test_a_recording_shorter_than_the_window_of_the_backbone_has_one_row() -> None:
    np.testing.assert_array_equal(embedded(40, windows_of(5.0, 2.5)), [[1, 40, 1]])


def test_backbone_windows_that_windows_share_are_computed_once() -> None:
    backbone = Fake()
    found = embedded(3000, windows_of(6.0, 3.0), backbone)
    assert len(found) == 9
    assert backbone.calls == 10


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 4000),
    block=st.integers(1, 900),
    window=st.sampled_from([1.0, 2.5, 3.0, 5.0, 7.3]),
    share=st.sampled_from([0.3, 0.5, 1.0]),
)
def test_the_sizes_of_the_blocks_do_not_matter(samples: int, block: int, window: float, share: float) -> None:
    settings = windows_of(window, round(window * share, 2))
    before = stream._HELD_SECONDS, stream._BLOCK_SECONDS
    whole = embedded(samples, settings)
    try:
        stream._HELD_SECONDS, stream._BLOCK_SECONDS = 4.0, 2.0
        np.testing.assert_array_equal(embedded(samples, settings, block=block), whole)
    finally:
        stream._HELD_SECONDS, stream._BLOCK_SECONDS = before


def test_the_samples_that_are_held_do_not_grow_with_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_HELD_SECONDS", 20.0)
    found, largest = EmbeddingStream(Fake(), windows_of(5.0, 2.5)), 0
    for _ in range(2000):
        found.add(np.ones(100, np.int16))
        largest = max(largest, len(found._held) + found._waiting_samples)
    assert found.samples == 200_000
    assert largest < 100 * (30 + 5 + 1) + 100
    assert len(found._known) <= 4


@pytest.mark.parametrize("value", [np.nan, 1e5])
def test_values_that_float16_cannot_store_are_an_error(value: float) -> None:
    class Bad(Fake):
        def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
            return super().embed(samples) * np.float32(value)

    with pytest.raises(AutobirdError, match=r"backbone fake: a value of its embeddings is not finite, or above 65504"):
        embedded(400, windows_of(3.0, 3.0), Bad())


LENGTHS = {"long.wav": (16000, 9.3), "stereo.flac": (44100, 4.0), "low.wav": (8000, 3.0), "short.wav": (16000, 0.6)}
UNUSABLE = ["text.mp3", "silent.wav"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of several rates and lengths, and two unusable files."""
    folder = tmp_path_factory.mktemp("root")
    rng = np.random.default_rng(0)
    for n, (name, (rate, seconds)) in enumerate(LENGTHS.items()):
        soundfile.write(folder / name, 0.1 * rng.standard_normal((round(rate * seconds), 1 + n % 2)), rate)
    (folder / "text.mp3").write_text("no audio")
    soundfile.write(folder / "silent.wav", np.zeros(32000), 16000)
    write_onnx(folder / "small.onnx")
    return folder


class Batch:
    """The stages from a manifest to embeddings."""

    def __init__(self, folder: Path, root: Path, rows: list[list[str]] | None = None) -> None:
        self.folder, self.root = folder, root
        folder.mkdir(parents=True, exist_ok=True)
        self.key = embedding_key(BackboneSettings(**SETTINGS, file=str(root / "small.onnx")), folder / "cache")
        self.file = str(root / "small.onnx")
        rows = rows or [[name, "x", "", "", "", "", ""] for name in [*LENGTHS, *UNUSABLE]]
        (folder / "manifest.csv").write_text(csv_text([list(MANIFEST_COLUMNS), *rows]))
        recordings.main(
            [*self.options("manifest.csv", recordings="r.parquet", landmarks="l.npy", pcm="p.npy"), "--root", str(root)]
        )
        segment.main(self.options(recordings="r.parquet", pcm="p.npy", segments="s.parquet"))

    def options(self, manifest: str = "", **files: str) -> list[str]:
        given = ({"manifest": manifest} if manifest else {}) | files
        return [text for name, file in given.items() for text in (f"--{name}", str(self.folder / file))]

    def embed(self, name: str = "e", threads: int = 1, tar: bool = False) -> tuple[bytes, bytes]:
        """Run stage `embed`; return the bytes of its outputs."""
        outputs = {"embeddings": f"{name}.npy", "table": f"{name}.parquet", "log": f"{name}.log"}
        where = ["--root", str(self.root)]
        if tar:
            where = ["--audio", str(self.folder / "a.tar")]
            with tarfile.open(self.folder / "a.tar", "w") as archive:
                for file in [*LENGTHS, *UNUSABLE]:
                    archive.add(self.root / file, file)
        embed.main(
            [
                *self.options(recordings="r.parquet", segments="s.parquet", **outputs), *where, "--backbone", self.key,
                "--file", self.file, "--threads", str(threads),
            ]
        )  # fmt: skip
        assert not [p for p in self.folder.iterdir() if p.suffix in (".tmp", ".f16")]
        return (self.folder / f"{name}.npy").read_bytes(), (self.folder / f"{name}.parquet").read_bytes()


@pytest.fixture(scope="module")
def batch(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return Batch(tmp_path_factory.mktemp("batch"), root)


@pytest.fixture(scope="module")
def expected(batch: Batch) -> tuple[bytes, bytes]:
    return batch.embed()


def test_row_i_is_window_i_of_the_segments(batch: Batch, expected: tuple[bytes, bytes]) -> None:
    found, table, segments = (
        np.load(batch.folder / "e.npy"),
        read_table(batch.folder / "e.parquet"),
        read_table(batch.folder / "s.parquet"),
    )
    assert found.dtype == np.float16
    assert found.shape == (len(segments), WIDTH)
    assert table[["recording", "start"]].equals(segments[["recording", "start"]])
    assert set(table["recording"]) == set(LENGTHS)  # unusable recordings have no rows
    backbone = load_backbone(BackboneSettings(**SETTINGS, file=batch.file))
    for name in LENGTHS:
        sound = EmbeddingStream(backbone, WindowSettings())
        sound.add(decode(batch.root / name, RATE))
        rows = (table["recording"] == name).to_numpy()
        np.testing.assert_array_equal(found[rows], sound.finish(int(rows.sum())))


@pytest.mark.parametrize(("threads", "tar"), [(2, False), (4, True), (1, True)])
def test_the_bytes_are_the_same_for_any_number_of_processes_and_from_a_tar(
    batch: Batch, expected: tuple[bytes, bytes], threads: int, tar: bool
) -> None:
    assert batch.embed(f"e{threads}{tar}", threads, tar) == expected


def test_a_part_of_a_file_has_the_embeddings_of_its_samples(root: Path, tmp_path: Path) -> None:
    """Metadata can cut a file into recordings; the first window of each starts at its own start."""
    spans = {"a": ("0.5", "6.25"), "b": ("3", "")}
    batch = Batch(tmp_path, root, [[name, "x", "", "", "long.wav", *span] for name, span in spans.items()])
    batch.embed()
    found, table = np.load(tmp_path / "e.npy"), read_table(tmp_path / "e.parquet")
    backbone = load_backbone(BackboneSettings(**SETTINGS, file=batch.file))
    for name, (start, end) in spans.items():
        sound = EmbeddingStream(backbone, WindowSettings())
        sound.add(decode(root / "long.wav", RATE, span=(float(start), float(end or "inf"))))
        rows = (table["recording"] == name).to_numpy()
        np.testing.assert_array_equal(found[rows], sound.finish(int(rows.sum())), err_msg=name)


def test_a_recording_of_many_channels_is_embedded(tmp_path: Path) -> None:
    """It has more samples of all channels than a limit on its own length would allow (`audio.limits`)."""
    write_onnx(tmp_path / "small.onnx")
    mono = 0.1 * np.random.default_rng(0).standard_normal(3 * 96000)
    soundfile.write(tmp_path / "array.wav", mono[:, None] * np.linspace(1, 0.5, 16), 96000)
    batch = Batch(tmp_path / "batch", tmp_path, [["array.wav", "x", "", "", "", "", ""]])
    batch.embed()
    assert len(np.load(tmp_path / "batch/e.npy")) == 1


def test_the_embeddings_of_a_long_recording_are_written_while_it_is_decoded(
    batch: Batch, expected: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_HELD_SECONDS", 1.0)
    monkeypatch.setattr(stream, "_BLOCK_SECONDS", 1.0)
    monkeypatch.setattr(embed, "load_cached", lambda *_: load_backbone(BackboneSettings(**SETTINGS, file=batch.file)))
    at_end, finish = [], EmbeddingStream.finish

    def finished(self: EmbeddingStream, windows: int) -> NDArray[np.float16]:
        found = finish(self, windows)
        at_end.append(len(found))
        return found

    monkeypatch.setattr(EmbeddingStream, "finish", finished)
    soundfile.write(tmp_path / "long.flac", 0.1 * np.random.default_rng(0).standard_normal((44100 * 120, 1)), 44100)
    long = WindowSettings()
    windows = window_count(120 * long.sample_rate, long.window_samples, long.hop_samples)
    job = embed.EmbedJob(
        RecordingLocation("long.flac"), tmp_path / "long.flac", 120.0, windows, tmp_path / "part",
        BackboneKey.model_validate_json(batch.key), batch.file, long,
    )  # fmt: skip
    assert embed.embed_recording(job) == windows
    assert len((tmp_path / "part").read_bytes()) == windows * WIDTH * 2
    assert at_end[0] < windows / 2


def test_a_file_that_is_decoded_twice_has_its_rows_once(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a channel is silent is known only at the end of the first attempt."""
    monkeypatch.setattr(stream, "_HELD_SECONDS", 1.0)
    monkeypatch.setattr(embed, "load_cached", lambda *_: load_backbone(BackboneSettings(**SETTINGS, file=batch.file)))
    mono = 0.1 * np.random.default_rng(0).standard_normal(20 * 16000)
    parts = []
    for name, samples in (("mono", mono), ("half", np.stack([mono, np.zeros_like(mono)], axis=1))):
        soundfile.write(tmp_path / f"{name}.wav", samples, 16000)
        job = embed.EmbedJob(
            RecordingLocation(name), tmp_path / f"{name}.wav", 20.0, 7, tmp_path / name, BackboneKey.model_validate_json(batch.key),
            batch.file, WindowSettings(),
        )  # fmt: skip
        embed.embed_recording(job)
        parts.append((tmp_path / name).read_bytes())
    assert parts[0] == parts[1]
    assert len(parts[0]) == 7 * WIDTH * 2


def test_recordings_without_the_upper_frequencies_are_reported(root: Path, tmp_path: Path) -> None:
    batch = Batch(tmp_path, root)
    batch.key = embedding_key(
        BackboneSettings(**SETTINGS | {"sample_rate": 32000, "window": 0.125}, file=batch.file), tmp_path / "cache"
    )
    batch.embed()
    table = read_table(tmp_path / "e.parquet").drop_duplicates("recording").set_index("recording")["bandwidth"]
    assert table.to_dict() == {"long.wav": 8000, "stereo.flac": 16000, "low.wav": 4000, "short.wav": 8000}
    log = (tmp_path / "e.log").read_text()
    assert "1 of 4 recordings have less than half of the bandwidth of small, 16000 Hz" in log
    assert "WARNING the upper frequencies are missing in low.wav: their sampling rate is too low" in log


def test_a_recording_that_changed_since_it_was_decoded_stops_the_stage(root: Path, tmp_path: Path) -> None:
    own = tmp_path / "root"
    own.mkdir()
    for file in root.iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    batch = Batch(tmp_path / "batch", own)
    soundfile.write(own / "long.wav", 0.1 * np.ones(16000 * 8), 16000)
    with pytest.raises(
        AutobirdError, match=r"long.wav: it cannot be decoded again \(8.0 s instead of 9.3 s\); was the file changed"
    ):
        batch.embed()
    assert not (tmp_path / "batch/e.npy").exists()
    (own / "long.wav").unlink()
    with pytest.raises(AutobirdError, match=r"long.wav: it cannot be decoded again \(.*\); was the file changed"):
        batch.embed()


def test_a_backbone_file_that_changed_is_refused_before_the_first_recording(root: Path, tmp_path: Path) -> None:
    batch = Batch(tmp_path, root)
    batch.file = str(write_onnx(tmp_path / "small.onnx", scale=2.0))
    with pytest.raises(AutobirdError, match=r"backbone small: .*small.onnx has the sha256"):
        batch.embed()


def test_a_crash_names_the_recording(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch(tmp_path, root)

    def crash(function: object, jobs: list[object], count: int, out: object) -> list[tuple[int, object]]:
        return [(1, workers.Crash("SIGSEGV"))]

    monkeypatch.setattr(embed, "process_batch", crash)
    with pytest.raises(
        AutobirdError, match=r"stereo.flac: the process that computed its embeddings crashed \(SIGSEGV\)"
    ):
        batch.embed()


def test_a_batch_without_usable_recordings_has_an_empty_array(root: Path, tmp_path: Path) -> None:
    batch = Batch(tmp_path, root)
    rows = list(csv.reader((tmp_path / "manifest.csv").open()))
    (tmp_path / "manifest.csv").write_text(csv_text([rows[0], *(r for r in rows if r[0] in UNUSABLE)]))
    recordings.main(
        [*batch.options("manifest.csv", recordings="r.parquet", landmarks="l.npy", pcm="p.npy"), "--root", str(root)]
    )
    segment.main(batch.options(recordings="r.parquet", pcm="p.npy", segments="s.parquet"))
    batch.embed()
    assert np.load(tmp_path / "e.npy").shape == (0, WIDTH)
    assert len(read_table(tmp_path / "e.parquet")) == 0


@needs_birdnet
def test_birdnet_embeds_a_batch_with_the_same_bytes_in_two_processes(root: Path, tmp_path: Path) -> None:
    batch = Batch(tmp_path, root)
    batch.key, batch.file = embedding_key(BackboneSettings(), tmp_path / "cache"), ""
    assert batch.embed("one", 1) == batch.embed("two", 2)
    found = np.load(tmp_path / "one.npy")
    assert found.shape[1] == 1024
    assert np.isfinite(found).all()
