"""Hints that tell users how to fix common errors of Slurm, Google Cloud and file systems."""

import logging
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

HINTS: tuple[tuple[str, str], ...] = (
    (
        r"Invalid account or account/partition combination|given account .* appears to be invalid",
        "Slurm does not know this account, or does not allow it to use this partition: set SBATCH_ACCOUNT "
        "(`sacctmgr show assoc user=$USER format=account,partition,qos` lists your accounts)",
    ),
    (
        r"[Ii]nvalid partition",
        "this partition does not exist: set SBATCH_PARTITION (`sinfo -o '%R %l %G'` lists the partitions), or set "
        "SNAKEMAKE_SLURM_PARTITIONS to a file of partitions (docs/slurm.md)",
    ),
    (
        r"[Ii]nvalid qos",
        "your account is not allowed to use this QOS (quality of service): set SBATCH_QOS to another, or unset it",
    ),
    (
        r"QOS\w*(Limit|Max|Grp)|AssocGrp|AssocMax|Job violates accounting/QOS policy",
        "the job exceeds the quota of your account or QOS: wait for other jobs, use another SBATCH_QOS, or request fewer "
        "resources (`--set-resources RULE:mem_mb=...`, `--jobs`)",
    ),
    (
        r"Requested node configuration is not available|[Mm]emory specification can ?not be satisfied|More processors requested",
        "no node of this partition has the requested resources: use another partition, or request fewer resources "
        "(`--set-resources RULE:mem_mb=... RULE:gpu=0`, `--set-threads RULE=...`; without GPUs, train: {device: cpu})",
    ),
    (
        r"Requested time limit is invalid|time limit exceeds",
        "lower the run time (`--set-resources RULE:runtime=MINUTES`)",
    ),
    (
        r"Unable to contact slurm controller|slurm_load_\w+ error",
        "Slurm's controller does not respond: run on a login node of the cluster, or wait until the controller is available",
    ),
    (
        r"[Rr]ewound credential|[Ee]xpired credential|Zero Bytes were transmitted|Protocol authentication error|"
        r"[Ii]nvalid_grant|Token used too (early|late)|must be a short-lived token|RequestTimeTooSkewed",
        "the clocks of two machines differ: set the clock of this machine (`timedatectl set-ntp true`), or tell your "
        "administrators which node reported the error",
    ),
    (
        r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]|ENOSPC",
        "a disk is full: free space or raise the quota on the disk that the message names, or move `results` (a link is enough) or TMPDIR "
        "to a larger disk; then run the same command again",
    ),
    (
        r"\[Errno 30\]|[Rr]ead-only file system",
        "a file system is read-only: move `results` (a link is enough) to a file system that all nodes can write to",
    ),
    (
        r"DUE TO TIME LIMIT|maxRunDuration|max_run_duration",
        "the job exceeded its run time: it is tried again with a longer limit, or raise the limit yourself "
        "(`--set-resources RULE:runtime=MINUTES`)",
    ),
    (
        r"oom-kill|OUT_OF_MEMORY|Out Of Memory|exit code 137|Killed process|exceeded memory limit",
        "the job needed more memory than it had requested: it is tried again with more, or raise the request yourself "
        "(`--set-resources RULE:mem_mb=...`)",
    ),
    (
        r"storage\.(objects|buckets)\.\w+.*(denied|does not have)|does not have storage\.",
        "your account has no permission for the bucket: `gcloud storage buckets add-iam-policy-binding gs://BUCKET --member=user:YOU "
        "--role=roles/storage.objectAdmin` (the service account of the jobs needs the same role)",
    ),
    (
        r"[Ss]pecified bucket does not exist|NotFound: .*storage/v1/b/",
        "this bucket does not exist: `gcloud storage buckets create gs://$AUTOBIRD_BUCKET --location=$GOOGLE_CLOUD_REGION`",
    ),
    (
        r"batch\.\w+\.\w+.*denied|Batch API has not been used|SERVICE_DISABLED",
        "you cannot use Google Batch: run `gcloud services enable batch.googleapis.com compute.googleapis.com "
        "logging.googleapis.com`, and ask for roles/batch.jobsEditor and roles/iam.serviceAccountUser",
    ),
    (
        r"RESOURCE_EXHAUSTED|ResourceExhausted|QUOTA_EXCEEDED|[Qq]uota .*exceeded|ZONE_RESOURCE_POOL_EXHAUSTED",
        "your Google Cloud quota is used up, or no machine of this type is available: run fewer jobs (`-j`), use another "
        "GOOGLE_CLOUD_REGION, or request more quota (IAM & Admin, Quotas: `NVIDIA L4 GPUs`, `Preemptible NVIDIA L4 GPUs`, `CPUs`)",
    ),
    (
        r"manifest (for .* )?(not found|unknown)|[Ii]mage .*not found|Unable to find image|pull access denied|failed to pull",
        "the container image of the jobs cannot be pulled: build and push it (docs/google.md), set AUTOBIRD_IMAGE to its full "
        "name, and give the service account of the jobs roles/artifactregistry.reader",
    ),
    (
        r"could not automatically determine credentials|DefaultCredentialsError|default credentials were not found",
        "you are not logged in to Google Cloud: run `gcloud auth application-default login`",
    ),
)
"""Pairs of a regular expression that matches an error message, and the hint for it."""

_TAIL = 20_000
"""Number of characters at the end of a log that are searched."""


def hints_for(text: str) -> list[str]:
    """Return the hints for all errors in `text`."""
    return [hint for pattern, hint in HINTS if re.search(pattern, text)]


class HintHandler(logging.Handler):
    """Prints a hint for each known error in Snakemake's log records and in the logs of failed jobs; each hint once.

    Args:
        write: called with each line to print.
    """

    def __init__(self, write: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)) -> None:
        super().__init__(logging.ERROR)
        self._write = write
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Search a log record of Snakemake, and the logs that it names, for known errors."""
        try:
            parts = [record.getMessage(), *(str(getattr(record, name, None) or "") for name in ("msg", "rule_msg"))]
            infos = getattr(record, "job_error_info", None) or []
            logs = [f for info in (vars(record), *infos) for name in ("log", "aux_logs") for f in info.get(name) or ()]
            logs += [f for f in (getattr(record, "aux", None) or {}).values() if isinstance(f, str)]
            self.print_hints("\n".join([*parts, *_tails(map(str, logs))]))
        except Exception:
            self.handleError(record)

    def print_hints(self, text: str) -> None:
        """Print the hints for `text` that were not printed before."""
        for hint in hints_for(text):
            if hint not in self._printed:
                self._printed.add(hint)
                self._write(f"hint: {hint}")


def _tails(files: Iterable[str]) -> Iterable[str]:
    for file in files:
        path = Path(file)
        if path.is_file():
            yield path.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
