"""The columns of the tables that the corpus stages hand on."""

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
"""One row a recording. `status` is `ok` or `unusable` with a `reason`; a `note` tells of trouble with a file that
is used all the same. `location`, `start`, `end`: where it lies, if not in a file of its own (`audio.access.RecordingLocation`).
`sound_sha256` is of the decoded mono samples, `duration` in seconds of decoded sound; `bits` 0 where the codec has
none; `recorder` and `recorded_at` are what the file's header says (`audio.headers.Header`), "" where it says nothing;
the measures are those of `audio.decode.AudioProperties`. `samples`: how many of the batch's PCM are this recording's, after
those of the rows above it."""

CATALOGUE = pa.schema(
    [
        *(f for f in RECORDINGS if f.name not in ("samples", "status", "reason", "start", "end")),
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
"""One row a recording, used or not; `quarantined` is the reason, or "". Unknown values are "", unknown coordinates
NaN. `licence` as its source says it, `licence_family` as `corpus.licences` reads it; `extra`: JSON of all other
fields of the source."""

PAIRS = ["recording", "other", "votes", "offset", "species", "other_species"]
"""Columns of `near_duplicates.csv`: two recordings of one sound (`recording` sorts first), the moments that they have
in common, and the seconds from the second's beginning to the first's: where the other's sound starts in it."""
