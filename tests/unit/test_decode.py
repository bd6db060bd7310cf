"""Audio is told by its content; what cannot be used says why."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from autobird.audio.decode import Resampler, UnusableAudio, decode, probe, to_int16
from autobird.audio.mpeg import mpeg_frame_length, mpeg_start


def tone(rate: int, seconds: float = 1.0, hertz: float = 1000.0, channels: int = 1) -> NDArray[np.float32]:
    x = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return np.repeat(x[:, None], channels, axis=1).astype(np.float32)


def written(samples: NDArray[np.float32], rate: int, fmt: str, subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=fmt, subtype=subtype)
    return out.getvalue()


@pytest.mark.parametrize(
    ("fmt", "subtype"),
    [("WAV", "PCM_U8"), ("WAV", "DOUBLE"), ("FLAC", None), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_decodes_to_16_khz_mono(fmt: str, subtype: str | None, channels: int, tmp_path: Path) -> None:
    file = tmp_path / "wrong.txt"  # the name does not count
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
    # The last two channels have a correlation of -0.6, which is not taken for cancelling.
    for channels in ([a, b], [a, a], [a, 0.1 * b], [a, b, a, b], [a, 0.8 * b - 0.6 * a]):
        samples, note = mixed(channels)
        np.testing.assert_allclose(samples, np.mean(channels, axis=0), atol=2e-4)
        assert note == ""


def test_channels_that_are_dead_or_cancel_are_left_out() -> None:
    a = tone(16000)[:, 0]
    b, noise = tone(16000, hertz=2500)[:, 0], 1e-3 * np.random.default_rng(0).standard_normal(16000)
    for channels, expected, words in (
        ([a, 0 * a], a, "channel 2 of 2 is dead and left out"),
        ([noise, a], a, "channel 1 of 2 is dead and left out"),
        ([a, 0 * a, b, noise], (a + b) / 2, "channel 2, 4 of 4 is dead and left out"),
        ([a, -a], a, "its channels cancel each other; only channel 1 is used"),
        ([-0.8 * a, a + noise], a + noise, "its channels cancel each other; only channel 2 is used"),
        ([0 * a, 0 * a], 0 * a, ""),
    ):
        samples, note = mixed(channels)
        np.testing.assert_allclose(samples, expected, atol=2e-4)
        assert note == words


def test_a_recording_that_is_mixed_anew_is_heard_once() -> None:
    """Its measures, hash and length are those of what is used, as if nothing had been decoded before."""
    rng = np.random.default_rng(1)
    a = 0.2 * rng.standard_normal(200_000)
    alone = io.BytesIO(written(a[:, None].astype(np.float32), 16000, "WAV", "FLOAT"))
    inverted = io.BytesIO(written(np.stack([a, -a], 1).astype(np.float32), 16000, "WAV", "FLOAT"))
    one, both = probe(alone), probe(inverted)
    assert (one.sha256, one.duration, one.silent_share) == (both.sha256, both.duration, both.silent_share)
    np.testing.assert_array_equal(decode(alone, 16000), decode(inverted, 16000))


class Collected:
    """A listener that keeps what it is given."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []

    def add(self, mono: NDArray[np.float32]) -> None:
        self.blocks.append(mono.copy())

    @property
    def samples(self) -> np.ndarray:
        return np.concatenate(self.blocks)


def collected(data: bytes) -> list[Collected]:
    """The listeners that one call of `probe` makes, in their order."""
    made: list[Collected] = []

    def listener(sample_rate: int) -> Collected:
        assert sample_rate == 16000
        made.append(Collected())
        return made[-1]

    probe(io.BytesIO(data), listener=listener)
    return made


def test_each_decoding_of_a_file_has_a_listener_of_its_own_and_the_last_one_has_the_samples_that_are_used() -> None:
    """The first decoding finds that the channels cancel each other; the second one uses one of them."""
    a = (0.2 * np.random.default_rng(1).standard_normal((200_000, 1))).astype(np.float32)
    [once] = collected(written(a, 16000, "WAV", "FLOAT"))
    np.testing.assert_array_equal(once.samples, a[:, 0])
    first, second = collected(written(np.hstack([a, -a]), 16000, "WAV", "FLOAT"))
    np.testing.assert_array_equal(first.samples, 0 * a[:, 0])
    np.testing.assert_array_equal(second.samples, a[:, 0])


@pytest.mark.parametrize("source", [22050, 24000, 32000, 44100, 48000, 96000, 192000])
def test_no_alias_of_a_sweep_comes_through_above_minus_90_db(source: int) -> None:
    """Full-scale tones from the new Nyquist frequency to the old one, and one sweep through all of them."""
    time = np.arange(source) / source
    levels = []
    for hertz in np.linspace(8000 * 1.001, source / 2 * 0.999, 40):
        levels.append(_level(resampled(np.sin(2 * np.pi * hertz * time), source)))
    low, high = 8000 * 1.001, source / 2 * 0.999
    sweep = np.sin(2 * np.pi * (low * time + (high - low) * time**2 / 2))
    levels.append(_level(resampled(sweep, source)))
    assert max(levels) < -90


