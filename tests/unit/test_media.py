"""Files of phones, browsers and cameras are read with PyAV: right length, right samples, bounded work, clear errors."""

import io
import random
import shutil
import sys
import tarfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autobird.audio.access import TarMember, open_source
from autobird.audio.audio_errors import TooLong, UnusableAudio
from autobird.audio.audio_file import open_audio
from autobird.audio.decode import AudioProperties, decode, decode_into
from autobird.audio.media import media_kind

av = pytest.importorskip("av", reason="PyAV is not installed; it is the extra `media`")

SECONDS = 6.0

FILES: dict[str, tuple[str, str, int, int, dict[str, str]]] = {
    "voice memo.m4a": ("ipod", "aac", 44100, 2, {}),
    "phone.mp4": ("mp4", "aac", 48000, 1, {}),
    "safari.mp4": ("mp4", "aac", 44100, 1, {"movflags": "frag_keyframe+empty_moov"}),
    "faststart.m4a": ("ipod", "aac", 16000, 1, {"movflags": "faststart"}),
    "slow safari.mp4": ("mp4", "aac", 16000, 1, {"movflags": "frag_keyframe+empty_moov"}),
    "aac.mkv": ("matroska", "aac", 16000, 1, {}),
    "a.wma": ("asf", "wmav2", 44100, 2, {}),
    "android.3gp": ("3gp", "aac", 44100, 1, {}),
    "old phone.3gp": ("3gp", "libopencore_amrnb", 8000, 1, {}),
    "old phone.amr": ("amr", "libopencore_amrnb", 8000, 1, {}),
    "MediaRecorder.webm": ("webm", "libopus", 48000, 1, {}),
    "live.webm": ("webm", "libopus", 48000, 1, {"live": "1"}),
    "a.mka": ("matroska", "flac", 44100, 1, {}),
    "a.mkv": ("matroska", "pcm_s16le", 44100, 1, {}),
    "lossless.m4a": ("ipod", "alac", 44100, 2, {}),
    "opus.mp4": ("mp4", "libopus", 48000, 1, {}),
    "a.mov": ("mov", "pcm_s16le", 44100, 1, {}),
    "24 bit.mov": ("mov", "pcm_s24le", 48000, 2, {}),
    "float.mov": ("mov", "pcm_f32le", 44100, 1, {}),
    "a.aac": ("adts", "aac", 44100, 1, {}),
    "slow.aac": ("adts", "aac", 16000, 1, {}),
    "a.ts": ("mpegts", "aac", 44100, 1, {}),
    "a.avi": ("avi", "aac", 44100, 1, {}),
    "a.flv": ("flv", "aac", 44100, 1, {}),
    "a.wv": ("wv", "wavpack", 44100, 1, {}),
    "a.tta": ("tta", "tta", 44100, 1, {}),
    "a.caf": ("caf", "alac", 44100, 1, {}),
    "a.oga": ("ogg", "flac", 44100, 1, {}),
    "a.ac3": ("ac3", "ac3", 48000, 1, {}),
}


def write_media(
    path: Path, container: str, codec: str, rate: int, channels: int, options: dict[str, str], level: float = 0.5
) -> None:
    """Write a tone of 1 kHz."""
    samples = level * np.sin(2 * np.pi * 1000 * np.arange(int(SECONDS * rate)) / rate)
    planes = np.repeat(samples[None].astype(np.float32), channels, 0)
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(str(path), "w", format=container, options=options) as out:
        stream = out.add_stream(codec, rate=rate)
        context = stream.codec_context
        context.layout = layout
        if codec == "wmav2":
            stream.bit_rate = 128_000  # it has no default
        context.format = context.codec.audio_formats[0].name
        resampler = av.AudioResampler(format=context.format.name, layout=layout, rate=rate)

        def encoded() -> Iterator[Any]:
            for at in range(0, planes.shape[1], 1024):
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(planes[:, at : at + 1024]), format="fltp", layout=layout
                )
                frame.sample_rate, frame.pts, frame.time_base = rate, at, Fraction(1, rate)
                yield from resampler.resample(frame)
            yield from resampler.resample(None)
            yield None

        for frame in encoded():
            for packet in stream.encode(frame):
                out.mux(packet)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name, keys in FILES.items():
        write_media(folder / name, *keys)
    return folder


class Ignore:
    def __init__(self, rate: int) -> None: ...

    def add(self, mono: Any, /) -> None: ...


def probe(source: Path | io.BytesIO, **keys: Any) -> AudioProperties:
    return decode_into(source, Ignore, **keys).properties


@pytest.mark.parametrize("name", FILES)
def test_the_length_and_the_samples_are_right(name: str, media: Path) -> None:
    found = probe(media / name)
    _, _, rate, channels, _ = FILES[name]
    assert (found.sample_rate, found.channels) == (rate, channels)
    assert found.duration == pytest.approx(SECONDS, abs=0.05)
    assert found.decoded_share > 0.99
    assert found.note == ""
    samples = decode(media / name, 16000)[8000:-8000] / 32768
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    peak = int(np.argmax(spectrum))
    assert peak * 16000 / len(samples) == pytest.approx(1000, abs=1)
    assert spectrum[peak - 5 : peak + 6].sum() > 0.98 * spectrum.sum()  # AMR, for speech, adds most
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.1)


def test_priming_samples_are_left_out(media: Path) -> None:
    """The tone starts at the first sample, with the phase with which it was written."""
    for name in (
        "voice memo.m4a",
        "phone.mp4",
        "slow safari.mp4",
        "a.aac",
        "android.3gp",
        "opus.mp4",
        "MediaRecorder.webm",
    ):
        samples = decode(media / name, 16000)[1600:8000] / 32768
        expected = np.sin(2 * np.pi * 1000 * np.arange(1600, 8000) / 16000)
        assert np.corrcoef(samples, expected)[0, 1] > 0.99, name


