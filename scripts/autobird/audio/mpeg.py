"""MPEG audio layer III frames: find the first one, count them, and write a header frame with their number."""


def find_mpeg_frame(data: bytes) -> int:
    """Return the offset of the first layer III frame that is followed by another one, or -1."""
    at = data.find(b"\xff")
    while 0 <= at < len(data) - 4:
        length = mpeg_frame_length(data[at : at + 4])
        if length and mpeg_frame_length(data[at + length : at + length + 4]):
            return at
        at = data.find(b"\xff", at + 1)
    return -1


_BITRATES = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of MPEG-1 (3) and MPEG-2/2.5 (2 and 0) layer III, ISO/IEC 11172-3 and 13818-3."""

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mpeg_frame_length(header: bytes) -> int:
    """Return the length in bytes of the layer III frame with this 4-byte header, or 0 if it is not a frame header."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    kbits = _BITRATES[3 if version == 3 else 2][bitrate]
    return (144000 if version == 3 else 72000) * kbits // _RATES[version][rate] + (header[2] >> 1 & 1)


def count_mpeg_frames(data: bytes, at: int) -> int:
    """Count the layer III frames from offset `at` on; bytes between frames are skipped."""
    count = 0
    while 0 <= at < len(data) - 4:
        if length := mpeg_frame_length(data[at : at + 4]):
            count, at = count + 1, at + length
        else:
            further = find_mpeg_frame(data[at + 1 :])
            at = at + 1 + further if further >= 0 else -1
    return count


def xing_frame(header: bytes, frames: int) -> bytes:
    """Return a silent frame with a Xing tag, which encoders put at the start of a file of variable bit rate.

    Args:
        header: the 4-byte header of the file's first frame.
        frames: number of frames that follow; the tag declares it.
    """
    # Version, layer and sampling rate stay; no CRC; a bit rate whose frames are long enough for the tag.
    header = bytes([header[0], header[1] | 1, header[2] & 0x0C | 0x90, header[3]])
    mono, mpeg_1 = header[3] >> 6 == 3, header[1] >> 3 & 3 == 3
    side_information = (17 if mono else 32) if mpeg_1 else (9 if mono else 17)
    tag = header + bytes(side_information) + b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return tag.ljust(mpeg_frame_length(header), b"\0")
