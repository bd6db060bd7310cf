"""Stage `near_duplicates`: list the pairs of recordings of the same audio, found by their landmarks.

Batches are compared two at a time, which bounds the memory by the size of a batch. The labels are not used. Stage
`quarantine` excludes pairs with different labels, and stage `dataset` keeps the other pairs in one split.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.landmarks import FRAME_SECONDS
from autobird.core.errors import AutobirdError
from autobird.core.progress import Progress
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.corpus.landmark_matching import MatchedPair, match_recordings
from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import NearDuplicateSettings


def load_landmarks(path: Path, recordings: pd.DataFrame, recordings_file: Path) -> NDArray[np.void]:
    """Read the landmarks of a batch and check that they belong to the batch's table of recordings.

    Landmarks refer to their recording by its row number in that table, so the two files must come from the same job.
    The check finds row numbers that are not in the table or that belong to an unusable recording, which has no
    landmarks.

    Args:
        path: landmarks of the batch (`LANDMARK`).
        recordings: columns recording, status; in the order of the file.
        recordings_file: the file of `recordings`, for the error message.

    Raises:
        AutobirdError: the files do not belong together.
    """
    landmarks: NDArray[np.void] = np.load(path)
    numbers = landmarks["recording"]
    unusable = np.flatnonzero(recordings["status"] != "ok")
    if (highest := int(numbers.max(initial=0))) >= max(1, len(recordings)):
        problem = f"row {highest} of a table of {len(recordings)} rows"
    elif len(wrong := np.intersect1d(unusable, np.flatnonzero(np.bincount(numbers)))):
        problem = f"the unusable recording {recordings['recording'].iloc[wrong[0]]}"
    else:
        return landmarks
    raise AutobirdError(
        f"{path} does not belong to {recordings_file}: it has landmarks of {problem}; delete both files and run again"
    )


def near_duplicates(
    recordings: Sequence[pd.DataFrame], landmarks: Sequence[Path], recordings_files: Sequence[Path], min_matches: int
) -> pd.DataFrame:
    """Return the near-duplicates (`PAIRS`) of all batches, sorted.

    Args:
        recordings: columns recording, species, status of each batch.
        landmarks: the landmark file of each batch.
        recordings_files: the files of `recordings`, for error messages.
        min_matches: minimum number of aligned landmark matches.

    Raises:
        AutobirdError: a landmark file does not belong to the table of its batch.
    """
    rows = []
    batches = list(zip(landmarks, recordings, recordings_files, strict=True))
    progress, done = Progress("near_duplicates", len(batches) * (len(batches) + 1) // 2, "pairs of batches"), 0
    for i, first_batch in enumerate(batches):
        first = load_landmarks(*first_batch)
        for j, second_batch in enumerate(batches[i:], i):
            second = first if i == j else load_landmarks(*second_batch)
            for pair in match_recordings(first, second, min_matches, same_batch=i == j):
                rows.append(_pair_row(pair, recordings[i], recordings[j]))
            done += 1
            progress(done)
    return pd.DataFrame(sorted(rows), columns=PAIRS)


def _pair_row(pair: MatchedPair, first_table: pd.DataFrame, second_table: pd.DataFrame) -> list[object]:
    """Return a row of `PAIRS`; of the two recordings, the one that sorts first comes first."""
    first, second = first_table.iloc[pair.first], second_table.iloc[pair.second]
    offset_seconds = -pair.offset * FRAME_SECONDS
    if second["recording"] < first["recording"]:
        first, second, offset_seconds = second, first, -offset_seconds
    return [
        first["recording"], second["recording"], pair.matches, round(offset_seconds, 3), first["species"], second["species"],
    ]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--landmarks", type=Path, nargs="+", required=True)
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(NearDuplicateSettings, args.settings)
    with stage("near_duplicates", args, [args.output]):
        recordings = [read_table(path, ["recording", "species", "status"]) for path in args.recordings]
        pairs = near_duplicates(recordings, args.landmarks, args.recordings, settings.near_duplicate_votes)
        write_csv(args.output, pairs)
        conflicting = (pairs["species"] != pairs["other_species"]).sum()
        log.info("%d pairs, %d of them with two different species", len(pairs), conflicting)


if __name__ == "__main__":
    run(main)
