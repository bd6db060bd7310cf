"""The columns of the index of windows."""

import pyarrow as pa

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
        ("quiet", pa.bool_()),
        ("present", pa.list_(pa.string())),
        ("complete", pa.bool_()),
        ("recording_species", pa.list_(pa.string())),
        ("recording_complete", pa.bool_()),
        ("recording_split", pa.string()),
    ]
)
"""One row a window, kept (`dropped` is "") or not. `quiet`: the filters leave it out, in training and in prediction.
`present`: the species that are known to sing in it; `complete`: whether no other species does, as far as its recording
was annotated. `recording_species` and `recording_complete`: the same of its whole recording; `recording_split`: the split
of its group, for windows of species with too few of them too. `start`: first sample in the recording; `shard`: number of its
batch; `first_frame`: where its frames begin in that shard. `split` is `unknown` for species with too few windows."""
