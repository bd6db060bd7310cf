"""The figures: nothing overprints anything else, and small numbers of recordings, windows, variants and seeds are shown as such."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from autobird.core.files import write_json
from autobird.core.plots import figure, height_of_rows, logarithmic_ticks, make_logarithmic, save
from autobird.corpus.figures import overview, places, species
from autobird.dataset.figures import durations, species_counts
from autobird.evaluation import curves
from autobird.evaluation.crossval_figure import METRICS, crossval_figure
from autobird.evaluation.curves import weight_decay_figure
from autobird.evaluation.figures import reliability_figure, species_figure
from autobird.evaluation.learning_curve_figure import learning_curve_figure
from autobird.evaluation.predictions import Items, SplitPredictions
from autobird.evaluation.ranking_figures import species_curves_figure
from autobird.evaluation.weaknesses_figure import weaknesses_figure
from autobird.release.comparison_figure import comparison_figure
from autobird.sweep.figure import _Axis, sweep_figure
from autobird.sweep.importance import importances

Drawn = Callable[..., Any]


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drawn]:
    """Yield a function that calls a plotting function and returns its figure, with the layout that is saved."""

    def draw(function: Callable[..., None], *arguments: Any) -> Any:
        figures: list[Any] = []
        monkeypatch.setattr(f"{function.__module__}.save", lambda fig, path: figures.append(fig))
        function(tmp_path / "x.png", *arguments)
        figures[0].canvas.draw()
        return figures[0]

    yield draw
    plt.close("all")


def interval(value: float, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"value": value, "low": low, "high": high}


def curve(gains: dict[str, Any], last: float = 9.0) -> dict[str, Any]:
    numbers = (2.0, 4.0, 8.0, last)
    return {
        "confidence": 0.95, "test_recordings": 9, "test_groups": 9,
        "curve": [{"recordings": n, "macro_f1": interval(0.8, 0.7, 0.9)} for n in numbers],
        "species": {
            name: {
                "train_recordings": 9, "test_groups": 3, "gain_of_doubling": gain, "conclusion": "not enough to tell",
                "curve": [{"recordings": n, "f1": interval(0.8, 0.7, 0.9)} for n in numbers],
            }
            for name, gain in gains.items()
        },
    }  # fmt: skip


def test_dollar_signs_in_names_are_no_mathematical_text(tmp_path: Path) -> None:
    fig, ax = figure(4, 2)
    ax.set_xscale("log")
    ax.set_xlim(1, 1000)
    ax.set_title("of $a_1_2$.wav")
    ax.set_yticks([0, 1], ["$x_1_2$", "for 5 $"])
    drawn: list[str] = []
    fig.canvas.mpl_connect(
        "draw_event", lambda _: drawn.extend(t.get_text() for t in ax.get_xticklabels() if t.get_parse_math())
    )
    save(fig, tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 0
    assert r"$\mathdefault{10^{1}}$" in drawn


@pytest.mark.parametrize(
    ("low", "high", "most", "numbers"),
    [
        (6.2, 28.1, 10, "7 10 15 20"),
        (0.9, 60, 10, "1 2 5 10 20 50"),
        (0.09, 60, 10, "0.1 0.2 0.5 1 2 5 10 20 50"),
        (0.1, 7200, 10, "0.1 0.3 1 3 10 30 100 300 1000 3000"),
        (0.1, 7200, 7, "0.1 1 10 100 1000"),
        (2.97, 3.03, 10, "2.985 3 3.015 3.03"),
        (1e-9, 1e9, 5, "1e-09 1e-05 0.1 1000 1e+07"),
    ],
)
def test_a_logarithmic_axis_has_enough_numbers_to_read_and_not_too_many(
    low: float, high: float, most: int, numbers: str
) -> None:
    found = logarithmic_ticks(low, high, most)
    assert " ".join(f"{value:g}" for value in found) == numbers
    assert len(found) <= most


@pytest.mark.parametrize(
    ("shortest", "longest"), [(6.2, 28.0), (0.1, 7200.0), (3.0, 3.0), (29.0, 31.0), (0.5, 90000.0)]
)
def test_axes_of_durations_say_that_they_are_logarithmic_and_their_numbers_do_not_touch(
    drawn: Drawn, shortest: float, longest: float
) -> None:
    n = 30
    seconds = np.geomspace(shortest, longest, n)
    texts = dict.fromkeys(("quarantined", "codec", "licence_family", "quality"), "")
    recordings = pd.DataFrame({"recording": [str(i) for i in range(n)], "duration": seconds})
    catalogue = recordings.assign(channels=1, sample_rate=44100, bits=16, **texts)
    for ax in (
        drawn(durations, recordings, pd.Series(["3"])).axes[0],
        drawn(overview, catalogue).axes[0],
    ):
        assert ax.get_xlabel().endswith("seconds (logarithmic scale)")
        labels = [t for t in ax.get_xticklabels(which="both") if t.get_text()]
        assert len(labels) >= 4
        boxes = [t.get_window_extent() for t in labels]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


def test_a_logarithmic_axis_has_plain_numbers_and_a_label_that_says_so() -> None:
    fig, ax = figure(5, 3)
    ax.plot([500, 200_000], [0.02, 40])
    make_logarithmic(ax, "x", "recordings")
    make_logarithmic(ax, "y", "memory", most=4)
    fig.canvas.draw()
    assert [ax.get_xlabel(), ax.get_ylabel()] == ["recordings (logarithmic scale)", "memory (logarithmic scale)"]
    written = [t.get_text() for t in ax.get_xticklabels(which="both") if t.get_text()]
    assert written == ["500", "1,000", "2,000", "5,000", "10,000", "20,000", "50,000", "100,000", "200,000"]
    assert [t.get_text() for t in ax.get_yticklabels(which="both") if t.get_text()] == ["0.1", "1", "10"]


def test_long_names_of_species_do_not_overprint_those_of_other_panels(drawn: Drawn) -> None:
    names = [f"Northern subspecies of the long-tailed greenish warbler {i}" for i in range(4)]
    scores = dict.fromkeys(("average_precision", "auroc"), 0.5)
    bounds = {f"{name}{end}": 0.5 for name in scores for end in ("_low", "_high")}
    table = pd.DataFrame({"species": ["pooled", "mean", *names], "items": 2, "groups": 1} | scores | bounds)
    curves = pd.DataFrame({"species": names, "curve": "roc", "x": 0.5, "y": 0.5, "low": 0.1, "high": 0.9})
    fig = drawn(species_curves_figure, curves, table, 0.95)
    titles = [ax.title for ax in fig.axes if ax.get_title()]
    assert len(titles) == 8
    assert titles[0].get_text().endswith("\n2 in 1 group")
    assert not any(a.get_window_extent().overlaps(b.get_window_extent()) for a, b in itertools.combinations(titles, 2))


@pytest.mark.parametrize("known", [{}, {"Turdus merula": interval(0.1, 0.05, 0.15)}])
def test_too_few_recordings_does_not_overprint_species_names(drawn: Drawn, known: dict[str, Any]) -> None:
    fig = drawn(learning_curve_figure, curve({"Parus major": None, "Pica pica": interval(0, None, None)} | known))
    right = fig.axes[1]
    boxes = [t.get_window_extent() for t in right.texts if t.get_text() == "too few recordings"]
    names = [t.get_window_extent() for t in right.get_yticklabels()]
    assert len(boxes) == 2
    assert not any(box.overlaps(name) for box in boxes for name in names)


@pytest.mark.parametrize(
    ("last", "numbers"),
    [(8.0, "2 4 8"), (8.97, "2 4 9"), (9.3, "2 4 8 9.3"), (1127.4, "2 4 8 16 32 64 128 256 512 1127")],
)
def test_the_last_point_of_the_learning_curve_has_its_number(drawn: Drawn, last: float, numbers: str) -> None:
    labels = drawn(learning_curve_figure, curve({"Parus major": None}, last)).axes[0].get_xticklabels()
    assert [t.get_text() for t in labels] == numbers.split()
    boxes = [t.get_window_extent() for t in labels]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


def windows(confidence: list[float], correct: list[bool], is_independent: bool = False) -> SplitPredictions:
    """Return windows with this probability of the first of two species, which is present or not, each a recording of its own.

    With softmax outputs, the second species is present in the other windows; with independent outputs none.
    """
    p, right = np.array(confidence), np.array(correct)
    n = len(p)
    other = np.zeros(n) if is_independent else 1 - p
    present = np.c_[right, np.zeros(n, bool) if is_independent else ~right]
    items = Items(
        np.c_[p, other], present, present, np.ones((n, 2), bool), np.zeros(n, bool), np.arange(n), is_independent
    )
    return SplitPredictions(items, items, [str(i) for i in range(n)], np.arange(n))


def test_with_independent_outputs_windows_without_species_count_at_most_as_much_as_the_others(drawn: Drawn) -> None:
    """Of 40 windows at 0.75 the species is present in 10; the others have no species and together the weight of 10."""
    found = windows([0.75] * 40, [True] * 10 + [False] * 30, is_independent=True)
    ax = drawn(reliability_figure, found, found).axes[0]
    assert np.allclose([line.get_ydata() for line in ax.lines[1:]], [[0.5], [0.5]])
    assert ax.get_ylabel() == "share of windows that contain it"


def test_small_bins_are_not_drawn_and_the_legend_is_outside_the_panel(drawn: Drawn) -> None:
    items = windows([0.95] * 5 + [0.75] * 4, [True] * 5 + [False] * 4)
    fig = drawn(reliability_figure, items, items)
    ax = fig.axes[0]
    assert [line.get_ydata().tolist() for line in ax.lines[1:]] == [[1.0], [1.0]]
    assert not fig.legends[0].get_window_extent().overlaps(ax.get_window_extent())
    assert ax.get_legend() is None


def test_without_a_large_bin_the_reliability_diagram_says_so(drawn: Drawn) -> None:
    items = windows([0.95] * 4, [True] * 4)
    assert [t.get_text() for t in drawn(reliability_figure, items, items).axes[0].texts] == ["no bin has 5 windows"]


@pytest.mark.parametrize("function", [species, species_counts])
def test_legends_of_species_do_not_lie_on_bars(drawn: Drawn, function: Callable[..., None]) -> None:
    names = ["Parus major", "Pica pica"] * 3
    table = pd.DataFrame({"species": names, "recording": list("abcdef"), "duration": 9.0, "kind": ""})
    table = table.assign(quarantined="", dropped="", split=["train"] * 2 + ["validation"] * 2 + ["test"] * 2)
    table = table.assign(present=[[name] for name in names], negative=False)
    fig = drawn(function, table, *([sorted(set(names))] if function is species_counts else []))
    assert all(ax.get_legend() is None for ax in fig.axes)
    assert not any(fig.legends[0].get_window_extent().overlaps(ax.get_window_extent()) for ax in fig.axes)


def test_negatives_have_a_row_below_the_species_and_a_window_of_two_species_counts_for_both(drawn: Drawn) -> None:
    present = [["Pica pica"], ["Pica pica", "Parus major", "a rare one"], [], [], []]
    table = pd.DataFrame({"recording": list("aabcc"), "present": present, "split": ["train"] * 3 + ["test"] * 2})
    table = table.assign(dropped="", negative=[not names for names in present], species="")
    fig = drawn(species_counts, table, ["Parus major", "Pica pica"])
    names = fig.axes[0].get_yticklabels()
    assert [(n.get_text(), n.get_style()) for n in names] == [
        ("negatives (no species)", "normal"), ("Parus major", "italic"), ("Pica pica", "italic"),
    ]  # fmt: skip
    recordings, windows = ([[bar.get_width() for bar in bars] for bars in ax.containers] for ax in fig.axes)
    assert recordings == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert windows == [[1, 1, 2], [0, 0, 0], [2, 0, 0]]


@pytest.mark.parametrize(
    ("variants", "title"), [(1, "released: float (the only variant)"), (2, "released: float (orange)")]
)
def test_the_comparison_has_a_row_per_variant(drawn: Drawn, variants: int, title: str) -> None:
    row = {"split": "test", "macro_f1": 0.8, "macro_f1_low": 0.7, "macro_f1_high": 0.9, "bytes": 60_000}
    names = ["float", "int8"][:variants]
    table = pd.DataFrame([row | {"variant": n, "released": n == "float"} for n in names])
    speed = {"windows_per_second": dict.fromkeys(names, 20.0), "times_eager": dict.fromkeys(names, 1.0)}
    fig = drawn(comparison_figure, table, speed | {"backbone": None, "includes_backbone": False})
    assert fig.axes[0].get_ylim() == (-0.6, variants - 0.4)
    assert (fig.get_suptitle(), fig._suptitle.get_color()) == (title, "black")


@pytest.mark.parametrize(
    ("selected", "label"), [(0.1, "0.1"), (1.0, "1; the largest tried"), (0.01, "0.01; the smallest tried")]
)
def test_the_selected_weight_decay_is_marked(drawn: Drawn, selected: float, label: str) -> None:
    tried = pd.DataFrame({"weight_decay": [1.0, 0.1, 0.01], "loss": [0.3, 0.2, 0.4], "macro_f1": [0.8, 0.9, 0.7]})
    fig = drawn(weight_decay_figure, tried, selected, "cross-entropy")
    for ax, column in zip(fig.axes, ("loss", "macro_f1"), strict=True):
        assert ax.get_xlabel() == f"weight decay (orange: selected, {label})\nlogarithmic scale"
        expected = tried.loc[tried["weight_decay"] == selected, ["weight_decay", column]].to_numpy()
        np.testing.assert_array_equal(ax.lines[1].get_xydata(), expected)
    assert fig.get_suptitle() == "weight decay: chosen inside the training recordings"


@pytest.mark.parametrize("seeds", [[4], [4, 5]])
def test_a_cross_validation_with_one_seed_has_no_legend(drawn: Drawn, seeds: list[int]) -> None:
    score = {
        "members": {f"fold{f}.seed{s}": 0.8 for f in range(2) for s in seeds},
        "seeds": {str(s): 0.8 for s in seeds},
    }
    result = {
        "folds": 2, "seeds": seeds, "recordings": 9, "confidence": 0.95,
        "by_recording": dict.fromkeys(METRICS, score | interval(0.8, 0.7, 0.9)),
    }  # fmt: skip
    assert (
        "by an ensemble that was" in drawn(crossval_figure, result | {"ensemble": {"mode": "average"}}).get_suptitle()
    )
    fig = drawn(crossval_figure, result | {"ensemble": None})
    assert "by a network that was" in fig.get_suptitle()
    assert len(fig.legends) == len(seeds) - 1
    assert ("per seed" in fig.get_suptitle()) == (len(seeds) > 1)
    points = [y for c in fig.axes[0].collections for _, y in np.asarray(c.get_offsets()).tolist() if y > 1.5]
    assert len(points) == (0 if len(seeds) == 1 else 2)  # the seeds in the row of the pooled score
    assert fig.axes[0].get_xlabel() == "macro-F1\npooled: 0.800 (0.700 to 0.900)"


def sentences(fig: Any) -> list[str]:
    """Return the texts of the panels whose axes are not drawn."""
    return [text.get_text() for ax in fig.axes if not ax.axison for text in ax.texts]


def catalogue(latitude: float) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "quarantined": "", "duration": [4.0, 9.0], "channels": 1, "sample_rate": 16_000, "codec": "WAV", "bits": 16,
            "licence_family": "CC0", "quality": "", "latitude": latitude, "longitude": 8.0,
        }
    )  # fmt: skip


def test_a_map_without_coordinates_and_an_overview_without_quarantine_say_so(drawn: Drawn) -> None:
    assert sentences(drawn(places, catalogue(np.nan))) == [
        "The metadata give no coordinates of the 2 recordings in use, so there is no map."
    ]
    assert sentences(drawn(places, catalogue(np.nan).iloc[:0])) == ["No recording is in use, so there is no map."]
    assert sentences(drawn(places, catalogue(47.0))) == []
    assert sentences(drawn(overview, catalogue(47.0))) == ["There are no such recordings."]
    assert len(sentences(drawn(overview, catalogue(47.0).assign(quarantined="silent")))) == 5


def stratum(name: str, **scores: Any) -> dict[str, Any]:
    counts = {
        "items": 8,
        "groups": 5,
        "groups_with_species": 5 if scores else 3,
        "too_few": not scores,
        "certain": False,
    }
    return {"stratum": name, **counts, **dict.fromkeys(("recall", "precision", "difference")), **scores}


def strata_result(strata: list[dict[str, Any]]) -> dict[str, Any]:
    factors = [{"text": "place", "level": "recording", "known": bool(strata), "strata": strata}]
    numbers = {"confidence": 0.95, "min_groups": 5, "recordings": 8, "groups": 5}
    compared = sum(one["difference"] is not None for one in strata)
    return {**numbers, "comparisons": compared, "factors": factors, "summary": "Place is not known.\n- x"}


def test_scores_by_stratum_have_no_panel_without_values(drawn: Drawn) -> None:
    known = interval(0.8, 0.6, 0.9)
    scores = {"recall": known, "precision": known}

    def panels(*strata: dict[str, Any]) -> list[str]:
        return [ax.get_xlabel().split()[0] for ax in drawn(weaknesses_figure, strata_result(list(strata))).axes]

    both = stratum("Fen", **scores, difference=interval(0.1, -0.2, 0.4))
    assert [ax.get_xlabel() for ax in drawn(weaknesses_figure, strata_result([both])).axes] == [
        "recall of the detections", "precision of the detections", "recall minus that of the other strata,\nwithin the same species",
    ]  # fmt: skip
    assert panels(stratum("Fen", **scores)) == ["recall", "precision"]
    assert panels(stratum("Fen", recall=known)) == ["recall"]
    assert panels(stratum("Fen"), stratum("Moor")) == ["recall"]
    fig = drawn(weaknesses_figure, strata_result([stratum("Fen")]))
    title = fig._suptitle.get_window_extent()
    assert 0 <= title.x0 < title.x1 <= fig.bbox.width
    assert sentences(drawn(weaknesses_figure, strata_result([]))) == ["Place is not known."]


@pytest.mark.parametrize(
    ("values", "logarithmic", "shown"),
    [
        ([12, 16, 24, 16], False, ["12", "16", "24"]),
        ([0.1 * 3, 0.1, 0.0], False, ["0", "0.1", "0.3"]),
        ([1024, 2048], True, ["1024", "2048"]),
        ([0.001, 0.004], True, ["0.001", "0.004"]),
        # Values that would be long, on top of each other, or many: round numbers.
        ([0.71234, 0.79], False, ["0.72", "0.74", "0.76", "0.78"]),
        ([10, 10.1, 20], False, ["10", "12", "14", "16", "18", "20"]),
        ([0, 1, 2, 3, 4, 5, 6, 8], False, ["0", "2", "4", "6", "8"]),
        ([12, 12], False, ["12"]),
        (["focal", "bce"], False, ["bce", "focal"]),
    ],
)
def test_few_values_of_a_parameter_are_the_tick_marks_of_its_axis(
    values: list[Any], logarithmic: bool, shown: list[str]
) -> None:
    axis = _Axis(values, logarithmic)
    assert [text for _, text in axis.ticks()] == shown
    assert all(0 <= height <= 1 for height, _ in axis.ticks())


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([0.7, 0.8], "2 trials are too few for the number of values of the parameters"),
        ([0.7, 0.7, 0.7], "all trials have the same score"),
        ([0.7, 0.8, 0.9, 0.85, 0.6], None),
    ],
)
def test_a_sweep_without_importances_says_why(drawn: Drawn, scores: list[float], reason: str | None) -> None:
    values = [{"train.dropout": 0.1 * n} for n in range(len(scores))]
    found = importances(values, np.array(scores))
    fig = drawn(sweep_figure, values, np.array(scores), found, "macro-F1")
    assert sentences(fig) == ([f"The importance of the parameters is not known: {reason}."] if reason else [])


@pytest.mark.parametrize("teacher", [{}, {"teacher": {"name": "birdnet-2.4"}}])
def test_the_training_loss_of_a_student_is_named_as_that_of_labels_and_teacher(
    teacher: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a sum of three losses, and the validation loss beside it is that of the labels alone."""
    pd.DataFrame(
        {
            "epoch": [1, 2],
            "learning_rate": 0.1,
            "train_loss": [9.0, 7.0],
            "validation_loss": 1.0,
            "validation_macro_f1": 0.5,
        }
    ).to_csv(tmp_path / "history.csv")
    write_json(
        tmp_path / "model.json",
        {"epoch": 2, "train": {"architecture": "resnet", "loss": "bce", "outputs": "independent"}, **teacher},
    )
    figures: list[Any] = []
    monkeypatch.setattr(curves, "save", lambda fig, path: figures.append(fig))
    curves.main(
        [
            part
            for name, file in {"history": "history.csv", "model": "model.json", "output": "x.png"}.items()
            for part in (f"--{name}", str(tmp_path / file))
        ]
    )
    names = [text.get_text() for text in figures[0].axes[0].get_legend().get_texts()]
    assert names == [f"training (augmented{', with the losses of the teacher' if teacher else ''})", "validation"]
    plt.close("all")


