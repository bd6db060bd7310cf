"""Landmarks: pairs of spectral peaks that identify the same audio in two recordings (Wang, ISMIR 2003).

A landmark holds the frequencies of two peaks and the time between them. Most landmarks survive other encodings, sampling
rates and gains, added noise, and cuts. Two recordings of the same audio share many landmarks at one constant time offset.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from autobird.audio.npy import NpyWriter
from autobird.audio.resample import Resampler

SAMPLE_RATE = 16000
"""Sampling rate at which landmarks are computed, Hz; other rates are resampled to it."""

LANDMARK = np.dtype([("hash", "<u4"), ("recording", "<u4"), ("frame", "<u4")])
"""One landmark: hash of its frequencies and time difference, number of its recording, and its time in frames."""

HASH_BITS = 24
"""Bits of a hash: the bands of the two peaks, and the time between them, in eight bits each."""

LandmarkArrays = tuple[NDArray[np.uint32], NDArray[np.uint32]]
"""Hashes and frames of the landmarks of a recording, sorted by frame; each of shape (landmarks,)."""

NO_LANDMARKS: LandmarkArrays = (np.zeros(0, np.uint32), np.zeros(0, np.uint32))

_N_FFT, _HOP = 1024, 256
FRAME_SECONDS = _HOP / SAMPLE_RATE
"""Duration of a frame, seconds."""

_BINS_PER_BAND = 2
"""The larger of two neighbouring bins is used: bands of 31 Hz. Other encodings shift peaks between bands less often than
between bins, and the computation takes half the time."""

_LOWEST_BAND = 4
"""125 Hz; lower bands hold wind and handling noise."""

_BANDS = _N_FFT // 2 // _BINS_PER_BAND - _LOWEST_BAND

_MEAN_FRAMES = 126
"""Frames (2 s) of the moving average that is subtracted from each band, so that stationary noise has no peaks."""

_NEIGHBOURHOOD = (25, 5)
"""A peak is the maximum of a neighbourhood of this many frames (0.4 s) and bands (160 Hz)."""

_MIN_HEIGHT = 1.0
"""Minimum height of a peak above the moving average of its band, nats."""

_PEAKS_PER_SECOND = 10
"""Number of peaks used per second, the highest ones."""

_PARTNERS = 8
"""Number of following peaks that each peak is paired with."""

_MAX_DISTANCE = 128
"""Maximum time between the two peaks of a landmark, frames (2 s)."""

_CHUNK = 1024
"""Frames whose peaks are searched at a time (16 s): about 1 MB, which fits into the cache."""

_MARGIN = _MEAN_FRAMES // 2 + _NEIGHBOURHOOD[0]
"""Frames before and after a chunk that its moving average and its neighbourhoods need."""

_POWER_FLOOR = 1e-9
"""Added to the power before its logarithm, to avoid log(0)."""


class Landmarks:
    """Finds the landmarks of one recording in blocks of mono samples at its own sampling rate, in bounded memory."""

    def __init__(self, sample_rate: int) -> None:
        self._resampler = Resampler(sample_rate, SAMPLE_RATE) if sample_rate != SAMPLE_RATE else None
        self._samples = np.zeros(0, np.float32)
        self._log_power = np.zeros((0, _BANDS), np.float32)
        self._first_frame = 0
        """Index of the first frame of `_log_power`."""
        self._searched = 0
        """Number of frames whose peaks have been searched."""
        self._peaks: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]] = []
        self._window = np.hanning(_N_FFT).astype(np.float32)

    def add(self, mono: NDArray[np.float32]) -> None:
        """Add the next samples, shape (n,)."""
        self._add_spectra(self._resampler.add(mono) if self._resampler else mono)
        while self._first_frame + len(self._log_power) >= self._searched + _CHUNK + _MARGIN:
            self._find_peaks(self._searched + _CHUNK)

    def finish(self) -> LandmarkArrays:
        """Return all landmarks; call it once, after the last `add`."""
        if self._resampler:
            self._add_spectra(self._resampler.finish())
        if self._first_frame + len(self._log_power) > self._searched:
            self._find_peaks(self._first_frame + len(self._log_power))
        if not self._peaks:
            return NO_LANDMARKS
        frames, bands, heights = (np.concatenate(part) for part in zip(*self._peaks, strict=True))
        return _pairs(*_highest_peaks(frames, bands, heights))

    def _add_spectra(self, samples: NDArray[np.float32]) -> None:
        self._samples = np.concatenate([self._samples, samples])
        count = (len(self._samples) - _N_FFT) // _HOP + 1
        if count <= 0:
            return
        frames = np.lib.stride_tricks.sliding_window_view(self._samples, _N_FFT)[::_HOP][:count]
        rows = np.empty((len(self._log_power) + count, _BANDS), np.float32)
        rows[: len(self._log_power)] = self._log_power
        new = rows[len(self._log_power) :]
        for at in range(0, count, 64):  # blocks that fit into the cache
            spectrum = fft.rfft(frames[at : at + 64] * self._window, axis=1)[:, _LOWEST_BAND * _BINS_PER_BAND : -1]
            power = spectrum.real**2 + spectrum.imag**2
            log_power = new[at : at + 64]
            np.maximum(power[:, 0::2], power[:, 1::2], out=log_power)
            log_power += np.float32(_POWER_FLOOR)
            np.log(log_power, out=log_power)
        self._log_power = rows
        self._samples = self._samples[count * _HOP :].copy()

    def _find_peaks(self, end: int) -> None:
        """Find the peaks of all frames before `end`, and drop the spectra that are no longer needed."""
        rows = self._log_power[: end + _MARGIN - self._first_frame]
        above = rows - ndimage.uniform_filter1d(rows, _MEAN_FRAMES, axis=0)
        highest = _moving_maximum(_moving_maximum(above, _NEIGHBOURHOOD[0]).T, _NEIGHBOURHOOD[1]).T
        peak = (above == highest) & (above > _MIN_HEIGHT)
        peak[: self._searched - self._first_frame] = False
        peak[end - self._first_frame :] = False
        frames, bands = np.nonzero(peak)
        self._peaks.append((frames + self._first_frame, bands, above[frames, bands]))
        self._searched = end
        keep = max(0, end - _MARGIN - self._first_frame)
        self._log_power, self._first_frame = self._log_power[keep:].copy(), self._first_frame + keep


def _moving_maximum(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return the maximum of the `size` rows around each row (an odd number).

    The width doubles in each step, which takes a tenth of the time of scipy's `maximum_filter1d`.
    """
    edge = np.full((size // 2, values.shape[1]), -np.inf, np.float32)
    high = np.concatenate([edge, values, edge])
    width = 1
    while 2 * width <= size:
        high = np.maximum(high[:-width], high[width:])
        width *= 2
    return np.maximum(high[: len(values)], high[size - width : size - width + len(values)])


def _highest_peaks(
    frames: NDArray[np.intp], bands: NDArray[np.intp], heights: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return frames and bands of the highest peaks of each second, sorted by frame and band."""
    second = frames * _HOP // SAMPLE_RATE
    order = np.lexsort((bands, frames, -heights, second))
    first = np.flatnonzero(np.diff(second[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    kept = order[rank < _PEAKS_PER_SECOND]
    kept = kept[np.lexsort((bands[kept], frames[kept]))]
    return frames[kept], bands[kept]


def _pairs(frames: NDArray[np.intp], bands: NDArray[np.intp]) -> LandmarkArrays:
    """Pair each peak with the next `_PARTNERS` peaks of later frames that are near enough in time."""
    count = len(frames)
    later = np.searchsorted(frames, frames, side="right")
    hashes, times = [], []
    for step in range(_PARTNERS):
        partner = later + step
        valid = partner < count
        a, b = np.flatnonzero(valid), partner[valid]
        gap = frames[b] - frames[a]
        a, b, gap = a[gap <= _MAX_DISTANCE], b[gap <= _MAX_DISTANCE], gap[gap <= _MAX_DISTANCE]
        # The time difference in steps of 32 ms, a little more than the shift that other encodings cause.
        hashes.append(bands[a] << 16 | bands[b] << 8 | gap >> 1)
        times.append(frames[a])
    hashed, time = np.concatenate(hashes).astype(np.uint32), np.concatenate(times).astype(np.uint32)
    order = np.lexsort((hashed, time))
    return hashed[order], time[order]


def landmark_array(recording: int, landmarks: LandmarkArrays) -> NDArray[np.void]:
    """Return the landmarks of a recording as a structured array (`LANDMARK`)."""
    rows = np.zeros(len(landmarks[0]), LANDMARK)
    rows["hash"], rows["frame"] = landmarks
    rows["recording"] = recording
    return rows


def sort_by_hash(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Sort landmarks by hash, then recording and frame."""
    return rows[np.lexsort((rows["frame"], rows["recording"], rows["hash"]))]


_SORTED_AT_ONCE = 1 << 20
"""Number of landmarks that are sorted in memory at a time: those of about four hours of audio."""


def _keys(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    """Combine hash and recording in one sort key. With the hash alone one part could be huge, because hum repeats a hash."""
    return rows["hash"].astype(np.uint64) << np.uint64(32) | rows["recording"].astype(np.uint64)


class LandmarkFile:
    """Collects the landmarks of a batch in a temporary file, and sorts them in bounded memory (external sort)."""

    def __init__(self, path: Path) -> None:
        self._path, self._length = path, 0
        path.touch()

    def add(self, recording: int, landmarks: LandmarkArrays) -> None:
        """Add the landmarks of a recording, given by its row number in the table of the batch; any order is allowed."""
        with self._path.open("ab") as file:
            file.write(landmark_array(recording, landmarks).data)
        self._length += len(landmarks[0])

    def write(self, path: Path) -> None:
        """Write all landmarks to a `.npy` file, sorted by hash, recording and frame."""
        parts = -(-self._length // _SORTED_AT_ONCE)
        # Each part holds a range of keys. The limits of the ranges are quantiles of every 64th key.
        sampled_keys = np.concatenate([_keys(block[::64]) for block in self._blocks()] or [np.zeros(0, np.uint64)])
        edges = np.sort(sampled_keys)[np.arange(1, parts) * len(sampled_keys) // parts]
        files = [self._path.with_suffix(f".{part}") for part in range(parts)]
        for block in self._blocks():
            part = np.searchsorted(edges, _keys(block), side="right")
            block = block[np.argsort(part, kind="stable")]
            ends = np.cumsum(np.bincount(part, minlength=parts))
            for path_of_part, rows in zip(files, np.split(block, ends[:-1]), strict=True):
                with path_of_part.open("ab") as file:
                    file.write(rows.data)
        with NpyWriter(path, LANDMARK) as out:
            for path_of_part in files:
                out.append(sort_by_hash(np.fromfile(path_of_part, LANDMARK)))
                path_of_part.unlink()

    def _blocks(self) -> Iterator[NDArray[np.void]]:
        with self._path.open("rb") as file:
            while len(block := np.fromfile(file, LANDMARK, _SORTED_AT_ONCE)):
                yield block
