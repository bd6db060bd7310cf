"""Field recordings: the input of `snakemake predict`, and the current recordings of the drift test. Contains no rules."""


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
PREDICT_BATCHES = [
    f"{b:0{len(str(CONFIG.predict.batches - 1))}d}"
    for b in range(CONFIG.predict.batches)
]
PREDICT_TASK = f"predict/{CONFIG.predict.name}"
PREDICT_TASKS = f"{PREDICT_TASK}|drift"
NAMED_BUNDLE = Path(CONFIG.predict.bundle or "").expanduser()
CURRENT = Path(CONFIG.drift.current).expanduser()
CURRENT_KIND = (
    "test"
    if CONFIG.drift.current == "test"
    else "folder" if CURRENT.is_dir() else "log"
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
