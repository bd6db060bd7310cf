"""Formats of `autobird predict`: their columns, their names, and that the project's own readers read them back."""

import csv
import datetime as dt
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from autobird import cli
from autobird.audio.headers import Header
from autobird.backbone.base import BackboneInfo
from autobird.core.errors import AutobirdError
from autobird.core.file_names import safe_name
from autobird.predict.bundle import Bundle
from autobird.predict.classifier import Detection
from autobird.predict.codes import SpeciesCodes
from autobird.predict.columns import DETECTION_COLUMNS, DetectionTable
from autobird.predict.files import FileResult, skipped
from autobird.predict.formats import as_text, file_rows
from autobird.predict.origin import SITES, Origin, Places
from autobird.predict.output_names import SUFFIXES, files_table, output_path, parse_formats, recording_names
from autobird.predict.outputs import text_format
from autobird.predict.own_files import MANIFEST
from autobird.predict.parquet import read_parquet, write_parquet
from autobird.sources.annotation_reader import AnnotationReader
from autobird.sources.base import Box
from autobird.sources.selection_tables import read_selections
from autobird.sources.settings import AnnotationSettings
from tests.unit.test_headers import info, riff
from tests.unit.test_predict import make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), (0.0, 1.0))


def result(file: Path, below: str, *detections: Detection, duration: float = 60.0, header_time: str = "") -> FileResult:
    return FileResult(
        str(file), "", duration, ("Parus major", 0.9), list(detections), {}, quiet_share=0.25, origin=Origin(below, "", header_time)
    )  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> list[FileResult]:
    """Two recordings of one site with detections, and one that was skipped between them."""
    root = tmp_path / "field"
    first, second = "north/SM4A_20230512_235950.wav", "north/20230513/SM4A_20230513_040000.wav"
    return [
        result(root / first, first, Detection(0.0, 5.0, "Parus major", 0.87654), Detection(12.5, 20.0, "Corvus corone", 0.5)),
        skipped(str(root / "north/broken.wav"), "text, not audio"),
        result(root / second, second, Detection(2.5, 7.5, "Parus major", 0.61), duration=30.0),
    ]  # fmt: skip


def text(form: str, results: list[FileResult], bundle: Path, table: DetectionTable | None = None) -> str:
    return as_text(text_format(form, Bundle.load(bundle), table or DetectionTable()), results)


def boxes(folder: Path, content: str, suffix: str = ".csv", label: str = "auto") -> list[Box]:
    """Read a table of all recordings with the reader of annotations."""
    table = folder / f"table{suffix}"
    table.write_text(content, encoding="utf-8")
    names = ["north/20230513/SM4A_20230513_040000.wav", "north/SM4A_20230512_235950.wav"]
    reader = AnnotationReader(folder, names, AnnotationSettings(label=label), tables_match_names=False)
    reader.read(table.name, table)
    return reader.boxes()


EXPECTED = [
    Box("north/20230513/SM4A_20230513_040000.wav", 2.5, 7.5, "Parus major"),
    Box("north/SM4A_20230512_235950.wav", 0.0, 5.0, "Parus major"),
    Box("north/SM4A_20230512_235950.wav", 12.5, 20.0, "Corvus corone"),
]


@pytest.mark.parametrize(
    ("form", "label"),
    [("csv", "auto"), ("raven-combined", "auto"), ("kaleidoscope", "AUTO ID*"), ("birdnet", "auto")],
)
def test_the_projects_reader_of_annotations_reads_the_tables_back(
    form: str, label: str, results: list[FileResult], bundle: Path, tmp_path: Path
) -> None:
    suffix = ".txt" if form == "raven-combined" else ".csv"
    assert boxes(tmp_path, text(form, results, bundle), suffix, label) == EXPECTED


@pytest.mark.parametrize("form", ["raven", "audacity"])
def test_the_reader_finds_the_recordings_of_tables_that_are_one_per_recording(
    form: str, results: list[FileResult], bundle: Path, tmp_path: Path
) -> None:
    names = [r.origin.path for r in results if not r.error]
    reader = AnnotationReader(tmp_path, names, AnnotationSettings(), tables_match_names=True)
    for each, name in zip((r for r in results if not r.error), recording_names(names, form), strict=True):
        (tmp_path / "table.txt").write_text(text(form, [each], bundle))
        reader.read(name, tmp_path / "table.txt")
    assert reader.boxes() == EXPECTED


