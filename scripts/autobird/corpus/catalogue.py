"""Stage `catalogue`: everything known about every recording, whom to thank for it, and what its licence allows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from autobird.core.files import atomic, write_json
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import RecordingLookup, iter_tables, read_text_csv, sorted_chunks, write_chunks
from autobird.corpus.schemas import CATALOGUE, RECORDINGS
from autobird.sources.licences import UNKNOWN, allowed, family, licence_url, terms
from autobird.sources.settings import LicenceSettings

ATTRIBUTION = ["recording", "number", "species", "recordist", "licence", "licence_url", "page", "date", "place"]
"""Columns of `ATTRIBUTION.csv`."""

_LINES = 50_000
"""Recordings of which the page is made at a time."""


def catalogue(
    recordings: pd.DataFrame, known: Sequence[RecordingLookup], quarantined: "pd.Series[str]", settings: LicenceSettings
) -> pa.Table:
    """Join what was measured of some recordings with what people know (`CATALOGUE`).

    Args:
        recordings: some of `RECORDINGS`.
        known: grouping columns and details.
        quarantined: why recordings are left out, by recording.
        settings: the licence policy.
    """
    names = recordings["recording"]
    table = pd.concat([recordings, *(facts.of(names) for facts in known)], axis=1)
    table["quarantined"] = names.map(quarantined).fillna("")
    for name in ("latitude", "longitude"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    table["licence_family"] = table["licence"].map(family)
    table["may_redistribute"] = table["licence"].map(lambda licence: allowed(licence, settings.redistribute))
    return pa.Table.from_pandas(table[CATALOGUE.names], schema=CATALOGUE, preserve_index=False)


def attribution(table: pd.DataFrame) -> pd.DataFrame:
    """Who recorded what under which licence, for the recordings that are used (`ATTRIBUTION`)."""
    used = table[table["quarantined"] == ""]
    out = used.assign(licence=used["licence"].replace("", UNKNOWN), licence_url=used["licence"].map(licence_url))
    return out[ATTRIBUTION]


def attribution_page(table: pa.Table) -> Iterator[str]:
    """The same for people, as lines of Markdown: by licence and recordist.

    Args:
        table: recordings in use (`CATALOGUE`).
    """
    yield f"# Attribution\n\n{len(table)} recordings, used under the licences that their recordists chose.\n"
    columns = ["licence_family", "licence", "recordist", "recording", "number", "page", "species"]
    order = pc.sort_indices(table, sort_keys=[(c, "ascending") for c in columns[:4]])
    licence = person = None
    line = ""
    for at in range(0, len(order), _LINES):
        for r in table.select(columns).take(order[at : at + _LINES]).to_pylist():
            new = r["licence"] != licence
            if new or r["recordist"] != person:
                if line:
                    yield line
                line = f"- {r['recordist'] or 'unknown recordist'}: "
                person = r["recordist"]
            else:
                line += ", "
            if new:
                licence = r["licence"]
                name, link = r["licence_family"], licence_url(licence)
                yield f"\n## {f'CC {name}' if name.startswith('BY') else name}\n"
                yield (f"<{link}>" if link else f"As the source says it: {licence or 'nothing'}") + "\n"
            name = r["number"] or r["recording"]
            line += f"[{name}]({r['page']}) *{r['species']}*" if r["page"] else f"{name} *{r['species']}*"
    if line:
        yield line


def licences(table: pd.DataFrame, settings: LicenceSettings) -> dict[str, Any]:
    """How many recordings and hours stand under which licence, and what all of those in use allow together."""
    used = table[table["quarantined"] == ""]
    hours = used.groupby("licence_family")["duration"].sum() / 3600
    listed = table["licence_family"].value_counts().sort_index()
    free = used[used["may_redistribute"]]
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
            for name, count in listed.items()
        },
        "redistributable": {"recordings": len(free), "hours": round(float(free["duration"].sum()) / 3600, 4)},
        "training_data": terms(used["licence_family"].unique()),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of the stage."""
    p = parser(__doc__)
    p.add_argument("--recordings", type=Path, nargs="+", required=True)
    for name in ("grouping", "details", "quarantine", "catalogue", "attribution", "page", "licences"):
        p.add_argument(f"--{name}", type=Path, required=True)
    args = p.parse_args(argv)
    settings = settings_of(LicenceSettings, args.settings)
    with stage("catalogue", args, [args.catalogue, args.attribution, args.page, args.licences]):
        measured = [name for name in RECORDINGS.names if name in CATALOGUE.names]
        known = [RecordingLookup(args.grouping), RecordingLookup(args.details)]
        quarantined = read_text_csv(args.quarantine).set_index("recording")["reason"]
        table = pa.concat_tables(
            [catalogue(part, known, quarantined, settings) for part in iter_tables(args.recordings, measured)]
        )
        del known
        write_chunks(args.catalogue, sorted_chunks(table, "recording"), CATALOGUE)
        used = table.filter(pc.equal(table["quarantined"], ""))
        with atomic(args.attribution) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            for number, part in enumerate(sorted_chunks(used, "recording")):
                attribution(part.to_pandas()).to_csv(file, index=False, header=number == 0, lineterminator="\n")
        with atomic(args.page) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in attribution_page(used))
        columns = ["licence_family", "may_redistribute", "quarantined", "duration"]
        found = licences(table.select(columns).to_pandas(), settings)
        write_json(args.licences, found)
        for name, numbers in found["licences"].items():
            log.info("%d recordings under %s, %d used", numbers["recordings"], name, numbers["used"])


if __name__ == "__main__":
    run(main)
