"""Drift features of a recording: statistics of its mel frames, of the level of its windows, and of the model's output."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from autobird.audio.amplitude_scaling import POWER_FLOOR, scaling_of
from autobird.audio.mel_scale import band_centres
from autobird.audio.settings import MelSettings
from autobird.audio.windows import frames_per_window
from autobird.drift.names import AUDIO_FEATURES, DRIFT_FEATURES, MODEL_FEATURES

__all__ = ["AUDIO_FEATURES", "DRIFT_FEATURES", "MODEL_FEATURES", "FrameStatistics", "drift_features", "window_features"]

Floats = NDArray[np.float64]

_ABOVE_SILENCE = 0.02
"""A frame whose values all exceed the value of silence by less than this is digital silence or padding. For log-mel, the
resolution of float16 at that value is 0.008 nats."""

_ROLL_OFF = 0.95
"""Share of the power that lies below the bandwidth (spectral roll-off)."""

_BLOCK = 4096
"""Frames whose statistics are computed at a time, which bounds the memory for long recordings."""


class _Moments:
    """Mean and sum of squared differences from it, of values that arrive in blocks (Chan, Golub and LeVeque 1983)."""

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0, 0.0, 0.0

    def add(self, values: Floats) -> None:
        count, mean = values.size, float(values.mean())
        difference = values - mean  # as `values.var()`, which computes the mean once more
        difference *= difference
        squares = float(difference.sum() / count) * count
        total, step = self.count + count, mean - self.mean
        self._squares += squares + step**2 * self.count * count / total
        self.mean += step * count / total
        self.count = total

    @property
    def std(self) -> float:
        return float(np.sqrt(self._squares / self.count))


class FrameStatistics:
    """Statistics of the mel frames of one recording, which are added in order and in blocks of any size.

    Only frames of the best kind that the recording has are used. From best to worst: audible frames of windows that are not
    quiet, other frames of these windows, audible frames of quiet windows, other frames. Frames of digital silence and padding
    are not audible. Frames are rounded to float16, the format of the stored training data.

    Args:
        settings: the front end.
    """

    def __init__(self, settings: MelSettings) -> None:
        self._settings, self._scaling = settings, scaling_of(settings)
        self._kind = -1
        self._restart()

    def _restart(self) -> None:
        self._values, self._energy = _Moments(), _Moments()
        self._power = np.zeros(self._settings.mels)
        self._frames = 0
        self._pending: list[NDArray[np.float16]] = []
        self._pending_frames = 0

    def add(self, frames: NDArray[Any], in_used_window: NDArray[np.bool_]) -> None:
        """Add frames.

        Args:
            frames: shape (frames, mels).
            in_used_window: whether a frame belongs to a window that is not quiet; shape (frames,).
        """
        stored = np.asarray(frames, np.float16)
        loudest = stored.astype(np.float32).max(axis=1, initial=-np.inf).astype(np.float64)
        kinds = 2 * in_used_window + (loudest > self._scaling.silence + _ABOVE_SILENCE)
        best = int(kinds.max(initial=-1))
        if best < self._kind or not len(kinds):
            return
        if best > self._kind:
            self._kind = best
            self._restart()
        chosen = stored[kinds == best]
        while self._pending_frames + len(chosen) >= _BLOCK:
            missing = _BLOCK - self._pending_frames
            self._compute([*self._pending, chosen[:missing]])
            self._pending, self._pending_frames, chosen = [], 0, chosen[missing:]
        self._pending.append(chosen)
        self._pending_frames += len(chosen)

    def _compute(self, blocks: list[NDArray[np.float16]]) -> None:
        x = np.concatenate(blocks).astype(np.float64)
        power = self._scaling.power(x)
        self._values.add(x)
        self._energy.add(np.log(np.maximum(power.sum(axis=1), POWER_FLOOR)))
        self._frames += len(x)
        self._power += (power.mean(axis=0) - self._power) * (len(x) / self._frames)

    def finish(self) -> dict[str, float]:
        """Return the features of `AUDIO_FEATURES` except `level`, by name; call it after the last of at least one frame."""
        if self._pending_frames:
            self._compute(self._pending)
            self._pending, self._pending_frames = [], 0
        share = np.cumsum(self._power)
        band = int(np.searchsorted(share, _ROLL_OFF * share[-1]))
        return {
            "mel_mean": self._values.mean,
            "mel_std": self._values.std,
            "energy_mean": self._energy.mean,
            "energy_std": self._energy.std,
            "bandwidth": float(band_centres(self._settings)[min(band, self._settings.mels - 1)]),
        }


def window_features(
    rms: NDArray[Any], probabilities: NDArray[Any], outputs: Literal["softmax", "independent"]
) -> dict[str, float]:
    """Return the drift features of the windows of one recording, by name: `level`, and those of `MODEL_FEATURES`.

    Args:
        rms: root mean square of the samples of each window to use, full scale = 1; shape (windows,).
        probabilities: probabilities of each of these windows; shape (windows, species).
        outputs: `softmax` if the probabilities of a window sum to 1; `independent` if each species has one by itself.
    """
    p = np.asarray(probabilities, np.float64)
    entropy = entr(p).sum(axis=1) if outputs == "softmax" else (entr(p) + entr(1 - p)).mean(axis=1)
    return {
        "level": float(20 * np.log10(max(1e-9, np.sqrt(np.mean(np.asarray(rms, np.float64) ** 2))))),
        "confidence": float(p.max(axis=1).mean()),
        "entropy": float(entropy.mean()),
    }


def drift_features(
    frames: NDArray[Any],
    firsts: NDArray[np.int64],
    rms: NDArray[Any],
    probabilities: NDArray[Any],
    settings: MelSettings,
    outputs: Literal["softmax", "independent"],
) -> dict[str, float]:
    """Return the drift features of one recording, by name (`DRIFT_FEATURES`); see `FrameStatistics` and `window_features`.

    A frame that several windows share is used once.

    Args:
        frames: mel frames in the front end's units; shape (frames, mels).
        firsts: first frame of each window to use: those that are not quiet, or all if all are quiet; shape (windows,).
        rms: root mean square of the samples of each window, full scale = 1; shape (windows,).
        probabilities: probabilities of each window; shape (windows, species).
        settings: the front end.
        outputs: see `window_features`.
    """
    size = frames_per_window(settings.window_samples, settings.hop_length)
    used = np.unique(firsts[:, None] + np.arange(size))
    statistics = FrameStatistics(settings)
    for at in range(0, len(used), _BLOCK):
        block = frames[used[at : at + _BLOCK]]
        statistics.add(block, np.ones(len(block), bool))
    values = statistics.finish() | window_features(rms, probabilities, outputs)
    return {name: values[name] for name in DRIFT_FEATURES}
