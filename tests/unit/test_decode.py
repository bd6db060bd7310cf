"""Decoding: formats are recognised by content, unusable files are refused with a reason, mono and resampling are exact."""

import hashlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from autobird.audio.audio_file import UnusableAudio
from autobird.audio.decode import AudioProperties, decode, decode_at_rates_into, decode_into
from autobird.audio.mpeg import find_mpeg_frame, mpeg_frame_length
from autobird.audio.resample import Resampler, to_int16


def tone(rate: int, seconds: float = 1.0, hertz: float = 1000.0, channels: int = 1) -> NDArray[np.float32]:
    x = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return np.repeat(x[:, None], channels, axis=1).astype(np.float32)


def written(samples: NDArray[np.float32], rate: int, fmt: str, subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=fmt, subtype=subtype)
    return out.getvalue()


class Collector:
    """A sample consumer that keeps everything."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.parts: list[NDArray[np.float32]] = []

    def add(self, mono: NDArray[np.float32], /) -> None:
        self.parts.append(mono.copy())


def probe(source: Path | io.BytesIO, max_duration: float = float("inf")) -> AudioProperties:
    return decode_into(source, Collector, max_duration).properties


@pytest.mark.parametrize(
    ("fmt", "subtype"),
    [("WAV", "PCM_U8"), ("WAV", "DOUBLE"), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_decodes_to_16_khz_mono(fmt: str, subtype: str | None, channels: int, tmp_path: Path) -> None:
    file = tmp_path / "wrong.txt"  # the name must not matter
    file.write_bytes(written(tone(48000, channels=channels), 48000, fmt, subtype))
    samples = decode(file, 16000)
    assert samples.dtype == np.int16
    assert len(samples) == pytest.approx(16000, abs=900)
    middle = samples[4000:12000] / 32768
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    assert probe(file).channels == channels


def test_samples_are_rounded_to_the_nearest_integer_and_clipped() -> None:
    steps = np.array([0.4, 0.6, -0.4, -0.6, 1.6, 32767.4, 32767.6, 40_000, -32768.6, -40_000], np.float32)
    found = to_int16(steps / 32768)
    assert found.tolist() == [0, 1, 0, -1, 2, 32767, 32767, 32767, -32768, -32768]
    assert found.dtype == np.int16


def mixed(channels: list[np.ndarray], source: int = 16000) -> tuple[np.ndarray, str]:
    file = io.BytesIO(written(np.stack(channels, 1).astype(np.float32), source, "WAV", "FLOAT"))
    return decode(file, 16000) / 32768, probe(file).note


def test_mono_is_the_mean_of_the_channels() -> None:
    a, b = tone(16000)[:, 0], tone(16000, hertz=2500)[:, 0]
    # The last two channels have a correlation of -0.6, which does not count as cancelling.
    for channels in ([a, b], [a, a], [a, 0.1 * b], [a, b, a, b], [a, 0.8 * b - 0.6 * a]):
        samples, note = mixed(channels)
        np.testing.assert_allclose(samples, np.mean(channels, axis=0), atol=2e-4)
        assert note == ""


def test_channels_that_are_silent_or_cancel_are_left_out() -> None:
    a = tone(16000)[:, 0]
    b, noise = tone(16000, hertz=2500)[:, 0], 1e-3 * np.random.default_rng(0).standard_normal(16000)
    for channels, expected, expected_note in (
        ([a, 0 * a], a, "channel 2 of 2 is silent and left out"),
        ([noise, a], a, "channel 1 of 2 is silent and left out"),
        ([a, 0 * a, b, noise], (a + b) / 2, "channel 2, 4 of 4 is silent and left out"),
        ([a, -a], a, "its channels cancel each other, so only channel 1 is used"),
        ([-0.8 * a, a + noise], a + noise, "its channels cancel each other, so only channel 2 is used"),
        ([0 * a, 0 * a], 0 * a, ""),
    ):
        samples, note = mixed(channels)
        np.testing.assert_allclose(samples, expected, atol=2e-4)
        assert note == expected_note


def test_a_second_decode_attempt_leaves_no_trace_of_the_first() -> None:
    """Properties and samples of a file with cancelling channels equal those of a file with the selected channel alone."""
    rng = np.random.default_rng(1)
    a = 0.2 * rng.standard_normal(200_000)
    alone = io.BytesIO(written(a[:, None].astype(np.float32), 16000, "WAV", "FLOAT"))
    inverted = io.BytesIO(written(np.stack([a, -a], 1).astype(np.float32), 16000, "WAV", "FLOAT"))
    one, both = probe(alone), probe(inverted)
    assert (one.sha256, one.duration, one.silent_share) == (both.sha256, both.duration, both.silent_share)
    np.testing.assert_array_equal(decode(alone, 16000), decode(inverted, 16000))


def test_each_decode_attempt_gets_a_new_consumer_and_the_last_one_is_returned() -> None:
    a = tone(44100, 3.0)[:, 0]
    for channels, attempts in (([a], 1), ([a, a], 1), ([a, -a], 2)):
        consumers: list[Collector] = []

        def new_consumer(sample_rate: int, consumers: list[Collector] = consumers) -> Collector:
            consumers.append(Collector(sample_rate))
            return consumers[-1]

        file = io.BytesIO(written(np.stack(channels, 1), 44100, "WAV", "FLOAT"))
        properties, consumer = decode_into(file, new_consumer)
        assert len(consumers) == attempts
        assert consumer is consumers[-1]
        assert consumer.sample_rate == 44100
        np.testing.assert_array_equal(np.concatenate(consumer.parts), a)  # all samples, each once
        assert properties == probe(file)
    # The first attempt used the mean of the cancelling channels.
    np.testing.assert_array_equal(np.concatenate(consumers[0].parts), 0 * a)


@pytest.mark.parametrize("source", [22050, 24000, 32000, 44100, 48000, 96000, 192000])
def test_aliases_are_below_minus_90_db(source: int) -> None:
    """For full-scale tones from the new Nyquist frequency to the old one, and for a sweep through all of them."""
    time = np.arange(source) / source
    levels = []
    for hertz in np.linspace(8000 * 1.001, source / 2 * 0.999, 40):
        levels.append(_level(resampled(np.sin(2 * np.pi * hertz * time), source)))
    low, high = 8000 * 1.001, source / 2 * 0.999
    sweep = np.sin(2 * np.pi * (low * time + (high - low) * time**2 / 2))
    levels.append(_level(resampled(sweep, source)))
    assert max(levels) < -90


@pytest.mark.parametrize("source", [8000, 11025, 22050, 44100, 96000])
def test_tones_below_the_nyquist_frequency_keep_their_level_without_images(source: int) -> None:
    time = np.arange(2 * source) / source
    for share in (0.05, 0.3, 0.6, 0.9):
        hertz = share * min(source, 16000) / 2
        out = resampled(np.sin(2 * np.pi * hertz * time), source)
        spectrum = np.abs(np.fft.rfft(out * np.blackman(len(out)))) ** 2
        at = round(hertz / 8000 * (len(spectrum) - 1))
        in_band = spectrum[max(0, at - 40) : at + 41].sum()
        assert 10 * np.log10((spectrum.sum() - in_band) / in_band) < -90
        assert _level(out) == pytest.approx(0, abs=0.1)


def resampled(samples: np.ndarray, source: int) -> np.ndarray:
    """Resample in blocks of the decoder's size; the edges are cut off."""
    resampler = Resampler(source, 16000)
    mono = samples.astype(np.float32)
    parts = [resampler.add(mono[at : at + (1 << 16)]) for at in range(0, len(mono), 1 << 16)]
    return np.concatenate([*parts, resampler.finish()])[2000:-2000].astype(np.float64)


