"""Stage `recordings`: decode every recording of one batch once and say what it is, or why it is unusable."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from autobird.audio.access import open_recordings
from autobird.audio.decode import TooLong, UnusableAudio, probe
from autobird.core.stage import Progress, log, parser, run, settings_of, stage
from autobird.core.tables import read_facts, write_table
from autobird.corpus.schemas import RECORDINGS
from autobird.corpus.settings import AcceptSettings


def examine(row: pd.Series, audio: Path | BinaryIO | None, settings: AcceptSettings) -> dict[str, Any]:
    """One row of `RECORDINGS`; nothing that is wrong with a recording raises."""
    out: dict[str, Any] = dict.fromkeys(RECORDINGS.names, "") | {
        "sample_rate": 0,
        "channels": 0,
        "duration": 0.0,
    }
    out |= {"recording": row["recording"], "species": row["species"], "status": "unusable"}
    out["file_sha256"] = row["content"].removeprefix("sha256:") if row["content"].startswith("sha256:") else ""
    if row["problem"]:
        return out | {"reason": row["problem"]}
    if audio is None:
        return out | {"reason": "missing from the batch's archive"}
    if not isinstance(audio, Path):
        out["file_sha256"] = hashlib.file_digest(audio, "sha256").hexdigest()  # type: ignore[arg-type]
    try:
        facts = probe(audio, settings.max_duration)
    except TooLong as error:
        return out | {"reason": f"{error}; cut it or raise corpus.max_duration"}
    except UnusableAudio as error:
        return out | {"reason": str(error)}
    out |= {
        "sound_sha256": facts.sha256,
        "codec": facts.codec,
        "sample_rate": facts.sample_rate,
        "channels": facts.channels,
        "duration": facts.duration,
        "note": facts.note,
    }
    if facts.duration < settings.min_duration:
        return out | {
            "reason": f"{facts.duration:.2f} s is shorter than corpus.min_duration, {settings.min_duration:g} s"
        }
    return out | {"status": "ok"}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--rows", type=Path, required=True)
    p.add_argument("--root", type=Path, nargs="?", help="folder of a local corpus, read where --audio is empty")
    p.add_argument("--audio", type=Path, nargs="?", help="tar of the batch")
    p.add_argument("--output", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(AcceptSettings, args.settings)
    with stage("recordings", args, [args.output]):
        rows = read_facts(args.rows)
        progress = Progress("recordings", len(rows), "recordings")
        found = []
        audio = open_recordings(rows["recording"].tolist(), args.root, args.audio)
        for done, ((_, row), (_, source)) in enumerate(zip(rows.iterrows(), audio, strict=True), 1):
            found.append(examine(row, source, settings))
            progress(done)
        table = pd.DataFrame(found, columns=RECORDINGS.names)
        write_table(args.output, table, RECORDINGS)
        for row in table.itertuples():
            if row.reason or row.note:
                log.warning("%s: %s", row.recording, row.reason or row.note)
        log.info("%d recordings, %d unusable", len(table), (table["status"] != "ok").sum())


if __name__ == "__main__":
    run(main)
