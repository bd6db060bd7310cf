"""A small bundle, recordings, and a review of them whose candidates are given, so that nothing has to be classified."""

from pathlib import Path

import numpy as np
import soundfile

from autobird.predict.bundle import Bundle
from autobird.review.candidates import FLOOR
from autobird.review.filters import PoolFilter
from autobird.review.pool import Pool, PoolFile
from autobird.review.queues import QueueOptions
from autobird.review.session import POOL, ReviewSession
from tests.unit.test_predict import make_bundle

WINDOWS = 6
"""Windows of a recording: 5 s each, one after the other."""

RECORDINGS = (
    "lake/20260501_040000.wav",
    "lake/20260502_200000.wav",
    "hill/20260501_040000.wav",
    "hill/20260502_200000.wav",
)


def make_review(folder: Path, count: int = 12, rate: int = 16000) -> ReviewSession:
    """Make a bundle, recordings with a tone in each window, and their candidates; return the review."""
    bundle = Bundle.load(make_bundle(folder / "bundle", (0.3, 0.3)))
    rng = np.random.default_rng(0)
    recordings = folder / "recordings"
    time = np.arange(5 * rate) / rate
    files = []
    for name in RECORDINGS:
        path = recordings / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tones = [
            0.3 * np.sin(2 * np.pi * f * time) * (np.sin(8 * np.pi * time) > 0)
            for f in rng.uniform(1500, 6000, WINDOWS)
        ]
        soundfile.write(path, np.concatenate(tones) + 0.005 * rng.standard_normal(5 * WINDOWS * rate), rate)
        status = path.stat()
        day = f"{name[5:9]}-{name[9:11]}-{name[11:13]}T{name[14:16]}:00:00"
        files.append(PoolFile(name, status.st_size, status.st_mtime_ns, 5.0 * WINDOWS, WINDOWS, name[:4], "", day))
    p = rng.uniform(0.03, 0.99, (len(files) * WINDOWS, len(bundle.labels))).astype(np.float32)
    number, species = np.nonzero(p >= FLOOR)
    start = np.tile(5.0 * np.arange(WINDOWS), len(files))
    order = np.argsort([file.name for file in files])
    pool = Pool(
        bundle.fingerprint, bundle.labels, FLOOR, tuple(files[n] for n in order),
        np.repeat(np.arange(len(files)), WINDOWS).astype(np.int32), start, start + 5.0,
        (1 - p.max(axis=1)).astype(np.float32), p.argmax(axis=1).astype(np.int16), p.max(axis=1),
        number.astype(np.int32), species.astype(np.int16), p[number, species],
    )  # fmt: skip
    (folder / "review").mkdir(exist_ok=True)
    pool.save(folder / "review" / POOL)
    return ReviewSession(bundle.folder, recordings, folder / "review", QueueOptions(count=count, filter=PoolFilter()))
