"""Landmarks: pairs of spectral peaks by which the same sound is known again (Wang, ISMIR 2003).

They survive other encodings, rates and gains, noise, and cuts, because each pair stands on its own: two peaks at
their frequencies, and the time between them. Two recordings of one sound share many pairs at one distance in time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from autobird.audio.decode import Resampler
from autobird.audio.npy import NpyWriter

SAMPLE_RATE = 16000
"""Rate that every recording is brought to, Hz."""

LANDMARK = np.dtype([("hash", "<u4"), ("recording", "<u4"), ("frame", "<u4")])
"""One landmark: what it looks like, whose it is, and when it is, in frames of `FRAME_SECONDS`."""

Found = tuple[NDArray[np.uint32], NDArray[np.uint32]]
"""Hashes and frames of a recording's landmarks, sorted by frame."""

NOTHING: Found = (np.zeros(0, np.uint32), np.zeros(0, np.uint32))

_N_FFT, _HOP = 1024, 256
FRAME_SECONDS = _HOP / SAMPLE_RATE

_BINS_PER_BAND = 2
"""The stronger of two neighbouring bins stands for both: bands of 31 Hz, which other encodings move less, in half the
time."""

_LOWEST_BAND = 4
"""125 Hz; below are wind and handling."""

_BANDS = _N_FFT // 2 // _BINS_PER_BAND - _LOWEST_BAND

_WHITEN = 126
"""Frames (2 s) over which each band's mean level is taken off, so that hum and hiss make no peaks."""

_NEIGHBOURS = (25, 5)
"""A peak is the highest in so many frames (0.4 s) and bands (160 Hz)."""

_ABOVE = 1.0
"""How far a peak stands above its band's mean, nats."""

_PEAKS_PER_SECOND = 10
_PARTNERS = 8
"""Each peak is paired with so many of those that follow within `_REACH` frames (2 s)."""

_REACH = 128
_CHUNK = 1024
"""Frames worked on at a time (16 s), besides what their neighbours need: about 1 MB, which stays in cache."""

_HALO = _WHITEN // 2 + _NEIGHBOURS[0]
_FLOOR = 1e-9


class Landmarks:
    """The landmarks of one recording, from blocks of mono samples at its own rate; memory is bounded."""

    def __init__(self, sample_rate: int) -> None:
        self._resampler = Resampler(sample_rate, SAMPLE_RATE) if sample_rate != SAMPLE_RATE else None
        self._samples = np.zeros(0, np.float32)
        self._rows = np.zeros((0, _BANDS), np.float32)
        self._first = 0
        """Frame that the first of `_rows` is."""
        self._done = 0
        """Frames whose peaks are known."""
        self._peaks: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]] = []
        self._window = np.hanning(_N_FFT).astype(np.float32)

    def add(self, mono: NDArray[np.float32]) -> None:
        """Take the next samples, shape (n,)."""
        self._spectra(self._resampler.add(mono) if self._resampler else mono)
        while self._first + len(self._rows) >= self._done + _CHUNK + _HALO:
            self._find(self._done + _CHUNK)

    def finish(self) -> Found:
        """All landmarks as (hash, frame), sorted by frame."""
        if self._resampler:
            self._spectra(self._resampler.finish())
        if self._first + len(self._rows) > self._done:
            self._find(self._first + len(self._rows))
        if not self._peaks:
            return NOTHING
        frames, bands, heights = (np.concatenate(part) for part in zip(*self._peaks, strict=True))
        return _pairs(*_strongest(frames, bands, heights))

    def _spectra(self, samples: NDArray[np.float32]) -> None:
        self._samples = np.concatenate([self._samples, samples])
        count = (len(self._samples) - _N_FFT) // _HOP + 1
        if count <= 0:
            return
        frames = np.lib.stride_tricks.sliding_window_view(self._samples, _N_FFT)[::_HOP][:count]
        rows = np.empty((len(self._rows) + count, _BANDS), np.float32)
        rows[: len(self._rows)] = self._rows
        new = rows[len(self._rows) :]
        for at in range(0, count, 64):  # blocks that stay in cache
            spectrum = fft.rfft(frames[at : at + 64] * self._window, axis=1)[:, _LOWEST_BAND * _BINS_PER_BAND : -1]
            power = spectrum.real**2 + spectrum.imag**2
            log_power = new[at : at + 64]
            np.maximum(power[:, 0::2], power[:, 1::2], out=log_power)
            log_power += np.float32(_FLOOR)
            np.log(log_power, out=log_power)
        self._rows = rows
        self._samples = self._samples[count * _HOP :].copy()

    def _find(self, end: int) -> None:
        """Find the peaks of all frames before `end`, and forget the spectra that nothing needs any more."""
        rows = self._rows[: end + _HALO - self._first]
        above = rows - ndimage.uniform_filter1d(rows, _WHITEN, axis=0)
        peak = (above == _highest(_highest(above, _NEIGHBOURS[0]).T, _NEIGHBOURS[1]).T) & (above > _ABOVE)
        peak[: self._done - self._first] = False
        peak[end - self._first :] = False
        frames, bands = np.nonzero(peak)
        self._peaks.append((frames + self._first, bands, above[frames, bands]))
        self._done = end
        keep = max(0, end - _HALO - self._first)
        self._rows, self._first = self._rows[keep:].copy(), self._first + keep


