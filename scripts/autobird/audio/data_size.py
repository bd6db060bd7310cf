"""Find files whose header declares too few bytes of audio or none, and read them to the end of the audio.

Recorders write the size of the audio into the header when they close a file. After a loss of power the header still has its
first value: 0, the length of the header, or the size at the last update. The size of WAV is a 32-bit number, which starts
again at 0 after 4 GiB. Recorders that reserve space on the card leave zeros behind the audio.
"""

import re
from collections.abc import Callable
from typing import BinaryIO, Literal, NamedTuple

from autobird.audio.chunks import Chunk, ChunkFormat, chunks
from autobird.audio.file_view import file_length, view
from autobird.audio.flac_frames import zeros_of_last_checksum

_PLACEHOLDER = (1 << 31) - 4096
"""A declared size of at least this, and more than the file has, is a placeholder that was never replaced by the real size."""

_MIN_TAIL = 4096
"""Fewer bytes behind the declared end are no audio if they are also less than a tenth of it: programs append tags and padding."""

_MIN_ZEROS = 512
"""Fewer zeros at the end may be audio; space on a card is reserved in sectors of at least 512 bytes."""

_MAX_HEADER = 1 << 20
"""The header of a file is not corrected if it has more bytes than this."""

_SCAN = 1 << 20

_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN", b"<?xpacket", b"<?xml")
"""Tags that programs append to files of any format."""

_KNOWN_CHUNKS = frozenset(
    b"LIST list INFO bext id3 ID3 iXML guan wamd fact cue smpl inst PEAK JUNK junk PAD FLLR afsp minf elm1 regn umid axml chna _PMX "
    b"aXML note labl plst levl acid strc cart qlty mext link DISP DGDA NAME AUTH ANNO COMT MARK INST MIDI AESD APPL (c) strg free "
    b"info peak uuid chan kuki pakt ovvw midi summ mark bexa".split()
)
"""Chunks that follow the audio in real files. Such a name is enough; chunks with other names must fill the rest of the file."""

_LAST_CHUNK = re.compile(rb"LIST|bext|id3 |ID3 |iXML|guan|wamd|afsp|cue |ANNO|NAME|COMT")
"""Start of chunks that are searched at the end of a file whose header declares the wrong size."""

_MAX_CANDIDATES = 50
"""Maximum number of such places that are examined."""

