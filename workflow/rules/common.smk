"""Shared by all rules: the validated configuration, paths, batches, source listings and code fingerprints.

Contains no rules. Every job on a cluster parses this file again, so it must not import slow modules.
"""

import json
import re
import sys
from pathlib import Path

from snakemake_interface_executor_plugins.settings import SharedFSUsage

# Use the package next to this Snakefile, even if another version of it is installed.
SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from autobird.audio.settings import FeatureSettings, MelSettings, WindowSettings
from autobird.backbone.birdnet_files import check_file
from autobird.backbone.known import BIRDNET, embedding_key, origin
from autobird.code_fingerprint import CodeFingerprints
from autobird.core.environment import use_this_interpreter
from autobird.core.errors import AutobirdError
from autobird.corpus.settings import (
    CheckSettings,
    NearDuplicateSettings,
    RecordingsStageSettings,
)
from autobird.dataset.settings import DatasetStageSettings
from autobird.drift.settings import DriftTestSettings, LogRangeSettings
from autobird.evaluation.settings import (
    EvaluationSettings,
    PossiblyHeardSettings,
    WithBackboneSettings,
)
from autobird.members import (
    MAX_CROSSVAL_MEMBERS,
    SCRATCH,
    TEACHER,
    crossval_id,
    crossval_folds_and_seeds,
    crossval_ids,
    fold_ids,
    members_of,
    scratch_id,
    teacher_id,
)
from autobird.model.settings import HeadSettings, TrainSettings
from autobird.predict.bundle import FILES
from autobird.release.settings import (
    CompareSettings,
    LatencySettings,
    PruneSettings,
    QuantizeSettings,
)
from autobird.serving.log_reader import log_state
from autobird.sources.field import FieldRecordings
from autobird.sources.kaggle import kaggle_archive
from autobird.sources.listing import Listing
from autobird.sources.lock import LockMissing
from autobird.sources.select import is_downloaded, local_root, source_of
from autobird.sources.settings import SourceSettings
from autobird.sources.unlabelled import UnlabelledRecordings

use_this_interpreter(SCRIPTS)


def untracked(value):
    """Wrap a param whose changes must not rerun a job, for example the path of a folder that can be moved.

    Snakemake does not record params that are functions of `threads`, and so does not compare them.
    """
    return lambda wildcards, threads: value


def exit_with_error(error):
    """Print one line and exit, before any job starts."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


try:
    MEMBERS = members_of(config)
    FINGERPRINTS = CodeFingerprints(
        SCRIPTS, Path(workflow.basedir) / "envs/requirements.lock"
    )
except AutobirdError as error:
    exit_with_error(error)

# The configuration of the main run. Rules with the wildcard `member` take that of the member from config_of().
CONFIG = MEMBERS[""].config

RESULTS = Path("results")
FEATURES = RESULTS / "features" / CONFIG.features.name
CORPUS = FEATURES / "corpus"
EMBEDDINGS = FEATURES / "embeddings" / CONFIG.backbone.name
TEACHING = FEATURES / "teaching" / CONFIG.backbone.name
RUN = RESULTS / CONFIG.run.name
LOGS, BENCHMARKS = RESULTS / "logs", RESULTS / "benchmarks"

BATCHES = [
    f"{b:0{len(str(CONFIG.corpus.batches - 1))}d}" for b in range(CONFIG.corpus.batches)
]
DEMO = CONFIG.corpus.type == "demo"
ANNOTATED = CONFIG.corpus.type == "annotations"

# Variants of the released model: the network as trained, and its compressed forms. A head has the first alone.
VARIANTS = ["float", "pruned", "int8", "pruned_int8"]

HASHES = Path(".autobird/sha256.sqlite")
# The source's listing, written when this file is parsed, one file per sha256; the rule `manifest` copies them.
TABLES = Path(".autobird/manifests") / CONFIG.features.name
FIELD_TABLES = Path(".autobird/manifests/predict")
UNLABELLED_TABLES = Path(".autobird/manifests/unlabelled")

try:
    # DOWNLOADED: jobs read corpus/audio/<batch>.tar; otherwise they read the files below SOURCE_ROOT.
    DOWNLOADED = is_downloaded(CONFIG.corpus)
    SOURCE_ROOT = "" if DOWNLOADED else local_root(CONFIG.corpus)
    ARCHIVE = kaggle_archive(CONFIG.corpus) if CONFIG.corpus.type == "kaggle" else ""
except AutobirdError as error:
    # list_corpus() reports a missing source, if a job needs it.
    DOWNLOADED, SOURCE_ROOT, ARCHIVE = False, "", ""


# Whether jobs can read the files of this machine. If not, local folders are packed into tar archives for them.
SHARED = SharedFSUsage.INPUT_OUTPUT in workflow.storage_settings.shared_fs_usage


def members_where(condition):
    """Constraint of the wildcard `member`: a regular expression that matches the members that meet a condition."""
    prefixes = [prefix for prefix, member in MEMBERS.items() if condition(member)]
    return "|".join(map(re.escape, prefixes)) if prefixes else "(?!)"


def check_backbone_file():
    """Check the file of the backbone before any job, if the jobs use the files and the Python of this machine.

    Jobs in a bucket's machines or in containers have files of their own.
    """
    if not (CONFIG.uses_backbone and workflow.is_main_process and SHARED):
        return
    if workflow.deployment_settings.deployment_method:
        return
    try:
        check_file(CONFIG.backbone, HASHES)
    except AutobirdError as error:
        exit_with_error(error)


check_backbone_file()


wildcard_constraints:
    batch=r"\d+",
    # `members/<id>/`, or nothing: the main run.
    member=members_where(lambda member: True),


def config_of(wildcards):
    """The configuration of a job's member."""
    return MEMBERS[wildcards.member].config


