"""The field recordings of the demo as a folder, with Raven selection tables and a table of the recorders' places."""

from pathlib import Path, PurePosixPath

from autobird.core.files import csv_text, write_bytes, write_text
from autobird.synth.field import raven_table, synthesise_field
from autobird.synth.field_plan import LICENCE, SURVEY, FieldPlan, faulty_plans, plan_field
from autobird.synth.settings import DemoFieldSettings, DemoSettings


def write_field_folder(folder: Path, demo: DemoSettings, field: DemoFieldSettings) -> int:
    """Write field recordings, and beside each its selection table `<name>.Table.1.selections.txt`; return their number.

    A silent recording, whose table has no rows, and a damaged one, which has no table, are added, as they occur in surveys.

    Args:
        folder: the folder to write; its SOURCES.csv has recorder, date, time and place of each recording.
        demo: number of species and seed.
        field: number and duration of the recordings.
    """
    plans = sorted([*plan_field(demo, field), *faulty_plans(demo, field)], key=lambda plan: plan.id)
    table = [["file", "recordist", "date", "time", "location", "latitude", "longitude", "licence"]]
    for plan in plans:
        data, songs = synthesise_field(plan)
        write_bytes(folder / plan.id, data)
        if plan.fault != "damaged":
            write_text(folder / selection_table(plan), raven_table(songs))
        recorder = plan.recorder
        when = [f"{plan.start:%Y-%m-%d}", f"{plan.start:%H:%M:%S}"]
        where = [recorder.site, f"{recorder.latitude:.3f}", f"{recorder.longitude:.3f}"]
        table.append([plan.id, SURVEY, *when, *where, LICENCE])
    write_text(folder / "SOURCES.csv", csv_text(table))
    return len(plans)


def selection_table(plan: FieldPlan) -> str:
    """Return the path of the selection table of a recording, as Raven names it."""
    path = PurePosixPath(plan.id)
    return str(path.with_name(f"{path.stem}.Table.1.selections.txt"))
