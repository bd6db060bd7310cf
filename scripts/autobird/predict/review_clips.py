"""Cut detections as clips for review: a sample of each species, spread over its scores."""

import csv
import datetime as dt
import hashlib
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from autobird.audio.audio_file import UnusableAudio
from autobird.audio.folder_listing import list_folder
from autobird.core.errors import AutobirdError
from autobird.core.file_names import safe_name
from autobird.core.files import csv_text, write_text
from autobird.core.walk import path_of_printable, printable
from autobird.core.wording import counted
from autobird.predict.clips import write_clip
from autobird.predict.codes import SpeciesCodes
from autobird.predict.columns import decimal
from autobird.predict.formats import on_one_line
from autobird.predict.tables import FoundDetection, check_tables, read_detections
from autobird.sources.matching import Match, RecordingFinder

COLUMNS = (
    "clip", "species", "code", "probability", "stratum", "file", "start", "end", "clip_start", "clip_end", "site", "recorder", "date",
    "time", "is_correct", "comment",
)  # fmt: skip
"""Columns of `clips.csv`; the reviewer fills in `is_correct` and `comment`. `clip_start` is the start of the clip in the recording."""

TABLE = "clips.csv"


@dataclass(frozen=True)
class ClipOptions:
    """Options of the command.

    Attributes:
        recordings: folder of the recordings.
        output: folder of the clips.
        padding: seconds before and after the detection.
        max_seconds: longest clip, seconds; of a longer detection, its beginning is cut.
        per_species: largest number of clips of a species; None: all.
        strata: number of intervals of equal width between the lowest and the highest score of a species, from which equally many
            clips are drawn as far as possible.
        min_probability: detections of a lower probability are left out.
        seed: another seed draws another sample.
        codes: table of species codes; None: those in the table, if there are any.
    """

    recordings: Path
    output: Path
    padding: float = 1.0
    max_seconds: float = 60.0
    per_species: int | None = 20
    strata: int = 4
    min_probability: float = 0.0
    seed: int = 0
    codes: Path | None = None


def write_clips(tables: Sequence[Path], options: ClipOptions) -> int:
    """Write the clips and their table; return 1 if a recording could not be decoded, else 0.

    Clips of an earlier sample in the folder are removed, unless their table has been filled in.

    Raises:
        AutobirdError: a table cannot be read or has no detections, a recording is not there, the folder cannot be written, or its clips
            have been reviewed.
    """
    if options.output.exists() and not options.output.is_dir():
        raise AutobirdError(f"--output {options.output} is a file; name a folder")
    check_tables(tables)
    earlier = _earlier_clips(options.output / TABLE)
    detections = [d for table in tables for d in read_detections(table) if d.probability >= options.min_probability]
    if not detections:
        raise AutobirdError(
            f"{', '.join(map(str, tables))}: no detection with a probability of at least {options.min_probability:g}; "
            "lower --min-probability, or give another table"
        )
    sample = list(choose(detections, options.per_species, options.strata, options.seed))
    _check_places(sample)
    paths = _recordings(options.recordings, sorted({d.file for d, _ in sample}))
    codes = SpeciesCodes(options.codes) if options.codes else None
    rows, failed = [list(COLUMNS)], set[str]()
    used: set[str] = set()
    for detection, stratum in sample:
        if detection.file in failed:
            continue
        start, end = max(0.0, detection.start - options.padding), detection.end + options.padding
        end = min(end, start + options.max_seconds)
        name = _unused(clip_name(detection), used)
        try:
            write_clip(paths[detection.file], start, end, options.output / name)
        except UnusableAudio as error:
            failed.add(detection.file)
            print(f"{on_one_line(detection.file)}: skipped: {error}", file=sys.stderr)
            continue
        code = codes.of(detection.species).code if codes else detection.row.get("code", "")
        rows.append(_row(name, code, detection, stratum, (start, end)))
    for name in earlier - {row[0] for row in rows}:
        (options.output / name).unlink(missing_ok=True)
    write_text(options.output / TABLE, csv_text(rows))
    print(
        f"{counted(len(rows) - 1, 'clip')} of {len({d.species for d, _ in sample})} species and {TABLE} written to {options.output}"
    )
    return 1 if failed else 0


def _earlier_clips(table: Path) -> set[str]:
    """Return the names of the clips of an earlier sample.

    Raises:
        AutobirdError: the table cannot be read, or a reviewer has filled it in.
    """
    if not table.is_file():
        return set()
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AutobirdError(f"{table} cannot be read ({error}); give another --output") from error
    names = [row.get("clip") or "" for row in rows]
    reviewed = sum(bool((row.get("is_correct") or "").strip() or (row.get("comment") or "").strip()) for row in rows)
    if reviewed or not all(_is_clip(name) for name in names):
        reason = f"has the review of {counted(reviewed, 'clip')}" if reviewed else "was changed"
        raise AutobirdError(f"{table} {reason}, which would be overwritten; give another --output, or move the table")
    return set(names)


def _is_clip(name: str) -> bool:
    """Return whether a name can be one of `clip_name`: a FLAC file in a folder of the output."""
    return name.endswith(".flac") and name.count("/") == 1 and "\\" not in name and not name.startswith((".", "/"))


