"""The formats of `autobird predict`, and the names of the files that each writes."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from autobird.audio.file_kind import AUDIO_EXTENSIONS, CONTAINER_EXTENSIONS
from autobird.core.errors import AutobirdError
from autobird.core.file_names import safe_name

SUFFIXES = {
    "csv": ".csv",
    "jsonl": ".jsonl",
    "parquet": ".parquet",
    "raven": ".raven",
    "raven-combined": ".raven.txt",
    "audacity": ".audacity",
    "kaleidoscope": ".kaleidoscope.csv",
    "birdnet": ".birdnet.csv",
    "json": ".json",
    "table": ".txt",
}
"""Each format, and what follows the base name in the name of its file or folder."""

FOLDERS = {"raven": ".Table.1.selections.txt", "audacity": ".txt"}
"""Formats with a file per recording, and what follows the recording's name in the name of that file."""

FILES_SUFFIX = ".files.csv"
"""What follows the base name in the name of the table of files."""

_BASE_IN_FOLDER = "detections"
"""Base name in a folder that `--output` names."""


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the formats of a list separated by commas, each once.

    Raises:
        AutobirdError: there is no such format.
    """
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names or ("",):
        if name not in SUFFIXES:
            raise AutobirdError(f"--format {name!r} is not known; give one or several of {', '.join(SUFFIXES)}")
    return names


def output_of(text: str, is_exact: bool) -> Path:
    """Return `--output` as a path; a name that ends with a slash is a folder, also if it does not exist.

    Args:
        text: value of the option.
        is_exact: whether it must name a file.

    Raises:
        AutobirdError: it must name a file, and is the name of a folder.
    """
    output = Path(text)
    if not text.endswith(("/", os.sep)) or output.is_dir():
        return output
    if is_exact:
        raise AutobirdError(f"--output {text} is a folder, because it ends with a slash; name a file in it")
    return output / _BASE_IN_FOLDER


def base_of(output: Path) -> Path:
    """Return the base name of the outputs: `--output` without the suffix of a format; in an existing folder: `detections`."""
    if output.is_dir():
        return output / _BASE_IN_FOLDER
    suffix = next((s for s in sorted(SUFFIXES.values(), key=len, reverse=True) if output.name.lower().endswith(s)), "")
    stem = output.name[: len(output.name) - len(suffix)]
    return output.with_name(stem) if stem else output


def output_path(output: Path, form: str) -> Path:
    """Return the file, or the folder, that a format writes.

    Raises:
        AutobirdError: a folder has the name of the file, or a file that of the folder.
    """
    base = base_of(output)
    path = base.with_name(base.name + SUFFIXES[form])
    if form in FOLDERS and path.exists() and not path.is_dir():
        raise AutobirdError(f"--format {form} writes to the folder {path}, which is a file; give another --output")
    if form not in FOLDERS and path.is_dir():
        raise AutobirdError(f"--format {form} writes to the file {path}, which is a folder; give another --output")
    return path


def files_table(output: Path) -> Path:
    """Return the path of the table of files beside an output: `d.files.csv` for `d.csv` and the other formats of base `d`."""
    base = base_of(output)
    return base.with_name(base.name + FILES_SUFFIX)


def journal_path(output: Path) -> Path:
    """Return the path of the journal of an unfinished output."""
    path = output / _BASE_IN_FOLDER if output.is_dir() else output
    return path.with_name(path.name + ".journal")


def recording_names(below: Sequence[str], form: str) -> list[str]:
    """Return the path of each recording's file in the folder of a format, with `/`, each once.

    It has the folders of the recording and its name without extension, as Raven and the annotation readers expect; recordings whose
    names differ only in their extension keep it.

    Args:
        below: path of each recording below the folder that was named.
        form: the format, one of `FOLDERS`.
    """
    stems = [_safe(_without_extension(PurePosixPath(path))) for path in below]
    counts: dict[str, int] = {}
    for stem in stems:
        counts[stem.casefold()] = counts.get(stem.casefold(), 0) + 1
    names: list[str] = []
    used: set[str] = set()
    for path, stem in zip(below, stems, strict=True):
        wanted = stem if counts[stem.casefold()] == 1 else _safe(PurePosixPath(path))
        name, number = wanted, 2
        while name.casefold() in used:
            name, number = f"{wanted}-{number}", number + 1
        used.add(name.casefold())
        names.append(name + FOLDERS[form])
    return names


def _without_extension(path: PurePosixPath) -> PurePosixPath:
    """Return a path without the extension of an audio file; what follows another dot distinguishes recordings (`site1.2024`)."""
    is_audio = path.suffix[1:].lower() in AUDIO_EXTENSIONS | CONTAINER_EXTENSIONS
    return path.with_suffix("") if is_audio else path


def _safe(path: PurePosixPath) -> str:
    return "/".join(safe_name(part) for part in path.parts if part != "/")