def test_csv_has_site_recorder_and_local_time_of_each_detection(results: list[FileResult], bundle: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(text("csv", results, bundle))))
    assert [tuple(r.values())[1:] for r in rows] == [
        ("0", "5", "Parus major", "0.8765", "north", "SM4A", "2023-05-12T23:59:50", "2023-05-12", "23:59:50", ""),
        ("12.5", "20", "Corvus corone", "0.5000", "north", "SM4A", "2023-05-12T23:59:50", "2023-05-13", "00:00:02", ""),
        ("2.5", "7.5", "Parus major", "0.6100", "north", "SM4A", "2023-05-13T04:00:00", "2023-05-13", "04:00:02", ""),
    ]


def test_times_of_long_recordings_keep_their_decimals(bundle: Path) -> None:
    long = result(Path("a.wav"), "a.wav", Detection(123457.5, 123462.5, "Parus major", 0.5), duration=2e5)
    assert "a.wav,123457.5,123462.5," in text("csv", [long], bundle)
    assert "\t123457.5\t123462.5\t" in text("raven", [long], bundle)


def test_json_lines_and_parquet_have_the_values_of_the_csv(
    results: list[FileResult], bundle: Path, tmp_path: Path
) -> None:
    table = DetectionTable(Places(site="none"))
    lines = [json.loads(line) for line in text("jsonl", results, bundle, table).splitlines()]
    write_parquet(tmp_path / "d.parquet", table.columns, (row for r in results for row in table.rows(r)))
    assert read_parquet(tmp_path / "d.parquet") == lines
    assert [str(pq.read_schema(tmp_path / "d.parquet").field(n).type) for n in ("file", "start", "probability")] == [
        "string", "double", "double",
    ]  # fmt: skip
    assert lines[0] == {
        "file": results[0].file, "start": 0.0, "end": 5.0, "species": "Parus major", "probability": 0.8765, "site": None,
        "recorder": "SM4A", "recorded_at": "2023-05-12T23:59:50", "date": "2023-05-12", "time": "23:59:50", "unknown_score": None,
    }  # fmt: skip
    write_parquet(tmp_path / "empty.parquet", table.columns, [])
    assert read_parquet(tmp_path / "empty.parquet") == []


def test_a_combined_raven_table_counts_time_through_all_files(results: list[FileResult], bundle: Path) -> None:
    """Columns of Raven Pro: `Begin Time (s)` in the sequence of the files, `File Offset (s)` within each of them."""
    header, *rows = [line.split("\t") for line in text("raven-combined", results, bundle).splitlines()]
    assert header == [
        "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)", "Begin Path",
        "File Offset (s)", "Begin File", "Species", "Score", "Unknown Score",
    ]  # fmt: skip
    first, last = results[0].file, results[2].file
    assert rows == [
        ["1", "Spectrogram 1", "1", "0", "5", "20", "8000", first, "0", "SM4A_20230512_235950.wav", "Parus major", "0.8765", ""],
        ["2", "Spectrogram 1", "1", "12.5", "20", "20", "8000", first, "12.5", "SM4A_20230512_235950.wav", "Corvus corone", "0.5000", ""],
        ["3", "Spectrogram 1", "1", "62.5", "67.5", "20", "8000", last, "2.5", "SM4A_20230513_040000.wav", "Parus major", "0.6100", ""],
    ]  # fmt: skip


