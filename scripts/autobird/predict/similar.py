"""The command `autobird similar`: the windows of a folder that sound most like a clip, by a backbone's embeddings."""

import json
import os
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.audio.audio_file import TooLong, UnusableAudio
from autobird.audio.decode import decode, decode_resampled_into
from autobird.audio.windows import window_count
from autobird.backbone.base import Backbone
from autobird.backbone.stream import EmbeddingStream
from autobird.core.blas import one_blas_thread
from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_text
from autobird.core.hashing import HashCache, file_digest
from autobird.core.walk import file_size, printable
from autobird.core.workers import Crash, run_each
from autobird.predict.backbone import check_backbone, load_bundle_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.clips import write_clip
from autobird.predict.embedding_cache import EmbeddingCache, user_cache_folder
from autobird.predict.files import time_per_megabyte
from autobird.predict.formats import clock, on_one_line
from autobird.predict.inputs import find_files
from autobird.predict.similarity import cosines, most_similar

_REPORT_SECONDS = 5.0
"""Time between two lines about the progress."""

_LEAST_TIME = 600.0
"""Time limit of a file, seconds, beside that for each MB."""

_STEP = 0.1
"""Distance of the windows of a clip of which the loudest is searched, seconds."""

_LONGEST_CLIP = 1800.0
"""Longest clip in which the loudest window is searched, seconds: 170 MB of samples at 48 kHz."""

COLUMNS = ("similarity", "file", "start", "end", "clip")
"""Columns of the CSV: cosine of the embeddings, file, start and end of the window in seconds, and the file with the clip, if written."""


@dataclass(frozen=True)
class SimilarOptions:
    """Options of the command.

    Attributes:
        form: `table`, `csv` or `json`.
        output: file to write; None: standard output.
        count: largest number of windows that are listed.
        at: start of the window of the clip that is searched for, seconds; None: the loudest window.
        clips: folder to which the windows are written as FLAC files; None: they are not written.
        cache: folder of the cached embeddings; None: the user's cache folder.
        workers: number of worker processes.
        backbone: file of the backbone; None: see `check_backbone`.
    """

    form: str = "table"
    output: Path | None = None
    count: int = 20
    at: float | None = None
    clips: Path | None = None
    cache: Path | None = None
    workers: int = 1
    backbone: Path | None = None


class Query(NamedTuple):
    """The window of the clip that is searched for: its embedding, and its start and end in the clip, seconds."""

    embedding: NDArray[np.float32]
    start: float
    end: float


class Found(NamedTuple):
    """A similar window: cosine of the embeddings, file, start and end in seconds, and the file with the clip, if written."""

    similarity: float
    file: Path
    start: float
    end: float
    clip: Path | None


class _EmbedJob(NamedTuple):
    """A file to embed in a worker process."""

    bundle: Path
    backbone: Path | None
    file: Path


def print_similar(bundle_folder: Path, clip: Path, folder: Path, options: SimilarOptions) -> int:
    """Print the windows of a folder that are most similar to a clip; return 1 if files could not be used, else 0.

    Raises:
        AutobirdError: the bundle has no backbone or it is not installed, the clip cannot be used, or there is no recording.
    """
    bundle = Bundle.load(bundle_folder)
    if bundle.backbone is None:
        raise AutobirdError(
            f"{bundle_folder}: its network computes species from mel spectrograms and has no embeddings in which other sounds "
            "than its species can be compared; give the bundle of a run on a backbone (train.architecture: head, "
            "config/transfer.yaml)"
        )
    check_backbone(bundle, options.backbone)
    embeddings = EmbeddingCache(options.cache or user_cache_folder(), bundle.backbone, bundle.features)
    found = find_files([folder])
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    # Before this process loads the backbone for the clip, because the workers are forked from it.
    digests, skipped = _embed_folder(bundle, embeddings, found.files, options)
    query = query_of(bundle, clip, options.at, options.backbone)
    matches = _search(bundle, embeddings, found.files, digests, clip, query, options)
    text = _formatted(bundle, clip, query, matches, options.form)
    if options.output is None:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="backslashreplace")
        sys.stdout.write(text)
    else:
        try:
            write_text(options.output, text)
        except OSError as error:
            raise AutobirdError(
                f"--output {options.output} cannot be written ({error.strerror}); name another file"
            ) from error
    return 1 if skipped else 0


def query_of(bundle: Bundle, clip: Path, at: float | None, file: Path | None = None) -> Query:
    """Return the embedding of a clip: of the whole clip if it is not longer than a window, else of one of its windows.

    Args:
        bundle: the bundle.
        clip: a recording.
        at: start of the window, seconds; None: the loudest window (see `loudest`).
        file: file of the backbone.

    Raises:
        AutobirdError: the clip cannot be used.
    """
    backbone = load_bundle_backbone(bundle, file)
    assert backbone is not None
    rate, window = backbone.info.sample_rate, bundle.features.window
    span = (0.0, float("inf")) if at is None else (at, at + window)
    try:
        with one_blas_thread():
            samples = decode(clip, rate, _LONGEST_CLIP, span)
    except UnusableAudio as error:
        hint = "; give --at SECONDS" if isinstance(error, TooLong) else f" (--at {at:g})" if at else ""
        raise AutobirdError(f"{printable(str(clip))}: {error}{hint}") from error
    if not len(samples):
        raise AutobirdError(f"{printable(str(clip))} has no audio at {at or 0:g} s; give another --at")
    length = round(window * rate)
    first = loudest(samples, length, round(_STEP * rate))
    part = samples[first : first + length]
    stream = EmbeddingStream(backbone, bundle.features)
    stream.add(part)
    start = (at or 0.0) + first / rate
    return Query(stream.finish(1)[0].astype(np.float32), start, start + len(part) / rate)


