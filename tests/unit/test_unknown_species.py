"""The score of windows that hold none of the model's species, and how well it tells unknown species from known ones."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logsumexp
from sklearn.metrics import roc_auc_score, roc_curve

from autobird.evaluation.evaluate import unknown_species_json
from autobird.evaluation.settings import EvaluationSettings
from autobird.evaluation.unknown_species import WindowLogits, choose_score, leave_species_out, separation, windows_of
from autobird.predict.classification import Calibration
from autobird.predict.unknown import MEASURES, UnknownScore
from tests.predictions import label_sets

LABELS = ["a", "b", "c"]
INDEPENDENT = Calibration.none("independent", 3, "mean")


def table(split: str = "test", unknown: int = 30, seed: int = 0, shift: float = 0.0) -> pd.DataFrame:
    """60 recordings of one window with a known species, `unknown` with another one, 30 with none; logits overlap."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for kind, count in (("known", 60), ("unknown", unknown), ("none", 30)):
        for i in range(count):
            logits = rng.normal(-3, 1.5, 3) + shift
            present = {"known": [LABELS[i % 3]], "unknown": ["z"], "none": []}[kind]
            if kind == "known":
                logits[i % 3] += 4
            rows.append(
                {
                    "recording": f"{kind}{i}", "group": f"{kind}{i // 2}", "start": 0, "number": 0, "seconds": 5.0, "logits": logits,
                    "split": f"{split}_others" if kind == "unknown" else split, **label_sets(present),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_measures_are_the_published_ones() -> None:
    z = np.array([[1.0, -2.0, 0.5], [-3.0, -4.0, -5.0]])
    softmax = Calibration.softmax(2.0, np.ones(3), "mean")
    assert MEASURES["largest_logit"](z, softmax) == pytest.approx([-1.0, 3.0])
    assert MEASURES["largest_probability"](z, INDEPENDENT) == pytest.approx(-expit([1.0, -3.0]))
    assert MEASURES["energy"](z, softmax) == pytest.approx(-logsumexp(z, axis=1))
    assert MEASURES["energy"](z, INDEPENDENT) == pytest.approx(-np.log1p(np.exp(z)).sum(axis=1))


def test_the_score_is_the_share_of_known_windows_that_resemble_the_species_more() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(0, 2, (2000, 3))
    score = UnknownScore.of("energy", MEASURES["energy"](known, INDEPENDENT))
    found = score.of_windows(known, INDEPENDENT)
    order = np.argsort(np.argsort(MEASURES["energy"](known, INDEPENDENT)))
    np.testing.assert_allclose(found, order / 1999, atol=0.006)
    assert score.of_windows(np.full((1, 3), -9.0), INDEPENDENT) == 1
    assert score.of_windows(np.full((1, 3), 99.0), INDEPENDENT) == 0
    again = UnknownScore.from_json(score.json())
    assert again.of_windows(known, INDEPENDENT).tolist() == found.tolist()
    with pytest.raises(ValueError, match="the measure is 'x'"):
        UnknownScore.from_json({"measure": "x", "quantiles": [0.0]})


def test_auroc_and_false_positive_rate_are_those_of_scikit_learn() -> None:
    windows = windows_of(table(), LABELS, "test")
    assert {kind: len(part.logits) for kind, part in windows.items()} == {"known": 60, "unknown": 30, "none": 30}
    for kind in ("unknown", "none"):
        found = separation(windows[kind], windows["known"], "energy", INDEPENDENT, EvaluationSettings(resamples=200))
        scores = [MEASURES["energy"](windows[k].logits, INDEPENDENT) for k in (kind, "known")]
        truth = np.repeat([1, 0], [len(s) for s in scores])
        assert found is not None
        assert found.auroc is not None
        assert found.false_positive_rate is not None
        assert found.auroc[0] == pytest.approx(roc_auc_score(truth, np.concatenate(scores)))
        false, true, _ = roc_curve(truth, np.concatenate(scores), drop_intermediate=False)
        assert found.false_positive_rate[0] == pytest.approx(false[np.argmax(true >= 0.95)])
        for value, low, high in (found.auroc, found.false_positive_rate):
            assert low < value < high


def test_windows_of_unknown_species_in_few_groups_have_wide_intervals() -> None:
    windows = windows_of(table(), LABELS, "test")
    widths = []
    for groups in (1, 3, 30):
        of_groups = WindowLogits(windows["unknown"].logits, np.arange(30) % groups)
        found = separation(of_groups, windows["known"], "energy", INDEPENDENT, EvaluationSettings(resamples=200))
        assert found is not None
        assert found.auroc is not None
        widths.append(np.ptp(found.auroc[1:]))
    assert widths[0] > 0.9 > widths[1] > widths[2]


def test_without_windows_of_unknown_species_only_the_other_kinds_are_measured() -> None:
    found = unknown_species_json(table(unknown=0), LABELS, INDEPENDENT, "test", EvaluationSettings(resamples=100))
    assert found["windows"] == {"known": 60, "unknown": 0, "none": 30}
    for measure in found["measures"].values():
        assert measure["unknown"] is None
        assert measure["none"]["auroc"]["value"] > 0.8
        assert 0.5 < measure["left_out"] < 1


def test_the_score_with_the_best_auroc_on_validation_is_chosen() -> None:
    """A known window has one high logit, an unknown one several that are almost as high: their sum says nothing."""
    several = table("validation")
    is_unknown = several["split"] == "validation_others"
    rng = np.random.default_rng(3)
    several["logits"] = [
        rng.normal(0.0, 0.3, 3) if u else np.array(z) for u, z in zip(is_unknown, several["logits"], strict=True)
    ]
    chosen = choose_score(several, LABELS, INDEPENDENT)
    assert chosen is not None
    assert chosen.measure != "energy"
    few = choose_score(table("validation", unknown=5), LABELS, INDEPENDENT)  # species are left out instead
    assert few is not None
    left_out = leave_species_out(table("validation"), LABELS, INDEPENDENT)
    assert left_out[few.measure] == max(left_out.values())
    assert choose_score(table("test"), LABELS, INDEPENDENT) is None


def test_a_species_that_is_left_out_is_ignored_and_its_windows_are_unknown() -> None:
    rows = table("validation", unknown=0)
    found = leave_species_out(rows, LABELS, INDEPENDENT)
    z, species = np.stack(rows["logits"][:60].to_list()), np.arange(60) % 3
    expected = [roc_auc_score(species == s, -np.delete(z, s, axis=1).max(axis=1)) for s in range(3)]
    assert found["largest_logit"] == pytest.approx(np.mean(expected))
    assert np.isnan(leave_species_out(rows[:0], LABELS, INDEPENDENT)["energy"])


def test_windows_that_may_hold_a_known_species_are_not_examples_of_unknown_ones() -> None:
    rows = table()
    of_unknown = rows.index[rows["recording"].str.startswith("unknown")]
    for row in of_unknown[:10]:  # the background of their recordings may hold a species of the model
        rows.at[row, "unknown"] = ["b"]
    assert len(windows_of(rows, LABELS, "test")["unknown"].logits) == 20


def test_windows_that_may_hold_another_species_are_not_examples_of_one_that_is_left_out() -> None:
    rows = table("validation", unknown=0)
    uncertain = [i for i in range(60) if i % 3 == 0 and i % 2]
    for row in uncertain:
        rows.at[row, "unknown"] = ["b"]
        rows.at[row, "logits"] = np.full(3, 50.0)  # b is clearly heard
    found = leave_species_out(rows, LABELS, INDEPENDENT)
    z, species, used = np.stack(rows["logits"][:60].to_list()), np.arange(60) % 3, np.ones(60, bool)
    expected = []
    for s in range(3):
        used = np.ones(60, bool)
        used[uncertain] = s != 0
        others = -np.delete(z, s, axis=1).max(axis=1)
        expected.append(roc_auc_score((species == s)[used], others[used]))
    assert found["largest_logit"] == pytest.approx(np.mean(expected))
