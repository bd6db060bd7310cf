"""What the files of a bundle say about it: model card, scores, licences, names of the species, thresholds by precision."""

import json
import re
import threading
from dataclasses import dataclass
from typing import Any

from autobird.predict.species_names import SpeciesNames, birdnet_names
from autobird.serving.compute.requests import ServedBundle
from autobird.sources.labels import label_key

_CARD, _ATTRIBUTION, _DESCRIPTION = "MODEL_CARD.md", "ATTRIBUTION.csv", "bundle.json"

_ROW = re.compile(r"\|\s*(?P<metric>[^|]+?)\s*\|\s*(?P<recording>[^|]+?)\s*\|\s*(?P<window>[^|]+?)\s*\|")
"""A row of the table `metric | per recording | per window` of a model card."""

_SCORE = re.compile(r"(?P<value>-?[\d.]+)(?: \[(?P<low>-?[\d.]+), (?P<high>-?[\d.]+)\])?")

_BINOMIAL = re.compile(r"[A-Z][a-z]+ [a-z]+(?:-[a-z]+)?(?: [a-z]+)?")
"""A scientific name of a species or subspecies."""

_KEPT = 3
"""Number of bundles whose content is kept: the present one, its predecessor, the shadow."""


@dataclass(frozen=True)
class BundleInfo:
    """Content of the files of a bundle.

    Attributes:
        card: the model card, Markdown; "" if there is none.
        metrics: scores of the model card: `metric`, `per_recording` and `per_window`, each with `value`, `low` and `high` (ends of the
            confidence interval, None if unknown), or None if not defined.
        licence: licences of the training recordings and the terms that follow (`release.bundle.training_data`).
        attribution: the table of the recordings' authors, CSV; empty if there is none.
        precision_thresholds: for each precision the threshold of each species, None for species that do not reach it.
        names: all names by which species are found.
        scientific: scientific name by label, as far as it is known.
        common: common name by label, as far as it is known.
    """

    card: str
    metrics: list[dict[str, Any]]
    licence: dict[str, Any]
    attribution: bytes
    precision_thresholds: dict[str, list[float | None]]
    names: SpeciesNames
    scientific: dict[str, str]
    common: dict[str, str]


class BundleInfos:
    """Reads the content of bundles once each, so that a folder that is replaced does not change what is said of the old one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: list[tuple[ServedBundle, BundleInfo]] = []

    def of(self, bundle: ServedBundle) -> BundleInfo:
        """Return the content of the files of a bundle; files that are missing or damaged count as empty.

        Args:
            bundle: of the pool, which returns the same object until it has loaded the bundle again. Its fingerprint would not do: it is
                that of the network, and a new card, licence or calibration is a change, too.
        """
        with self._lock:
            found = next((info for known, info in self._known if known is bundle), None)
            if found is None:
                found = _read(bundle)
                self._known = [*self._known[1 - _KEPT :], (bundle, found)]
            return found


def card_metrics(card: str) -> list[dict[str, Any]]:
    """Return the scores in the first table of a model card's section `Performance`; a bundle holds them nowhere else."""
    _, _, section = card.partition("\n## Performance\n")
    section = section.partition("\n## ")[0]
    metrics = []
    for line in section.splitlines():
        row = _ROW.fullmatch(line.strip())
        if row and row["metric"] != "metric" and not row["metric"].startswith("---"):
            metrics.append(
                {
                    "metric": row["metric"],
                    "per_recording": _score(row["recording"]),
                    "per_window": _score(row["window"]),
                }
            )
    return metrics


def _score(text: str) -> dict[str, float | None] | None:
    found = _SCORE.match(text)
    return None if found is None else {k: None if v is None else float(v) for k, v in found.groupdict().items()}


def _read(bundle: ServedBundle) -> BundleInfo:
    card = _bytes(bundle, _CARD).decode("utf-8", "replace")
    try:
        description = json.loads(_bytes(bundle, _DESCRIPTION))
    except ValueError:
        description = {}
    if description.get("fingerprint") != bundle.fingerprint:  # the folder was replaced by another bundle
        description, card = {}, ""
    pairs = birdnet_names()
    common, scientific = _names(bundle.labels, pairs)
    return BundleInfo(
        card=card,
        metrics=card_metrics(card),
        licence=description.get("training_data", {}),
        attribution=_bytes(bundle, _ATTRIBUTION) if description else b"",
        precision_thresholds=description.get("precision_thresholds", {}),
        names=SpeciesNames(bundle.labels, pairs),
        scientific=scientific,
        common=common,
    )


def common_names(labels: tuple[str, ...], pairs: list[list[str]]) -> dict[str, str]:
    """Return the common name by label, as far as it is known.

    Args:
        labels: species of a bundle.
        pairs: scientific and common name of species (`birdnet_names`).
    """
    return _names(labels, pairs)[0]


def _names(labels: tuple[str, ...], pairs: list[list[str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the common and the scientific names of labels, which are either of them."""
    by_name: dict[str, tuple[str, str]] = {}
    for scientific, *common in pairs:
        if common:
            for name in (scientific, common[0]):
                by_name.setdefault(label_key(name), (scientific, common[0]))
    common_of, scientific_of = {}, {}
    for label in labels:
        if found := by_name.get(label_key(label)):
            scientific_of[label], common_of[label] = found
        elif _BINOMIAL.fullmatch(text := label.replace("_", " ")):
            scientific_of[label] = text
    return common_of, scientific_of


def _bytes(bundle: ServedBundle, name: str) -> bytes:
    try:
        return (bundle.folder / name).read_bytes()
    except OSError:
        return b""
