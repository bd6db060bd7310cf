"""Embed files in worker processes, and keep the embeddings in a cache."""

import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.audio.audio_file import UnusableAudio
from autobird.audio.decode import decode_resampled_into
from autobird.audio.windows import window_count
from autobird.backbone.base import Backbone
from autobird.backbone.stream import EmbeddingStream
from autobird.core.blas import one_blas_thread
from autobird.core.hashing import HashCache
from autobird.core.walk import file_size, printable
from autobird.core.wording import counted
from autobird.core.workers import Crash, run_each
from autobird.predict.backbone import load_bundle_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.embedding_cache import EmbeddingCache
from autobird.predict.files import time_per_megabyte
from autobird.predict.formats import on_one_line

_REPORT_SECONDS = 5.0
"""Time between two lines about the progress."""

_LEAST_TIME = 600.0
"""Time limit of a file, seconds, beside that for each MB."""


class _EmbedJob(NamedTuple):
    """A file to embed in a worker process."""

    bundle: Path
    backbone: Path | None
    file: Path


def embed_files(
    bundle: Bundle, embeddings: EmbeddingCache, files: Sequence[Path], workers: int, backbone: Path | None
) -> tuple[list[str], int]:
    """Embed the files that are not in the cache; progress and files that cannot be used are printed to standard error.

    This process must not have loaded the backbone: the workers are forked from it.

    Args:
        bundle: the bundle, with a backbone.
        embeddings: the cache.
        files: the files.
        workers: number of worker processes.
        backbone: file of the backbone; None: see `check_backbone`.

    Returns:
        The sha256 of each file ("" if it cannot be read), and how many files could not be used.
    """
    with HashCache(embeddings.folder.parent / "sha256.sqlite") as hashes:
        digests = [digest or "" for digest in hashes.sha256(files)]
    known = embeddings.files(digests)
    missing: dict[str, Path] = {}
    for digest, file in zip(digests, files, strict=True):
        if digest and digest not in known:
            missing.setdefault(digest, file)
    failed = digests.count("")
    for digest, file in zip(digests, files, strict=True):
        if not digest:
            print(f"{on_one_line(printable(str(file)))}: skipped: cannot be read", file=sys.stderr)
    if missing:
        cached = f", {len(known)} are in the cache" if known else ""
        print(f"embedding {counted(len(missing), 'file')}{cached} ({embeddings.folder})", file=sys.stderr, flush=True)
    with closing(_embed(bundle, embeddings, missing, workers, backbone)) as results:
        for digest, problem in results:
            if problem:
                failed += 1
                print(f"{on_one_line(printable(str(missing[digest])))}: skipped: {problem}", file=sys.stderr)
    return digests, failed


def _embed(
    bundle: Bundle, embeddings: EmbeddingCache, missing: dict[str, Path], workers: int, backbone: Path | None
) -> Generator[tuple[str, str], None, None]:
    """Embed files and add them to the cache; yield the sha256 of each, and why it could not be used ("" if it could)."""
    digests = sorted(missing, key=lambda digest: -file_size(missing[digest]))
    jobs = [_EmbedJob(bundle.folder, backbone, missing[digest]) for digest in digests]
    limits = [_LEAST_TIME + time_per_megabyte(bundle) * file_size(job.file) / 1e6 for job in jobs]
    begin = reported = time.monotonic()
    audio = 0.0
    results = run_each(_embed_job, jobs, min(workers, max(1, len(jobs))), limits, retry_killed=True)
    for done, (number, result) in enumerate(results, start=1):
        if isinstance(result, Crash):
            yield digests[number], f"its process ended unexpectedly ({result})"
        elif isinstance(result, str):
            yield digests[number], result
        else:
            values, duration = result
            embeddings.add(digests[number], values, duration)
            audio += duration
            yield digests[number], ""
        now = time.monotonic()
        if now - reported > _REPORT_SECONDS and done < len(jobs):
            reported = now
            remaining = (now - begin) / done * (len(jobs) - done)
            print(f"{done} of {len(jobs)} files, about {remaining:.0f} s remaining", file=sys.stderr, flush=True)
    if jobs:
        elapsed = max(time.monotonic() - begin, 1e-9)
        print(
            f"{audio / 60:.1f} min of audio embedded in {elapsed:.1f} s ({audio / elapsed:.0f} times real time)",
            file=sys.stderr,
        )


def _embed_job(job: _EmbedJob) -> tuple[NDArray[np.float16], float] | str:
    """Return the embeddings and the duration of a file, or why it cannot be used."""
    bundle, backbone = _of_worker(job.bundle, job.backbone)
    try:
        with one_blas_thread():
            return embed_file(backbone, bundle, job.file)
    except UnusableAudio as error:
        return str(error)
    except Exception as error:  # a fault that this file reveals must not cost the other files
        return f"cannot be embedded ({type(error).__name__}: {error})"


def embed_file(backbone: Backbone, bundle: Bundle, file: Path) -> tuple[NDArray[np.float16], float]:
    """Return the embeddings of the windows of a file, shape (windows, width), and its length in seconds.

    Raises:
        UnusableAudio: the file cannot be decoded.
    """
    rate, s = backbone.info.sample_rate, bundle.features
    stream = decode_resampled_into(file, rate, lambda: EmbeddingStream(backbone, s))
    samples = round(stream.samples * s.sample_rate / rate)
    if not samples:
        raise UnusableAudio("no audio")
    return stream.finish(window_count(samples, s.window_samples, s.hop_samples)), stream.samples / rate


@cache
def _of_worker(folder: Path, file: Path | None) -> tuple[Bundle, Backbone]:
    """Load bundle and backbone of a worker process, once."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # warnings of decoders about damaged files
    bundle = Bundle.load(folder)
    backbone = load_bundle_backbone(bundle, file)
    assert backbone is not None
    return bundle, backbone
