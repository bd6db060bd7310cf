"""The demo corpus as a folder of audio files with a metadata table, like a user's own recordings."""

from pathlib import Path

from autobird.core.files import csv_text, write_bytes, write_text
from autobird.synth.bird import distance_of
from autobird.synth.plan import NegativePlan, Plan, plan_corpus, plan_negatives, plan_other_birds
from autobird.synth.synthesise import synthesise


def write_folder(
    folder: Path, species: int, recordings: int, seed: int, negatives: int = 0, other_birds: int = 0
) -> int:
    """Write the demo corpus and its table `SOURCES.csv`; return the number of recordings.

    Args:
        folder: the folder to write: `<Species>/<file>`, and `noise/<file>` and `other/<file>` for the negatives.
        species: number of species.
        recordings: number of recordings per species.
        seed: seed of the random number generator.
        negatives: number of recordings of noise and distant birds of other species.
        other_birds: number of recordings of birds of other species near the microphone.
    """
    plans: list[Plan | NegativePlan] = [
        *plan_corpus(seed, species, recordings),
        *plan_negatives(seed, negatives),
        *plan_other_birds(seed, other_birds),
    ]
    table = [["file", "species", "recordist", "date", "location", "licence", "quality", "distance_m"]]
    for plan in plans:
        data, _ = synthesise(plan)
        write_bytes(folder / plan.id, data)
        name, distance = ("", "") if isinstance(plan, NegativePlan) else (plan.name, f"{distance_of(plan):.1f}")
        table.append([plan.id, name, plan.recordist, plan.date, plan.place, plan.licence, plan.quality, distance])
    write_text(folder / "SOURCES.csv", csv_text(table))
    return len(plans)
