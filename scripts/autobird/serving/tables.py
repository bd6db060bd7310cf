"""Answers as tables: CSV, Raven and Audacity, in the same formats as `autobird predict` writes."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from autobird.serving.problems import Problem

FORMATS: Mapping[str, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "raven": "text/tab-separated-values",
    "audacity": "text/plain",
}
"""Formats of an answer, and their content types."""

_SUFFIXES = {"csv": ".csv", "raven": ".Table.1.selections.txt", "audacity": ".txt"}


def check_format(form: str, files: int) -> None:
    """Check that a format can hold the answers of several files.

    Raises:
        Problem: it cannot.
    """
    if files > 1 and form in ("raven", "audacity"):
        raise Problem(
            409,
            "Too many files for this format",
            f"format={form} holds one recording, and {files} were sent; send one, or use format=csv or format=json",
        )


def table_name(form: str, files: Sequence[str]) -> str:
    """Return the name of the file that holds a table."""
    stem = PurePosixPath(files[0]).stem if len(files) == 1 else ""
    return f"{stem or 'detections'}{_SUFFIXES[form]}"


def table_text(form: str, bodies: Sequence[Mapping[str, Any]], band: tuple[float, float]) -> str:
    """Return a table of detections.

    Args:
        form: a format of `FORMATS` other than `json`.
        bodies: JSON answers of recordings (`response.response_body`, with `file`).
        band: limits of the frequencies that the model uses, Hz.
    """
    # Imported on first use: these modules load ONNX Runtime, 25 MB that a server without such requests does not need.
    from autobird.predict.columns import DetectionTable
    from autobird.predict.field_formats import AudacityFormat, Band, RavenFormat
    from autobird.predict.formats import CsvFormat, OutputFormat, as_text

    table = DetectionTable()
    writer: OutputFormat
    if form == "csv":
        writer = CsvFormat(table)
    elif form == "raven":
        writer = RavenFormat(table, Band(*band), with_folders=False)
    else:
        writer = AudacityFormat()
    return as_text(writer, map(_file_result, bodies))


def _file_result(body: Mapping[str, Any]) -> Any:
    from autobird.predict.classifier import Detection
    from autobird.predict.files import FileResult
    from autobird.predict.origin import Origin

    where = body["recording"]
    return FileResult(
        file=body["file"],
        error="",
        duration=body["duration"],
        species=None,
        detections=[Detection(d["start"], d["end"], d["species"], d["probability"]) for d in body["detections"]],
        drift_features={},
        note=body["note"],
        # The name gives the site. A time in the name was combined with that in the header where the file was read.
        origin=Origin(body["file"], where["recorder"], where["recorded_at"]),
    )
