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
        ("negative", pa.bool_()),
        ("weight", pa.float32()),
        ("present", pa.list_(pa.string())),
        ("absent", pa.list_(pa.string())),
        ("unknown", pa.list_(pa.string())),
        ("default", pa.string()),
        ("recording_present", pa.list_(pa.string())),
        ("recording_absent", pa.list_(pa.string())),
        ("recording_unknown", pa.list_(pa.string())),
        ("recording_default", pa.string()),
        ("recording_split", pa.string()),
        ("earliest", pa.int64()),
        ("latest", pa.int64()),
    ]
)
"""One row per window, sorted by recording and start.

- `start`: first sample of the window in its recording.
- `shard`, `row`, `first_frame`: number of the batch, row of the window in the batch's tables and embeddings, and first mel frame of
  the window in the batch's shard.
- `dropped`: why training may not use the window, "" if it may: a species that is trained is present, or the window is negative.
- `quiet`: the window does not pass the filters (RMS, mel standard deviation), which training and prediction apply.
- `split`: `train`, `validation` or `test`; `unknown` for windows in which only species with too few windows or recordings are
  present. `recording_split`: the split of the recording's group, also for those windows.
- `present`, `absent`, `unknown`: the species that are in the window, those that are not, and those that may be; sorted names.
  `default`: what holds for all other species, `absent` or `unknown`. `LabelSets` makes arrays of them. `recording_present` and so
  on: the same for the whole recording.
- `negative`: no species is in the window. Training uses such windows; they are never a label.
- `weight`: how much the window counts in calibration and thresholds; 1 for all but reviewed windows (`reviewed.review_weights`).
- `earliest`, `latest`: first and last sample at which the window could start instead of `start`, with the same labels and without sound
  that is only in quiet windows. Training crops windows at random between them.
- `species`: the only species of the window if exactly one is present and no other may be, else ""."""
