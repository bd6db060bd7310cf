"""Files of a batch that are joined by the order of their rows are refused if they do not belong together."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autobird.audio import mel_shards, segment
from autobird.audio.segment import SEGMENTS
from autobird.core.errors import AutobirdError
from autobird.dataset.index import read_windows


def write_batch(folder: Path, samples: list[int], pcm_samples: int) -> None:
    """Write the outputs of stage `recordings` that the next stages read."""
    names = [f"{number}.wav" for number in range(len(samples))]
    pq.write_table(pa.table({"recording": names, "samples": pa.array(samples, pa.int64())}), folder / "r.parquet")
    np.save(folder / "p.npy", np.random.default_rng(0).integers(-9999, 9999, pcm_samples).astype(np.int16))


def run_segment(folder: Path) -> None:
    segment.main(
        ["--recordings", str(folder / "r.parquet"), "--pcm", str(folder / "p.npy"), "--segments", str(folder / "s.parquet")]
    )  # fmt: skip


def run_mel_shards(folder: Path) -> None:
    files = {"segments": "s.parquet", "pcm": "p.npy", "shard": "m.npy", "table": "m.parquet"}
    mel_shards.main([text for name, file in files.items() for text in (f"--{name}", str(folder / file))])


def test_samples_of_another_batch_are_refused_by_segment(tmp_path: Path) -> None:
    write_batch(tmp_path, [90_000, 0, 40_000], 120_000)
    with pytest.raises(AutobirdError, match=r"p\.npy has 120000 samples, but the recordings of its batch have 130000"):
        run_segment(tmp_path)


def test_samples_of_another_batch_are_refused_by_mel_shards(tmp_path: Path) -> None:
    write_batch(tmp_path, [90_000, 0, 40_000], 130_000)
    run_segment(tmp_path)
    run_mel_shards(tmp_path)
    [found] = read_windows([tmp_path / "s.parquet"], [tmp_path / "m.parquet"])
    assert found["recording"].nunique() == 2
    write_batch(tmp_path, [90_000, 40_000], 140_000)
    with pytest.raises(
        AutobirdError, match=r"p\.npy has 140000 samples, but the recordings in .*s\.parquet have 130000"
    ):
        run_mel_shards(tmp_path)


@pytest.mark.parametrize("changed", ["a row fewer", "another division of the samples"])
def test_segments_that_are_not_those_of_the_front_end_are_refused_by_mel_shards(tmp_path: Path, changed: str) -> None:
    write_batch(tmp_path, [90_000, 120_000], 210_000)
    run_segment(tmp_path)
    table = pd.read_parquet(tmp_path / "s.parquet")
    if changed == "a row fewer":
        table = table.drop(index=1)
    else:
        second = table["recording"] == "1.wav"
        table.loc[second, ["offset", "samples"]] = [200_000, 10_000]
        table.loc[~second, "samples"] = 200_000
    pq.write_table(pa.Table.from_pandas(table, schema=SEGMENTS, preserve_index=False), tmp_path / "s.parquet")
    with pytest.raises(AutobirdError, match=r"s\.parquet has \d windows of 0\.wav, but \d were computed"):
        run_mel_shards(tmp_path)


def test_window_tables_with_other_windows_or_another_order_are_refused(tmp_path: Path) -> None:
    segments = pd.DataFrame({"recording": ["a", "a", "b"], "start": [0, 1, 0], "rms": np.float32([0.1, 0.2, 0.3])})
    mels = segments[["recording", "start"]].assign(first_frame=[0, 157, 314], mel_mean=0.0, mel_std=1.0)
    segments.to_parquet(tmp_path / "s.parquet")
    mels.to_parquet(tmp_path / "m.parquet")
    [found] = read_windows([tmp_path / "s.parquet"], [tmp_path / "m.parquet"])
    assert found["first_frame"].tolist() == [0, 157, 314]
    for wrong in (mels.iloc[[1, 0, 2]], mels.iloc[:2], mels.assign(recording=["a", "a", "c"])):
        wrong.reset_index(drop=True).to_parquet(tmp_path / "m.parquet")
        with pytest.raises(AutobirdError, match=r"m\.parquet and .*s\.parquet do not have the same windows"):
            list(read_windows([tmp_path / "s.parquet"], [tmp_path / "m.parquet"]))


def test_each_window_has_the_row_that_it_has_in_the_tables_of_its_batch(tmp_path: Path) -> None:
    files = []
    for number, samples in enumerate(([90_000, 120_000], [100_000])):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_batch(folder, samples, sum(samples))
        run_segment(folder)
        run_mel_shards(folder)
        files.append((folder / "s.parquet", folder / "m.parquet"))
    segments, mels = zip(*files, strict=True)
    windows = pd.concat(read_windows(segments, mels))
    for shard, file in enumerate(segments):
        table = pd.read_parquet(file)
        found = windows[windows["shard"] == shard].sample(frac=1, random_state=0)
        rows = table.iloc[found["row"]][["recording", "start"]].reset_index(drop=True)
        assert rows.equals(found[["recording", "start"]].reset_index(drop=True))
