"""The command `autobird similar`: the windows of a folder that sound most like a clip, by a backbone's embeddings."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autobird.backbone.base import BackboneInfo
from autobird.core.decoder_messages import short_decoder_messages
from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_text
from autobird.core.hashing import file_digest
from autobird.core.walk import printable
from autobird.predict.backbone import check_backbone, load_bundle_backbone
from autobird.predict.bundle import Bundle
from autobird.predict.clips import write_clip
from autobird.predict.embed_files import embed_files
from autobird.predict.embedding_cache import EmbeddingCache, user_cache_folder
from autobird.predict.formats import clock, on_one_line
from autobird.predict.inputs import find_files
from autobird.predict.similarity import cosines, most_similar
from autobird.predict.sought_clip import Clip, embed_clip, read_clip

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


class Found(NamedTuple):
    """A similar window: cosine of the embeddings, file, start and end in seconds, and the file with the clip, if written."""

    similarity: float
    file: Path
    start: float
    end: float
    clip: Path | None


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
    with short_decoder_messages():
        return _print_similar(bundle, bundle.backbone, clip, folder, options)


def _print_similar(bundle: Bundle, info: BackboneInfo, clip: Path, folder: Path, options: SimilarOptions) -> int:
    sought = read_clip(clip, options.at, bundle.features.window, info.sample_rate)
    embeddings = EmbeddingCache(options.cache or user_cache_folder(), info, bundle.features)
    found = find_files([folder])
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    digests, skipped = embed_files(bundle, embeddings, found.files, options.workers, options.backbone)
    backbone = load_bundle_backbone(bundle, options.backbone)
    assert backbone is not None
    query = embed_clip(backbone, bundle, sought)
    matches = _search(bundle, embeddings, found.files, digests, (file_digest(clip), sought, query), options)
    text = _formatted(bundle, clip, sought, matches, options.form)
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


def _search(
    bundle: Bundle,
    embeddings: EmbeddingCache,
    files: Sequence[Path],
    digests: Sequence[str],
    sought: tuple[str | None, Clip, NDArray[np.float32]],
    options: SimilarOptions,
) -> list[Found]:
    """Return the most similar windows, the best first. Windows that overlap the clip itself are left out.

    Args:
        bundle: the bundle.
        embeddings: of the files.
        files: the files.
        digests: sha256 of each.
        sought: sha256 of the clip's file, the part of it that is searched for, and its embedding.
        options: of the command.

    Raises:
        AutobirdError: no file could be used.
    """
    s = bundle.features
    known = embeddings.files(digests)
    usable = [(file, digest) for file, digest in zip(files, digests, strict=True) if digest in known]
    if not usable:
        raise AutobirdError("no recording of the folder could be used; the lines above say why")
    cached = [known[digest] for _, digest in usable]
    own, clip, query = sought
    similarities = cosines(embeddings.rows(), cached, query)
    before = int(np.floor((clip.start - s.window) / s.hop)) + 1
    after = int(np.ceil(clip.end / s.hop)) - 1
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


def _formatted(bundle: Bundle, clip: Path, sought: Clip, matches: Sequence[Found], form: str) -> str:
    if form == "csv":
        rows = [
            [f"{m.similarity:.4f}", printable(str(m.file)), f"{m.start:g}", f"{round(m.end, 3):g}", _path(m.clip)]
            for m in matches
        ]
        return csv_text([list(COLUMNS), *rows])
    if form == "json":
        return json.dumps(_as_json(bundle, clip, sought, matches), indent=2, ensure_ascii=False) + "\n"
    lines = [
        f"windows most similar to {on_one_line(printable(str(clip)))}, {clock(sought.start)} - {clock(sought.end)} "
        "(1: the same sound)"
    ]
    lines += [
        f"  {m.similarity:.3f}  {clock(m.start):>9} - {clock(m.end):<9}  {on_one_line(printable(str(m.file)))}"
        for m in matches
    ]
    return "\n".join(lines) + "\n"


def _as_json(bundle: Bundle, clip: Path, sought: Clip, matches: Sequence[Found]) -> dict[str, Any]:
    assert bundle.backbone is not None
    return {
        "bundle": {"name": bundle.name, "fingerprint": bundle.fingerprint, "backbone": bundle.backbone.name},
        "clip": {"file": printable(str(clip)), "start": round(sought.start, 3), "end": round(sought.end, 3)},
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
