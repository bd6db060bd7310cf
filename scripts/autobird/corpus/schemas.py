"""Column definitions of the tables that the corpus stages write."""

import pyarrow as pa

RECORDINGS = pa.schema(
    [
        ("recording", pa.string()),
        ("species", pa.string()),
        ("location", pa.string()),
        ("start", pa.string()),
        ("end", pa.string()),
        ("file_sha256", pa.string()),
        ("sound_sha256", pa.string()),
        ("codec", pa.string()),
        ("sample_rate", pa.int32()),
        ("channels", pa.int32()),
        ("bits", pa.int32()),
        ("recorder", pa.string()),
        ("recorded_at", pa.string()),
        ("duration", pa.float64()),
        ("decoded_share", pa.float64()),
        ("peak", pa.float64()),
        ("clipped_share", pa.float64()),
        ("dc_offset", pa.float64()),
        ("silent_share", pa.float64()),
        ("samples", pa.int64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("note", pa.string()),
    ]
)
"""One row per recording of a batch, in the order of the batch manifest.

- `status`: `ok`, or `unusable` with a `reason`. A `note` describes a problem with a file that is used nevertheless.
- `location`, `start`, `end`: the file and the interval in seconds, if the recording is not a whole file of its own
  (`audio.access.RecordingLocation`).
- `sound_sha256`: checksum of the decoded mono samples.
- `duration`: decoded length, seconds. `bits`: 0 for codecs without a sample size.
- `recorder`, `recorded_at`: from the file's header (`audio.headers.Header`), "" if the header has no such field.
- `codec` to `silent_share` without these: the properties that `audio.decode` measures.
- `samples`: number of samples of this recording in the batch's PCM file. The PCM file holds the recordings in the order
  of these rows, so a recording starts after the samples of all rows above it."""

CATALOGUE = pa.schema(
    [
        *(f for f in RECORDINGS if f.name not in ("samples", "status", "reason", "start", "end")),
        pa.field("kind", pa.string()),
        *(pa.field(name, pa.string()) for name in ("recordist", "date", "time", "place")),
        pa.field("latitude", pa.float64()),
        pa.field("longitude", pa.float64()),
        *(
            pa.field(name, pa.string())
            for name in ("number", "page", "licence", "licence_family", "quality", "background", "extra", "quarantined")
        ),
        pa.field("may_redistribute", pa.bool_()),
    ]
)
"""One row per recording, used or quarantined. `kind`: "" for a focal recording, whose label is `species`; `negative` for one
that holds no species; `annotated` for one whose windows boxes label. `quarantined` is the reason, "" for a recording in use. Unknown values
are "", unknown coordinates are NaN. `licence` is the text of the source, `licence_family` the family that
`sources.licences` recognises in it. `extra`: all other fields of the source, as JSON."""

PAIRS = ["recording", "other", "votes", "offset", "species", "other_species"]
"""Columns of `near_duplicates.csv`, one row per pair of recordings of the same audio. `recording` sorts before `other`.
`votes`: number of aligned landmark matches. `offset`: position in `other` at which `recording` starts, seconds; negative
if `recording` starts earlier."""
