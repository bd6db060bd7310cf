"""The list of audio formats: each of them is decoded."""

import numpy as np
import pytest
import soundfile

from autobird.audio import formats
from autobird.audio.decode import decode
from autobird.audio.file_kind import AUDIO_EXTENSIONS, CONTAINER_EXTENSIONS
from autobird.audio.formats import readable_extensions

_CONTAINERS = {
    "wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS"),
    "oga": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "aiff": ("AIFF", "PCM_16"), "aif": ("AIFF", "PCM_16"), "caf": ("CAF", "PCM_16"),
    "w64": ("W64", "PCM_16"), "au": ("AU", "PCM_16"),
}  # fmt: skip
"""Container and subtype of libsndfile for the extensions of the formats that it can write."""


@pytest.mark.parametrize("extension", [name for name in readable_extensions() if name in _CONTAINERS])
def test_a_file_of_each_format_is_decoded(extension: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    container, subtype = _CONTAINERS[extension]
    tone = 0.3 * np.sin(2 * np.pi * 3000 * np.arange(48000) / 16000)
    soundfile.write(tmp_path / f"a.{extension}", tone, 16000, format=container, subtype=subtype)
    assert abs(len(decode(tmp_path / f"a.{extension}", 16000)) - 48000) < 2000


def test_every_format_that_libsndfile_should_read_is_listed() -> None:
    assert set(_CONTAINERS) <= set(readable_extensions())


def test_the_formats_of_phones_are_listed_where_pyav_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    phones = {"m4a", "mp4", "3gp", "webm", "aac"}
    monkeypatch.setattr(formats, "find_spec", lambda _: object())
    assert phones <= set(readable_extensions())
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    assert not phones & set(readable_extensions())


def test_folders_are_searched_for_the_formats_that_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that the page offers must not count as "not audio" in a folder."""
    monkeypatch.setattr(formats, "find_spec", lambda _: object())
    assert set(readable_extensions()) <= AUDIO_EXTENSIONS | CONTAINER_EXTENSIONS
