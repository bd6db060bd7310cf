"""Recordings of xeno-canto, as its API listed them in the lock file."""

import hashlib
import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from autobird.core.errors import AutobirdError
from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.sources.lock import Entry, read_lock
from autobird.sources.metadata import complete
from autobird.sources.settings import XenoCantoSettings

_GRADES = "ABCDE"
_BYTES_PER_SECOND = 20_000
"""Typical size of xeno-canto's mp3; the API tells none."""

_OWN = ("rec", "date", "loc", "time", "lat", "lon", "lic", "q", "also", "id")
"""Fields of the API that have a column of their own in the catalogue; all others go to `extra`."""


def source_key(settings: XenoCantoSettings) -> Entry:
    """What a lock was made for: the queries, not what is chosen from their answers."""
    return {"xeno_canto": queries(settings)}


def queries(settings: XenoCantoSettings) -> list[str]:
    """The queries to send: one for all, or one a species."""
    if not settings.species:
        return [settings.query]
    return [f'sp:"{name.lower()}" {settings.query}'.strip() for name in settings.species]


def seconds(length: str) -> float:
    """`m:ss` or `h:mm:ss` as seconds; 0 if it says nothing."""
    try:
        total = 0.0
        for part in length.split(":"):
            total = 60 * total + float(part)
    except ValueError:
        return 0.0
    return total


def recording_id(entry: Entry) -> str:
    """`<Genus>_<species>/XC<number>.<extension>`: the same as in a folder that was filled from xeno-canto."""
    extension = PurePosixPath(str(entry.get("file-name") or "")).suffix or ".mp3"
    return f"{entry.get('gen', '')}_{entry.get('sp', '')}/XC{entry['id']}{extension}"


class XenoCantoSource(Source):
    """What the lock file lists, less what the settings pass over.

    Args:
        lock: the lock file.
        settings: which of its recordings to use.
    """

    name = "corpus.xeno_canto"

    def __init__(self, lock: Path, settings: XenoCantoSettings) -> None:
        entries = read_lock(lock, source_key(settings))
        try:
            self._entries, self._passed = choose(entries, settings)
            self._rows = sorted(map(_row, self._entries), key=lambda r: r.recording)
        except (KeyError, TypeError, AttributeError) as error:
            raise AutobirdError(f"{lock} is damaged ({error!r}); refresh it") from error
        self._total = len(entries)

    def recordings(self) -> list[ListedRecording]:
        """One row a recording; those whose sound xeno-canto keeps back have a problem."""
        return self._rows

    def metadata(self) -> list[RecordingMetadata]:
        """Everything that the API tells."""
        return sorted(map(_facts, self._entries), key=lambda f: f.recording)

    def notes(self) -> list[str]:
        """How many the filters pass over."""
        return [f"{n} of {self._total} recordings of the lock are passed over: {why}" for why, n in self._passed]


def choose(entries: list[Entry], settings: XenoCantoSettings) -> tuple[list[Entry], list[tuple[str, int]]]:
    """The entries that the settings let through, and how many each filter keeps back."""
    passed: Counter[str] = Counter()
    kept: list[Entry] = []
    for entry in entries:
        length = seconds(str(entry.get("length") or ""))
        if settings.quality and entry.get("q") not in settings.quality:
            passed["xeno_canto.quality"] += 1
        elif length < settings.min_length:
            passed["xeno_canto.min_length"] += 1
        elif length > settings.max_length:
            passed["xeno_canto.max_length"] += 1
        elif settings.no_background and _background(entry):
            passed["xeno_canto.no_background"] += 1
        else:
            kept.append(entry)
    if settings.max_per_species is not None:
        by_species: dict[tuple[str, str], list[Entry]] = {}
        for entry in sorted(kept, key=_preference):
            by_species.setdefault((str(entry.get("gen")), str(entry.get("sp"))), []).append(entry)
        before = len(kept)
        kept = [e for part in by_species.values() for e in part[: settings.max_per_species]]
        passed["xeno_canto.max_per_species"] += before - len(kept)
    return kept, sorted((why, n) for why, n in passed.items() if n)


def _preference(entry: Entry) -> tuple[int, str]:
    grade = _GRADES.find(str(entry.get("q") or "?"))
    return (grade if grade >= 0 else len(_GRADES)), hashlib.sha256(str(entry["id"]).encode()).hexdigest()


def _background(entry: Entry) -> str:
    also = entry.get("also") or []
    return ", ".join(also) if isinstance(also, list) else str(also)


def _https(url: str) -> str:
    return f"https:{url}" if url.startswith("//") else url


def _row(entry: Entry) -> ListedRecording:
    url = _https(str(entry.get("file") or ""))
    # The API tells no checksum: a replaced file has another upload time, length or name.
    content = "-".join(str(entry.get(k) or "") for k in ("id", "uploaded", "length", "file-name", "smp"))
    return ListedRecording(
        recording_id(entry),
        f"{entry['gen']} {entry['sp']}".strip(),
        f"xeno-canto:{content}",
        "" if url else "xeno-canto keeps its sound back, to protect the species",
        round(seconds(str(entry.get("length") or "")) * _BYTES_PER_SECOND),
        url,
    )


def _facts(entry: Entry) -> RecordingMetadata:
    def get(key: str) -> str:
        value: Any = entry.get(key)
        return "" if value is None else str(value)

    extra = {k: v for k, v in entry.items() if k not in _OWN and v not in ("", None)}
    return complete(
        RecordingMetadata(
            recording_id(entry),
            recordist=get("rec"),
            date=get("date"),
            place=get("loc"),
            number=f"XC{get('id')}",
            time=get("time"),
            latitude=get("lat"),
            longitude=get("lon") or get("lng"),
            licence=_https(get("lic")),
            quality=get("q"),
            background=_background(entry),
            extra=json.dumps(extra, ensure_ascii=False, sort_keys=True),
        )
    )
