"""A small annotated field set of the demo's species, whose answers can be worked out by hand."""

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from autobird.synth.plan import plan_species
from autobird.synth.scene import render

RATE = 32000

Boxes = list[tuple[float, float, str]]
"""Start and end in seconds, and label."""


def songs(species: int, number: int, seed: int = 7) -> tuple[NDArray[np.float64], float, float, str]:
    """Return a demo recording that the corpus lacks: mono samples at `RATE`, first onset, last offset and species."""
    plan = next(
        p for p in plan_species(seed, species, number + 40)[number:] if p.sample_rate == RATE and p.duration < 15
    )
    samples, notes = render(plan)
    return samples.mean(axis=1), notes[0].onset, max(n.offset for n in notes), plan.name


def write_recording(path: Path, seconds: float, placed: dict[float, int], seed: int) -> Boxes:
    """Write faint noise with songs of species (by index) that begin at the given times; return the boxes."""
    rng = np.random.default_rng(seed)
    sound, boxes = rng.normal(0, 0.002, round(seconds * RATE)), []
    for at, species in placed.items():
        samples, onset, offset, name = songs(species, 20 + 40 * seed)
        first = round(at * RATE)
        part = samples[: len(sound) - first]
        sound[first : first + len(part)] += part
        boxes.append((round(at + onset, 3), round(min(at + offset, seconds), 3), name))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(sound, -0.99, 0.99), RATE, subtype="PCM_16")
    return boxes


def write_table(path: Path, boxes: Boxes) -> None:
    """Write an annotation table with the name of its recording, which may be empty."""
    rows = "".join(f"{start},{end},{label}\n" for start, end, label in boxes)
    path.with_suffix(".csv").write_text(f"start,end,label\n{rows}")


def write_field_set(folder: Path) -> dict[str, Boxes]:
    """Write annotated recordings of two recorders and nights; return the boxes of the model's species by recording."""
    truth: dict[str, Boxes] = {}
    for seed, (name, placed) in enumerate(
        {
            "siteA/A_20240501_040000.wav": {3.0: 0, 24.0: 1},
            "siteA/A_20240501_050000.wav": {8.0: 2},
            "siteB/B_20240502_040000.wav": {5.0: 1, 22.0: 0},
            "siteB/B_20240503_040000.wav": {},
        }.items()
    ):
        truth[name] = write_recording(folder / name, 40.0, placed, seed)
        write_table(folder / name, truth[name])
    return truth
