"""Walk through the chunks of WAV, AIFF, CAF and W64 files."""

from collections.abc import Iterator
from typing import BinaryIO, Literal, NamedTuple

_MAX_CHUNKS = 1000


class ChunkFormat(NamedTuple):
    """How a container stores its chunks.

    Attributes:
        first: position of the first chunk.
        order: byte order of the sizes.
        name: length of a chunk's name, bytes.
        size: length of a chunk's size, bytes.
        inclusive: whether the size includes name and size.
        align: chunks start at multiples of this.
        properties: name of the chunk with rate and channels.
        data: name of the chunk with the audio.
        skip: bytes of that chunk before the audio.
    """

    first: int
    order: Literal["big", "little"]
    name: int
    size: int
    inclusive: bool
    align: int
    properties: bytes
    data: bytes
    skip: int = 0


class Chunk(NamedTuple):
    """A chunk of a file.

    Attributes:
        name: its name.
        at: position of its content.
        size: declared length of its content, bytes.
    """

    name: bytes
    at: int
    size: int


def chunks(file: BinaryIO, f: ChunkFormat, at: int, length: int) -> Iterator[Chunk]:
    """Yield the chunks from position `at` on, until one does not fit into the file."""
    padded = False
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        header = file.read(f.name + f.size)
        if padded and f.align == 2 and not _is_name(header[:4]):
            # Some programs omit the padding byte after a chunk of odd length.
            file.seek(at := at - 1)
            header = file.read(f.name + f.size)
        if len(header) < f.name + f.size or not _is_name(header[:4]):
            return
        size = int.from_bytes(header[f.name :], f.order) - (len(header) if f.inclusive else 0)
        if size < 0:
            return
        yield Chunk(header[: f.name], at + len(header), size)
        following = at + len(header) + size
        at = -(-following // f.align) * f.align
        padded = at != following
        if following > length:
            return


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and name.isascii() and name.decode("ascii").isprintable()