def _check_places(sample: Sequence[tuple[FoundDetection, int]]) -> None:
    """Check that detections with one path are of one recording.

    Raises:
        AutobirdError: two of them differ in site or time.
    """
    places: dict[str, tuple[str, dt.datetime | None]] = {}
    for detection, _ in sample:
        place = (detection.place.site, detection.place.start)
        if places.setdefault(detection.file, place) != place:
            raise AutobirdError(
                f"{detection.file} is the name of two recordings in the tables, which differ in site or time; give one table at a time, "
                "each with the folder of its recordings"
            )


def choose(
    detections: Sequence[FoundDetection], per_species: int | None, strata: int, seed: int
) -> Iterator[tuple[FoundDetection, int]]:
    """Yield a sample of each species with the number of its stratum, 1 for the lowest scores.

    The order within a stratum is that of a hash, so that a larger table keeps most of the sample. Strata with too few detections leave
    their share to the others.
    """
    by_species: dict[str, list[FoundDetection]] = defaultdict(list)
    for detection in detections:
        by_species[detection.species].append(detection)
    for _, found in sorted(by_species.items()):
        low, high = min(d.probability for d in found), max(d.probability for d in found)
        width = (high - low) / strata
        members: dict[int, list[FoundDetection]] = defaultdict(list)
        for d in sorted(found, key=lambda d: _rank(d, seed)):
            members[min(strata, 1 + int((d.probability - low) / width)) if width else 1].append(d)
        number = len(found) if per_species is None else min(per_species, len(found))
        taken = dict.fromkeys(members, 0)
        # One clip after the other from the stratum with the fewest so far; the higher scores first.
        for _ in range(number):
            stratum = min((s for s in members if taken[s] < len(members[s])), key=lambda s: (taken[s], -s))
            taken[stratum] += 1
        for stratum in sorted(members):
            chosen = members[stratum][: taken[stratum]]
            yield from ((d, stratum) for d in sorted(chosen, key=lambda d: (d.file, d.start)))


def _rank(detection: FoundDetection, seed: int) -> bytes:
    text = f"{seed}\n{detection.file}\n{decimal(detection.start)}\n{detection.species}"
    return hashlib.sha256(text.encode()).digest()


def clip_name(detection: FoundDetection) -> str:
    """Return the name of a clip below the output: `species/0.873_recording_00012.5s_20230512-040012.flac`."""
    at = detection.place.at(detection.start)
    time = f"_{at:%Y%m%d-%H%M%S}" if at else ""
    seconds = f"{int(detection.start):05d}.{int(detection.start * 10) % 10}"
    recording = safe_name(Path(detection.file).stem)[:80]
    probability = math.floor(detection.probability * 1000) / 1000
    return f"{safe_name(detection.species)}/{probability:.3f}_{recording}_{seconds}s{time}.flac"


def _unused(name: str, used: set[str]) -> str:
    """Return a name that differs from those in use, and add it to them; recordings of different folders can have one name."""
    stem, number, found = name.removesuffix(".flac"), 2, name
    while found.casefold() in used:
        found, number = f"{stem}-{number}.flac", number + 1
    used.add(found.casefold())
    return found


def _row(name: str, code: str, detection: FoundDetection, stratum: int, part: tuple[float, float]) -> list[str]:
    at = detection.place.at(detection.start)
    return [
        name,
        detection.species,
        code,
        f"{detection.probability:.4f}",
        str(stratum),
        detection.file,
        decimal(detection.start),
        decimal(detection.end),
        decimal(part[0]),
        decimal(part[1]),
        detection.place.site,
        detection.place.recorder,
        at.date().isoformat() if at else "",
        at.time().isoformat(timespec="seconds") if at else "",
        "",
        "",
    ]


def _recordings(root: Path, files: Sequence[str]) -> dict[str, Path]:
    """Return the path of each recording, found below `root` by name and the folders that it shares with the path in the table.

    Raises:
        AutobirdError: a recording is not there, or several fit.
    """
    if not root.is_dir():
        raise AutobirdError(f"--recordings {root} is not a folder; give the folder of the recordings")
    names = [printable(name) for name in list_folder(root).recordings]
    finder = RecordingFinder(names)
    found: dict[str, Path] = {}
    tables: dict[str, str] = {}
    for file in files:
        path = file.replace("\\x", "\0").replace("\\", "/").replace("\0", "\\x")
        match = finder.named(path)
        # Names that differ in case alone are told apart if one of them is written as in the table.
        exact = [name for name in match.candidates if f"/{path}".endswith(f"/{name}")]
        if len(exact) == 1:
            match = Match(exact[0], (), len(Path(exact[0]).parts))
        if match.candidates:
            raise AutobirdError(
                f"{file}: several recordings below {root} fit: {', '.join(match.candidates[:3])}; give --recordings the folder that "
                "autobird predict was given"
            )
        # All folders of the shorter path must fit: another site can have a recording of the same name.
        if not match.recording or match.shared < min(len(Path(path).parts), len(Path(match.recording).parts)):
            raise AutobirdError(
                f"{file}: there is no such recording below --recordings {root}; give the folder that autobird predict was given"
            )
        if match.recording in tables:
            raise AutobirdError(
                f"{tables[match.recording]} and {file} both fit {match.recording} below --recordings {root}; give the folder that autobird "
                "predict was given"
            )
        tables[match.recording] = file
        found[file] = path_of_printable(root, match.recording)
    return found
