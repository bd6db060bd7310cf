"""Stage `near_duplicates`: list the pairs of recordings of the same audio, found by their landmarks.

The votes of all ranges of hashes (stage `landmark_votes`) are added up, and the aligned matches of the pairs with several votes for
one offset are counted exactly. The labels are not used. Stage `quarantine` excludes pairs with different labels, and stage `dataset`
keeps the other pairs in one split.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.landmarks import FRAME_SECONDS
from autobird.core.errors import AutobirdError
from autobird.core.files import read_json, scratch
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_table, write_csv
from autobird.corpus.candidate_pairs import candidate_pairs
from autobird.corpus.exact_matches import LandmarkStore, exact_matches
from autobird.corpus.landmark_matching import MatchedPair
from autobird.corpus.landmark_votes import votes_by_part, write_votes
from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import NearDuplicateSettings

_RANGES = 8
"""Ranges of hashes of a search within one process; bounds its memory."""


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


def add_up_votes(
    recordings: Sequence[pd.DataFrame],
    landmarks: Sequence[Path],
    recordings_files: Sequence[Path],
    votes: Sequence[Path],
    summaries: Sequence[Path],
    min_matches: int,
    folder: Path,
) -> pd.DataFrame:
    """Return the near-duplicates (`PAIRS`) of all batches, sorted.

    Args:
        recordings: columns recording, species, status of each batch.
        landmarks: the landmark file of each batch.
        recordings_files: the files of `recordings`, for error messages.
        votes: votes of each range of hashes.
        summaries: summary of each range of hashes.
        min_matches: minimum number of aligned landmark matches.
        folder: for a temporary file.

    Raises:
        AutobirdError: a landmark file does not belong to the table of its batch.
    """
    ranges = [read_json(path) for path in summaries]
    complete = all(found["complete"] for found in ranges)
    count = sum(map(len, recordings))
    numbers, least = candidate_pairs(votes_by_part(votes), count, min_matches, complete)
    log.info("%d of %d pairs of recordings have at least %d votes", len(numbers), count * (count - 1) // 2, least)
    common = np.array([hash_ for found in ranges for hash_ in found["common"]], np.uint32)
    store = LandmarkStore(folder / "landmarks")
    for batch, of_batch in enumerate(zip(landmarks, recordings, recordings_files, strict=True)):
        loaded = load_landmarks(*of_batch)
        candidates = np.unique(numbers[numbers % len(landmarks) == batch])
        if len(candidates):
            is_common = np.isin(loaded["hash"], common)
            store.add(candidates, candidates // len(landmarks), loaded[~is_common])
    # Matches at one time of the first recording count once. It is the one whose name sorts first, so that the result does not depend on the
    # number of batches.
    numbers = np.take_along_axis(numbers, np.argsort(_places(recordings)[numbers], axis=1), axis=1)
    rows = [_pair_row(pair, recordings) for pair in exact_matches(numbers, store, min_matches)]
    return pd.DataFrame(sorted(rows), columns=PAIRS)


def near_duplicates(
    recordings: Sequence[pd.DataFrame], landmarks: Sequence[Path], recordings_files: Sequence[Path], min_matches: int
) -> pd.DataFrame:
    """Return the near-duplicates (`PAIRS`) of all batches, sorted, without files of votes; see `add_up_votes`."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        votes = [folder / f"{number}.npy" for number in range(_RANGES)]
        summaries = [folder / f"{number}.json" for number in range(_RANGES)]
        for number in range(_RANGES):
            write_votes(landmarks, number, _RANGES, votes[number], summaries[number])
        return add_up_votes(recordings, landmarks, recordings_files, votes, summaries, min_matches, folder)


def _places(recordings: Sequence[pd.DataFrame]) -> NDArray[np.intp]:
    """Return the place of each recording in the order of all names, at the index that is its number (`LandmarkRange`)."""
    numbers = np.concatenate(
        [np.arange(len(table)) * len(recordings) + batch for batch, table in enumerate(recordings)]
    )
    names = np.concatenate([table["recording"].to_numpy(object) for table in recordings])
    places = np.zeros(numbers.max(initial=-1) + 1, np.intp)
    places[numbers[np.argsort(names, kind="stable")]] = np.arange(len(numbers))
    return places


def _pair_row(pair: MatchedPair, recordings: Sequence[pd.DataFrame]) -> list[object]:
    """Return a row of `PAIRS`; the first recording is the one that sorts first."""
    first, second = (recordings[n % len(recordings)].iloc[n // len(recordings)] for n in (pair.first, pair.second))
    return [
        first["recording"], second["recording"], pair.matches, round(-pair.offset * FRAME_SECONDS, 3),
        first["species"], second["species"],
    ]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    p.add_argument("--landmarks", type=Path, nargs="+", required=True)
    p.add_argument("--votes", type=Path, nargs="+", required=True, help="votes of all ranges of hashes")
    p.add_argument("--summaries", type=Path, nargs="+", required=True, help="summaries of all ranges of hashes")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(NearDuplicateSettings, args.settings)
    with stage("near_duplicates", args, [args.output]):
        recordings = [read_table(path, ["recording", "species", "status"]) for path in args.recordings]
        with scratch(args.output) as folder:
            pairs = add_up_votes(
                recordings,
                args.landmarks,
                args.recordings,
                args.votes,
                args.summaries,
                settings.near_duplicate_votes,
                folder,
            )
        write_csv(args.output, pairs)
        conflicting = (pairs["species"] != pairs["other_species"]).sum()
        log.info("%d pairs, %d of them with two different species", len(pairs), conflicting)


if __name__ == "__main__":
    run(main)
