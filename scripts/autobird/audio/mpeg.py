"""MPEG audio frames: where the first one begins, how many there are, and the frame that says so."""


def mpeg_start(head: bytes) -> int:
    """Offset of the first MPEG audio layer III frame that is followed by another one, or -1."""
    at = head.find(b"\xff")
    while 0 <= at < len(head) - 4:
        length = mpeg_frame_length(head[at : at + 4])
        if length and mpeg_frame_length(head[at + length : at + length + 4]):
            return at
        at = head.find(b"\xff", at + 1)
    return -1


_BITRATES = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of MPEG-1 (3) and MPEG-2/2.5 (2 and 0) layer III, ISO/IEC 11172-3 and 13818-3."""

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mpeg_frame_length(header: bytes) -> int:
    """Bytes of the layer III frame with this 4-byte header, or 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    kbits = _BITRATES[3 if version == 3 else 2][bitrate]
    return (144000 if version == 3 else 72000) * kbits // _RATES[version][rate] + (header[2] >> 1 & 1)


def frame_count(data: bytes, at: int) -> int:
    """Layer III frames from `at` on, skipping what is between them."""
    count = 0
    while 0 <= at < len(data) - 4:
        if length := mpeg_frame_length(data[at : at + 4]):
            count, at = count + 1, at + length
        else:
            further = mpeg_start(data[at + 1 :])
            at = at + 1 + further if further >= 0 else -1
    return count


def info_frame(header: bytes, frames: int) -> bytes:
    """A silent frame that says how many follow it (Xing's tag), as encoders put before a file of variable bit rate.

    Args:
        header: of the file's first frame, 4 bytes.
        frames: that follow.
    """
    # Version, layer and rate as they are; no CRC; a bit rate whose frames are long enough for the tag.
    header = bytes([header[0], header[1] | 1, header[2] & 0x0C | 0x90, header[3]])
    mono, first_version = header[3] >> 6 == 3, header[1] >> 3 & 3 == 3
    side = (17 if mono else 32) if first_version else (9 if mono else 17)
    tag = header + bytes(side) + b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return tag.ljust(mpeg_frame_length(header), b"\0")
