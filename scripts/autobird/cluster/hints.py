"""What to do about the errors of Slurm, Google Cloud and disks, which say what they met and not what would help."""

import logging
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

HINTS: tuple[tuple[str, str], ...] = (
    (
        r"Invalid account or account/partition combination|given account .* appears to be invalid",
        "Slurm does not know that account, or not for that partition: set SBATCH_ACCOUNT "
        "(`sacctmgr show assoc user=$USER format=account,partition,qos` lists yours)",
    ),
    (
        r"[Ii]nvalid partition",
        "there is no such partition: set SBATCH_PARTITION (`sinfo -o '%R %l %G'` lists them), or name a file of partitions "
        "in SNAKEMAKE_SLURM_PARTITIONS",
    ),
    (r"[Ii]nvalid qos", "Slurm does not grant you that QOS: set SBATCH_QOS, or unset it"),
    (
        r"QOS\w*(Limit|Max|Grp)|AssocGrp|AssocMax|Job violates accounting/QOS policy",
        "your account's or QOS's quota does not allow it: wait for other jobs, ask for another SBATCH_QOS, or lower what the "
        "rule asks for (`--set-resources RULE:mem_mb=...`, `--jobs`)",
    ),
    (
        r"Requested node configuration is not available|[Mm]emory specification can ?not be satisfied|More processors requested",
        "no node of that partition has so much: choose another partition, or lower what the rule asks for "
        "(`--set-resources RULE:mem_mb=... RULE:gpu=0`, `--set-threads RULE=...`; without GPUs, train: {device: cpu})",
    ),
    (
        r"Requested time limit is invalid|time limit exceeds",
        "lower the run time (`--set-resources RULE:runtime=MINUTES`)",
    ),
    (
        r"Unable to contact slurm controller|slurm_load_\w+ error",
        "Slurm's controller does not answer: run on a login node of the cluster, or wait until it is back",
    ),
    (
        r"[Rr]ewound credential|[Ee]xpired credential|Zero Bytes were transmitted|Protocol authentication error|"
        r"[Ii]nvalid_grant|Token used too (early|late)|must be a short-lived token|RequestTimeTooSkewed",
        "the clocks of two machines differ: set this one's (`timedatectl set-ntp true`), or tell the administrators which node it was",
    ),
    (
        r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]|ENOSPC",
        "a disk is full: free space or raise the quota where the message says, or put `results` (a link will do) or TMPDIR "
        "on a larger disk; then run the same command again",
    ),
    (
        r"\[Errno 30\]|[Rr]ead-only file system",
        "a file system is read-only there: put `results` (a link will do) on one that all nodes may write to",
    ),
    (
        r"DUE TO TIME LIMIT|maxRunDuration|max_run_duration",
        "the job took longer than its rule asks for: it is tried again with more; or give it more "
        "(`--set-resources RULE:runtime=MINUTES`)",
    ),
    (
        r"oom-kill|OUT_OF_MEMORY|Out Of Memory|exit code 137|Killed process|exceeded memory limit",
        "the job needed more memory than its rule asks for: it is tried again with more; or give it more "
        "(`--set-resources RULE:mem_mb=...`)",
    ),
    (
        r"storage\.(objects|buckets)\.\w+.*(denied|does not have)|does not have storage\.",
        "your account may not use the bucket: `gcloud storage buckets add-iam-policy-binding gs://BUCKET --member=user:YOU "
        "--role=roles/storage.objectAdmin` (for jobs, the same for their service account)",
    ),
    (
        r"[Ss]pecified bucket does not exist|NotFound: .*storage/v1/b/",
        "there is no such bucket: `gcloud storage buckets create gs://$AUTOBIRD_BUCKET --location=$GOOGLE_CLOUD_REGION`",
    ),
    (
        r"batch\.\w+\.\w+.*denied|Batch API has not been used|SERVICE_DISABLED",
        "Google Batch is not open to you: `gcloud services enable batch.googleapis.com compute.googleapis.com "
        "logging.googleapis.com`, and roles/batch.jobsEditor with roles/iam.serviceAccountUser",
    ),
    (
        r"RESOURCE_EXHAUSTED|ResourceExhausted|QUOTA_EXCEEDED|[Qq]uota .*exceeded|ZONE_RESOURCE_POOL_EXHAUSTED",
        "Google Cloud's quota, or its stock of that machine, is used up: fewer jobs (`-j`), another GOOGLE_CLOUD_REGION, or ask "
        "for more (IAM & Admin, Quotas: `NVIDIA L4 GPUs`, `Preemptible NVIDIA L4 GPUs`, `CPUs`)",
    ),
    (
        r"manifest (for .* )?(not found|unknown)|[Ii]mage .*not found|Unable to find image|pull access denied|failed to pull",
        "the image that jobs run in cannot be pulled: build and push it (docs/google.md), set AUTOBIRD_IMAGE to its full name, "
        "and let the jobs' service account read the registry (roles/artifactregistry.reader)",
    ),
    (
        r"could not automatically determine credentials|DefaultCredentialsError|default credentials were not found",
        "Google Cloud does not know who you are: `gcloud auth application-default login`",
    ),
)
"""What errors say (regular expressions), and what to do."""

_TAIL = 20_000
"""Characters of a log's end that are searched."""


def hints_for(text: str) -> list[str]:
    """What to do about the errors that `text` speaks of."""
    return [remedy for pattern, remedy in HINTS if re.search(pattern, text)]


class Hints(logging.Handler):
    """Prints a hint, once, for each known error that Snakemake logs or that the logs of a failed job hold."""

    def __init__(self, say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)) -> None:
        super().__init__(logging.ERROR)
        self._say = say
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one record of Snakemake's."""
        try:
            parts = [record.getMessage(), *(str(getattr(record, name, None) or "") for name in ("msg", "rule_msg"))]
            infos = getattr(record, "job_error_info", None) or []
            logs = [f for info in (vars(record), *infos) for name in ("log", "aux_logs") for f in info.get(name) or ()]
            logs += [f for f in (getattr(record, "aux", None) or {}).values() if isinstance(f, str)]
            self.explain("\n".join([*parts, *_tails(map(str, logs))]))
        except Exception:
            self.handleError(record)

    def explain(self, text: str) -> None:
        """Print the hints for `text` that were not printed before."""
        for hint in hints_for(text):
            if hint not in self._said:
                self._said.add(hint)
                self._say(f"hint: {hint}")


def _tails(files: Iterable[str]) -> Iterable[str]:
    for file in files:
        path = Path(file)
        if path.is_file():
            yield path.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
