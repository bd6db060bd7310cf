"""Stage `catalogue`: join the measured properties of all recordings with their metadata, licences and attribution."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from autobird.core.files import atomic, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import RecordingLookup, iter_tables, read_text_csv, sorted_chunks, write_chunks
from autobird.core.wording import counted
from autobird.corpus.schemas import CATALOGUE, RECORDINGS
from autobird.sources.licences import UNKNOWN, allowed, family, licence_url, terms
from autobird.sources.settings import LicenceSettings

ATTRIBUTION = ["recording", "number", "species", "recordist", "licence", "licence_url", "page", "date", "place"]
"""Columns of `ATTRIBUTION.csv`."""

_PAGE_BLOCK = 50_000
"""Recordings of `ATTRIBUTION.md` that are converted to Python objects at a time, to bound the memory."""


def catalogue_rows(
    recordings: pd.DataFrame,
    metadata: Sequence[RecordingLookup],
    quarantine_reasons: "pd.Series[str]",
    settings: LicenceSettings,
) -> pa.Table:
    """Return the catalogue rows (`CATALOGUE`) of some recordings.

    Args:
        recordings: rows of `RECORDINGS`.
        metadata: the grouping columns, the details and the kinds of all recordings.
        quarantine_reasons: the reason of each quarantined recording, indexed by recording.
        settings: the licence policy.
    """
    names = recordings["recording"]
    table = pd.concat([recordings, *(lookup.of(names) for lookup in metadata)], axis=1)
    table["quarantined"] = names.map(quarantine_reasons).fillna("")
    for column in ("latitude", "longitude"):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    table["licence_family"] = table["licence"].map(family)
    table["may_redistribute"] = table["licence"].map(lambda licence: allowed(licence, settings.redistribute))
    return pa.Table.from_pandas(table[CATALOGUE.names], schema=CATALOGUE, preserve_index=False)


def attribution_table(catalogue: pd.DataFrame) -> pd.DataFrame:
    """Return recordist, licence and page (`ATTRIBUTION`) of the recordings in use."""
    used = catalogue[catalogue["quarantined"] == ""]
    table = used.assign(licence=used["licence"].replace("", UNKNOWN), licence_url=used["licence"].map(licence_url))
    return table[ATTRIBUTION]


def attribution_lines(used: pa.Table) -> Iterator[str]:
    """Yield the lines of `ATTRIBUTION.md`: a section per licence, a list item per recordist.

    Args:
        used: the recordings in use (`CATALOGUE`).
    """
    yield f"# Attribution\n\n{counted(len(used), 'recording')}, used under the licences that their recordists chose.\n"
    licence = recordist = None
    item = ""
    for row in _by_licence_and_recordist(used):
        new_licence = row["licence"] != licence
        if new_licence or row["recordist"] != recordist:
            if item:
                yield item
            recordist = row["recordist"]
            item = f"- {recordist or 'unknown recordist'}: "
        else:
            item += ", "
        if new_licence:
            licence = row["licence"]
            yield from _licence_heading(row["licence_family"], licence)
        name = row["number"] or row["recording"]
        item += f"[{name}]({row['page']})" if row["page"] else name
        # The boxes of an annotated recording name its species, and a negative has none.
        item += f" *{row['species']}*" if row["species"] else ""
    if item:
        yield item


def _by_licence_and_recordist(used: pa.Table) -> Iterator[dict[str, str]]:
    """Yield the rows of `ATTRIBUTION.md` in the order of the page."""
    columns = ["licence_family", "licence", "recordist", "recording", "number", "page", "species"]
    order = pc.sort_indices(used, sort_keys=[(column, "ascending") for column in columns[:4]])
    for start in range(0, len(order), _PAGE_BLOCK):
        yield from used.select(columns).take(order[start : start + _PAGE_BLOCK]).to_pylist()


def _licence_heading(licence_family: str, licence: str) -> Iterator[str]:
    title = f"CC {licence_family}" if licence_family.startswith("BY") else licence_family
    link = licence_url(licence)
    yield f"\n## {title}\n"
    yield (f"<{link}>" if link else f"Licence as given by the source: {licence or 'none'}") + "\n"


def licence_counts(catalogue: pd.DataFrame, settings: LicenceSettings) -> dict[str, Any]:
    """Return the content of `licences.json`: recordings and hours per licence, and the common terms of those in use.

    Args:
        catalogue: columns licence_family, may_redistribute, quarantined, duration.
        settings: the licence policy.
    """
    used = catalogue[catalogue["quarantined"] == ""]
    hours = used.groupby("licence_family")["duration"].sum() / 3600
    recordings_per_family = catalogue["licence_family"].value_counts().sort_index()
    redistributable = used[used["may_redistribute"]]
    return {
        "policy": settings.model_dump(mode="json"),
        "licences": {
            name: {
                "recordings": int(count),
                "used": int((used["licence_family"] == name).sum()),
                "hours_used": round(float(hours.get(name, 0.0)), 4),
                "may_train": allowed(name, settings.train),
                "may_redistribute": allowed(name, settings.redistribute),
            }
            for name, count in recordings_per_family.items()
        },
        "redistributable": {
            "recordings": len(redistributable),
            "hours": round(float(redistributable["duration"].sum()) / 3600, 4),
        },
        "training_data": terms(used["licence_family"].unique()),
    }


def _write_attribution(used: pa.Table, table_path: Path, page_path: Path) -> None:
    with atomic(table_path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for number, rows in enumerate(sorted_chunks(used, "recording")):
            attribution_table(rows.to_pandas()).to_csv(file, index=False, header=number == 0, lineterminator="\n")
    with atomic(page_path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in attribution_lines(used))


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    for name in ("grouping", "details", "kinds", "quarantine", "catalogue", "attribution", "page", "licences"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(LicenceSettings, args.settings)
    with stage("catalogue", args, [args.catalogue, args.attribution, args.page, args.licences]):
        measured = [name for name in RECORDINGS.names if name in CATALOGUE.names]
        metadata = [RecordingLookup(args.grouping), RecordingLookup(args.details), RecordingLookup(args.kinds)]
        reasons = read_text_csv(args.quarantine).set_index("recording")["reason"]
        table = pa.concat_tables(
            [catalogue_rows(rows, metadata, reasons, settings) for rows in iter_tables(args.recordings, measured)]
        )
        del metadata  # frees its memory before the table is sorted
        write_chunks(args.catalogue, sorted_chunks(table, "recording"), CATALOGUE)
        _write_attribution(table.filter(pc.equal(table["quarantined"], "")), args.attribution, args.page)
        columns = ["licence_family", "may_redistribute", "quarantined", "duration"]
        counts = licence_counts(table.select(columns).to_pandas(), settings)
        write_json(args.licences, counts)
        for name, numbers in counts["licences"].items():
            log.info("%d recordings under %s, %d used", numbers["recordings"], name, numbers["used"])


if __name__ == "__main__":
    run(main)