def test_a_night_has_one_date_in_the_columns_of_kaleidoscope_that_are_12_hours_earlier(
    results: list[FileResult], bundle: Path
) -> None:
    rows = list(csv.DictReader(io.StringIO(text("kaleidoscope", results, bundle))))
    root = Path(results[0].file).parents[1]
    assert {r["INDIR"] for r in rows} == {str(root)}
    assert [(r["FOLDER"], r["IN FILE"], r["OFFSET"], r["DURATION"], r["MANUAL ID*"]) for r in rows] == [
        ("north", "SM4A_20230512_235950.wav", "0", "5", ""),
        ("north", "SM4A_20230512_235950.wav", "12.5", "7.5", ""),
        (str(Path("north/20230513")), "SM4A_20230513_040000.wav", "2.5", "5", ""),
    ]
    assert [r["DATE"] for r in rows] == ["2023-05-12", "2023-05-13", "2023-05-13"]
    assert [(r["DATE-12"], r["HOUR-12"]) for r in rows] == [("2023-05-12", "11"), ("2023-05-12", "12"), ("2023-05-12", "16")]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rate", "limits"), [("birdnet-2.4", 48000, ("0", "15000")), ("mine", 22050, ("0", "11025"))]
)
def test_tables_of_a_model_with_a_backbone_have_the_frequencies_that_the_backbone_hears(
    name: str, rate: int, limits: tuple[str, str], results: list[FileResult], bundle: Path
) -> None:
    """They had the limits of the mel bands, 20 and 8000 Hz, which such a model does not use."""
    backbone = BackboneInfo(name=name, sha256="0", sample_rate=rate, window=3.0, width=8)
    loaded = replace(Bundle.load(bundle), backbone=backbone)
    for form, low, high in (("raven", 5, 6), ("kaleidoscope", 6, 8)):
        table = as_text(text_format(form, loaded, DetectionTable()), results)
        _, *rows = csv.reader(io.StringIO(table), delimiter="\t" if form == "raven" else ",")
        assert [(row[low], row[high]) for row in rows] == [limits] * 3


def test_audacity_labels_are_read_back(results: list[FileResult], bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text(text("audacity", results[:1], bundle))
    found = read_selections(tmp_path / "labels.txt", AnnotationSettings()).selections
    assert [(s.start, s.end, s.label) for s in found] == [(0.0, 5.0, "Parus major"), (12.5, 20.0, "Corvus corone")]


def test_how_little_the_sound_resembles_the_species_is_in_the_tables_that_can_hold_it(
    results: list[FileResult], bundle: Path, tmp_path: Path
) -> None:
    """The bundle of the second and third detection has no such score."""
    scored = replace(results[0].detections[0], unknown_score=0.12345)
    results[0] = replace(results[0], detections=[scored, *results[0].detections[1:]])
    rows = list(csv.DictReader(io.StringIO(text("csv", results, bundle))))
    assert [r["unknown_score"] for r in rows] == ["0.1235", "", ""]
    assert [json.loads(line)["unknown_score"] for line in text("jsonl", results, bundle).splitlines()] == [0.1235, None, None]  # fmt: skip
    table = DetectionTable()
    write_parquet(tmp_path / "d.parquet", table.columns, (row for r in results for row in table.rows(r)))
    assert [r["unknown_score"] for r in read_parquet(tmp_path / "d.parquet")] == [0.1235, None, None]
    for form in ("raven", "raven-combined"):
        header, *lines = [line.split("\t") for line in text(form, results, bundle).splitlines()]
        assert [line[header.index("Unknown Score")] for line in lines] == ["0.1235", "", ""]
    found = json.loads(text("json", results, bundle))["files"]
    assert [d.get("unknown_score") for f in found for d in f.get("detections", ())] == [0.1235, None, None]


def test_codes_are_a_column_of_every_table_that_can_hold_them(
    results: list[FileResult], bundle: Path, tmp_path: Path
) -> None:
    """The columns of the eBird taxonomy are known."""
    taxonomy = tmp_path / "ebird.csv"
    taxonomy.write_text("TAXON_ORDER,SPECIES_CODE,PRIMARY_COM_NAME,SCI_NAME\n1,gretit1,Great Tit,Parus major\n")
    table = DetectionTable(codes=SpeciesCodes(taxonomy))
    assert [r["code"] for r in csv.DictReader(io.StringIO(text("csv", results, bundle, table)))] == ["gretit1", "", "gretit1"]  # fmt: skip
    assert text("raven", results, bundle, table).splitlines()[1].endswith("\tParus major\t0.8765\t\tgretit1")
    row = next(csv.DictReader(io.StringIO(text("birdnet", results, bundle, table))))
    assert (row["Scientific name"], row["Common name"]) == ("Parus major", "Great Tit")
    (tmp_path / "own.csv").write_text("species;code\nParus_major;GT\n")
    assert SpeciesCodes(tmp_path / "own.csv").of("parus  major").code == "GT"
    (tmp_path / "bad.csv").write_text("bird,number\nx,1\n")
    with pytest.raises(AutobirdError, match=r"bad\.csv has the columns bird, number; it needs one of codes"):
        SpeciesCodes(tmp_path / "bad.csv")


def test_the_table_of_files_has_quiet_share_site_recorder_and_start(results: list[FileResult]) -> None:
    header, *rows = file_rows(results)
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(r["status"], r["quiet_share"], r["site"], r["recorder"], r["recorded_at"]) for r in found] == [
        ("detections", "0.250", "north", "SM4A", "2023-05-12T23:59:50"),
        ("skipped", "", "", "", ""),
        ("detections", "0.250", "north", "SM4A", "2023-05-13T04:00:00"),
    ]


