"""Field recordings: the input of `snakemake predict`, the current recordings of the drift test, and those of `evaluation.field`.

Contains no rules.
"""


def list_field_recordings(root, batches, key):
    """List a folder of field recordings and store the manifests of its batches; None without a folder."""
    if root is None or not workflow.is_main_process:
        return None
    try:
        found = FieldRecordings(Path(root).expanduser(), HASHES, batches, key)
        print_notes(found.notes)
        found.manifests.store(FIELD_TABLES)
        return found
    except AutobirdError as error:
        exit_with_error(error)


# Field recordings: the input of `snakemake predict`, and the current recordings of the drift test if they are a folder.
PREDICT_BATCHES = batch_names(CONFIG.predict.batches)
PREDICT_TASK = f"predict/{CONFIG.predict.name}"
PREDICT_TASKS = f"{PREDICT_TASK}|drift"
NAMED_BUNDLE = Path(CONFIG.predict.bundle or "").expanduser()
NAMED_OVERLAY = overlay_path(NAMED_BUNDLE)
# Lists and tables of species of `snakemake predict`, by the option of stage `predict_batch`.
SPECIES_TABLES = {
    name: Path(path).expanduser()
    for name in ("species", "names", "codes")
    if (path := getattr(CONFIG.predict, name)) is not None
}
for name, path in SPECIES_TABLES.items():
    if CONFIG.predict.input and workflow.is_main_process and not path.is_file():
        exit_with_error(f"predict.{name}: {path} is not a file; correct the path")
CURRENT = Path(CONFIG.drift.current).expanduser()
CURRENT_KIND = (
    "test"
    if CONFIG.drift.current == "test"
    else "folder" if CURRENT.is_dir() else "log"
)
if "://" in CONFIG.drift.current:
    # The URL may hold a password, and reading the configuration never uses the network.
    exit_with_error(
        "drift.current is a URL; export the log to a file, which drift.current can name: "
        "autobird log export URL --output log.sqlite"
    )
if CURRENT_KIND == "log" and workflow.is_main_process and not CURRENT.is_file():
    exit_with_error(
        f"drift.current: {CURRENT} is neither a folder nor a file; set it to `test`, a folder of recordings, "
        "or the log file of the server"
    )
if CURRENT_KIND == "folder" and (
    CONFIG.drift.since or CONFIG.drift.until or CONFIG.drift.days is not None
):
    exit_with_error(
        f"drift.since, drift.until and drift.days select entries of the server's log, but drift.current: {CURRENT} "
        "is a folder; set it to the log, or remove them"
    )
FIELD = {
    PREDICT_TASK: list_field_recordings(
        CONFIG.predict.input, CONFIG.predict.batches, "predict.input"
    ),
    "drift": list_field_recordings(
        CONFIG.drift.current if CURRENT_KIND == "folder" else None,
        CONFIG.predict.batches,
        "drift.current",
    ),
}


def field_root(wildcards, threads):
    """The folder of field recordings; a function of `threads`, as in untracked()."""
    return (
        CONFIG.predict.input if wildcards.task == PREDICT_TASK else CONFIG.drift.current
    )


def field_manifest_digest(wildcards):
    """sha256 of the manifest of a batch of field recordings."""
    found = FIELD[wildcards.task]
    return found.manifests.digest(wildcards.batch) if found else ""


def bundle_files(wildcards):
    """The files of the bundle to predict with: the one that `predict.bundle` names, or that of this run."""
    folder = RUN / "release/bundle"
    if CONFIG.predict.bundle and wildcards.task == PREDICT_TASK:
        folder = NAMED_BUNDLE if SHARED else RUN / PREDICT_TASK / "bundle"
    return [folder / name for name in FILES]


def bundle_overlay(wildcards):
    """The table of thresholds beside the bundle, if it exists at parse time; the drift test does not depend on thresholds."""
    if wildcards.task != PREDICT_TASK:
        return []
    if not CONFIG.predict.bundle:
        path = overlay_path(RUN / "release/bundle")
        return path if SHARED and path.is_file() else []
    if not NAMED_OVERLAY.is_file():
        return []
    return NAMED_OVERLAY if SHARED else RUN / PREDICT_TASK / "bundle.thresholds.csv"


def species_table(name):
    """A list or table of species that `predict.<name>` names, where the jobs can read it; none for the drift test."""

    def path(wildcards):
        if wildcards.task != PREDICT_TASK or name not in SPECIES_TABLES:
            return []
        return SPECIES_TABLES[name] if SHARED else RUN / PREDICT_TASK / f"{name}.table"

    return path


def field_thresholds(wildcards):
    """The options about thresholds, place and week of field recordings, if the settings change them."""
    if wildcards.task != PREDICT_TASK:
        return []
    options = {
        "--threshold": CONFIG.predict.threshold,
        "--precision": CONFIG.predict.precision,
        "--latitude": CONFIG.predict.latitude,
        "--longitude": CONFIG.predict.longitude,
        "--week": CONFIG.predict.week,
        "--min-occurrence": CONFIG.predict.min_occurrence,
    }
    return [f"{name}={value}" for name, value in options.items() if value is not None]


