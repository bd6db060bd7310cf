"""Find the end of a FLAC file that zeros follow."""

from collections.abc import Callable
from typing import BinaryIO

_LAST_FRAMES = 1 << 16
"""Sample frames at the end of the file that are decoded; a block of FLAC has at most 65,535."""


def zeros_of_last_checksum(open_with: Callable[[int], BinaryIO]) -> int:
    """Return how many zero bytes belong to a FLAC file because its last checksum ends with them: 0, 1 or 2.

    The checksum itself cannot tell, because it also fits with fewer or more zeros. Therefore the end of the file is decoded.

    Args:
        open_with: returns the file without the zeros behind it, except the given number.
    """
    import numpy as np  # imported on use: few files need it
    import soundfile

    for missing in range(3):
        try:
            with soundfile.SoundFile(open_with(missing)) as file:
                start = max(0, file.frames - _LAST_FRAMES)
                file.seek(start)
                # A buffer that is too large makes the decoder read to the end of the file.
                read = file.read(out=np.empty((_LAST_FRAMES + 1, file.channels), np.float32))
                if len(read) == file.frames - start:
                    return missing
        except soundfile.LibsndfileError:
            continue
    return 0
