"""What rules share: the checked configuration, paths, batches, and what each stage's rerun depends on.

No rules here, and no heavy import: every job on a cluster parses this file again.
"""

import sys
from pathlib import Path

# The package that lies beside this Snakefile, whatever is installed.
SCRIPTS = Path(workflow.basedir) / "scripts"
sys.path.insert(0, str(SCRIPTS))

from autobird.audio.settings import MelSettings, SegmentSettings
from autobird.config import load
from autobird.core.environment import prefer
from autobird.core.errors import AutobirdError
from autobird.corpus.rows import Listing
from autobird.corpus.settings import AcceptSettings, CheckSettings, DatasetStageSettings
from autobird.corpus.sources import source_of
from autobird.evaluation.settings import EvaluationSettings
from autobird.fingerprint import Fingerprints
from autobird.model.settings import TrainSettings

prefer(SCRIPTS)


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
    CONFIG = load(config)
    FINGERPRINTS = Fingerprints(
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

HASHES = Path(".autobird/sha256.sqlite")


wildcard_constraints:
    batch=r"\d+",


def listing():
    """What the source holds now, as digests of its tables. Only the main process has the source."""
    if not workflow.is_main_process:
        return None
    try:
        found = Listing(source_of(CONFIG.corpus, HASHES), CONFIG.corpus.batches)
        found.check(CONFIG.corpus)
    except AutobirdError as error:
        refuse(error)
    if found.unmatched:
        print(
            f"note: {len(found.unmatched)} rows of the metadata name no recording, for example {found.unmatched[0]}",
            file=sys.stderr,
        )
    return found


LISTING = listing()


def digest_of_table(wildcards):
    """sha256 of a table of the source: a batch's rows, the grouping columns or the details."""
    return LISTING.digest(wildcards.table) if LISTING else ""


def audio_of(wildcards):
    """The batch's tar, which jobs that listen to recordings read; a local folder is read where it lies."""
    return CORPUS / f"audio/{wildcards.batch}.tar" if DEMO else []


def every_batch(pattern):
    """The paths of all batches, in order."""
    return expand(str(pattern), batch=BATCHES)


def code(stage):
    """The fingerprint of a stage's code, for its rule's params."""
    return FINGERPRINTS.of(f"autobird.{stage}")


def gpus():
    """GPUs that a job asks for: one where training may use it."""
    return 0 if CONFIG.train.device == "cpu" else 1