def loudest(samples: NDArray[np.int16], length: int, step: int) -> int:
    """Return the first sample of the loudest of the parts of a length that start every `step` samples; 0 if there is only one.

    The level is that of the differences of consecutive samples, which attenuates wind and traffic.
    """
    if len(samples) <= length:
        return 0
    energy = np.concatenate([[0.0], np.cumsum(np.square(np.diff(samples.astype(np.float64), prepend=samples[0])))])
    starts = np.arange(0, len(samples) - length + 1, step)
    return int(starts[np.argmax(energy[starts + length] - energy[starts])])


def _embed_folder(
    bundle: Bundle, embeddings: EmbeddingCache, files: Sequence[Path], options: SimilarOptions
) -> tuple[list[str], int]:
    """Embed the files that are not in the cache; return the sha256 of each file ("" if it cannot be read), and how many failed."""
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
        print(f"embedding {len(missing)} files{cached} ({embeddings.folder})", file=sys.stderr, flush=True)
    with closing(_embed(bundle, embeddings, missing, options)) as results:
        for digest, problem in results:
            if problem:
                failed += 1
                print(f"{on_one_line(printable(str(missing[digest])))}: skipped: {problem}", file=sys.stderr)
    return digests, failed


def _embed(
    bundle: Bundle, embeddings: EmbeddingCache, missing: dict[str, Path], options: SimilarOptions
) -> Generator[tuple[str, str], None, None]:
    """Embed files and add them to the cache; yield the sha256 of each, and why it could not be used ("" if it could)."""
    digests = sorted(missing, key=lambda digest: -file_size(missing[digest]))
    jobs = [_EmbedJob(bundle.folder, options.backbone, missing[digest]) for digest in digests]
    limits = [_LEAST_TIME + time_per_megabyte(bundle) * file_size(job.file) / 1e6 for job in jobs]
    begin = reported = time.monotonic()
    workers = min(options.workers, max(1, len(jobs)))
    audio = 0.0
    results = run_each(_embed_job, jobs, workers, limits, retry_killed=True)
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


def _search(
    bundle: Bundle,
    embeddings: EmbeddingCache,
    files: Sequence[Path],
    digests: Sequence[str],
    clip: Path,
    query: Query,
    options: SimilarOptions,
) -> list[Found]:
    """Return the most similar windows, the best first. Windows that overlap that of the clip itself are left out."""
    s = bundle.features
    known = embeddings.files(digests)
    usable = [(file, digest) for file, digest in zip(files, digests, strict=True) if digest in known]
    if not usable:
        raise AutobirdError("no recording of the folder could be used; the lines above say why")
    cached = [known[digest] for _, digest in usable]
    similarities = cosines(embeddings.rows(), cached, query.embedding)
    own = file_digest(clip)
    before = int(np.floor((query.start - s.window) / s.hop)) + 1
    after = int(np.ceil(query.end / s.hop)) - 1
    excluded = {number: (before, after) for number, (_, digest) in enumerate(usable) if digest == own}
    apart = int(np.ceil(s.window / s.hop))
    found: list[Found] = []
    for match in most_similar(similarities, [c.windows for c in cached], options.count, apart, excluded):
        file, start = usable[match.file][0], match.window * s.hop
        end = min(start + s.window, cached[match.file].duration)
        written = None
        if options.clips is not None:
            name = f"{len(found) + 1:0{len(str(options.count))}d}_{match.similarity:.3f}_{file.stem}_{start:g}s.flac"
            written = write_clip(file, start, end, options.clips / name)
        found.append(Found(match.similarity, file, start, end, written))
    return found


def _formatted(bundle: Bundle, clip: Path, query: Query, matches: Sequence[Found], form: str) -> str:
    if form == "csv":
        rows = [
            [f"{m.similarity:.4f}", printable(str(m.file)), f"{m.start:g}", f"{m.end:g}", _path(m.clip)]
            for m in matches
        ]
        return csv_text([list(COLUMNS), *rows])
    if form == "json":
        return json.dumps(_as_json(bundle, clip, query, matches), indent=2, ensure_ascii=False) + "\n"
    lines = [
        f"windows most similar to {on_one_line(printable(str(clip)))}, {clock(query.start)} - {clock(query.end)} "
        "(1: the same sound)"
    ]
    lines += [
        f"  {m.similarity:.3f}  {clock(m.start):>9} - {clock(m.end):<9}  {on_one_line(printable(str(m.file)))}"
        for m in matches
    ]
    return "\n".join(lines) + "\n"


def _as_json(bundle: Bundle, clip: Path, query: Query, matches: Sequence[Found]) -> dict[str, Any]:
    assert bundle.backbone is not None
    return {
        "bundle": {"name": bundle.name, "fingerprint": bundle.fingerprint, "backbone": bundle.backbone.name},
        "clip": {"file": printable(str(clip)), "start": round(query.start, 3), "end": round(query.end, 3)},
        "matches": [
            {
                "similarity": round(m.similarity, 4),
                "file": printable(str(m.file)),
                "start": m.start,
                "end": round(m.end, 3),
                **({"clip": _path(m.clip)} if m.clip else {}),
            }
            for m in matches
        ],
    }


def _path(path: Path | None) -> str:
    return "" if path is None else printable(str(path))
