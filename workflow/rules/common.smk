"""Shared by all rules: the validated configuration, paths, batches and code fingerprints.

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
from autobird.core.hashing import batch_names, file_digest
from autobird.corpus.settings import (
    CheckSettings,
    NearDuplicateSettings,
    RecordingsStageSettings,
)
from autobird.dataset.settings import DatasetStageSettings
from autobird.drift.settings import DriftTestSettings, LogRangeSettings
from autobird.evaluation.field_settings import score_settings, source_settings
from autobird.evaluation.settings import (
    CalibrationSettings,
    EvaluationSettings,
    FieldLeakageSettings,
    PossiblyHeardSettings,
    WithBackboneSettings,
)
from autobird.head_keys import head_notes
from autobird.members import (
    ENSEMBLE,
    MAX_CROSSVAL_MEMBERS,
    SCRATCH,
    TEACHER,
    crossval_id,
    crossval_folds_and_seeds,
    crossval_ids,
    fold_ids,
    members_of,
    prefix_of,
    released_ids,
    scratch_id,
    teacher_id,
)
from autobird.model.settings import HeadSettings, TrainSettings
from autobird.predict.bundle_files import FILES
from autobird.predict.overlay_path import overlay_path
from autobird.release.settings import (
    CompareSettings,
    LatencySettings,
    PruneSettings,
    QuantizeSettings,
)
from autobird.serving.log_state import log_state
from autobird.sources.demo import DemoFieldSource
from autobird.sources.field import FieldRecordings
from autobird.sources.field_set import SETTING as FIELD_SETTING
from autobird.sources.field_set import FieldSet
from autobird.sources.listing import CORPUS_TABLES, Listing
from autobird.sources.lock import LockMissing
from autobird.sources.select import (
    archives_of,
    folders_of,
    local_root,
    source_of,
    storages_of,
)
from autobird.sources.settings import SourceSettings
from autobird.sources.unlabelled import UnlabelledRecordings
from autobird.sweep_members import MAX_SWEEP_TRAININGS, sweep_of

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
        SCRIPTS,
        Path(workflow.basedir) / "envs/requirements.lock",
        Path(".autobird/code_fingerprints.json"),
    )
except AutobirdError as error:
    exit_with_error(error)

# The configuration of the main run. Rules with the wildcard `member` take that of the member from config_of().
CONFIG = MEMBERS[""].config

try:
    SWEEP, SWEEP_ERROR = sweep_of(config, CONFIG), None
    # The trainings of the trial with the settings of the run are members of the run and its cross-validation.
    MEMBERS |= {member.prefix: member for member in SWEEP.members()} | MEMBERS
except AutobirdError as error:
    # sweep_targets() reports it: only a sweep needs the file.
    SWEEP, SWEEP_ERROR = None, error

RESULTS = Path("results")
FEATURES = RESULTS / "features" / CONFIG.features.name
CORPUS = FEATURES / "corpus"
EMBEDDINGS = FEATURES / "embeddings" / CONFIG.backbone.name
TEACHING = FEATURES / "teaching" / CONFIG.backbone.name
RUN = RESULTS / CONFIG.run.name
LOGS, BENCHMARKS = RESULTS / "logs", RESULTS / "benchmarks"

BATCHES = batch_names(CONFIG.corpus.batches)

# Ranges of landmark hashes: as many as batches, so that a large corpus has more jobs, but not too many.
HASH_RANGES = batch_names(min(CONFIG.corpus.batches, 64))

# Variants of the released model: the network as trained, and its compressed forms. A head has the first alone.
VARIANTS = ["float", "pruned", "int8", "pruned_int8"]

HASHES = Path(".autobird/sha256.sqlite")
# The source's listing, written when this file is parsed, one file per sha256; the rule `manifest` copies them.
TABLES = Path(".autobird/manifests") / CONFIG.features.name
FIELD_TABLES = Path(".autobird/manifests/predict")
UNLABELLED_TABLES = Path(".autobird/manifests/unlabelled")
FIELD_SET_TABLES = Path(".autobird/manifests/field")

try:
    # Where the recordings are. Jobs read those below SOURCE_ROOTS as files, and the others from corpus/audio/<batch>.tar.
    STORAGES = storages_of(CONFIG.corpus)
    SOURCE_ROOTS, ARCHIVES = folders_of(CONFIG.corpus), archives_of(CONFIG.corpus)
except AutobirdError as error:
    # list_corpus() reports a missing source, if a job needs it.
    STORAGES, SOURCE_ROOTS, ARCHIVES = frozenset({"folder"}), "", ""
DEMO = "demo" in STORAGES
DOWNLOADED = bool(STORAGES & {"url", "zip"})


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


# All global constraints are here, before the first rule: a later statement would be applied to the rules that exist, and their
# outputs would no longer be in the default storage (Snakemake 9.27).
wildcard_constraints:
    batch=r"\d+",
    rung=r"\d+",
    # `members/<id>/`, or nothing: the main run.
    member=members_where(lambda member: True),


def print_notes(notes):
    """Print messages about the source or the configuration for the user."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


# Only in the main process, because every job parses this file again; only about the run, because its members follow from it.
if workflow.is_main_process:
    print_notes(head_notes(config, CONFIG))


def stage_fingerprints():
    """Code fingerprints of the stages from recordings to bundle, as JSON for the bundle's provenance."""
    names = (
        "corpus.recordings corpus.landmark_votes corpus.near_duplicates corpus.quarantine audio.segment audio.mel_shards dataset.dataset release.export "
        "release.score release.compare evaluation.evaluate release.bundle"
    )
    if CONFIG.train.architecture == "head":
        names += " backbone.embed model.train_head"
    else:
        names += " model.train release.prune release.quantize"
        if CONFIG.train.ensemble != "none":
            names += " release.ensemble"
        if CONFIG.train.ensemble == "distill":
            names += " release.ensemble_answers"
        if CONFIG.train.teacher:
            names += " backbone.embed model.train_head backbone.teach"
    return json.dumps({name: code_fingerprint(name) for name in names.split()})


def every_batch(pattern):
    """Expand a path pattern to the paths of all batches, in order."""
    return expand(str(pattern), batch=BATCHES)


def every_hash_range(pattern):
    """Expand a path pattern to the paths of all ranges of landmark hashes, in order."""
    return expand(str(pattern), range=HASH_RANGES)


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