def _level(samples: np.ndarray) -> float:
    """Level in dB relative to a full-scale sine."""
    return float(10 * np.log10(2 * np.mean(samples**2) + 1e-30))


@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (22050, 2), (16000, 1), (11025, 1)])
def test_an_mp3_of_variable_bit_rate_is_read_to_its_end_without_a_header(
    rate: int, channels: int, tmp_path: Path
) -> None:
    """libsndfile alone reads only to the length that it estimates from the first frames, here a part of the file."""
    noise = np.random.default_rng(0).standard_normal((20 * rate, channels)).astype(np.float32)
    noise[: 15 * rate] *= 1e-4
    noise[15 * rate :] *= 0.2
    data = written(noise[::-1].copy(), rate, "MP3", None)
    first = find_mpeg_frame(data)
    without = data[first + mpeg_frame_length(data[first : first + 4]) :]
    with soundfile.SoundFile(io.BytesIO(without)) as file:
        assert file.frames < 16 * rate
    path = tmp_path / "a.mp3"
    path.write_bytes(without)
    for source in (path, io.BytesIO(without)):
        properties = probe(source)
        assert properties.duration == pytest.approx(20, abs=0.2)
        assert properties.decoded_share == 1
        assert len(decode(source, 16000)) == pytest.approx(20 * 16000, rel=0.01)
    assert len(decode(path, 16000, span=(1, 3))) == pytest.approx(2 * 16000, abs=2)


