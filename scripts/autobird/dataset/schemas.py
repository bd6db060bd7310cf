"""Column definition of the index of windows."""

import pyarrow as pa

INDEX = pa.schema(
    [
        ("recording", pa.string()),
        ("start", pa.int64()),
        ("species", pa.string()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("shard", pa.int32()),
        ("row", pa.int64()),
        ("first_frame", pa.int64()),
        ("rms", pa.float32()),
        ("mel_std", pa.float64()),
        ("dropped", pa.string()),
        ("quiet", pa.bool_()),
        ("present", pa.list_(pa.string())),
        ("complete", pa.bool_()),
        ("recording_species", pa.list_(pa.string())),
        ("recording_complete", pa.bool_()),
        ("recording_split", pa.string()),
    ]
)
"""One row per window, sorted by recording and start.

- `start`: first sample of the window in its recording.
- `shard`, `row`, `first_frame`: number of the batch, row of the window in the batch's tables and embeddings, and first mel frame of
  the window in the batch's shard.
- `dropped`: why the window is not used, "" if it is used.
- `quiet`: the window does not pass the filters (RMS, mel standard deviation), which training and prediction apply.
- `split`: `train`, `validation` or `test`; `unknown` for species with too few windows or recordings. `recording_split`: the split of
  the recording's group, also for those species.
- `present`: all labelled species of the window. `complete`: no other species is present, as far as the recording
  was annotated. `recording_species`, `recording_complete`: the same for the whole recording."""