@pytest.mark.parametrize(
    ("path", "site", "expected"),
    [
        ("north/20230512/20230512_040000.WAV", "auto", "north"),
        ("region/north/Data/SM4A_20230512_040000.wav", "auto", "region/north"),
        ("2023-05-12/20230512_040000.WAV", "auto", ""),
        ("SM4A_20230512_040000.wav", "auto", "SM4A"),
        ("Recording 20230512 040000.m4a", "auto", ""),
        ("north/SM4A_20230512_040000.wav", "name", "SM4A"),
        ("north/SM4A_20230512_040000.wav", "recorder", "24F3"),
        ("north/SM4A_20230512_040000.wav", "none", ""),
        ("XC1234.mp3", "auto", ""),
    ],
)  # fmt: skip
def test_the_site_is_the_folder_or_the_name_of_the_recorder(path: str, site: str, expected: str) -> None:
    assert site in SITES
    place = Places(site=site).of(Origin.of(path, Header("24F3", "")))
    assert (place.site, place.recorder) == (expected, "24F3")


@pytest.mark.parametrize(
    ("name", "header", "zone", "clock", "expected"),
    [
        ("20230512_040000.WAV", "", "", "", "2023-05-12T04:00:00"),
        ("20230512_040000.WAV", "2023-05-12T04:00:00+02:00", "", "", "2023-05-12T04:00:00+02:00"),
        ("20230512_040000.WAV", "2023-05-12T06:00:00+02:00", "", "", "2023-05-12T06:00:00+02:00"),
        ("20230512_040000.WAV", "2023-05-14T06:00:00+02:00", "", "", "2023-05-12T04:00:00"),
        ("20230512_040000.WAV", "2023-05-12T04:00:00", "", "", "2023-05-12T04:00:00"),
        ("a.wav", "2023-05-12T04:00:00", "", "", "2023-05-12T04:00:00"),
        ("20230512T040000Z.flac", "", "", "", "2023-05-12T04:00:00+00:00"),
        ("5E1F2A30.WAV", "", "Europe/Berlin", "", "2020-01-15T16:05:20+01:00"),
        ("20230512_040000.WAV", "", "Europe/Berlin", "", "2023-05-12T04:00:00+02:00"),
        ("20230512_040000.WAV", "", "Europe/Berlin", "UTC", "2023-05-12T06:00:00+02:00"),
        ("20230512_040000.WAV", "", "", "-04:30", "2023-05-12T04:00:00-04:30"),
        ("20230512_040000.WAV", "2023-05-12T04:00:00+00:00", "Europe/Berlin", "", "2023-05-12T06:00:00+02:00"),
        ("20230326_023000.WAV", "", "Europe/Berlin", "", "2023-03-26T03:30:00+02:00"),  # skipped by summer time
        ("XC1234.mp3", "", "Europe/Berlin", "", ""),
    ],
)  # fmt: skip
def test_the_start_has_an_offset_from_utc_only_if_it_is_known(
    name: str, header: str, zone: str, clock: str, expected: str
) -> None:
    assert Places.named("auto", zone, clock).of(Origin(name, "", header)).recorded_at == expected


