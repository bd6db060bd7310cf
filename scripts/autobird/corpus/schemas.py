"""The columns of the tables that the corpus stages hand on."""

import pyarrow as pa

RECORDINGS = pa.schema(
    [
        ("recording", pa.string()),
        ("species", pa.string()),
        ("file_sha256", pa.string()),
        ("sound_sha256", pa.string()),
        ("codec", pa.string()),
        ("sample_rate", pa.int32()),
        ("channels", pa.int32()),
        ("duration", pa.float64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("note", pa.string()),
    ]
)
"""One row a recording. `status` is `ok` or `unusable` with a `reason`; a `note` tells of trouble with a file that
is used all the same. `sound_sha256` is of the decoded mono samples, `duration` in seconds of decoded sound."""

CATALOGUE = pa.schema(
    [
        *(f for f in RECORDINGS if f.name not in ("status", "reason")),
        *(pa.field(name, pa.string()) for name in ("recordist", "date", "place", "licence", "quality", "quarantined")),
    ]
)
"""One row a recording, used or not; `quarantined` is the reason, or "". Unknown values are ""."""

INDEX = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.int64()),
        ("species", pa.string()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("shard", pa.int32()),
        ("first_frame", pa.int64()),
        ("rms", pa.float32()),
        ("mel_std", pa.float64()),
        ("dropped", pa.string()),
    ]
)
"""One row a window, kept (`dropped` is "") or not. `start`: first sample in the recording; `shard`: number of its
batch; `first_frame`: where its frames begin in that shard."""
