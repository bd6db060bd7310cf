"""The demo corpus as a folder of audio files with a metadata table, like a user's own recordings."""

from pathlib import Path

from autobird.core.files import csv_text, write_bytes, write_text
from autobird.synth.encode import encode
from autobird.synth.plan import plan_corpus
from autobird.synth.scene import render


def write_folder(folder: Path, species: int, recordings: int, seed: int) -> int:
    """Write `<folder>/<Species>/<file>` and `<folder>/SOURCES.csv`; return the number of recordings.

    Args:
        folder: the folder to write.
        species: number of species.
        recordings: number of recordings per species.
        seed: seed of the random number generator.
    """
    plans = plan_corpus(seed, species, recordings)
    table = [["file", "species", "recordist", "date", "location", "licence", "quality"]]
    for plan in plans:
        samples, _ = render(plan)
        write_bytes(folder / plan.id, encode(samples, plan.sample_rate, plan.format))
        table.append([plan.id, plan.name, plan.recordist, plan.date, plan.place, plan.licence, plan.quality])
    write_text(folder / "SOURCES.csv", csv_text(table))
    return len(plans)