@pytest.mark.parametrize("source", [8000, 11025, 22050, 44100, 96000])
def test_tones_below_keep_their_level_and_bring_no_images(source: int) -> None:
    time = np.arange(2 * source) / source
    for share in (0.05, 0.3, 0.6, 0.9):
        hertz = share * min(source, 16000) / 2
        out = resampled(np.sin(2 * np.pi * hertz * time), source)
        spectrum = np.abs(np.fft.rfft(out * np.blackman(len(out)))) ** 2
        at = round(hertz / 8000 * (len(spectrum) - 1))
        wanted = spectrum[max(0, at - 40) : at + 41].sum()
        assert 10 * np.log10((spectrum.sum() - wanted) / wanted) < -90
        assert _level(out) == pytest.approx(0, abs=0.1)


def resampled(samples: np.ndarray, source: int) -> np.ndarray:
    """In blocks as the decoder gives them, without the edges."""
    resampler = Resampler(source, 16000)
    sound = samples.astype(np.float32)
    parts = [resampler.add(sound[at : at + (1 << 16)]) for at in range(0, len(sound), 1 << 16)]
    return np.concatenate([*parts, resampler.finish()])[2000:-2000].astype(np.float64)


def _level(samples: np.ndarray) -> float:
    """dB below a full-scale sine."""
    return float(10 * np.log10(2 * np.mean(samples**2) + 1e-30))


@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (22050, 2), (16000, 1), (11025, 1)])
def test_an_mp3_of_variable_bit_rate_is_read_to_its_end_without_a_header(
    rate: int, channels: int, tmp_path: Path
) -> None:
    """libsndfile reads to the length that its first frames let expect: here a part of it."""
    noise = np.random.default_rng(0).standard_normal((20 * rate, channels)).astype(np.float32)
    noise[: 15 * rate] *= 1e-4
    noise[15 * rate :] *= 0.2
    data = written(noise[::-1].copy(), rate, "MP3", None)
    first = mpeg_start(data)
    without = data[first + mpeg_frame_length(data[first : first + 4]) :]
    with soundfile.SoundFile(io.BytesIO(without)) as file:
        assert file.frames < 16 * rate
    path = tmp_path / "a.mp3"
    path.write_bytes(without)
    for source in (path, io.BytesIO(without)):
        facts = probe(source)
        assert facts.duration == pytest.approx(20, abs=0.2)
        assert facts.decoded_share == 1
        assert len(decode(source, 16000)) == pytest.approx(20 * 16000, rel=0.01)
    assert len(decode(path, 16000, span=(1, 3))) == pytest.approx(2 * 16000, abs=2)


def test_the_same_sound_in_two_lossless_files_has_one_sha256() -> None:
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
        (b"just some words\n" * 100, "text, not sound"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-lfs pointer"),
        (bytes(5000), "only zero bytes"),
        (bytes(range(256)) * 40, "not a sound file"),
    ],
)
def test_what_is_no_sound_is_refused_with_a_reason(data: bytes, reason: str, tmp_path: Path) -> None:
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
    with pytest.raises(UnusableAudio, match=r"longer than 0\.5 s of decoded sound"):
        probe(io.BytesIO(written(tone(16000), 16000, "FLAC")), max_duration=0.5)


def test_sound_behind_other_bytes_is_found_in_files_and_in_tars(tmp_path: Path) -> None:
    data = b"ID3" + bytes(200) + b"junk " * 4000 + written(tone(44100, 3.0), 44100, "MP3")
    (tmp_path / "a.mp3").write_bytes(data)
    assert probe(tmp_path / "a.mp3") == probe(io.BytesIO(data))


def test_a_missing_file_is_refused_with_the_systems_reason(tmp_path: Path) -> None:
    with pytest.raises(UnusableAudio, match="No such file"):
        probe(tmp_path / "gone.wav")


def test_a_wav_shorter_than_its_header_says_is_used_up_to_there() -> None:
    data = written(tone(16000, 2.0), 16000, "WAV", "PCM_16")
    facts = probe(io.BytesIO(data[: len(data) // 2]))
    assert facts.duration == pytest.approx(1.0, abs=0.01)


def test_garbage_before_an_mp3_stream_is_skipped(tmp_path: Path) -> None:
    data = written(tone(44100, 2.0), 44100, "MP3")
    file = tmp_path / "x.mp3"
    file.write_bytes(bytes(4096) + data)
    assert probe(file).duration == pytest.approx(2.0, abs=0.1)


def test_every_odd_file_is_used_or_refused_with_a_reason(odd_files: Path) -> None:
    usable, refused = set(), []
    for file in sorted(p for p in odd_files.rglob("*") if p.is_file() and p.name != "SOURCES.csv"):
        try:
            facts = probe(file)
        except UnusableAudio as error:
            refused.append(str(error))
        else:
            assert facts.duration > 0
            if facts.duration >= 0.5:  # corpus.min_duration refuses the others
                usable.add(file.parent.name)
    assert all(refused)
    assert usable == {
        "constructed_from_corpusA", "encodings", "identical_copies", "mislabelled", "same_audio_five_formats", "wrong_extension_nonascii",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "seconds", "share"),
    [("middle_zeroed.mp3", 11.9, 0.317), ("truncated.flac", 4.5, 1.0)],  # the header of the second one tells no length
)
def test_a_stream_with_a_hole_is_used_up_to_there_with_a_note(
    odd_files: Path, name: str, seconds: float, share: float
) -> None:
    facts = probe(odd_files / "constructed_from_corpusA" / name)
    assert facts.duration == pytest.approx(seconds, abs=0.05)
    assert facts.decoded_share == pytest.approx(share, abs=0.001)
    assert facts.note.startswith(f"decoding stopped after {seconds} s (")
    assert facts.note.endswith("used up to there")
