"""What rules share: the checked configuration, paths, batches, and what each stage's rerun depends on.

No rules here, and no heavy import: every job on a cluster parses this file again.
"""

import json
import sys
from pathlib import Path

from snakemake_interface_executor_plugins.settings import SharedFSUsage

# The package that lies beside this Snakefile, whatever is installed.
SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from autobird.audio.settings import FeatureSettings, MelSettings, WindowSettings
from autobird.code_fingerprint import CodeFingerprints
from autobird.config import load_config
from autobird.core.environment import use_this_interpreter
from autobird.core.errors import AutobirdError
from autobird.corpus.settings import (
    CheckSettings,
    NearDuplicateSettings,
    RecordingsStageSettings,
)
from autobird.dataset.settings import DatasetStageSettings
from autobird.drift.settings import DriftTestSettings
from autobird.evaluation.settings import EvaluationSettings
from autobird.model.settings import TrainSettings
from autobird.predict.bundle import FILES
from autobird.release.settings import (
    CompareSettings,
    LatencySettings,
    PruneSettings,
    QuantizeSettings,
)
from autobird.serving.log import log_state
from autobird.sources.field import FieldRecordings
from autobird.sources.kaggle import kaggle_archive
from autobird.sources.listing import Listing
from autobird.sources.lock import LockMissing
from autobird.sources.select import is_downloaded, local_root, source_of
from autobird.sources.settings import SourceSettings

use_this_interpreter(SCRIPTS)


def untracked(value):
    """A param that reruns nothing when it changes: Snakemake records no param that is derived from threads.

    For where things lie and who watches: a folder that moved is not decoded again.
    """
    return lambda wildcards, threads: value


def refuse(error):
    """End the parsing with one line for people, before any job."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


try:
    CONFIG = load_config(config)
    FINGERPRINTS = CodeFingerprints(
        SCRIPTS, Path(workflow.basedir) / "envs/requirements.lock"
    )
except AutobirdError as error:
    refuse(error)

RESULTS = Path("results")
FEATURES = RESULTS / "features" / CONFIG.features.name
CORPUS = FEATURES / "corpus"
RUN = RESULTS / CONFIG.run.name
LOGS, BENCHMARKS = RESULTS / "logs", RESULTS / "benchmarks"

BATCHES = [
    f"{b:0{len(str(CONFIG.corpus.batches - 1))}d}" for b in range(CONFIG.corpus.batches)
]
DEMO = CONFIG.corpus.type == "demo"
ANNOTATED = CONFIG.corpus.type == "annotations"

HASHES = Path(".autobird/sha256.sqlite")
# Tables of what the source held when this file was parsed, by their sha256; the rule `manifest` copies them.
TABLES = Path(".autobird/manifests") / CONFIG.features.name
FIELD_TABLES = Path(".autobird/manifests/predict")

try:
    # Whether recordings come as corpus/audio/<b>.tar, or from where they lie.
    DOWNLOADED = is_downloaded(CONFIG.corpus)
    SOURCE_ROOT = "" if DOWNLOADED else local_root(CONFIG.corpus)
    ARCHIVE = kaggle_archive(CONFIG.corpus) if CONFIG.corpus.type == "kaggle" else ""
except AutobirdError as error:
    # What is not there yet is asked for when something needs it: see listing().
    DOWNLOADED, SOURCE_ROOT, ARCHIVE = False, "", ""


# Whether jobs read the files of this machine. Where they do not, local folders are packed into tars for them.
SHARED = SharedFSUsage.INPUT_OUTPUT in workflow.storage_settings.shared_fs_usage


wildcard_constraints:
    batch=r"\d+",


class NoListing:
    """In place of what a source holds, where `snakemake refresh_sources` has to ask it first."""

    sizes = []

    def __init__(self, error):
        self.error = error
        self.manifests = self

    def digest(self, table):
        refuse(self.error)


def listing():
    """What the source holds now, as digests of its tables. Only the main process has the source."""
    if not workflow.is_main_process:
        return None
    try:
        found = Listing(source_of(CONFIG.corpus, HASHES), CONFIG.corpus)
        found.check()
        found.manifests.store(TABLES)
    except LockMissing as error:
        return NoListing(error)
    except AutobirdError as error:
        refuse(error)
    if found.unmatched:
        found.notes.append(
            f"{len(found.unmatched)} rows of the metadata name no recording, for example {found.unmatched[0]}"
        )
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    return found


LISTING = listing()


def digest_of_table(wildcards):
    """sha256 of a table of the source: a batch's rows, or one of those about all recordings."""
    return LISTING.manifests.digest(wildcards.table) if LISTING else ""