def field_places(wildcards):
    """The options about site and time of field recordings; the drift test uses neither."""
    if wildcards.task != PREDICT_TASK:
        return ["--site", "none"]
    options = {
        "--site": CONFIG.predict.site,
        "--time-zone": CONFIG.predict.time_zone,
        "--recorder-clock": CONFIG.predict.recorder_clock,
    }
    return [f"{name}={value}" for name, value in options.items() if value]


def field_audio(wildcards):
    """The tar archive of a batch of field recordings; empty if jobs can read their folder."""
    return [] if SHARED else RUN / wildcards.task / f"batches/{wildcards.batch}.tar"


def predict_targets(wildcards):
    """The tables that `snakemake predict` writes."""
    if CONFIG.predict.input is None:
        exit_with_error(
            "predict.input is not set; give a folder: --config 'predict={input: FOLDER}'"
        )
    tables = ("detections", "detections.files", "skipped")
    return [RUN / PREDICT_TASK / f"{table}.csv" for table in tables]


def server_log_digest():
    """A digest of the present content of the server's log."""
    return log_state(CURRENT) if workflow.is_main_process else ""


# Recordings that are never trained on, on which the finished bundle is measured (docs/field.md).
FIELD_SETTINGS = CONFIG.evaluation.field
if FIELD_SETTINGS and FIELD_SETTINGS.type == "demo" and not DEMO:
    # The default configuration measures the demo; its field recordings hold no species of another corpus.
    FIELD_SETTINGS = None
FIELD_TYPE = FIELD_SETTINGS.type if FIELD_SETTINGS else ""
FIELD_RUN = RUN / "field"
# What the model card says about the field recordings.
FIELD_SUMMARY = [FIELD_RUN / "field.json"] if FIELD_SETTINGS else []
FIELD_SOURCE = (
    source_settings(FIELD_SETTINGS, CONFIG.corpus) if FIELD_SETTINGS else None
)
FIELD_ROOT = folders_of(FIELD_SOURCE) if FIELD_SETTINGS else ""
FIELD_BATCHES = batch_names(FIELD_SETTINGS.batches) if FIELD_SETTINGS else []
FIELD_SCORES = (
    score_settings(FIELD_SETTINGS, CONFIG.evaluation, CONFIG.corpus).model_dump_json()
    if FIELD_SETTINGS
    else ""
)
# Recordings of the demo are synthesised by a job.
FIELD_SYNTHESISED = FIELD_TYPE == "demo"


def list_field_set():
    """List the recordings of `evaluation.field` and store their tables; None without that setting."""
    if FIELD_SETTINGS is None or not workflow.is_main_process:
        return None
    try:
        synthesised = (
            DemoFieldSource(demo_settings(), FIELD_SETTINGS.demo)
            if FIELD_SYNTHESISED
            else None
        )
        found = FieldSet(FIELD_SOURCE, FIELD_TYPE == "negatives", HASHES, synthesised)
        print_notes(found.notes)
        found.listing.manifests.store(FIELD_SET_TABLES)
        return found
    except AutobirdError as error:
        exit_with_error(error)


FIELD_SET = list_field_set()


def every_field_batch(pattern):
    """Expand a path pattern to the paths of all batches of field recordings, in order."""
    return expand(str(FIELD_RUN / pattern), batch=FIELD_BATCHES)


def field_set_digest(wildcards):
    """sha256 of a table of the listing of the field recordings."""
    return FIELD_SET.listing.manifests.digest(wildcards.table) if FIELD_SET else ""


def field_set_audio(wildcards):
    """The tar archive of a batch of field recordings; empty if jobs can read their folder."""
    in_tar = FIELD_SYNTHESISED or not SHARED
    return FIELD_RUN / f"audio/{wildcards.batch}.tar" if in_tar else []


def field_set_boxes():
    """The tables of boxes of the field recordings; empty if they are labelled by recording, or negatives."""
    if FIELD_SYNTHESISED:
        return every_field_batch("truth/{batch}.csv")
    return FIELD_RUN / "manifest/boxes.csv" if FIELD_TYPE == "annotations" else []


def unlabelled_manifests():
    """The manifests of the unlabelled recordings that a student of the run learns from; empty without them."""
    used = CONFIG.train.teacher and CONFIG.train.unlabelled is not None
    return every_batch(TEACHING / "unlabelled/{batch}.manifest.csv") if used else []


def field_recordings_settings():
    """The settings of stage `recordings` for field recordings, as JSON: none is too short, too long or too silent."""
    settings = json.loads(
        CONFIG.settings_json(RecordingsStageSettings, "corpus", "features")
    )
    limits = {
        "min_duration": 0,
        "max_duration": 1e9,
        "min_decoded_share": 0,
        "min_peak": 0,
    }
    return json.dumps(settings | limits)


def field_targets(wildcards):
    """The files that `snakemake field` writes."""
    if FIELD_SETTINGS is None:
        exit_with_error(
            f"{FIELD_SETTING} is not set; give recordings: --config 'evaluation={{field: {{root: FOLDER}}}}'"
        )
    return FIELD_RUN / "metrics.json"