def test_the_same_audio_in_two_lossless_files_has_the_same_sha256() -> None:
    pcm = np.rint(tone(22050) * 32767).astype("<i2")
    samples = pcm / np.float32(32768)
    wav = probe(io.BytesIO(written(samples, 22050, "WAV", "PCM_16")))
    assert wav.sha256 == hashlib.sha256(pcm.tobytes()).hexdigest()
    flac = probe(io.BytesIO(written(samples, 22050, "FLAC", "PCM_16")))
    assert wav.sha256 == flac.sha256
    assert wav.codec != flac.codec


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"just some words\n" * 100, "text, not audio"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
        (bytes(5000), "only zero bytes"),
        (bytes(range(256)) * 40, "not an audio file"),
    ],
)
def test_files_without_audio_are_refused_with_a_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "x.wav"
    file.write_bytes(data)
    for source in (file, io.BytesIO(data)):
        with pytest.raises(UnusableAudio, match=reason):
            probe(source)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(value: float) -> None:
    bad = tone(16000)
    bad[5] = value
    with pytest.raises(UnusableAudio, match="samples that are not finite"):
        probe(io.BytesIO(written(bad, 16000, "WAV", "FLOAT")))


def test_a_recording_longer_than_the_limit_is_refused() -> None:
    probe(io.BytesIO(written(tone(16000), 16000, "FLAC")), max_duration=1.0)
    with pytest.raises(UnusableAudio, match=r"longer than 0\.5 s of decoded audio"):
        probe(io.BytesIO(written(tone(16000), 16000, "FLAC")), max_duration=0.5)


def test_audio_after_other_bytes_is_found_in_paths_and_in_file_objects(tmp_path: Path) -> None:
    data = b"ID3" + bytes(200) + b"junk " * 4000 + written(tone(44100, 3.0), 44100, "MP3")
    (tmp_path / "a.mp3").write_bytes(data)
    assert probe(tmp_path / "a.mp3") == probe(io.BytesIO(data))


def test_a_missing_file_is_refused_with_the_message_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(UnusableAudio, match="No such file"):
        probe(tmp_path / "gone.wav")


