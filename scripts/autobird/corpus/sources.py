"""Where recordings come from: each source lists what it holds; no network, no decoding."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from autobird.core.errors import AutobirdError
from autobird.core.hashing import Found, hashed_files
from autobird.corpus.demo.plan import Plan, plan_corpus, recipe
from autobird.corpus.metadata import Facts, read_metadata
from autobird.corpus.settings import CorpusSettings


@dataclass(frozen=True)
class Row:
    """A recording as its source lists it.

    Attributes:
        recording: its id, a path relative to the source with `/`.
        species: its label, "" if unknown.
        content: what stands for its bytes: `sha256:...` of the file, or the recipe of a synthesised one.
        problem: why it cannot be used though nobody has listened to it, or "".
        size: bytes of its file, as far as known; what jobs ask for follows from it, never what they compute.
    """

    recording: str
    species: str
    content: str
    problem: str = ""
    size: int = 0


class Source(Protocol):
    """What every source offers. Both lists are sorted by recording."""

    def rows(self) -> list[Row]:
        """All recordings, usable or not."""
        ...

    def facts(self) -> list[Facts]:
        """What people know about the recordings; unknown values are ""."""
        ...


def source_of(settings: CorpusSettings, cache: Path) -> Source:
    """The source that `settings.type` names.

    Args:
        settings: the section `corpus`.
        cache: file of the sha256 cache, outside `results/`.
    """
    if settings.type == "demo":
        return DemoSource(settings)
    return FolderSource(settings, cache)


class DemoSource:
    """The embedded corpus: recordings that exist as recipes until `download` synthesises them."""

    def __init__(self, settings: CorpusSettings) -> None:
        demo = settings.demo
        self.plans: list[Plan] = sorted(plan_corpus(demo.seed, demo.species, demo.recordings), key=lambda p: p.id)

    def rows(self) -> list[Row]:
        """One row a plan; its size is that of uncompressed sound."""
        return [
            Row(p.id, p.name, f"demo:{recipe(p)}", size=round(2 * p.duration * p.sample_rate * p.channels))
            for p in self.plans
        ]

    def facts(self) -> list[Facts]:
        """Invented recordists, days, places and licences."""
        return [
            Facts(p.id, recordist=p.recordist, date=p.date, place=p.place, licence=p.licence, quality=p.quality)
            for p in self.plans
        ]


class FolderSource:
    """`<root>/<Species name>/<any depth>/<file>`; every file is a row, whatever it is called."""

    def __init__(self, settings: CorpusSettings, cache: Path) -> None:
        self.settings, self.cache = settings, cache
        self.root = Path(settings.root or "").expanduser()
        if not self.root.is_dir():
            raise AutobirdError(
                f"corpus.root: {self.root} is not a folder; give the folder that holds one folder per species"
            )
        self.metadata = self._metadata_file()

    def rows(self) -> list[Row]:
        """Every file below the root but the metadata table, hashed (through the cache)."""
        rows = [self._row(found) for found in hashed_files(self.root, self.cache, self.metadata)]
        return sorted(rows, key=lambda r: r.recording)

    def facts(self) -> list[Facts]:
        """The rows of the metadata table."""
        return read_metadata(self.metadata, self.settings.columns) if self.metadata else []

    def _row(self, found: Found) -> Row:
        file, name, digest, size = found
        folder, _, rest = file.partition("/")
        species = unicodedata.normalize("NFC", folder).replace("_", " ").strip()
        suffix = self.settings.species_suffix.replace("_", " ")
        species = species.removesuffix(suffix).strip() if suffix else species
        if name != file:
            return Row(name, "", "", "the file's name is not UTF-8; rename it")
        if not rest:
            return Row(name, "", f"sha256:{digest}", "not inside a species folder; move it into one", size)
        if digest is None:
            return Row(name, species, "", "cannot be read; check the file's permissions")
        return Row(name, species, f"sha256:{digest}", size=size)

    def _metadata_file(self) -> Path | None:
        choice = self.settings.metadata
        if choice == "none":
            return None
        if choice == "auto":
            return next((p for n in ("SOURCES.csv", "metadata.csv") if (p := self.root / n).is_file()), None)
        path = self.root / choice
        if not path.is_file():
            raise AutobirdError(f"corpus.metadata: {path} is not a file; give a path relative to corpus.root, or none")
        return path
