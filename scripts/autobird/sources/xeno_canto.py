"""Recordings of xeno-canto as a source: the responses of its API, as the lock file lists them."""

import hashlib
import json
from collections import Counter
from pathlib import Path, PurePosixPath

from autobird.core.errors import AutobirdError
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.lock import Entry, read_lock
from autobird.sources.metadata import normalise
from autobird.sources.remote.settings import XenoCantoSettings

_GRADES = "ABCDE"
"""Quality grades, best first."""

_BYTES_PER_SECOND = 20_000
"""Typical size of an mp3 file of xeno-canto; the API does not give the size."""

_METADATA_FIELDS = ("rec", "date", "loc", "time", "lat", "lon", "lic", "q", "also", "id")
"""Fields of the API that have a column in the catalogue. All other fields become `extra`."""


def source_key(settings: XenoCantoSettings) -> Entry:
    """Return the key in the first line of the lock file of this source: the queries, without the filters on their results."""
    return {"xeno_canto": queries(settings)}


def queries(settings: XenoCantoSettings) -> list[str]:
    """Return the queries to send: one per species, or a single one if no species are set."""
    if not settings.species:
        return [settings.query]
    return [f'sp:"{name.lower()}" {settings.query}'.strip() for name in settings.species]


def length_in_seconds(length: str) -> float:
    """Return a length given as `m:ss` or `h:mm:ss` in seconds; 0 if it is not in that form."""
    try:
        seconds = 0.0
        for part in length.split(":"):
            seconds = 60 * seconds + float(part)
    except ValueError:
        return 0.0
    return seconds


def recording_id(entry: Entry) -> str:
    """Return `<Genus>_<species>/XC<number>.<extension>`, as in a folder of files downloaded from xeno-canto."""
    extension = PurePosixPath(str(entry.get("file-name") or "")).suffix or ".mp3"
    return f"{entry.get('gen', '')}_{entry.get('sp', '')}/XC{entry['id']}{extension}"


class XenoCantoSource(Source):
    """The recordings in the lock file that pass the filters of the settings.

    Args:
        lock: the lock file. Each entry is a recording as the API describes it.
        settings: the filters.

    Raises:
        LockMissing: there is no lock file for these queries.
        AutobirdError: the lock file is damaged.
    """

    name = "corpus.xeno_canto"

    def __init__(self, lock: Path, settings: XenoCantoSettings) -> None:
        entries = read_lock(lock, source_key(settings))
        try:
            selected, self._filtered_out = select_recordings(entries, settings)
            self._recordings = sorted(map(_listed, selected), key=lambda r: r.recording)
        except (KeyError, TypeError, AttributeError) as error:
            raise AutobirdError(f"{lock} is damaged ({error!r}); refresh it") from error
        self._selected, self._total = selected, len(entries)

    def recordings(self) -> list[ListedRecording]:
        """Return the selected recordings. Those whose audio xeno-canto restricts have a problem."""
        return self._recordings

    def metadata(self) -> list[RecordingMetadata]:
        """Return all fields of the API."""
        return sorted(map(_metadata, self._selected), key=lambda m: m.recording)

    def notes(self) -> list[str]:
        """Return how many recordings each filter leaves out."""
        return [f"{setting} leaves out {n} of {self._total} recordings" for setting, n in self._filtered_out]


def select_recordings(entries: list[Entry], settings: XenoCantoSettings) -> tuple[list[Entry], list[tuple[str, int]]]:
    """Return the entries that pass the filters, and how many entries each filter leaves out, by its setting."""
    filtered_out: Counter[str] = Counter()
    selected: list[Entry] = []
    for entry in entries:
        length = length_in_seconds(str(entry.get("length") or ""))
        if settings.quality and entry.get("q") not in settings.quality:
            filtered_out["xeno_canto.quality"] += 1
        elif length < settings.min_length:
            filtered_out["xeno_canto.min_length"] += 1
        elif length > settings.max_length:
            filtered_out["xeno_canto.max_length"] += 1
        elif settings.no_background and _background(entry):
            filtered_out["xeno_canto.no_background"] += 1
        else:
            selected.append(entry)
    if settings.max_per_species is not None:
        by_species: dict[tuple[str, str], list[Entry]] = {}
        for entry in sorted(selected, key=_rank):
            by_species.setdefault((str(entry.get("gen")), str(entry.get("sp"))), []).append(entry)
        best = [e for ranked in by_species.values() for e in ranked[: settings.max_per_species]]
        filtered_out["xeno_canto.max_per_species"] += len(selected) - len(best)
        selected = best
    return selected, sorted((setting, n) for setting, n in filtered_out.items() if n)


def _rank(entry: Entry) -> tuple[int, str]:
    """Return the sort key of an entry: grade (best first, ungraded last), then a stable hash of its number."""
    grade = _GRADES.find(str(entry.get("q") or "?"))
    return (grade if grade >= 0 else len(_GRADES)), hashlib.sha256(str(entry["id"]).encode()).hexdigest()


def _background(entry: Entry) -> str:
    species = entry.get("also") or []
    return ", ".join(species) if isinstance(species, list) else str(species)


def _with_scheme(url: str) -> str:
    """Return a URL with `https:`, which the API leaves out."""
    return f"https:{url}" if url.startswith("//") else url


def _listed(entry: Entry) -> ListedRecording:
    url = _with_scheme(str(entry.get("file") or ""))
    # The API gives no checksum. A replaced file has another upload time, length, name or sampling rate.
    content = "-".join(str(entry.get(k) or "") for k in ("id", "uploaded", "length", "file-name", "smp"))
    return ListedRecording(
        recording_id(entry),
        f"{entry['gen']} {entry['sp']}".strip(),
        f"xeno-canto:{content}",
        "" if url else "xeno-canto restricts access to this audio, to protect the species",
        round(length_in_seconds(str(entry.get("length") or "")) * _BYTES_PER_SECOND),
        url,
    )


def _metadata(entry: Entry) -> RecordingMetadata:
    def text(field: str) -> str:
        return "" if entry.get(field) is None else str(entry[field])

    extra = {k: v for k, v in entry.items() if k not in _METADATA_FIELDS and v not in ("", None)}
    return normalise(
        RecordingMetadata(
            recording_id(entry),
            recordist=text("rec"),
            date=text("date"),
            place=text("loc"),
            number=f"XC{text('id')}",
            time=text("time"),
            latitude=text("lat"),
            longitude=text("lon") or text("lng"),
            licence=_with_scheme(text("lic")),
            quality=text("q"),
            background=_background(entry),
            common_name=text("en"),
            extra=json.dumps(extra, ensure_ascii=False, sort_keys=True),
        )
    )
