"""Audio files as the recorders of the demo write them, with the metadata in their headers."""

import numpy as np

from autobird.synth.acoustics import Samples
from autobird.synth.encode import encode
from autobird.synth.field_plan import UTC_OFFSET, FieldPlan

_DAMAGED_BYTES = 30
"""Bytes of a damaged file: the header is incomplete."""


def recorder_file(plan: FieldPlan, samples: Samples) -> bytes:
    """Return the file of a recording.

    Args:
        plan: the recording.
        samples: shape (n,), full scale = 1.
    """
    data = encode(samples[:, None], plan.sample_rate, plan.recorder.format)
    match plan.recorder.model:
        case "AudioMoth":
            data = _with_chunk(data, b"LIST", _audiomoth_comment(plan))
        case "Song Meter":
            data = _with_chunk(data, b"wamd", _wamd(plan))
    return data[:_DAMAGED_BYTES] if plan.fault == "damaged" else data


def _with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """Return a wav file with another chunk before that of the samples."""
    at = data.index(b"data")
    content += b"\0" * (len(content) % 2)
    inserted = name + len(content).to_bytes(4, "little") + content
    size = int.from_bytes(data[4:8], "little") + len(inserted)
    return data[:4] + size.to_bytes(4, "little") + data[8:at] + inserted + data[at:]


def _audiomoth_comment(plan: FieldPlan) -> bytes:
    """Return the list of an AudioMoth: comment and artist, as its firmware 1.8 writes them."""
    artist = f"AudioMoth {plan.recorder.serial}"
    hours = int(UTC_OFFSET.total_seconds() / 3600)
    weather = np.random.default_rng([plan.seed, 15, plan.number])
    temperature = weather.normal(15 if plan.is_evening else 7, 2)
    comment = (
        f"Recorded at {plan.start:%H:%M:%S %d/%m/%Y} (UTC+{hours}) by {artist} at medium gain while battery was "
        f"{4.9 - 0.1 * min(plan.day, 12):.1f}V and temperature was {temperature:.1f}C."
    )
    return b"INFO" + _field(b"ICMT", comment, 384) + _field(b"IART", artist, 32)


def _field(name: bytes, text: str, size: int) -> bytes:
    return name + size.to_bytes(4, "little") + text.encode("ascii").ljust(size, b"\0")


def _wamd(plan: FieldPlan) -> bytes:
    """Return the metadata of Wildlife Acoustics: fields with an identifier, a length, and their bytes."""
    start = f"{plan.start:%Y-%m-%d %H:%M:%S}+02:00"
    place = f"WGS84,{plan.recorder.latitude:.3f},N,{-plan.recorder.longitude:.3f},W"
    texts = {1: "Song Meter Mini", 2: plan.recorder.serial, 3: "4.4", 4: plan.recorder.serial, 5: start, 6: place}
    fields = {0: (1).to_bytes(2, "little"), **{key: text.encode("ascii") for key, text in texts.items()}}
    return b"".join(
        key.to_bytes(2, "little") + len(value).to_bytes(4, "little") + value for key, value in fields.items()
    )