_W64_SUFFIX = bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""End of the names of the chunks of a W64 file, after the four characters that RIFF uses."""


class _Layout(NamedTuple):
    """Where the audio of a file is.

    Attributes:
        start: position of the first byte of audio.
        declared: bytes of audio that the header declares.
        frame: bytes per frame of all channels.
        bytes_per_second: of the audio; 0 if unknown.
        corrected_header: returns the bytes before the audio for a given number of bytes of audio.
        is_end: whether the audio can end at a position, because nothing or valid chunks follow.
        chunk_format: how the container stores its chunks; None if it has none.
        ends_unknown: whether a placeholder is a valid way to declare no size.
    """

    start: int
    declared: int
    frame: int
    bytes_per_second: float
    corrected_header: Callable[[int], bytes]
    is_end: Callable[[int], bool]
    chunk_format: ChunkFormat | None
    ends_unknown: bool = False


def with_real_size(file: BinaryIO) -> tuple[BinaryIO, str] | None:
    """Return a file with a corrected header, and a note; None if the declared size needs no correction.

    A size that is larger than the file is left to the decoder, unless it is a placeholder and zeros are to be left out.
    """
    length = file_length(file)
    file.seek(0)
    if file.read(4) == b"fLaC":
        return _without_zeros_at_end(file, length)
    layout = _layout(file, length)
    if layout is None or layout.start >= length:
        return None
    end = layout.start + layout.declared
    if end > length:
        if layout.declared < _PLACEHOLDER or layout.ends_unknown:
            return None
        real_end, problem = length, "declares no length"
    elif layout.is_end(end):
        return None
    else:
        real_end = _start_of_last_chunks(file, layout, length)
        problem = f"declares only {layout.declared} bytes of audio"
    used = _without_zeros(file, layout.start, real_end)
    zeros = real_end - layout.start - used
    if zeros < _MIN_ZEROS:
        if end > length:
            return None
        used, zeros = real_end - layout.start, 0
    used = min(-(-used // layout.frame) * layout.frame, (real_end - layout.start) // layout.frame * layout.frame)
    seconds = f" {used / layout.bytes_per_second:.1f} s" if layout.bytes_per_second else ""
    note = f"the header was never finished and {problem}, so all{seconds} of the file are used"
    if zeros:
        note += f", without {zeros} zero bytes at its end"
    return view(file, layout.start, layout.start + used, layout.corrected_header(used)), note


def _without_zeros_at_end(file: BinaryIO, length: int) -> tuple[BinaryIO, str] | None:
    """Return a FLAC file without the zeros behind it; the decoder would lose the last seconds."""
    file.seek(max(0, length - _MIN_ZEROS))
    if file.read().strip(b"\0") or length < 2 * _MIN_ZEROS:
        return None
    used = _without_zeros(file, 0, length)
    used += zeros_of_last_checksum(lambda zeros: view(file, 0, used + zeros))
    return view(file, 0, used), f"{length - used} zero bytes at the end of the file are left out"


def _start_of_last_chunks(file: BinaryIO, layout: _Layout, length: int) -> int:
    """Return where known chunks start that fill the end of the file exactly; the length of the file if there are none.

    Programs that write more than 4 GiB of audio close their files, with chunks behind the audio, but the size is wrong.
    """
    start = max(layout.start, length - _SCAN)
    file.seek(start)
    tail = file.read(length - start)
    if layout.chunk_format is None:
        return length
    candidates = [start + found.start() for found in _LAST_CHUNK.finditer(tail)]
    for at in candidates[-_MAX_CANDIDATES:]:
        last = list(chunks(file, layout.chunk_format, at, length))
        if last and 0 <= length - last[-1].at - last[-1].size < layout.chunk_format.align:
            return at
    return length


def _layout(file: BinaryIO, length: int) -> _Layout | None:
    file.seek(0)
    head = file.read(40)
    kind, form = head[:4], head[8:12]
    if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64") and form == b"WAVE":
        order: Literal["big", "little"] = "big" if kind == b"RIFX" else "little"
        return _wav(file, length, ChunkFormat(12, order, 4, 4, False, 2, b"fmt ", b"data"), kind)
    if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        return _patched(file, length, ChunkFormat(12, "big", 4, 4, False, 2, b"COMM", b"SSND", 8))
    if kind == b"caff":
        return _patched(file, length, ChunkFormat(8, "big", 4, 8, False, 1, b"desc", b"data", 4))
    if kind == b"riff" and head[24:28] == b"wave":
        names = b"fmt " + _W64_SUFFIX, b"data" + _W64_SUFFIX
        return _patched(file, length, ChunkFormat(40, "little", 16, 8, True, 8, *names))
    if kind in (b".snd", b"dns."):
        return _au(file, length, head, "big" if kind == b".snd" else "little")
    return None


def _is_end(file: BinaryIO, f: ChunkFormat | None, start: int, length: int, at: int) -> bool:
    """Return whether the audio from `start` can end at `at`: only padding, tags, or valid chunks follow."""
    rest = length - at
    if rest == 0 or (rest < _MIN_TAIL and rest * 10 < at - start):
        return True
    file.seek(at)
    head = file.read(16)
    if head.startswith(_TAGS) or head[1:].startswith(_TAGS):
        return True
    if f is None:
        return _without_zeros(file, at, length) == 0
    # The padding byte after an odd number of bytes may be missing.
    for first in {at, -(-at // f.align) * f.align}:
        end = first
        for number, chunk in enumerate(chunks(file, f, first, length)):
            if number == 0 and chunk.name[:4].rstrip(b" ") in _KNOWN_CHUNKS:
                return True
            end = chunk.at + chunk.size
        if end > first and 0 <= length - end < 8 + f.align:
            return True
    return _without_zeros(file, at, length) == 0


def _without_zeros(file: BinaryIO, start: int, end: int) -> int:
    """Return the number of bytes from `start` to the last byte before `end` that is not zero."""
    while end > start:
        at = max(start, end - _SCAN)
        file.seek(at)
        if kept := len(file.read(end - at).rstrip(b"\0")):
            return at + kept - start
        end = at
    return 0


def _wav(file: BinaryIO, length: int, f: ChunkFormat, kind: bytes) -> _Layout | None:
    properties, size_from_ds64 = b"", 0
    for chunk in chunks(file, f, f.first, length):
        file.seek(chunk.at)
        if chunk.name == b"ds64":
            size_from_ds64 = int.from_bytes(file.read(16)[8:], "little")
        elif chunk.name == b"fmt ":
            properties = file.read(min(chunk.size, 1024))
        elif chunk.name == b"data":
            break
    else:
        return None
    if len(properties) < 16:
        return None
    is_rf64 = kind in (b"RF64", b"BW64")
    declared = size_from_ds64 if is_rf64 and chunk.size in (0, 0xFFFFFFFF) else chunk.size
    frame, bytes_per_second = (int.from_bytes(properties[a:b], f.order) for a, b in ((12, 14), (8, 12)))
    return _Layout(
        chunk.at,
        declared,
        max(1, frame),
        bytes_per_second,
        lambda size: _wav_header(properties, size, f.order),
        lambda at: _is_end(file, f, chunk.at, length, at),
        f,
    )


def _wav_header(properties: bytes, size: int, order: Literal["big", "little"]) -> bytes:
    """Return the header of a WAV file with the content of its chunk `fmt `; RF64 if 32 bits are too few for `size`."""
    properties += bytes(len(properties) % 2)
    chunks = b"fmt " + len(properties).to_bytes(4, order) + properties
    if size + len(chunks) + 12 < 1 << 32:
        riff = b"RIFX" if order == "big" else b"RIFF"
        chunks = b"WAVE" + chunks + b"data"
        return riff + (len(chunks) + 4 + size).to_bytes(4, order) + chunks + size.to_bytes(4, order)
    unknown = b"\xff" * 4
    ds64 = (len(chunks) + 48 + size).to_bytes(8, "little") + size.to_bytes(8, "little") + bytes(12)
    return b"RF64" + unknown + b"WAVEds64" + len(ds64).to_bytes(4, "little") + ds64 + chunks + b"data" + unknown


def _patched(file: BinaryIO, length: int, f: ChunkFormat) -> _Layout | None:
    """Return the layout of a file whose header is corrected in place: the size of the audio, and in AIFF its frames."""
    properties: Chunk | None = None
    for chunk in chunks(file, f, f.first, length):
        if chunk.name == f.properties:
            properties = chunk
        if chunk.name == f.data:
            break
    else:
        return None
    start = chunk.at + f.skip
    if properties is None or start > _MAX_HEADER:
        return None
    file.seek(0)
    header = file.read(start)
    content = header[properties.at : properties.at + properties.size]
    frame, bytes_per_second = _PROPERTIES[f.properties[:4]](content)
    size_at = chunk.at - f.size

    def corrected(size: int) -> bytes:
        patched = bytearray(header)
        total = size + f.skip + (f.name + f.size if f.inclusive else 0)
        total = min(total, (1 << 8 * f.size) - 1)
        patched[size_at : size_at + f.size] = total.to_bytes(f.size, f.order)
        if f.properties == b"COMM":
            frames_at = properties.at + 2
            patched[frames_at : frames_at + 4] = min(size // frame, 0xFFFFFFFF).to_bytes(4, "big")
            patched[4:8] = min(start + size - 8, 0xFFFFFFFF).to_bytes(4, "big")
        elif f.inclusive:
            patched[16:24] = (start + size).to_bytes(8, "little")
        return bytes(patched)

    return _Layout(
        start,
        max(0, chunk.size - f.skip),
        frame,
        bytes_per_second,
        corrected,
        lambda at: _is_end(file, f, start, length, at),
        f,
        f.properties == b"desc",
    )


def _fmt(content: bytes) -> tuple[int, float]:
    return max(1, int.from_bytes(content[12:14], "little")), int.from_bytes(content[8:12], "little")


def _comm(content: bytes) -> tuple[int, float]:
    channels, bits = int.from_bytes(content[:2], "big"), int.from_bytes(content[6:8], "big")
    exponent, mantissa = int.from_bytes(content[8:10], "big") & 0x7FFF, int.from_bytes(content[10:18], "big")
    frame = max(1, channels * -(-bits // 8))
    rate = float(mantissa * 2.0 ** (exponent - 16383 - 63)) if exponent < 16383 + 63 else 0.0
    return frame, frame * rate


def _desc(content: bytes) -> tuple[int, float]:
    # A compressed file has 0 bytes per packet.
    return max(1, int.from_bytes(content[16:20], "big")), 0.0


_PROPERTIES: dict[bytes, Callable[[bytes], tuple[int, float]]] = {b"fmt ": _fmt, b"COMM": _comm, b"desc": _desc}
"""Bytes per frame, and bytes per second (0: unknown), from the content of the chunk with the properties."""


def _au(file: BinaryIO, length: int, head: bytes, order: Literal["big", "little"]) -> _Layout | None:
    start, declared, encoding, rate, channels = (int.from_bytes(head[at : at + 4], order) for at in range(4, 24, 4))
    frame = channels * {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 0)
    if not frame or not 24 <= start <= _MAX_HEADER:
        return None
    file.seek(0)
    header = file.read(start)

    def corrected(size: int) -> bytes:
        return header[:8] + min(size, 0xFFFFFFFF).to_bytes(4, order) + header[12:]

    return _Layout(
        start,
        declared,
        frame,
        frame * rate,
        corrected,
        lambda at: _is_end(file, None, start, length, at),
        None,
        True,
    )
