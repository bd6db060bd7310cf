"""The figures of the corpus: every quarantine reason is shown as its kind."""

import numpy as np
import pandas as pd
import pytest

from autobird.corpus.figures import reason_kind
from autobird.corpus.quarantine import quarantine_reasons
from autobird.corpus.recordings import _rejection_reason
from autobird.corpus.schemas import PAIRS
from autobird.corpus.settings import RecordingsStageSettings
from autobird.sources.policy import LICENCE_REFUSED, NO_SPECIES, TAKEN_DOWN


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (LICENCE_REFUSED, "licence"), (TAKEN_DOWN, "taken down"), (NO_SPECIES, "no species"),
        ("not inside a species folder; move it into one", "no species"),
        ("xeno-canto restricts access to this audio, to protect the species", "access restricted"),
        ("withdrawn: xeno-canto.org answers 404", "withdrawn"),
        ("xeno-canto.org sends a file with another sha256 than the table gives", "other sha256"),
        ("the file's name is not UTF-8; rename it", "name not UTF-8"),
        ("not annotated; add its annotation table or remove the recording", "not annotated"),
        ("text, not audio", "text"), ("empty file (0 bytes)", "empty"),
        ("cannot be read; check the file's permissions", "cannot be read"),
        ("the file does not exist or cannot be read; check the path and its permissions", "cannot be read"),
        ("the table gives no file; add it, or remove the row", "error in the table"),
        ("another row of the table has the same id; give each its own", "error in the table"),
        ("start 9 s is negative or not before end 3 s", "wrong start or end"),
        ("starts at 9 s of a file of 3.0 s; correct its start", "wrong start or end"),
        ("sounds.example answers 418", "not downloaded"),
        ("the decoder crashed on this file (SIGSEGV); save the file again with another program", "cannot be decoded"),
    ],
)  # fmt: skip
def test_the_kind_of_a_reason(reason: str, kind: str) -> None:
    assert reason_kind(reason) == kind


@pytest.mark.parametrize(
    ("measured", "kind"),
    [({"peak": 0.0}, "silent"), ({"decoded_share": 0.1}, "truncated"), ({"duration": 0.1}, "too short")],
)
def test_the_kind_of_the_reasons_of_stage_recordings(measured: dict[str, float], kind: str) -> None:
    row = {"peak": 0.5, "decoded_share": 1.0, "duration": 5.0} | measured
    assert reason_kind(_rejection_reason(row, RecordingsStageSettings())) == kind


def test_the_kind_of_the_reasons_of_duplicates() -> None:
    names = list("abcdef")
    table = pd.DataFrame({"recording": names, "species": list("xxxyxy"), "status": "ok", "reason": ""})
    table["file_sha256"] = table["sound_sha256"] = ["1", "1", "2", "2", "3", "4"]
    pairs = pd.DataFrame([("e", "f")], columns=PAIRS[:2])
    reasons = quarantine_reasons(table, pd.DataFrame({"recording": [], "reason": []}, dtype=str), pairs)
    kinds = np.where(reasons == "", "", reasons.map(reason_kind))
    conflict = "same audio, other species"
    assert kinds.tolist() == ["", "exact copy", conflict, conflict, conflict, conflict]
