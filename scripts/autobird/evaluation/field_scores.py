"""Scores of the bundle on field recordings: by window, by event, by recording, and false alarms per hour."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autobird.evaluation.bootstrap import bounded_interval
from autobird.evaluation.field_comparison import FieldComparison
from autobird.evaluation.field_data import UNNAMED
from autobird.evaluation.field_events import FOUND, MISSED, RIGHT, SOUND, WRONG, recordings_of_runs, sound_masks
from autobird.evaluation.field_sites import sites_of
from autobird.evaluation.interval_json import IntervalJson, interval_json
from autobird.evaluation.metrics import (
    Weighting,
    auroc_by_species,
    average_precision_by_species,
    f1_by_species,
    macro_average,
    micro_average,
    precision_by_species,
    ratio,
    recall_by_species,
)
from autobird.evaluation.rates import rate_interval
from autobird.evaluation.settings import FieldScoreSettings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class FieldScores:
    """All scores of a comparison as JSON, with intervals over sessions.

    Args:
        comparison: the comparison.
        settings: confidence level.
    """

    def __init__(self, comparison: FieldComparison, settings: FieldScoreSettings) -> None:
        self._c, self._settings = comparison, settings
        p, self._species = comparison.predictions, range(len(comparison.predictions.labels))
        self._window_weighting = Weighting(
            comparison.resamples.weights, comparison.resamples.group_of_recording[p.recording]
        )
        self._detected = p.detected & comparison.windows.known
        self._present = comparison.windows.present
        self._average_precision, self._auroc = self._ranking()

    def _interval(self, values: Floats, groups: int, of_one_species: bool = False) -> IntervalJson:
        least = max(1.0, groups - 1.0) if of_one_species else 1.0
        return interval_json(bounded_interval(values, self._c.resamples, self._settings.confidence, groups, least))

    def _ranking(self) -> tuple[Floats, Floats]:
        """Return average precision and AUROC of each species over the windows in which it is known; shape (rows, species)."""
        rows = len(self._c.resamples.weights)
        average_precision, auroc = (np.full((rows, len(self._species)), np.nan) for _ in range(2))
        for s in np.flatnonzero(self._present.any(axis=0)):
            known, column = self._c.windows.known[:, s], slice(s, s + 1)
            probabilities = self._c.predictions.probabilities[known, column].astype(np.float64)
            present = self._present[known, column]
            arguments = probabilities, present, np.ones_like(present), self._window_weighting.subset(known)
            average_precision[:, column] = average_precision_by_species(*arguments)
            auroc[:, column] = auroc_by_species(*arguments)
        return average_precision, auroc

    def by_window(self) -> dict[str, IntervalJson]:
        """Return the scores of the windows: how they are ranked by each species, and whether detected and present species agree."""
        weighting = self._window_weighting
        groups = weighting.count_groups(self._present)
        return {
            "cmap": self._interval(macro_average(self._average_precision), groups),
            "auroc": self._interval(macro_average(self._auroc), groups),
            **self._detection_scores(self._detected, self._present, weighting),
        }

    def by_recording(self) -> dict[str, IntervalJson]:
        """Return whether the species that are detected anywhere in a recording are those that it contains."""
        detected, present = self._of_recordings()
        return self._detection_scores(
            detected, present, Weighting(self._c.resamples.weights, self._c.resamples.group_of_recording)
        )

    def _of_recordings(self) -> tuple[Flags, Flags]:
        c = self._c
        shape = len(c.predictions.names), len(c.predictions.labels)
        detected, present = np.zeros(shape, bool), np.zeros(shape, bool)
        np.logical_or.at(detected, c.predictions.recording, c.predictions.detected)
        named = c.truth.boxes[c.truth.boxes["species"] >= 0]
        present[named["recording"], named["species"]] = True
        unnamed = np.isin(np.arange(shape[0]), c.truth.boxes.loc[c.truth.boxes["species"] == UNNAMED, "recording"])
        return detected & (present | ~(unnamed[:, None] | c.truth.possible)), present

    def _detection_scores(self, detected: Flags, present: Flags, weighting: Weighting) -> dict[str, IntervalJson]:
        precision, recall, f1 = micro_average(detected, present, weighting)
        f1_of_species = f1_by_species(detected, present, weighting)
        return {
            "detection_precision": self._interval(precision, weighting.count_groups(detected)),
            "detection_recall": self._interval(recall, weighting.count_groups(present)),
            "detection_f1": self._interval(f1, weighting.count_groups(detected | present)),
            "detection_macro_f1": self._interval(macro_average(f1_of_species), weighting.count_groups(present)),
        }

    def by_event(self) -> dict[str, Any]:
        """Return the scores of detections against events, pooled over all species, with the numbers that they come from."""
        c = self._c
        right, wrong, found, missed = self._event_counts()
        scores = self._event_scores(*(counts.sum(axis=1) for counts in (right, wrong, found, missed)))
        weights = c.resamples.weights
        f1 = _f1(weights @ right, weights @ wrong, weights @ found, weights @ missed)
        macro = macro_average(np.where((found + missed).any(axis=0), f1, np.nan))
        scores["macro_f1"] = self._interval(macro, int((found + missed).any(axis=1).sum()))
        counts = {"right": right, "wrong": wrong, "found": found, "missed": missed}
        numbers = {name: int(values.sum()) for name, values in counts.items()}
        not_decided = len(c.detections) - numbers["right"] - numbers["wrong"]
        return scores | {"detections": len(c.detections), "not_decided": not_decided, "events": len(c.events)} | numbers

    def _event_counts(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return right and wrong detections, found and missed events; each of shape (sessions, species)."""
        c = self._c
        counts = []
        for table, outcomes in ((c.detections, (RIGHT, WRONG)), (c.events, (FOUND, MISSED))):
            for outcome in outcomes:
                rows = table[table["outcome"] == outcome]
                total = np.zeros((c.sessions, len(self._species)))
                np.add.at(total, (c.resamples.group_of_recording[rows["recording"]], rows["species"].to_numpy()), 1)
                counts.append(total)
        return counts[0], counts[1], counts[2], counts[3]

    def _event_scores(
        self, right: Floats, wrong: Floats, found: Floats, missed: Floats, of_one_species: bool = False
    ) -> dict[str, IntervalJson]:
        """Return precision, recall and F1 from counts of each session; shape (sessions,)."""
        weights = self._c.resamples.weights
        r, w, f, m = weights @ right, weights @ wrong, weights @ found, weights @ missed
        detected, present = right + wrong > 0, found + missed > 0
        return {
            "precision": self._interval(ratio(r, r + w), int(detected.sum()), of_one_species),
            "recall": self._interval(ratio(f, f + m), int(present.sum()), of_one_species),
            "f1": self._interval(_f1(r, w, f, m), int((detected | present).sum()), of_one_species),
        }

    def rate(self, recording: NDArray[np.integer], hours: Floats) -> dict[str, Any]:
        """Return a number of detections, the hours in which they are counted, and detections per hour.

        Args:
            recording: recording of each detection.
            hours: hours of each recording; shape (recordings,).
        """
        c = self._c
        per_session = c.per_session(np.arange(len(hours)), hours)
        interval = rate_interval(c.per_session(recording), per_session, self._settings.confidence)
        return {
            "count": len(recording),
            "hours": round(float(hours.sum()), 4),
            "sessions": int((per_session > 0).sum()),
            "per_hour": interval_json(interval),
        }

    def false_alarms(self) -> dict[str, Any]:
        """Return false alarms per hour: all wrong detections, and those in sound without any of the model's species, by kind."""
        c = self._c
        recording = c.detections["recording"].to_numpy()
        wrong = c.detections["outcome"].to_numpy(object) == WRONG
        out: dict[str, Any] = {"overall": self.rate(recording[wrong], c.hours["all"])}
        recording, masks = c.alarms["recording"].to_numpy(), sound_masks(c.windows)
        hours = sum((c.hours[kind] for kind in SOUND), np.zeros(len(c.predictions.names)))
        out["without_model_species"] = self.rate(recording, hours)
        for kind in SOUND:
            # Runs within this kind of sound: a run that goes on in the other kind counts in both, as its hours do.
            out[kind] = self.rate(recordings_of_runs(c.predictions, masks[kind]), c.hours[kind])
        sites = np.array(sites_of(c.predictions.names), object)
        out["by_site"] = {
            site: self.rate(recording[(sites == site)[recording]], hours * (sites == site))
            for site in sorted(set(sites))
        }
        empty = c.windows.empty
        detected = c.predictions.detected.any(axis=1)
        weights = c.resamples.weights
        per_session = [c.per_session(c.predictions.recording[mask]) for mask in (empty & detected, empty)]
        share = ratio(weights @ per_session[0], weights @ per_session[1])
        out["windows_with_detection"] = self._interval(share, int((per_session[1] > 0).sum()))
        return out

    def by_species(self) -> dict[str, dict[str, Any]]:
        """Return the scores of each species of the model."""
        c, weighting = self._c, self._window_weighting
        functions = {"precision": precision_by_species, "recall": recall_by_species, "f1": f1_by_species}
        windows = {name: function(self._detected, self._present, weighting) for name, function in functions.items()}
        relevant = {
            "precision": self._detected,
            "recall": self._present,
            "f1": self._detected | self._present,
        }
        counts = self._event_counts()
        wrong = c.detections[c.detections["outcome"] == WRONG]
        out: dict[str, dict[str, Any]] = {}
        for s, name in enumerate(c.predictions.labels):
            groups = {key: weighting.count_groups(flags[:, s]) for key, flags in relevant.items()}
            present_groups = groups["recall"]
            of_species = wrong.loc[wrong["species"] == s, "recording"].to_numpy()
            right, wrong_count, found, missed = (values[:, s] for values in counts)
            out[name] = {
                "windows": int(self._present[:, s].sum()),
                "events": int((found + missed).sum()),
                "detections": int((c.detections["species"] == s).sum()),
                "average_precision": self._interval(self._average_precision[:, s], present_groups, True),
                "auroc": self._interval(self._auroc[:, s], present_groups, True),
                "by_window": {key: self._interval(v[:, s], groups[key], True) for key, v in windows.items()},
                "by_event": self._event_scores(right, wrong_count, found, missed, True),
                "false_alarms": self.rate(of_species, c.hours["all"]),
            }
        return out


def _f1(right: Floats, wrong: Floats, found: Floats, missed: Floats) -> Floats:
    """Return the harmonic mean of precision and recall; 0 without a right detection, NaN without events and detections."""
    precision, recall = ratio(right, right + wrong), ratio(found, found + missed)
    mean = ratio(2 * np.nan_to_num(precision) * np.nan_to_num(recall), np.nan_to_num(precision) + np.nan_to_num(recall))
    return np.where(right + wrong + found + missed > 0, np.nan_to_num(mean), np.nan)