LONG = "Parc Naturel Régional des Volcans d'Auvergne, Puy-de-Dôme, Auvergne-Rhône-Alpes, France, plot"


def test_long_names_of_strata_leave_the_panels_their_width(drawn: Drawn) -> None:
    scores = {name: interval(0.8, 0.6, 0.9) for name in ("recall", "precision", "difference")}
    fig = drawn(weaknesses_figure, strata_result([stratum(f"{LONG} {n}", **scores) for n in range(2)]))
    names = [t.get_text() for t in fig.axes[0].get_yticklabels()]
    assert names[0] == "place"
    assert [name.split("  (")[0][-6:] for name in names[1:]] == ["plot 0", "plot 1"]
    boxes = [ax.xaxis.label.get_window_extent() for ax in fig.axes]
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
    assert boxes[-1].x1 <= fig.bbox.width
    assert min(t.get_window_extent().x0 for t in fig.axes[0].get_yticklabels()) >= 0


@pytest.mark.parametrize("rows", [1, 110, 111, 300, 1200])
def test_rows_of_a_figure_are_higher_than_their_names(rows: int) -> None:
    height, size = height_of_rows(rows, 1.6, 2.8)
    assert (height - 1.6) / rows * 72 > 1.3 * size
    assert height * 110 < 1 << 16