def audio_of(wildcards):
    """The batch's tar, which jobs that listen to recordings read; a local folder is read where it lies, if it can be."""
    return [] if SHARED and not DOWNLOADED else CORPUS / f"audio/{wildcards.batch}.tar"


def fetched_of(wildcards):
    """What the download of the batch brought and what it did not, where there is one."""
    downloads = DOWNLOADED and not DEMO
    return CORPUS / f"audio/{wildcards.batch}.csv" if downloads else []


def stages():
    """Fingerprints of all stages from the sources to the released model, for the provenance."""
    names = (
        "corpus.recordings corpus.near_duplicates corpus.quarantine audio.segment audio.mel_shards dataset.dataset model.train release.export release.prune "
        "release.quantize release.score release.compare evaluation.evaluate release.bundle"
    )
    return json.dumps({name: code(name) for name in names.split()})


def field_recordings(root, batches, key):
    """What a folder of field recordings holds, as digests of its batches; None if it is not asked for."""
    if root is None or not workflow.is_main_process:
        return None
    try:
        found = FieldRecordings(Path(root).expanduser(), HASHES, batches, key)
        found.manifests.store(FIELD_TABLES)
        return found
    except AutobirdError as error:
        refuse(error)


def every_batch(pattern):
    """The paths of all batches, in order."""
    return expand(str(pattern), batch=BATCHES)


def code(stage):
    """The fingerprint of a stage's code, for its rule's params."""
    try:
        return FINGERPRINTS.of(f"autobird.{stage}")
    except AutobirdError as error:
        refuse(error)


def gpus():
    """Whether training, and what is like it, asks for a GPU: where it may use one."""
    return CONFIG.train.device != "cpu"


# Field recordings: for `snakemake predict`, and for drift where its current recordings lie in a folder.
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
    refuse(
        f"drift.current: {CURRENT} is neither a folder nor a file; give `test`, a folder of recordings, "
        "or the server's log"
    )
FIELD = {
    PREDICT_TASK: field_recordings(
        CONFIG.predict.input, CONFIG.predict.batches, "predict.input"
    ),
    "drift": field_recordings(
        CONFIG.drift.current if CURRENT_KIND == "folder" else None,
        CONFIG.predict.batches,
        "drift.current",
    ),
}


def untracked_root(wildcards, threads):
    """The folder of field recordings (derived from threads, so that a folder that moved reruns nothing)."""
    return (
        CONFIG.predict.input if wildcards.task == PREDICT_TASK else CONFIG.drift.current
    )


def digest_of_field_batch(wildcards):
    """sha256 of a batch of field recordings."""
    found = FIELD[wildcards.task]
    return found.manifests.digest(wildcards.batch) if found else ""


def bundle_files(wildcards):
    """The files of the bundle that predicts: the one that was named, or this run's own."""
    folder = RUN / "release/bundle"
    if CONFIG.predict.bundle and wildcards.task == PREDICT_TASK:
        folder = NAMED_BUNDLE if SHARED else RUN / PREDICT_TASK / "bundle"
    return [folder / name for name in FILES]


def field_audio(wildcards):
    """The tar of a batch of field recordings, where jobs cannot read their folder."""
    return [] if SHARED else RUN / wildcards.task / f"batches/{wildcards.batch}.tar"


def predict_targets(wildcards):
    """The tables of `snakemake predict`."""
    if CONFIG.predict.input is None:
        refuse(
            "predict.input is not set; give a folder: --config 'predict={input: FOLDER}'"
        )
    return [RUN / PREDICT_TASK / f"{table}.csv" for table in ("detections", "skipped")]


def log_digest():
    """What stands for the server's log as it is now."""
    return log_state(CURRENT) if workflow.is_main_process else ""