def member_settings(model, *sections):
    """The settings of a stage for a job's member, as JSON; for the arguments see Config.settings_json()."""
    return lambda wildcards: config_of(wildcards).settings_json(model, *sections)


def member_id(wildcards):
    """The id of a job's member; None for the main run. The report shows it as the subcategory."""
    return MEMBERS[wildcards.member].id or None


def category(name):
    """The category of an output in the report: `name` for the main run; the other members have one of their own."""
    return lambda wildcards: "Members" if wildcards.member else name


def dataset_file(name):
    """A file of the dataset that a job's member uses, which may be that of another member."""
    return (
        lambda wildcards: RUN
        / MEMBERS[wildcards.member].dataset_prefix
        / "dataset"
        / name
    )


def is_head(wildcards):
    """Whether a job's member is a head on the embeddings of a backbone; a job without the wildcard is of the main run."""
    return MEMBERS[wildcards.get("member", "")].config.train.architecture == "head"


def every_variant(pattern):
    """Paths of all variants of a job's member. Only the main run is compressed, because only it is released; heads never are."""
    return lambda wildcards: expand(
        f"{RUN}/{wildcards.get('member', '')}{pattern}",
        variant=(
            ["float"] if wildcards.get("member") or is_head(wildcards) else VARIANTS
        ),
    )


def network_inputs(wildcards):
    """What the network of a job's member reads, of all batches: mel frames, or embeddings for a head."""
    folder = EMBEDDINGS if is_head(wildcards) else FEATURES / "mels"
    return every_batch(folder / "{batch}.npy")


def crossval_targets(wildcards):
    """The files that `snakemake crossval` writes; refuses, before any job starts, what cannot be cross-validated."""
    count = len(crossval_ids(CONFIG))
    if count > MAX_CROSSVAL_MEMBERS:
        exit_with_error(
            f"dataset.folds {CONFIG.dataset.folds} and {len(CONFIG.train.seeds)} train.seeds are {count} trainings, and at most "
            f"{MAX_CROSSVAL_MEMBERS} are supported; lower dataset.folds or give fewer train.seeds"
        )
    if LISTING and LISTING.given_splits:
        exit_with_error(
            f"the metadata give the split of {LISTING.given_splits} recordings, which would be the same in all folds of a "
            "cross-validation; remove that column from the metadata"
        )
    references = [RUN / "crossval/references.json"] if CONFIG.train.teacher else []
    return [
        RUN / "crossval/crossval.json",
        *references,
        *expand(
            str(RUN / "members/{member}/evaluation/metrics.json"),
            member=crossval_ids(CONFIG),
        ),
    ]


