"""Stage `catalogue`: everything known about every recording, whom to thank for it, and what its licence allows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autobird.core.files import write_json, write_text
from autobird.core.stage import log, parser, run, settings_of, stage
from autobird.core.tables import read_facts, read_tables, write_csv, write_table
from autobird.corpus.licences import UNKNOWN, allowed, family, terms, url
from autobird.corpus.schemas import CATALOGUE
from autobird.corpus.settings import LicenceSettings
from autobird.corpus.sources.base import DETAILS, GROUPING

ATTRIBUTION = ["recording", "number", "species", "recordist", "licence", "licence_url", "page", "date", "place"]
"""Columns of `ATTRIBUTION.csv`."""


def catalogue(
    recordings: pd.DataFrame,
    grouping: pd.DataFrame,
    details: pd.DataFrame,
    quarantine: pd.DataFrame,
    settings: LicenceSettings,
) -> pd.DataFrame:
    """Join what was measured with what people know (`CATALOGUE`), sorted by recording."""
    table = recordings.sort_values("recording", ignore_index=True)
    reason = quarantine.set_index("recording")["reason"]
    table["quarantined"] = table["recording"].map(reason).fillna("")
    for known in (grouping.drop(columns="split"), details):
        table = table.merge(known, on="recording", how="left")
    for name in ("latitude", "longitude"):
        table[name] = pd.to_numeric(table[name], errors="coerce")
    text = [c for c in (*GROUPING, *DETAILS) if c in table and c not in ("latitude", "longitude")]
    table[text] = table[text].fillna("")
    families = {licence: family(licence) for licence in table["licence"].unique()}
    may = {licence: allowed(licence, settings.redistribute) for licence in families}
    table["licence_family"] = table["licence"].map(families)
    table["may_redistribute"] = table["licence"].map(may)
    return table[CATALOGUE.names]


def attribution(table: pd.DataFrame) -> pd.DataFrame:
    """Who recorded what under which licence, for the recordings that are used (`ATTRIBUTION`)."""
    used = table[table["quarantined"] == ""]
    links = {licence: url(licence) for licence in used["licence"].unique()}
    out = used.assign(licence=used["licence"].replace("", UNKNOWN), licence_url=used["licence"].map(links))
    return out[ATTRIBUTION]


def attribution_page(table: pd.DataFrame) -> str:
    """The same for people, as Markdown: by licence and recordist.

    Args:
        table: what `attribution` returns.
    """
    lines = ["# Attribution", "", f"{len(table)} recordings, used under the licences that their recordists chose.", ""]
    for licence, part in table.groupby("licence"):
        name = family(licence)
        link = part["licence_url"].iloc[0]
        title = f"CC {name}" if name.startswith("BY") else name
        lines += [f"## {title}", "", f"<{link}>" if link else f"As its source says it: {licence}", ""]
        for recordist, theirs in part.groupby("recordist"):
            cited = [
                f"[{r.number or r.recording}]({r.page}) *{r.species}*"
                if r.page
                else f"{r.number or r.recording} *{r.species}*"
                for r in theirs.itertuples()
            ]
            lines.append(f"- {recordist or 'unknown recordist'}: {', '.join(cited)}")
        lines.append("")
    return "\n".join(lines)


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
        table = catalogue(
            read_tables(args.recordings), read_facts(args.grouping), read_facts(args.details), read_facts(args.quarantine),
            settings,
        )  # fmt: skip
        write_table(args.catalogue, table, CATALOGUE)
        thanks = attribution(table)
        write_csv(args.attribution, thanks)
        write_text(args.page, attribution_page(thanks))
        found = licences(table, settings)
        write_json(args.licences, found)
        for name, numbers in found["licences"].items():
            log.info("%d recordings under %s, %d used", numbers["recordings"], name, numbers["used"])


if __name__ == "__main__":
    run(main)
