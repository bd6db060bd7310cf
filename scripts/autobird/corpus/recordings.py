"""Stage `recordings`: decode every recording of one batch once and say what it is, or why it is unusable."""

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from autobird.audio.access import Place, open_recordings, places_of
from autobird.audio.decode import TooLong, UnusableAudio, probe
from autobird.audio.landmarks import LANDMARK, Landmarks
from autobird.core.files import atomic
from autobird.core.stage import Progress, log, parser, run, settings_of, stage
from autobird.core.tables import read_facts, write_table
from autobird.corpus.schemas import RECORDINGS
from autobird.corpus.settings import ExamineSettings


def examine(
    row: pd.Series, audio: Path | BinaryIO | None, missing: str, settings: ExamineSettings
) -> tuple[dict[str, Any], Landmarks | None]:
    """One row of `RECORDINGS`, and the landmarks of a usable recording; nothing that is wrong with one raises.

    Args:
        row: of the batch's table.
        audio: where its sound is, None if it did not come.
        missing: why it did not come, if anybody knows.
        settings: what a recording must fulfil.
    """
    numbers = [f.name for f in RECORDINGS if str(f.type) in ("int32", "double")]
    out: dict[str, Any] = dict.fromkeys(RECORDINGS.names, "") | dict.fromkeys(numbers, 0)
    out |= {name: row[name] for name in ("recording", "species", "location", "start", "end")} | {"status": "unusable"}
    out["file_sha256"] = row["content"].removeprefix("sha256:") if row["content"].startswith("sha256:") else ""
    if row["problem"]:
        return out | {"reason": row["problem"]}, None
    if audio is None:
        return out | {"reason": missing or "missing from the batch's archive"}, None
    if not isinstance(audio, Path):
        out["file_sha256"] = hashlib.file_digest(audio, "sha256").hexdigest()  # type: ignore[arg-type]
    heard: list[Landmarks] = []

    def listener(sample_rate: int) -> Landmarks:
        heard.append(Landmarks(sample_rate))
        return heard[0]

    span = Place(row["recording"], row["location"], row["start"], row["end"]).span
    try:
        facts = probe(audio, settings.max_duration, span, listener if settings.near_duplicates else None)
    except TooLong as error:
        return out | {"reason": f"{error}; cut it or raise corpus.max_duration"}, None
    except UnusableAudio as error:
        return out | {"reason": str(error)}, None
    measured = dataclasses.asdict(facts)
    out |= {name: round(v, 6) if isinstance(v, float) and name != "duration" else v for name, v in measured.items()}
    out["sound_sha256"] = out.pop("sha256")
    if reason := _unfit(out, settings):
        return out | {"reason": reason}, None
    return out | {"status": "ok"}, heard[0] if heard else None


def _unfit(found: dict[str, Any], settings: ExamineSettings) -> str:
    """Why a recording that was decoded is not used, or ""."""
    duration, share = found["duration"], found["decoded_share"]
    if found["peak"] <= settings.min_peak:
        return f"silent: no sample is above {settings.min_peak:g} of full scale (corpus.min_peak)"
    if share < settings.min_decoded_share:
        return (
            f"truncated: {duration:.1f} s are {share:.0%} of what its header promises, less than "
            f"corpus.min_decoded_share, {settings.min_decoded_share:.0%}"
        )
    if duration < settings.min_duration:
        return f"{duration:.2f} s is shorter than corpus.min_duration, {settings.min_duration:g} s"
    return ""


def landmark_table(heard: Sequence[tuple[NDArray[np.uint32], NDArray[np.uint32]]]) -> NDArray[np.void]:
    """The landmarks of a batch (`LANDMARK`), sorted by hash; `recording` counts the rows of the batch's table."""
    table = np.zeros(sum(len(h) for h, _ in heard), LANDMARK)
    at = 0
    for number, (hashes, frames) in enumerate(heard):
        part = table[at : at + len(hashes)]
        part["hash"], part["recording"], part["frame"] = hashes, number, frames
        at += len(hashes)
    return table[np.lexsort((table["frame"], table["recording"], table["hash"]))]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--rows", type=Path, required=True)
    p.add_argument("--root", type=Path, nargs="?", help="folder of a local corpus, read where --audio is empty")
    p.add_argument("--audio", type=Path, nargs="?", help="tar of the batch")
    p.add_argument("--fetched", type=Path, nargs="?", help="what the download brought, and what it did not")
    p.add_argument("--recordings", type=Path, required=True)
    p.add_argument("--landmarks", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(ExamineSettings, args.settings)
    with stage("recordings", args, [args.recordings, args.landmarks]):
        rows = read_facts(args.rows)
        missing = read_facts(args.fetched).set_index("recording")["problem"] if args.fetched else pd.Series(dtype=str)
        progress = Progress("recordings", len(rows), "recordings")
        found, heard = [], []
        audio = open_recordings(places_of(rows), args.root, args.audio)
        nothing = np.zeros(0, np.uint32), np.zeros(0, np.uint32)
        for done, ((_, row), (_, source)) in enumerate(zip(rows.iterrows(), audio, strict=True), 1):
            facts, landmarks = examine(row, source, missing.get(row["recording"], ""), settings)
            found.append(facts)
            heard.append(landmarks.finish() if landmarks else nothing)
            progress(done)
        table = pd.DataFrame(found, columns=RECORDINGS.names)
        write_table(args.recordings, table, RECORDINGS)
        with atomic(args.landmarks) as temporary, temporary.open("wb") as file:
            np.save(file, landmark_table(heard))
        for row in table.itertuples():
            if row.reason or row.note:
                log.warning("%s: %s", row.recording, row.reason or row.note)
        log.info("%d recordings, %d unusable", len(table), (table["status"] != "ok").sum())


if __name__ == "__main__":
    run(main)