def analyses_of(folder):
    """The analyses of a run with a backbone, as files of one of its folders; other runs have none."""
    names = ["possibly_heard"] if CONFIG.uses_backbone else []
    if (
        CONFIG.uses_backbone and CONFIG.backbone.name == BIRDNET
    ):  # the only one with a species list of its own
        names.append("with_backbone")
    if CONFIG.train.architecture == "head":
        names.append("learning_curve")
    return [RUN / folder / f"{name}.json" for name in names]


def of_folds(pattern):
    """A file of each fold of a cross-validation, of the training with the first seed."""
    seed = CONFIG.train.seeds[0]
    return [
        RUN / f"members/{crossval_id(fold, seed)}" / pattern
        for fold in range(CONFIG.dataset.folds)
    ]


def datasets_of_folds(name):
    """A file of the dataset of each fold of a cross-validation."""
    return [RUN / f"members/{fold}/dataset/{name}" for fold in fold_ids(CONFIG)]


def crossval_files(file, id_of=str):
    """A file of the networks of a cross-validation, or of the member that `id_of` gives for each of them."""
    return [RUN / f"members/{id_of(name)}/{file}" for name in crossval_ids(CONFIG)]


def teachers_of_folds(file):
    """A file of the teachers of the students of a cross-validation, one for each fold."""
    return [RUN / f"members/{teacher_id(fold)}/{file}" for fold in fold_ids(CONFIG)]


class MissingListing:
    """Takes the place of a listing that `snakemake refresh_sources` must fetch first; fails only when it is used."""

    sizes = []
    given_splits = 0

    def __init__(self, error):
        self.error = error
        self.manifests = self

    def digest(self, table):
        exit_with_error(self.error)


def print_notes(notes):
    """Print messages about the source for the user."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def list_corpus():
    """List the source and store its tables; only in the main process, because jobs may not reach the source."""
    if not workflow.is_main_process:
        return None
    try:
        found = Listing(source_of(CONFIG.corpus, HASHES), CONFIG.corpus)
        print_notes(found.notes)  # before a refusal, because they give its reason
        found.check()
        found.manifests.store(TABLES)
    except LockMissing as error:
        return MissingListing(error)
    except AutobirdError as error:
        exit_with_error(error)
    return found


LISTING = list_corpus()


def manifest_digest(wildcards):
    """sha256 of a table of the listing: the manifest of a batch, or a table about all recordings."""
    return LISTING.manifests.digest(wildcards.table) if LISTING else ""


def batch_audio(wildcards):
    """The batch's tar archive; empty if jobs can read the recordings directly from a local folder."""
    return [] if SHARED and not DOWNLOADED else CORPUS / f"audio/{wildcards.batch}.tar"


def batch_fetch_results(wildcards):
    """The table that tells which recordings of the batch were downloaded; empty if the source needs no download."""
    downloads = DOWNLOADED and not DEMO
    return CORPUS / f"audio/{wildcards.batch}.csv" if downloads else []


def stage_fingerprints():
    """Code fingerprints of the stages from recordings to bundle, as JSON for the bundle's provenance."""
    names = (
        "corpus.recordings corpus.near_duplicates corpus.quarantine audio.segment audio.mel_shards dataset.dataset release.export "
        "release.score release.compare evaluation.evaluate release.bundle"
    )
    if CONFIG.train.architecture == "head":
        names += " backbone.embed model.train_head"
    else:
        names += " model.train release.prune release.quantize"
        if CONFIG.train.teacher:
            names += " backbone.embed model.train_head backbone.teach"
    return json.dumps({name: code_fingerprint(name) for name in names.split()})


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


def list_unlabelled():
    """List the unlabelled recordings and store the manifests of their batches; None without a folder."""
    if CONFIG.train.unlabelled is None or not workflow.is_main_process:
        return None
    try:
        root = Path(CONFIG.train.unlabelled).expanduser()
        found = UnlabelledRecordings(root, HASHES, len(BATCHES), CONFIG.corpus)
        print_notes(found.notes)
        found.manifests.store(UNLABELLED_TABLES)
        return found
    except AutobirdError as error:
        exit_with_error(error)


UNLABELLED = list_unlabelled()