def test_seconds_within_a_recording_are_real_seconds_also_when_summer_time_begins() -> None:
    place = Places.named("auto", "Europe/Berlin", "").of(Origin("20230326_013000.wav"))
    at = place.at(3600.0)
    assert at is not None
    assert (at.time(), at.utcoffset()) == (dt.time(3, 30), dt.timedelta(hours=2))


def test_an_unknown_time_zone_is_an_error_that_names_it() -> None:
    with pytest.raises(AutobirdError, match=r"time zone 'Berlin' is not known; give a name such as Europe/Berlin"):
        Places.named("auto", "Berlin", "")


def test_names_of_the_files_of_recordings_are_safe_and_differ() -> None:
    names = ["a/x.wav", "a/x.flac", "A/X.wav", "b/x.wav", "b/site1.2024", 'b/q?"<.wav', "b/CON.wav", "x.wav"]
    found = recording_names(names, "raven")
    assert found == [f"{n}.Table.1.selections.txt" for n in (
        "a/x.wav", "a/x.flac", "A/X.wav-2", "b/x", "b/site1.2024", "b/q_", "b/_CON", "x",
    )]  # fmt: skip
    assert len({n.casefold() for n in found}) == len(names)
    assert [safe_name(x) for x in ("../a", "..", "a\n b. ", "")] == ["_a", "_", "a_ b", "_"]
    assert len(safe_name("ö" * 500).encode()) <= 255


@pytest.mark.parametrize(
    ("output", "form", "expected"),
    [
        ("d", "csv", "d.csv"), ("d.csv", "csv", "d.csv"), ("d.csv", "parquet", "d.parquet"), ("d", "raven", "d.raven"),
        ("d.raven.txt", "csv", "d.csv"), ("site1.2024", "csv", "site1.2024.csv"), ("there", "csv", "there/detections.csv"),
    ],
)  # fmt: skip
def test_outputs_are_named_by_one_base(output: str, form: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert output_path(tmp_path / output, form) == tmp_path / expected
    assert files_table(tmp_path / "d.csv") == files_table(tmp_path / "d") == tmp_path / "d.files.csv"


def test_formats_that_do_not_exist_are_named() -> None:
    assert parse_formats("csv, Raven,csv") == ("csv", "raven")
    for bad, named in (("csv,xlsx", "'xlsx'"), ("", "''"), (",", "''")):
        with pytest.raises(AutobirdError, match=f"--format {named} is not known; give one or several of csv, jsonl"):
            parse_formats(bad)


def test_columns_are_declared_once_for_all_tables(results: list[FileResult], bundle: Path) -> None:
    names = [column.name for column in DETECTION_COLUMNS]
    assert text("csv", results, bundle).splitlines()[0].split(",") == names
    assert list(json.loads(text("jsonl", results, bundle).splitlines()[0])) == names


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(a) for a in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """Recordings of two sites, one of them with an AudioMoth's header; a silent one and one that is text."""
    root = tmp_path / "field"
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000 * 12)
    for name, samples in (("north/20230512_040000.WAV", noise), ("south/SM4A_20230512_050000.wav", noise[: 16000 * 7])):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, samples, 16000)
    soundfile.write(root / "south/SM4A_20230513_050000.wav", np.zeros(16000 * 6), 16000)
    (root / "south/SM4A_20230513_060000.wav").write_text("words" * 100)
    comment = "Recorded at 04:00:00 12/05/2023 (UTC+2) by AudioMoth 24F319055FDF2F5B at medium gain"
    pcm = (root / "north/20230512_040000.WAV").read_bytes()[44:]
    (root / "north/20230512_040000.WAV").write_bytes(riff(info(comment), (b"data", pcm)))
    return root