def test_a_wav_shorter_than_its_declared_length_is_used_to_its_end() -> None:
    data = written(tone(16000, 2.0), 16000, "WAV", "PCM_16")
    properties = probe(io.BytesIO(data[: len(data) // 2]))
    assert properties.duration == pytest.approx(1.0, abs=0.01)
    assert properties.decoded_share == pytest.approx(0.5, abs=0.01)


def test_garbage_before_an_mp3_stream_is_skipped(tmp_path: Path) -> None:
    data = written(tone(44100, 2.0), 44100, "MP3")
    file = tmp_path / "x.mp3"
    file.write_bytes(bytes(4096) + data)
    assert probe(file).duration == pytest.approx(2.0, abs=0.1)


def test_every_odd_file_is_used_or_refused_with_a_reason(odd_files: Path) -> None:
    usable, refused = set(), []
    for file in sorted(p for p in odd_files.rglob("*") if p.is_file() and p.name != "SOURCES.csv"):
        try:
            properties = probe(file)
        except UnusableAudio as error:
            refused.append(str(error))
        else:
            assert properties.duration > 0
            if properties.duration >= 0.5:  # shorter files are refused by corpus.min_duration
                usable.add(file.parent.name)
    assert all(refused)
    assert usable == {
        "constructed_from_corpusA", "encodings", "identical_copies", "mislabelled", "same_audio_five_formats", "wrong_extension_nonascii",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "seconds", "share"),
    [("middle_zeroed.mp3", 11.9, 0.317), ("truncated.flac", 4.5, 1.0)],  # the header of the second declares no length
)
def test_a_damaged_stream_is_used_up_to_the_damage_with_a_note(
    odd_files: Path, name: str, seconds: float, share: float
) -> None:
    properties = probe(odd_files / "constructed_from_corpusA" / name)
    assert properties.duration == pytest.approx(seconds, abs=0.05)
    assert properties.decoded_share == pytest.approx(share, abs=0.001)
    assert properties.note.startswith(f"decoding stopped after {seconds} s (")
    assert properties.note.endswith("only the audio before is used")


def test_without_pyav_the_files_of_phones_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    heads = {
        "MPEG-4 or QuickTime (m4a, mp4, 3gp, mov)": b"\0\0\0\x1cftypM4A \0\0\2\0M4A isomiso2",
        "Matroska or WebM": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1",
        "AMR": b"#!AMR\n\x3c" + bytes(range(128, 256)),
        "AAC": (b"\xff\xf1\x50\x80\x04\x1f\xfc" + bytes(25)) * 4,
    }
    for kind, head in heads.items():
        with pytest.raises(UnusableAudio) as raised:
            probe(io.BytesIO(head + bytes(5000)))
        assert (
            str(raised.value)
            == f"{kind}: reading it needs the package av; install it with: pip install 'autobird[media]'"
        )


class SeveralRates:
    """A consumer of samples at several rates that keeps everything."""

    def __init__(self) -> None:
        self.parts: list[tuple[NDArray[np.int16], ...]] = []

    def add(self, samples: NDArray[np.int16], /, *at_other_rates: NDArray[np.int16]) -> None:
        self.parts.append((samples, *at_other_rates))


RATES = (16000, 48000, 32000)


def assert_same_samples_at_all_rates(file: Path) -> bool:
    """Return whether a file can be decoded; if so, one decoding at several rates gives the samples of one decoding for each."""
    try:
        expected = [decode(file, rate) for rate in RATES]
    except UnusableAudio as error:
        with pytest.raises(type(error)):
            decode_at_rates_into(file, RATES, SeveralRates)
        return False
    found = decode_at_rates_into(file, RATES, SeveralRates)
    for rate, parts, samples in zip(RATES, zip(*found.consumer.parts, strict=True), expected, strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), samples, err_msg=f"{file} at {rate} Hz")
    properties = probe(file)
    assert (found.sample_rate, found.note) == (properties.sample_rate, properties.note)
    return True


def test_one_decoding_at_several_rates_gives_the_samples_of_each(tmp_path: Path) -> None:
    """Also of files that are decoded twice: silent or cancelling channels, and samples beyond full scale."""
    rng = np.random.default_rng(0)
    x = 0.2 * rng.standard_normal(12 * 44100).astype(np.float32)
    files: dict[str, tuple[NDArray[np.float32], str | None]] = {
        "silent.wav": (np.stack([np.zeros_like(x), x], 1), None), "cancelling.flac": (np.stack([x, -x], 1), None),
        "loud.wav": (40 * x, "FLOAT"), "clipped.wav": (5 * x, "PCM_16"), "short.wav": (x[:3000], None), "song.mp3": (x, None),
    }  # fmt: skip
    for name, (samples, subtype) in files.items():
        soundfile.write(tmp_path / name, samples, 44100, subtype=subtype)
        assert assert_same_samples_at_all_rates(tmp_path / name)
    data = (tmp_path / "cancelling.flac").read_bytes()
    (tmp_path / "damaged.flac").write_bytes(data[:300_000] + bytes(2000) + data[302_000:])
    assert assert_same_samples_at_all_rates(tmp_path / "damaged.flac")


def test_one_decoding_of_unusual_files_at_several_rates_gives_the_samples_of_each(odd_files: Path) -> None:
    decoded = [assert_same_samples_at_all_rates(file) for file in sorted(odd_files.rglob("*")) if file.is_file()]
    assert sum(decoded) > 20
