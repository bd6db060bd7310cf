"""Figure of the confusion matrix, readable for hundreds of species: similar species stand together, and only confused ones are shown."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from autobird.core.plots import explain_empty, figure, save
from autobird.core.wording import counted
from autobird.evaluation.metrics import predicted_and_true
from autobird.evaluation.predictions import Items

Counts = NDArray[np.int64]
Indices = NDArray[np.intp]

MAX_SPECIES = 40
"""Largest number of species with a row and a column. Of more, those with the most confusions are shown, the others in one row and column
together: a matrix of 114 species has 13,000 cells, most of them empty, and labels of 4 points."""

_DARK = 0.6
"""Share above which a cell is so dark that its number is white."""

_SIDE_OF_LONG_TITLE = 6.5
"""Smallest side, inches, of a matrix with other species together, whose title has long lines."""


def confusion_figure(path: Path, recordings: Items, labels: list[str]) -> None:
    """Plot the confusion matrix of the test recordings of which one species alone is known to be present.

    Rows are the true species and columns the most probable ones, without those that may be present. The numbers are counts;
    the shade is the share of the row. Species that are confused with each other stand together (hierarchical clustering). If there are more
    than `MAX_SPECIES` and none is confused, the figure says so.

    Args:
        path: PNG file.
        recordings: test recordings.
        labels: species in the order of the probabilities.
    """
    predicted, truth, _ = predicted_and_true(recordings)
    counts = truth.T.astype(np.int64) @ predicted.astype(np.int64)
    shown = shown_species(counts)
    if not len(shown):
        fig, ax = figure(8, 1)
        explain_empty(
            ax,
            f"None of the {counted(int(counts.sum()), 'test recording')} of one species is taken for another species.",
        )
        save(fig, path)
        return
    matrix, names = grouped_matrix(counts, shown, labels)
    size = len(names)
    share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    # Room for the names: 8 points are 0.07 inches a letter.
    margin = 0.6 + 0.07 * max(len(name) + 6 for name in names)
    side = float(max(3.2 if len(shown) == len(counts) else _SIDE_OF_LONG_TITLE, 0.34 * size))
    fig, ax = figure(side + margin + 1.6, side + margin + 0.7)
    fig.set_layout_engine("compressed")  # for axes of a fixed aspect ratio
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    font = 9 if size <= MAX_SPECIES // 2 else 8
    ax.set_xticks(range(size), names, rotation=90, fontsize=font, style="italic")
    ax.set_yticks(range(size), [f"{n} ({c})" for n, c in zip(names, matrix.sum(axis=1), strict=True)], fontsize=font)
    for label in ax.get_yticklabels():
        label.set_style("italic")
    _draw_grid(ax, size)
    for i, j in zip(*np.nonzero(matrix), strict=True):
        colour = "white" if share[i, j] > _DARK else "black"
        ax.text(j, i, str(matrix[i, j]), ha="center", va="center", fontsize=8 if size <= 30 else 7, color=colour)
    ax.set_xlabel("most probable species")
    ax.set_ylabel("true species (number of its recordings)")
    ax.set_title(_title(counts, shown), fontsize=10)
    fig.colorbar(image, ax=ax, fraction=0.03, pad=0.02, shrink=0.6, label="share of the recordings of the row")
    save(fig, path)


def shown_species(counts: Counts) -> Indices:
    """Return the species with a row and a column of their own, in their order.

    Up to `MAX_SPECIES`, these are all. Of more, they are those of the most frequent confusions: pairs are taken in the order of
    their counts, as long as both of their species have room.

    Args:
        counts: recordings by true species (rows) and most probable species (columns), shape (species, species).
    """
    if len(counts) <= MAX_SPECIES:
        chosen = np.arange(len(counts))
    else:
        errors = counts - np.diag(np.diag(counts))
        rows, columns = np.nonzero(errors)
        picked: dict[int, None] = {}
        for n in np.lexsort((columns, rows, -errors[rows, columns])):
            pair = dict.fromkeys((int(rows[n]), int(columns[n])))
            if len(picked | pair) <= MAX_SPECIES:
                picked |= pair
        chosen = np.array(sorted(picked), np.intp)
    return chosen[_clustered(counts[np.ix_(chosen, chosen)])]


def _clustered(counts: Counts) -> Indices:
    """Return an order in which species that are confused with each other stand together.

    The similarity of two species is the mean of the shares of their recordings that are taken for the other one.
    """
    if len(counts) < 3:
        return np.arange(len(counts))
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0)
    order = leaves_list(linkage(squareform(distance, checks=False), "average", optimal_ordering=True))
    return np.asarray(order, np.intp)


def grouped_matrix(counts: Counts, shown: Indices, labels: list[str]) -> tuple[Counts, list[str]]:
    """Return the matrix of the shown species, with one more row and column for all others together if there are any, and the names."""
    others = np.setdiff1d(np.arange(len(counts)), shown)
    names = [labels[i] for i in shown]
    if not len(others):
        return counts[np.ix_(shown, shown)], names
    columns = np.concatenate([counts[:, shown], counts[:, others].sum(axis=1, keepdims=True)], axis=1)
    matrix = np.concatenate([columns[shown], columns[others].sum(axis=0, keepdims=True)])
    return matrix, [*names, f"{len(others)} other species"]


def _title(counts: Counts, shown: Indices) -> str:
    right, total = int(counts.trace()), int(counts.sum())
    title = f"{right} of {counted(total, 'test recording')} of one species {'is' if total == 1 else 'are'} right"
    if len(shown) == len(counts):
        return title
    others = np.setdiff1d(np.arange(len(counts)), shown)
    among = counts[np.ix_(others, others)]
    hidden = int(among.sum() - among.trace())
    return (
        f"{title}.\nShown: the {len(shown)} of {len(counts)} species with the most frequent confusions. Last row and column: all "
        f"others;\n{hidden} of the {total - right} confusions are among these (confusions.csv lists them)"
    )


def _draw_grid(ax: Any, size: int) -> None:
    """Draw thin lines between the cells, which guide the eye to the labels."""
    ax.set_xticks(np.arange(-0.5, size), minor=True)
    ax.set_yticks(np.arange(-0.5, size), minor=True)
    ax.grid(which="minor", color="#dddddd", linewidth=0.5)
    ax.tick_params(which="minor", length=0)