def test_the_command_writes_all_formats_at_once_and_resumes(
    field: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forms = ",".join(SUFFIXES)
    out = tmp_path / "out"
    assert run("predict", bundle, field, "--format", forms, "--output", out / "d", "--jobs", 1) == 1
    found = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert found == sorted(
        [f"d{s}" for n, s in SUFFIXES.items() if n not in ("raven", "audacity")]
        + ["d.files.csv"]
        + [
            f"d{s}/{stem}{end}"
            for s, end in ((".raven", ".Table.1.selections.txt"), (".audacity", ".txt"))
            for stem in ("north/20230512_040000", "south/SM4A_20230512_050000", "south/SM4A_20230513_050000")
        ]
        + [f"d{s}/{MANIFEST}" for s in (".raven", ".audacity")]
    )
    with (out / "d.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["site"], r["recorder"], r["recorded_at"], r["start"], r["time"]) for r in rows] == [
        ("north", "24F319055FDF2F5B", "2023-05-12T04:00:00+02:00", "0", "04:00:00"),
        ("south", "SM4A", "2023-05-12T05:00:00", "0", "05:00:00"),
    ]
    with (out / "d.files.csv").open(newline="") as file:
        files = list(csv.DictReader(file))
    assert [(r["status"], r["site"], r["recorded_at"], r["quiet_share"]) for r in files] == [
        ("detections", "north", "2023-05-12T04:00:00+02:00", "0.000"),
        ("detections", "south", "2023-05-12T05:00:00", "0.000"),
        ("silent", "south", "2023-05-13T05:00:00", "1.000"),
        ("skipped", "south", "2023-05-13T06:00:00", ""),
    ]
    assert (out / "d.raven/south/SM4A_20230513_050000.Table.1.selections.txt").read_text().count("\n") == 1
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert run("predict", bundle, field, "--format", forms, "--output", out / "d", "--jobs", 2) == 1
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_tables_of_an_earlier_run_are_removed_and_files_of_the_user_are_kept(
    field: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--format", "raven,audacity", "--output", tmp_path / "d", "--jobs", 1]
    assert run("predict", bundle, field, *options) == 1
    folder = tmp_path / "d.raven"
    end = ".Table.1.selections.txt"
    reviewed = folder / f"south/SM4A_20230512_050000{end}"
    reviewed.write_text(reviewed.read_text() + "reviewed\n")
    (folder / "notes.txt").write_text("of the user")
    # The second run has another recording alone: the tables of the first are not its results.
    (field / "south/SM4A_20230514_050000.wav").write_bytes((field / "south/SM4A_20230512_050000.wav").read_bytes())
    capsys.readouterr()
    assert run("predict", bundle, field / "south/SM4A_20230514_050000.wav", *options) == 0
    assert f"1 file of an earlier run not removed, because of changes since: south/{reviewed.name}" in (
        capsys.readouterr().err
    )
    left = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))
    assert left == [MANIFEST, f"SM4A_20230514_050000{end}", "notes.txt", "south", f"south/{reviewed.name}"]
    assert sorted(p.name for p in (tmp_path / "d.audacity").rglob("*")) == [MANIFEST, "SM4A_20230514_050000.txt"]
    # A file that somebody has changed is not overwritten.
    assert run("predict", bundle, field, *options) == 2
    assert f"{reviewed} would be overwritten, but it was changed since" in capsys.readouterr().err
    assert reviewed.read_text().endswith("reviewed\n")
    assert (folder / f"SM4A_20230514_050000{end}").exists()  # nothing was removed
    # Neither is a file outside, even if a list names it.
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    with (folder / MANIFEST).open("a") as file:
        file.write(f"{hashlib.sha256(b'x').hexdigest()}  ../outside.txt\n")
    reviewed.unlink()
    assert run("predict", bundle, field, *options) == 1
    assert outside.exists()


