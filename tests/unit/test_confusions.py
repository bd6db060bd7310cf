"""Confused species: counts, examples with their sources, and a confusion matrix that can be read with 114 species."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autobird.audio.settings import MelSettings
from autobird.evaluation import confusion_matrix, tested
from autobird.evaluation.confusion_examples import examples_of
from autobird.evaluation.confusion_matrix import MAX_SPECIES, confusion_figure, grouped_matrix, shown_species
from autobird.evaluation.confusion_spectrograms import confusion_spectrograms
from autobird.evaluation.confusions import confusion_table, summary
from autobird.evaluation.predictions import Items, SplitPredictions
from autobird.evaluation.settings import IntervalSettings

SETTINGS = IntervalSettings(resamples=100)
LABELS = ["a", "b", "c"]


def split(truth: list[int], answered: list[int], group: list[int], species: int = 3) -> SplitPredictions:
    """Return recordings of one window and one species each; the probability of the answered species falls from 0.9 to 0.5."""
    n = len(truth)
    present = np.eye(species, dtype=bool)[truth]
    p = np.full((n, species), 0.01)
    p[np.arange(n), answered] = 0.9 - 0.4 * np.arange(n) / n
    items = Items(p, p > 0.5, present, np.ones_like(present), np.zeros(n, bool), np.arange(n))
    return SplitPredictions(items, items, [f"r{i:04d}" for i in range(n)], np.array(group))


FOUND = split([0, 0, 0, 0, 1, 1, 1], [1, 1, 2, 0, 1, 0, 1], [0, 0, 1, 2, 3, 4, 5])


def test_pairs_are_counted_with_the_share_of_the_recordings_of_the_species() -> None:
    table = confusion_table(FOUND, FOUND.resamples(100, 0), LABELS, SETTINGS)
    columns = ["species", "answered", "recordings", "groups", "of_recordings", "share", "windows"]
    # Both recordings of the first pair are of one session; ties are sorted by recordings, then by name.
    assert table[columns].to_numpy().tolist() == [
        ["a", "b", 2, 1, 4, 0.5, 2], ["a", "c", 1, 1, 4, 0.25, 1], ["b", "a", 1, 1, 3, 0.3333, 1],
    ]  # fmt: skip
    assert (table["share_low"] < table["share"]).all()
    text = summary(table, FOUND)
    assert text.startswith("4 of the 7 test recordings of one species have another species as the most probable one.")
    assert "| *a* | *b* | 2 (1) | 0.50 [" in text


def test_without_confusions_the_table_is_empty_and_the_summary_says_so() -> None:
    right = split([0, 1, 2], [0, 1, 2], [0, 1, 2])
    table = confusion_table(right, right.resamples(100, 0), LABELS, SETTINGS)
    assert not len(table)
    assert summary(table, right) == "None of the 3 test recordings of one species is taken for another species."
    none = split([], [], [])
    table = confusion_table(none, none.resamples(100, 0), LABELS, SETTINGS)
    assert (
        summary(table, none)
        == "Confusions are not counted, because no test recording is known to hold one species alone."
    )


def examples() -> pd.DataFrame:
    """Return the examples of FOUND; no test window of species c is recognised, and the training has two."""
    names = [*FOUND.names, "t0", "t1"]
    index = pd.DataFrame(
        {
            "recording": names, "start": 0, "shard": 0, "first_frame": range(9), "mel_std": [1.0] * 8 + [2.0],
            "split": ["test"] * 7 + ["train"] * 2, "dropped": "", "quiet": False, "species": [""] * 7 + ["c", "c"],
        }
    )  # fmt: skip
    catalogue = pd.DataFrame(
        {"recording": names, "duration": 9.0, "recordist": ["Ann"] * 7 + [""] * 2, "licence": ["BY"] * 7 + [""] * 2}
        | dict.fromkeys(("licence_family", "page", "number"), "")
    )
    found = tested.TestedRecordings(LABELS, FOUND, pd.DataFrame({"recording": FOUND.names, "start": 0, "fold": 0}))
    pairs = confusion_table(FOUND, FOUND.resamples(100, 0), LABELS, SETTINGS).head(2)
    return examples_of(found, pairs, index, catalogue, MelSettings())


def test_a_confusion_is_shown_beside_typical_windows_with_their_split_recordist_and_licence() -> None:
    found = examples()
    columns = ["pair", "role", "species", "recording", "split", "recordist", "licence"]
    assert found[columns].to_numpy().tolist() == [
        [1, "typical of the true species", "a", "r0003", "test", "Ann", "BY"],
        [1, "confused", "a", "r0000", "test", "Ann", "BY"],
        [1, "typical of the answered species", "b", "r0004", "test", "Ann", "BY"],
        [2, "typical of the true species", "a", "r0003", "test", "Ann", "BY"],
        [2, "confused", "a", "r0002", "test", "Ann", "BY"],
        # No window of c is recognised in test: the training window with the largest contrast.
        [2, "typical of the answered species", "c", "t1", "train", "unknown recordist", "unknown"],
    ]
    assert found["probability_answered"].iloc[1] == pytest.approx(0.9)
    assert np.isnan(found["probability_answered"].iloc[5])


def drawn(monkeypatch: pytest.MonkeyPatch, module: Any, draw: Any) -> Any:
    figures: list[Any] = []
    monkeypatch.setattr(module, "save", lambda fig, path: figures.append(fig))
    draw()
    figures[0].canvas.draw()
    return figures[0]


def test_each_spectrogram_names_its_file_recordist_and_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    from autobird.evaluation import confusion_spectrograms as module

    pairs = confusion_table(FOUND, FOUND.resamples(100, 0), LABELS, SETTINGS).head(2)
    shards = [np.zeros((200, MelSettings().mels), np.float16)]
    fig = drawn(
        monkeypatch, module, lambda: confusion_spectrograms(Path("x.png"), pairs, examples(), shards, MelSettings())
    )
    titles = [ax.get_title() for ax in fig.axes]
    assert titles[1] == "a, taken for b\nin 2 of 4 recordings; P true 0.01, answered 0.90\nr0000, from 0 s\nAnn, BY"
    assert titles[5].startswith("c\ntraining recording (none recognised in test)\nt1, from 0 s\nunknown recordist")
    assert "kHz" in fig.get_supylabel()
    assert "seconds" in fig.get_supxlabel()


def counts_of(species: int) -> Any:
    """Return a confusion matrix in which each odd species is taken for the one before it, some more often than others."""
    counts = np.diag(np.full(species, 9))
    odd = np.arange(1, species, 2)
    counts[odd, odd - 1] = 1 + odd % 7
    return counts


def test_of_many_species_those_with_the_most_confusions_are_shown_and_stand_together() -> None:
    counts = counts_of(114)
    shown = shown_species(counts)
    assert len(shown) == MAX_SPECIES
    # 20 pairs, those with the most confusions, and both species of each side by side.
    assert all({a // 2 for a in pair} == {pair[0] // 2} for pair in shown.reshape(-1, 2).tolist())
    smallest = min(counts[i, i - 1] for i in shown if i % 2)
    assert all(counts[i, i - 1] <= smallest for i in range(1, 114, 2) if i not in shown)
    matrix, names = grouped_matrix(counts, shown, [f"s{i}" for i in range(114)])
    assert matrix.sum() == counts.sum()
    assert names[-1] == "74 other species"
    assert matrix.shape == (41, 41)


def test_few_species_are_all_shown() -> None:
    assert sorted(shown_species(counts_of(6)).tolist()) == list(range(6))
    assert shown_species(np.array([[3]])).tolist() == [0]


def test_the_labels_of_the_matrix_of_114_species_are_inside_the_figure_and_do_not_overlap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truth = [i for i in range(114) for _ in range(4)]
    answered = [t - 1 if t % 2 and n % 4 == 0 else t for n, t in enumerate(truth)]
    found = split(truth, answered, list(range(len(truth))), 114)
    labels = [f"Acrocephalus schoenobaenus {i}" for i in range(114)]
    fig = drawn(monkeypatch, confusion_matrix, lambda: confusion_figure(Path("x.png"), found.recordings, labels))
    ax = fig.axes[0]
    assert ax.get_title() == (
        "399 of 456 test recordings of one species are right.\nShown: the 40 of 114 species with the most frequent confusions. "
        "Last row and column: all others;\n37 of the 57 confusions are among these (confusions.csv lists them)"
    )
    # 20 pairs of species with four recordings each: those of the first are right, one of the second is taken for the first.
    numbers = {tuple(reversed(text.get_position())): int(text.get_text()) for text in ax.texts}
    assert [numbers.pop((i, i)) for i in range(41)].count(296) == 1
    assert len(numbers) == 20
    assert set(numbers.values()) == {1}
    assert all(abs(row - column) == 1 for row, column in numbers)
    for axis in (ax.xaxis, ax.yaxis):
        names = axis.get_ticklabels()
        assert len(names) == 41
        assert min(name.get_fontsize() for name in names) >= 8
        boxes = [name.get_window_extent() for name in names]
        assert all(box.x0 >= 0 and box.y0 >= 0 for box in [*boxes, axis.label.get_window_extent()])
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


def recognised(wrong: int) -> SplitPredictions:
    """Return a recording of each of 114 species, of which the first ones are taken for another species."""
    truth = np.arange(114)
    return split(truth.tolist(), np.where(truth < wrong, truth + 60, truth).tolist(), truth.tolist(), 114)


def test_the_title_of_the_matrix_of_few_confusions_is_inside_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"s{i}" for i in range(114)]
    found = recognised(1).recordings
    fig = drawn(monkeypatch, confusion_matrix, lambda: confusion_figure(Path("x.png"), found, labels))
    box = fig.axes[0].title.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= fig.bbox.width
    assert (
        fig.axes[0].get_title().startswith("113 of 114 test recordings of one species are right.\nShown: the 2 of 114")
    )


def test_without_a_confusion_among_many_species_there_is_a_sentence_and_no_matrix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = [f"s{i}" for i in range(114)]
    found = recognised(0).recordings
    fig = drawn(monkeypatch, confusion_matrix, lambda: confusion_figure(Path("x.png"), found, labels))
    sentence = "None of the 114 test recordings of one species is taken for another species."
    assert [text.get_text() for ax in fig.axes for text in ax.texts] == [sentence]


def test_long_names_above_a_spectrogram_keep_both_species_the_start_and_the_licence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from autobird.evaluation import confusion_spectrograms as module

    names = [f"Phylloscopus (trochiloides) {name}, birds" for name in ("plumbeitarsus", "viridanus")]
    pairs = pd.DataFrame({"species": names[:1], "answered": names[1:], "recordings": 3, "of_recordings": 7})
    found = examples().iloc[:3].assign(
        recording=f"x/{'station on the northern shore ' * 3}20230512_040000.wav", start_seconds=127.5,
        recordist="Maria Magdalena von und zu Hohenlohe-Waldenburg-Schillingsfürst", licence="CC BY-NC-SA 4.0",
    )  # fmt: skip
    shards = [np.zeros((200, MelSettings().mels), np.float16)]
    fig = drawn(monkeypatch, module, lambda: confusion_spectrograms(Path("x.png"), pairs, found, shards, MelSettings()))
    lines = fig.axes[1].get_title().splitlines()
    assert lines[:2] == [f"{names[0]},", f"taken for {names[1]}"]
    assert lines[3].startswith("station on the")
    assert lines[3].endswith("20230512_040000.wav, from 127.5 s")
    assert lines[-1] == "CC BY-NC-SA 4.0"
    boxes = [ax.title.get_window_extent() for ax in fig.axes]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