def test_extensions_do_not_matter_and_sources_may_be_files_and_members_of_a_tar(media: Path, tmp_path: Path) -> None:
    path = media / "voice memo.m4a"
    expected = probe(path)
    for name in ("a.wav", "b.mp3", "c"):
        shutil.copy(path, tmp_path / name)
        assert probe(tmp_path / name) == expected
    assert probe(io.BytesIO(path.read_bytes())) == expected
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(path, "b.wav")
    with tarfile.open(tmp_path / "a.tar") as archive:
        member = archive.getmember("b.wav")
    with open_source(TarMember(tmp_path / "a.tar", member.offset_data, member.size)) as file:
        assert probe(file) == expected  # type: ignore[arg-type]
    assert expected.codec == "MP4 AAC"


def test_parts_of_a_file_are_exact(media: Path) -> None:
    for name in ("voice memo.m4a", "live.webm", "lossless.m4a"):
        whole, part = decode(media / name, 44100), decode(media / name, 44100, span=(2, 4))
        assert len(part) == 2 * 44100
        np.testing.assert_allclose(part[500:-500], whole[2 * 44100 + 500 : 4 * 44100 - 500], atol=400)
        with pytest.raises(UnusableAudio, match="starts at 20 s of a file"):
            decode(media / name, 16000, span=(20, 22))


def test_the_longest_duration_holds(media: Path) -> None:
    for name in FILES:
        with pytest.raises(TooLong, match="longer than 2 s of decoded audio"):
            probe(media / name, max_duration=2)


def test_floating_point_beyond_full_scale_is_scaled(tmp_path: Path) -> None:
    write_media(tmp_path / "a.mov", "mov", "pcm_f32le", 44100, 1, {}, level=3)
    found = probe(tmp_path / "a.mov")
    assert found.peak == pytest.approx(3, rel=1e-3)
    assert "all samples are divided by 3" in found.note


@pytest.mark.parametrize(
    "name", ["voice memo.m4a", "old phone.3gp", "old phone.amr", "MediaRecorder.webm", "a.aac", "a.caf"]
)
def test_without_pyav_the_error_names_the_remedy(name: str, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UnusableAudio, match=r"needs the package av; install it with: pip install 'autobird\[media\]'"):
        probe(media / name)


def test_a_truncated_file_is_used_up_to_its_end_with_a_note(media: Path, tmp_path: Path) -> None:
    data = (media / "faststart.m4a").read_bytes()
    (tmp_path / "a.m4a").write_bytes(data[: len(data) // 2])
    found = probe(tmp_path / "a.m4a")
    assert 1 < found.duration < 5
    assert found.decoded_share == pytest.approx(found.duration / SECONDS, abs=0.02)
    assert "the header declares 6.0 s" in found.note or "only the audio before is used" in found.note


def test_a_file_without_its_index_and_a_video_without_audio_are_refused_with_the_reason(
    media: Path, tmp_path: Path
) -> None:
    data = (media / "phone.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(
        UnusableAudio, match=r"MPEG-4 .*: FFmpeg cannot read it .*; it is damaged, incomplete or no recording$"
    ):
        probe(tmp_path / "cut.mp4")
    with av.open(str(tmp_path / "silent.mp4"), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for _ in range(10):
            for packet in stream.encode(av.VideoFrame(64, 64, "yuv420p")):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    with pytest.raises(UnusableAudio, match="there is no audio in the file"):
        probe(tmp_path / "silent.mp4")


def test_playlists_that_name_other_files_are_not_opened(media: Path, tmp_path: Path) -> None:
    secret = media / "phone.mp4"
    for text in (f"#EXTM3U\n{secret}\n", f"ffconcat version 1.0\nfile '{secret}'\n"):
        for prefix in ("", "\0"):
            (tmp_path / "a.m4a").write_text(prefix + text)
            with pytest.raises(UnusableAudio):
                probe(tmp_path / "a.m4a")


def test_the_kind_is_recognised_by_content(media: Path) -> None:
    for name in FILES:
        assert media_kind((media / name).read_bytes()[:4096]), name
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0])
    assert media_kind(tag + bytes(256) + (media / "a.aac").read_bytes()) == "AAC"
    for other in (b"", b"ID3", b"\xff\xfb\x90\x00" * 20, bytes(4096), b"fLaC", b"\xff\xf1" + bytes(40)):
        assert media_kind(other) == ""


def test_closing_leaves_the_callers_file_open(media: Path) -> None:
    file = io.BytesIO((media / "phone.mp4").read_bytes())
    with open_audio(file) as (opened, _):
        assert opened.format == "MP4"
    assert not file.closed


def test_damaged_files_are_used_or_refused_with_a_reason(media: Path) -> None:
    """As the property test of `test_recordings.py`, for all containers."""
    rng = random.Random(0)
    names = list(FILES)
    for number in range(150):
        data = bytearray((media / names[number % len(names)]).read_bytes())
        start, end = sorted(rng.sample(range(len(data)), 2))
        how = rng.choice(("cut", "flip", "zero", "head", "header"))
        if how == "cut":
            del data[start:end]
        elif how == "head":
            del data[start:]
        elif how == "zero":
            data[start:end] = bytes(end - start)
        else:
            limit = 400 if how == "header" else len(data)
            for _ in range(rng.choice((1, 20, 300))):
                data[rng.randrange(min(limit, len(data)))] = rng.randrange(256)
        reason, duration = "", 0.0
        try:
            duration = probe(io.BytesIO(bytes(data)), max_duration=60).duration
        except UnusableAudio as error:
            reason = str(error)
        assert bool(reason) != (duration > 0)
