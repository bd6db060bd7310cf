"""Audio is told by its content; what cannot be used says why."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from autobird.audio.decode import UnusableAudio, decode, probe


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


def test_mono_is_the_mean_of_the_channels() -> None:
    stereo = np.concatenate([tone(16000), np.zeros((16000, 1), np.float32)], axis=1)
    samples = decode(io.BytesIO(written(stereo, 16000, "WAV", "FLOAT")), 16000)
    np.testing.assert_allclose(samples / 32768, tone(16000)[:, 0] / 2, atol=1e-4)


def test_resampling_lets_no_alias_through() -> None:
    above = decode(io.BytesIO(written(tone(44100, hertz=9000), 44100, "WAV", "FLOAT")), 16000)[1000:-1000]
    assert np.abs(above).max() <= 1


def test_the_same_sound_in_two_lossless_files_has_one_sha256() -> None:
    samples = np.rint(tone(22050) * 32767).astype(np.int16) / np.float32(32768)
    wav = probe(io.BytesIO(written(samples, 22050, "WAV", "PCM_16")))
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


def test_nan_and_endless_sound_are_refused() -> None:
    bad = tone(16000)
    bad[5] = np.nan
    with pytest.raises(UnusableAudio, match="not finite"):
        probe(io.BytesIO(written(bad, 16000, "WAV", "FLOAT")))
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


@pytest.mark.parametrize("name", ["middle_zeroed.mp3", "truncated.flac"])
def test_a_stream_with_a_hole_is_used_up_to_there_with_a_note(odd_files: Path, name: str) -> None:
    facts = probe(odd_files / "constructed_from_corpusA" / name)
    assert facts.duration > 4
    assert "used up to there" in facts.note