def test_the_names_of_many_species_do_not_overlap(drawn: Drawn) -> None:
    columns = ("f1", "detection_precision_by_recording", "detection_recall_by_recording")
    scores = {f"{name}{end}": 0.5 for name in columns for end in ("", "_low", "_high")}
    names = [f"Acrocephalus schoenobaenus {n}" for n in range(240)]
    table = pd.DataFrame({"species": names, "test_recordings": 12} | scores)
    boxes = [t.get_window_extent() for t in drawn(species_figure, table, 0.95).axes[0].get_yticklabels()]
    assert len(boxes) == 240
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


def test_logarithmic_axes_of_a_sweep_and_of_the_learning_curve_say_so(drawn: Drawn) -> None:
    values = [{"train.dropout": 0.1 * n, "train.learning_rate": 10.0**-n} for n in (1, 2, 3)]
    scores = np.array([0.7, 0.8, 0.9])
    fig = drawn(sweep_figure, values, scores, importances(values, scores), "macro-F1", ["train.learning_rate"])
    labels = [t.get_text() for t in fig.axes[0].get_xticklabels()]
    assert labels == ["train.dropout", "train.learning_rate\n(logarithmic)", "macro-F1"]
    assert "logarithmic scale" in drawn(learning_curve_figure, curve({"Parus major": None})).axes[0].get_xlabel()
