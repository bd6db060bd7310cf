"""Floating-point samples beyond full scale are scaled, or clipped if they are few, and the note says so."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from autobird.audio.decode import AudioProperties, decode, decode_into

RATE = 16000


class Ignore:
    def __init__(self, rate: int) -> None: ...

    def add(self, mono: Any, /) -> None: ...


def tone(seconds: float = 5.0, level: float = 1.0) -> NDArray[np.float64]:
    return level * np.sin(2 * np.pi * 1000.3 * np.arange(int(seconds * RATE)) / RATE)


def wav(samples: NDArray[Any], subtype: str = "FLOAT", fmt: str = "WAV") -> io.BytesIO:
    out = io.BytesIO()
    soundfile.write(out, samples, RATE, format=fmt, subtype=subtype)
    return out


def probe(file: io.BytesIO) -> AudioProperties:
    return decode_into(file, Ignore).properties


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("level", [1.5, 4.0, 7.3, 32767.0, 1e9])
@pytest.mark.parametrize("channels", [1, 2])
def test_audio_beyond_full_scale_is_divided_by_its_peak(subtype: str, level: float, channels: int) -> None:
    file = wav(np.stack([tone(level=level)] * channels, 1), subtype)
    found = probe(file)
    assert found.peak == pytest.approx(level, rel=1e-5)
    assert f"(peak {level:.4g})" in found.note
    assert f"all samples are divided by {level:.4g}" in found.note
    np.testing.assert_allclose(decode(file, RATE) / 32768, tone(), atol=1e-3)
    assert found.clipped_share < 0.03  # the peaks of the tone itself


def test_a_few_loud_samples_are_clipped_and_the_others_keep_their_level() -> None:
    samples = tone(level=0.1)
    samples[30_000:30_050] = 50
    found = probe(wav(samples))
    assert found.peak == 50
    assert found.note == "0.06% of the samples are beyond full scale (peak 50) and are clipped"
    out = decode(wav(samples), RATE) / 32768
    np.testing.assert_allclose(out[:29_000], tone(level=0.1)[:29_000], atol=1e-4)
    assert out[30_010] == pytest.approx(1, abs=1e-4)


def test_loud_audio_with_a_few_much_louder_samples_keeps_its_level() -> None:
    samples = tone(level=3.0)
    samples[30_000:30_050] = 1000
    found = probe(wav(samples))
    assert found.peak == 1000
    assert "all samples are divided by 4, and the loudest are clipped" in found.note
    np.testing.assert_allclose((decode(wav(samples), RATE) / 32768)[:29_000], tone(level=0.75)[:29_000], atol=1e-3)


def test_full_scale_itself_and_decoders_of_other_codecs_are_as_before() -> None:
    for file in (wav(tone()), wav(np.sign(tone())), wav(np.sign(tone()), "PCM_16"), wav(tone(), "VORBIS", "OGG")):
        assert probe(file).note == ""


def test_scaling_and_the_selection_of_channels_work_together() -> None:
    file = wav(np.stack([tone(level=6), 0 * tone()], 1))
    found = probe(file)
    assert "channel 2 of 2 is silent" in found.note
    assert "divided by 6" in found.note
    np.testing.assert_allclose(decode(file, RATE) / 32768, tone(), atol=1e-3)


def test_the_properties_are_those_of_the_scaled_audio() -> None:
    """Apart from the peak, a recording at four times full scale has the same properties as one at full scale."""
    loud, normal = probe(wav(tone(level=4.0))), probe(wav(tone(level=1.0)))
    assert loud.silent_share == normal.silent_share
    assert loud.sha256 == normal.sha256
    assert loud.peak == pytest.approx(4 * normal.peak)