def unlabelled_digest(wildcards):
    """sha256 of the manifest of a batch of unlabelled recordings."""
    return UNLABELLED.manifests.digest(wildcards.batch) if UNLABELLED else ""


def unlabelled_audio(wildcards):
    """The tar archive of a batch of unlabelled recordings; empty if jobs can read their folder."""
    return [] if SHARED else TEACHING / f"unlabelled/{wildcards.batch}.tar"


# Training sounds are single windows: the hop does not change them.
TEACH_FRONT_END = CONFIG.features.model_copy(
    update={"hop": CONFIG.features.window}
).model_dump_json(include=set(MelSettings.model_fields))


def teach_settings(share):
    """The settings of stage `teach` as JSON, with the number of training sounds of a batch.

    It does not depend on the recordings: a new recording makes only the sounds of its own batch again.
    """
    sounds = -(-int(CONFIG.train.teacher_windows * share) // len(BATCHES))
    return json.dumps({"sounds": sounds})


def is_student(wildcards):
    """Whether a job's member has a teacher; a job without the wildcard is of the main run."""
    return MEMBERS[wildcards.get("member", "")].config.train.teacher is not None


def training_sounds(suffix):
    """Files of the training sounds of all batches, for a student; those of unlabelled recordings are the last."""

    def files(wildcards):
        if not is_student(wildcards):
            return []
        found = every_batch(TEACHING / f"{{batch}}{suffix}")
        if CONFIG.train.unlabelled is not None:
            found += every_batch(TEACHING / f"unlabelled/{{batch}}{suffix}")
        return found

    return files


def unlabelled_batches(wildcards):
    """How many of the files of training_sounds() are of unlabelled recordings."""
    used = is_student(wildcards) and CONFIG.train.unlabelled is not None
    return len(BATCHES) if used else 0


def beside_student(id_of, file):
    """A file of the member that belongs to a student: its teacher (`teacher_id`), or the network without one (`scratch_id`)."""

    def path(wildcards):
        if not is_student(wildcards):
            return []
        member = MEMBERS[wildcards.get("member", "")].id
        return RUN / f"members/{id_of(member)}/{file}"

    return path


def references(file):
    """Files of the teacher and the network without a teacher that a student of the main run is compared with."""

    def files(wildcards):
        if wildcards.member or not is_student(wildcards):
            return []
        return [RUN / f"members/{name}/{file}" for name in (TEACHER, SCRATCH)]

    return files


def teacher_key(wildcards):
    """What identifies the backbone of a student's teacher, as JSON; empty without a teacher."""
    return backbone_key(wildcards) if is_student(wildcards) else ""


def every_batch(pattern):
    """Expand a path pattern to the paths of all batches, in order."""
    return expand(str(pattern), batch=BATCHES)


def code_fingerprint(stage):
    """Fingerprint of the code and the library versions that a stage depends on, for the params of its rule."""
    try:
        return FINGERPRINTS.of(f"autobird.{stage}")
    except AutobirdError as error:
        exit_with_error(error)


def backbone_key(wildcards):
    """The settings of the backbone that its embeddings depend on, with the checksum of its file, as JSON."""
    try:
        return embedding_key(CONFIG.backbone, HASHES)
    except AutobirdError as error:
        exit_with_error(error)


def backbone_origin():
    """Licence and source of the backbone as JSON; empty for a run without one.

    Only the bundle states them, so that correcting them trains nothing.
    """
    return origin(CONFIG.backbone) if CONFIG.uses_backbone else ""


def may_use_gpu():
    """Whether the rules that train request a GPU."""
    return CONFIG.train.device != "cpu"


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


def field_audio(wildcards):
    """The tar archive of a batch of field recordings; empty if jobs can read their folder."""
    return [] if SHARED else RUN / wildcards.task / f"batches/{wildcards.batch}.tar"


def predict_targets(wildcards):
    """The tables that `snakemake predict` writes."""
    if CONFIG.predict.input is None:
        exit_with_error(
            "predict.input is not set; give a folder: --config 'predict={input: FOLDER}'"
        )
    return [RUN / PREDICT_TASK / f"{table}.csv" for table in ("detections", "skipped")]


def server_log_digest():
    """A digest of the present content of the server's log."""
    return log_state(CURRENT) if workflow.is_main_process else ""
