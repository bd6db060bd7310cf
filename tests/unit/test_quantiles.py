"""Quantiles without the import of scipy.stats."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from autobird.core import quantiles


@pytest.mark.parametrize("p", [1e-9, 0.025, 0.5, 0.9, 0.975, 1 - 1e-9])
@pytest.mark.parametrize("shape", [0.5, 1, 2.7, 40, 1e5, np.inf])
def test_the_quantiles_are_those_of_scipy_stats(p: float, shape: float) -> None:
    np.testing.assert_array_equal(quantiles.student(p, shape), stats.t.ppf(p, shape))
    np.testing.assert_array_equal(quantiles.student_tail(2 * p, shape), stats.t.sf(2 * p, shape))
    np.testing.assert_array_equal(quantiles.normal(p), stats.norm.ppf(p))
    if np.isfinite(shape):
        np.testing.assert_array_equal(quantiles.beta(p, shape, 3.5), stats.beta.ppf(p, shape, 3.5))
        np.testing.assert_array_equal(quantiles.gamma(p, shape), stats.gamma.ppf(p, shape))


def test_without_degrees_of_freedom_there_is_no_quantile() -> None:
    assert np.isnan(quantiles.student(0.975, 0))


@pytest.mark.parametrize(
    "stage", ["evaluation.evaluate", "release.compare", "release.split_features", "dataset.dataset"]
)
def test_stages_start_without_scipy_stats(stage: str) -> None:
    code = f"import sys, autobird.{stage}; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