def _highest(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """The highest of each `size` rows around a row (an odd number), by doubling: scipy's filter takes ten times as long."""
    edge = np.full((size // 2, values.shape[1]), -np.inf, np.float32)
    high = np.concatenate([edge, values, edge])
    width = 1
    while 2 * width <= size:
        high = np.maximum(high[:-width], high[width:])
        width *= 2
    return np.maximum(high[: len(values)], high[size - width : size - width + len(values)])


def _strongest(
    frames: NDArray[np.intp], bands: NDArray[np.intp], heights: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The highest peaks of each second, sorted by frame and bin."""
    second = frames * _HOP // SAMPLE_RATE
    order = np.lexsort((bands, frames, -heights, second))
    first = np.flatnonzero(np.diff(second[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(first, np.diff(np.append(first, len(order))))
    kept = order[rank < _PEAKS_PER_SECOND]
    kept = kept[np.lexsort((bands[kept], frames[kept]))]
    return frames[kept], bands[kept]


def _pairs(frames: NDArray[np.intp], bands: NDArray[np.intp]) -> Found:
    """Each peak with the next `_PARTNERS` of later frames within reach."""
    count = len(frames)
    later = np.searchsorted(frames, frames, side="right")
    hashes, times = [], []
    for step in range(_PARTNERS):
        partner = later + step
        valid = partner < count
        a, b = np.flatnonzero(valid), partner[valid]
        gap = frames[b] - frames[a]
        a, b, gap = a[gap <= _REACH], b[gap <= _REACH], gap[gap <= _REACH]
        # The gap in steps of 32 ms: a little coarser than other encodings move it.
        hashes.append(bands[a] << 16 | bands[b] << 8 | gap >> 1)
        times.append(frames[a])
    hashed, time = np.concatenate(hashes).astype(np.uint32), np.concatenate(times).astype(np.uint32)
    order = np.lexsort((hashed, time))
    return hashed[order], time[order]


def landmark_rows(recording: int, found: Found) -> NDArray[np.void]:
    """The landmarks of a recording as rows (`LANDMARK`)."""
    rows = np.zeros(len(found[0]), LANDMARK)
    rows["hash"], rows["frame"] = found
    rows["recording"] = recording
    return rows


def by_hash(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Rows sorted by hash, then recording and frame."""
    return rows[np.lexsort((rows["frame"], rows["recording"], rows["hash"]))]


_SORTED_AT_ONCE = 1 << 20
"""Landmarks that are sorted at a time: those of about four hours."""


def _keys(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    """Hash and recording as one number: a hash alone may stand for a large part of all, where something hums."""
    return rows["hash"].astype(np.uint64) << np.uint64(32) | rows["recording"].astype(np.uint64)


class LandmarkFile:
    """The landmarks of a batch, gathered in a file in any order; memory does not grow with them."""

    def __init__(self, path: Path) -> None:
        self._path, self._length = path, 0
        path.touch()

    def add(self, recording: int, found: Found) -> None:
        """Add those of a recording, by its number in the batch's table."""
        with self._path.open("ab") as file:
            file.write(landmark_rows(recording, found).data)
        self._length += len(found[0])

    def write(self, path: Path) -> None:
        """Write all of them to a `.npy` file, sorted by hash."""
        parts = -(-self._length // _SORTED_AT_ONCE)
        # A part holds a range of keys; where one begins is told by some of all.
        some = np.concatenate([_keys(block[::64]) for block in self._blocks()] or [np.zeros(0, np.uint64)])
        edges = np.sort(some)[np.arange(1, parts) * len(some) // parts]
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
                out.append(by_hash(np.fromfile(path_of_part, LANDMARK)))
                path_of_part.unlink()

    def _blocks(self) -> Iterator[NDArray[np.void]]:
        with self._path.open("rb") as file:
            while len(block := np.fromfile(file, LANDMARK, _SORTED_AT_ONCE)):
                yield block
