"""MPEG audio frames: where the first one begins in a file that starts with something else."""


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
