"""Figure of the hardest confusions: spectrograms of a confused window and of typical windows of both species, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.settings import MelSettings
from autobird.core.plots import GREY, figure, save
from autobird.core.wording import counted, shortened
from autobird.dataset.spectrogram import draw_window
from autobird.evaluation.confusion_examples import CONFUSED, ROLES, TYPICAL_ANSWERED

_LINE_LENGTH = 60
"""Longest line above a spectrogram, characters."""


def confusion_spectrograms(
    path: Path,
    pairs: pd.DataFrame,
    examples: pd.DataFrame,
    shards: Sequence[NDArray[np.float16]],
    settings: MelSettings,
) -> None:
    """Draw one row per pair: a typical window of the true species, the confused window, a typical window of the answered species.

    Args:
        path: PNG file.
        pairs: columns species, answered, recordings, of_recordings.
        examples: windows of the pairs (`confusion_examples.examples_of`).
        shards: mel frames of each batch, in the order of the shard numbers; shape (frames, mels).
        settings: the front end.
    """
    if not len(pairs):
        fig, ax = figure(7, 1.6)
        ax.text(0.5, 0.5, "no test recording of one species is taken for another", ha="center", va="center")
        ax.set_axis_off()
        save(fig, path)
        return
    fig, axes = figure(
        12.5, 2.75 * len(pairs) + 0.5, rows=len(pairs), columns=3, squeeze=False, sharex=True, sharey=True
    )
    found = {(row["pair"], row["role"]): row for row in examples.to_dict("records")}
    for number, pair in enumerate(pairs.to_dict("records"), 1):
        for ax, role in zip(axes[number - 1], ROLES, strict=True):
            row = found.get((number, role))
            if row is None:
                _empty(ax, pair["answered"] if role == TYPICAL_ANSWERED else pair["species"])
            else:
                draw_window(ax, shards[row["shard"]], row["first_frame"], settings)
                ax.set_title(_title(row, pair), fontsize=7.5)
    fig.supxlabel("seconds from the start of the window", fontsize=9)
    fig.supylabel("frequency, kHz (mel scale)", fontsize=9)
    fig.suptitle(
        "left: the true species, recognised; middle: the confused window; right: the species that was answered, recognised\n"
        f"{counted(len(pairs), 'pair')}, the most frequent first; P: probability of the window, smoothed over its neighbours",
        fontsize=9,
    )
    save(fig, path)


def _title(row: dict[str, Any], pair: dict[str, Any]) -> str:
    """Return the lines above a spectrogram: species, probabilities, file with start, recordist and licence."""
    true, answered = row["probability_true"], row["probability_answered"]
    if row["role"] == CONFUSED:
        first = _one_or_two_lines(f"{pair['species']},", f"taken for {pair['answered']}")
        second = f"in {pair['recordings']} of {counted(pair['of_recordings'], 'recording')}; P true {true:.2f}, answered {answered:.2f}"
    else:
        first = shortened(row["species"], _LINE_LENGTH)
        probability = answered if row["role"] == TYPICAL_ANSWERED else true
        second = (
            f"test, P {probability:.2f}" if row["split"] == "test" else "training recording (none recognised in test)"
        )
    start = f", from {row['start_seconds']:g} s"
    file = shortened(row["recording"].rsplit("/", 1)[-1], _LINE_LENGTH - len(start)) + start
    licence = row["licence"].replace("https://creativecommons.org/licenses/", "CC ").strip("/")
    return "\n".join((first, second, file, _one_or_two_lines(f"{row['recordist']},", licence)))


def _one_or_two_lines(first: str, second: str) -> str:
    """Return two texts in one line, or in two lines if they are too long together."""
    line = f"{first} {second}"
    return line if len(line) <= _LINE_LENGTH else "\n".join(shortened(text, _LINE_LENGTH) for text in (first, second))


def _empty(ax: Any, species: str) -> None:
    ax.text(
        0.5,
        0.5,
        f"no window of {species} alone",
        ha="center",
        va="center",
        fontsize=8,
        transform=ax.transAxes,
        color=GREY,
    )
