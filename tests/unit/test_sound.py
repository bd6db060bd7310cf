"""Level, clipping and bandwidth of recordings, measured while they are decoded."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from autobird.audio.audio_errors import UnusableAudio
from autobird.audio.decode import decode_at_rates_into
from autobird.audio.sound import Sound

SHARED = Path(__file__).parents[3] / "shared/data"


class Nothing:
    """A consumer that drops the samples."""

    def add(self, *_: object) -> None:
        return None


def measured(file: io.BytesIO | Path) -> Sound:
    sound = decode_at_rates_into(file, (16000,), Nothing, measure=True).sound
    assert sound is not None
    return sound


def written(samples: NDArray[np.float64], rate: int, form: str = "WAV", subtype: str | None = None) -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    file.seek(0)
    return file


def noise(seconds: float, rate: int, level: float = 0.1) -> NDArray[np.float64]:
    return level * np.random.default_rng(0).standard_normal(round(seconds * rate))


def test_level_and_peak_are_those_of_the_samples() -> None:
    """A tone with an amplitude of a quarter in one channel, in opposite phase at half of it in the other."""
    tone = 0.25 * np.sin(2 * np.pi * 1000 * np.arange(70_000) / 16000)
    found = measured(written(np.stack([tone, -0.5 * tone], axis=1), 16000))
    assert found.peak == pytest.approx(0.25, abs=1e-4)
    assert found.rms == pytest.approx(0.0625 / np.sqrt(2), rel=1e-3)  # the mean of the channels
    assert found.clipped_share == 0


def test_clipped_samples_are_counted_over_all_blocks_and_channels() -> None:
    samples = np.full((200_000, 2), 0.5) * np.sign(np.sin(np.arange(200_000)))[:, None]
    samples[:100, 0] = samples[150_000:150_100, 1] = 1.0
    assert measured(written(samples, 48000)).clipped_share == pytest.approx(200 / 400_000)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 192_000])
def test_noise_reaches_up_to_half_of_the_sampling_rate(rate: int) -> None:
    assert measured(written(noise(2, rate, 0.01), rate)).bandwidth == rate / 2


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_24"),
        ("MP3", "MPEG_LAYER_III"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
    ],
)
def test_a_recording_of_8_khz_that_was_converted_to_48_khz_has_the_bandwidth_of_8_khz(form: str, subtype: str) -> None:
    """Opus adds some noise above; what the model lacks starts at 4 kHz."""
    converted = soxr.resample(noise(3, 8000), 8000, 48000)
    assert 3800 <= (measured(written(converted, 48000, form, subtype)).bandwidth or 0) < 6000


def test_dither_is_not_sound() -> None:
    rng = np.random.default_rng(1)
    converted = soxr.resample(noise(3, 8000), 8000, 48000)
    dithered = converted + (rng.uniform(-0.5, 0.5, len(converted)) + rng.uniform(-0.5, 0.5, len(converted))) / 32768
    assert (measured(written(dithered, 48000)).bandwidth or 0) < 4600


def test_quiet_noise_of_a_microphone_is_sound() -> None:
    """-75 dBFS at 48 kHz: 5.8 steps of 16 bits."""
    assert measured(written(noise(3, 48000, 10 ** (-75 / 20)), 48000)).bandwidth == 24000


def test_silence_has_no_bandwidth_and_a_very_short_recording_that_of_its_rate() -> None:
    found = measured(written(np.zeros(48000), 48000))
    assert (found.rms, found.peak, found.bandwidth) == (0, 0, None)
    assert measured(written(noise(0.1, 8000), 8000)).bandwidth == 4000


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")
def test_real_recordings_do_not_lack_the_upper_band_until_they_are_reduced_to_8_khz() -> None:
    files = sorted(SHARED.glob("corpus/*/*.mp3"))[::40] + sorted(SHARED.glob("field/**/*.ogg"))[::40]
    assert len(files) >= 5
    for file in files:
        assert (measured(file).bandwidth or 0) >= 6400, file.name
        samples, rate = soundfile.read(file, always_2d=True)
        reduced = soxr.resample(samples.mean(axis=1)[: 10 * rate], rate, 8000)
        converted = soxr.resample(reduced, 8000, 48000)
        for form in ("WAV", "MP3"):
            assert (measured(written(converted, 48000, form)).bandwidth or 0) < 5000, file.name


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("share", [0.0005, 0.5])
def test_huge_values_of_damaged_files_give_finite_levels(share: float) -> None:
    """The square of 1e30 is infinite in float32."""
    samples = noise(5, 16000)
    samples[: round(share * len(samples))] = 1e30
    found = measured(written(samples, 16000, subtype="FLOAT"))
    assert 0 < found.rms < 1.01
    assert np.isfinite(found.peak)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [b"SSN\xdb", b"\xff\xff\xff\xf0", b"SSN"])
def test_damaged_headers_print_no_traceback(name: bytes) -> None:
    """The name of the chunk with the samples is damaged, and libsndfile seeks before the start of the file."""
    data = written(noise(1, 16000), 16000, "AIFF", "PCM_24").getvalue().replace(b"SSND", name)
    with pytest.raises(UnusableAudio, match="libsndfile can"):
        measured(io.BytesIO(data))