def test_from_recordings_to_detection_history_and_clips(field: Path, bundle: Path, tmp_path: Path) -> None:
    """Two recorders over two days: the second day of one is missing, and that of the other is without signal or unreadable."""
    out = tmp_path / "out"
    options = ["--time-zone", "Europe/Berlin", "--format", "parquet", "--output", out, "--jobs", 1]
    out.mkdir()
    assert run("predict", bundle, field, *options) == 1
    table = out / "detections.parquet"
    place = ["--latitude", 52.5, "--longitude", 13.4]
    (tmp_path / "list.txt").write_text("Corvus corone\nParus major\n")
    assert run("summary", table, "--output", out / "summary", *place, "--species", tmp_path / "list.txt") == 0
    assert (out / "summary/history.csv").read_text().splitlines() == [
        "species,code,site,2023-05-12,2023-05-13",
        "Corvus corone,,north,0,NA",
        "Corvus corone,,south,0,NA",
        "Parus major,,north,1,NA",
        "Parus major,,south,1,NA",
    ]
    with (out / "summary/effort_by_day.csv").open(newline="") as file:
        effort = [tuple(r.values()) for r in csv.DictReader(file)]
    assert effort == [
        ("north", "2023-05-12", "1", "12", "0", "0", "0", "0"),
        ("north", "2023-05-13", "0", "0", "0", "0", "0", "0"),
        ("south", "2023-05-12", "1", "7", "0", "0", "0", "0"),
        ("south", "2023-05-13", "0", "0", "0", "1", "6", "1"),
    ]
    assert run("clips", table, "--recordings", field, "--output", out / "review", "--padding", 0) == 0
    clips = sorted(p.name.partition("_")[2] for p in (out / "review/Parus major").iterdir())
    assert clips == [
        "20230512_040000_00000.0s_20230512-040000.flac",
        "SM4A_20230512_050000_00000.0s_20230512-050000.flac",
    ]
    assert soundfile.info(next((out / "review/Parus major").glob("*_SM4A_*"))).duration == 7.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "raven"], "--format raven writes to files; give --output"),
        (["--format", "csv,jsonl"], "several formats are written to files; give --output"),
        (["--format", "xlsx"], "--format 'xlsx' is not known"),
        (["--format", "raven", "--output", "d"], "writes to the folder {0}/d.raven, which is a file"),
        (["--format", "csv", "--output", "d"], "writes to the file {0}/d.csv, which is a folder"),
        (["--format", "jsonl", "--output", "d.raven/x"], "cannot be written"),
        (["--csv", "--time-zone", "Nowhere"], "time zone 'Nowhere' is not known"),
        (["--csv", "--codes", "none.csv"], "none.csv cannot be read"),
    ],
)  # fmt: skip
def test_outputs_that_cannot_be_written_are_errors_that_say_why(
    options: list[str], message: str, field: Path, bundle: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.raven").write_text("a file")
    (tmp_path / "d.csv").mkdir()
    options = [str(tmp_path / o) if at and options[at - 1] == "--output" else o for at, o in enumerate(options)]
    assert run("predict", bundle, field, *options, "--jobs", 1) == 2
    assert message.format(tmp_path) in capsys.readouterr().err


def test_a_name_that_ends_with_a_slash_is_a_folder_also_if_it_does_not_exist(
    field: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = field / "south/SM4A_20230512_050000.wav"
    out = f"{tmp_path}/new/out/"
    assert run("predict", bundle, one, "--format", "csv,raven", "--output", out, "--jobs", 1) == 0
    found = sorted(p.name for p in (tmp_path / "new/out").iterdir())
    assert found == ["detections.csv", "detections.files.csv", "detections.raven"]
    assert run("predict", bundle, one, "--format", "csv,raven", "--output", out, "--jobs", 1) == 0
    assert sorted(p.name for p in (tmp_path / "new/out").iterdir()) == found
    for command in (["predict", bundle, one, "--csv", "--jobs", 1], ["similar", bundle, one, field, "--csv"]):
        assert run(*command, "--output", f"{tmp_path}/other/") == 2
        assert f"--output {tmp_path}/other/ is a folder, because it ends with a slash" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_one_format_of_text_can_be_printed(field: Path, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", bundle, field, "--format", "birdnet", "--jobs", 1) == 1
    assert capsys.readouterr().out.startswith("Start (s),End (s),Scientific name,Common name,Confidence,File\n0,12,")


def test_results_with_new_fields_keep_their_place(results: list[FileResult]) -> None:
    """A result that is changed, as the journal does, keeps its origin."""
    assert replace(results[0], note="x").origin == results[0].origin
