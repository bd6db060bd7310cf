"""A fake Google Batch and Cloud Logging on this machine, over gRPC, for tests; it runs the submitted jobs.

usage: python fake_batch.py PORT FOLDER [--image]

Each job gets its own /tmp/workdir, like on its own machine. Without --image, its commands run as processes of this machine,
with the environment variables of the image. With --image, they run in the image of the job with podman. FOLDER holds each
submitted Job as JSON (`<uid>.json`) and its output (`<uid>/log`). `<uid>/pid` holds the id of the job's process: killing it
simulates that Google reclaims the machine, and the task is tried again as often as the job allows. If the file
FOLDER/reject exists, CreateJob fails with the status and text in this file.
"""

import argparse
import contextlib
import datetime
import json
import os
import signal
import subprocess
import threading
import uuid
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.cloud import batch_v1
from google.cloud.logging_v2.types import ListLogEntriesRequest, ListLogEntriesResponse, LogEntry
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

State = batch_v1.JobStatus.State

_EXECUTOR = Path(__file__).resolve().parents[3] / "envs" / "executor"
"""Files that the image has in place of pip."""

_OWN_WORKDIR = 'mkdir -p /tmp/workdir && mount --bind "$0" /tmp/workdir && cd /tmp/workdir && exec "$@"'


class Cloud:
    """The state of all jobs, and the methods of the service."""

    def __init__(self, folder: Path, image: bool) -> None:
        self.folder, self.image = folder, image
        self.jobs: dict[str, batch_v1.Job] = {}
        self.lock = threading.Lock()

    def create(self, request: Any, context: Any) -> Any:
        """CreateJob: store the job and start it."""
        job, name = request.job, f"{request.parent}/jobs/{request.job_id}"
        if not request.job_id or len(request.job_id) > 63:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"job_id {request.job_id!r}")
        if name in self.jobs:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, name)
        job.name, job.uid = name, f"{request.job_id}-{uuid.uuid4().hex[:12]}"
        message = json.dumps(json.loads(batch_v1.Job.to_json(job)), indent=1)
        (self.folder / f"{job.uid}.json").write_text(message)
        reject = self.folder / "reject"
        if reject.exists():
            code, _, text = reject.read_text().partition(" ")
            context.abort(getattr(grpc.StatusCode, code), text)
        with self.lock:
            self.jobs[name] = job
            self._event(job, State.QUEUED, "created")
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job

    def get(self, request: Any, context: Any) -> Any:
        """GetJob."""
        return self.jobs.get(request.name) or context.abort(grpc.StatusCode.NOT_FOUND, request.name)

    def list_jobs(self, request: Any, _context: Any) -> Any:
        """ListJobs."""
        return batch_v1.ListJobsResponse(jobs=[j for n, j in self.jobs.items() if n.startswith(request.parent)])

    def delete(self, request: Any, context: Any) -> Any:
        """DeleteJob: kill the process of the job."""
        with self.lock:
            job = self.jobs.pop(request.name, None)
        if job is None:
            context.abort(grpc.StatusCode.NOT_FOUND, request.name)
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self.folder / job.uid / "pid").read_text()), signal.SIGKILL)
        with (self.folder / "deleted").open("a") as file:
            file.write(job.uid + "\n")
        operation = operations_pb2.Operation(name=request.name.replace("/jobs/", "/operations/"), done=True)
        operation.response.Pack(empty_pb2.Empty())
        operation.metadata.Pack(batch_v1.OperationMetadata.pb(batch_v1.OperationMetadata(target=request.name)))
        return operation

    def logs(self, request: Any, _context: Any) -> Any:
        """ListLogEntries of one job."""
        uid = request.filter.split("labels.job_uid=")[1].split()[0]
        file = self.folder / uid / "log"
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        return ListLogEntriesResponse(
            entries=[LogEntry(log_name="projects/p/logs/batch_task_logs", text_payload=line) for line in lines]
        )

    def _event(self, job: batch_v1.Job, state: Any, text: str) -> None:
        old, job.status.state = job.status.state, state
        event = batch_v1.StatusEvent()
        event.type_ = "STATUS_CHANGED"
        event.description = f"Job state is set from {State(old).name} to {State(state).name}: {text}"
        event.event_time = datetime.datetime.now(datetime.UTC)
        job.status.status_events.append(event)

    def _run(self, job: batch_v1.Job) -> None:
        folder = self.folder / job.uid
        folder.mkdir()
        task = job.task_groups[0].task_spec
        with self.lock:
            self._event(job, State.SCHEDULED, "machine found")
            self._event(job, State.RUNNING, "machine started")
        code = 0
        with (folder / "log").open("ab") as log:
            for attempt in range(task.max_retry_count + 1):
                code = self._task(job, folder, attempt, log)
                taken = code == -signal.SIGKILL
                log.write(f"attempt {attempt}: exit code {50001 if taken else code}\n".encode())
                log.flush()
                if code == 0 or job.name not in self.jobs:
                    break
        with self.lock:
            if job.name in self.jobs:
                self._event(job, State.FAILED if code else State.SUCCEEDED, f"exit code {code}")

    def _task(self, job: batch_v1.Job, folder: Path, attempt: int, log: Any) -> int:
        workdir = folder / f"workdir{attempt}"
        workdir.mkdir()
        for number, runnable in enumerate(job.task_groups[0].task_spec.runnables):
            kind = runnable._pb.WhichOneof("executable")
            if kind == "barrier":
                continue
            env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FAKE_BATCH")}
            env |= dict(runnable.environment.variables)
            env |= {"BATCH_TASK_RETRY_ATTEMPT": str(attempt), "BATCH_JOB_UID": job.uid, "BATCH_TASK_INDEX": "0"}
            if kind == "script":
                script = folder / f"runnable{number}.sh"
                script.write_text(runnable.script.text)
                command = ["/bin/bash", str(script)]
            else:
                env["PYTHONPATH"] = str(_EXECUTOR)
                env["PATH"] = f"{_EXECUTOR}/bin:{env['PATH']}"
                script = [runnable.container.entrypoint, *runnable.container.commands]
                command = ["env", f"BASH_ENV={_EXECUTOR / 'errexit'}", *script]
            if kind == "container" and runnable.container.image_uri.endswith(":missing"):
                command = [
                    "sh",
                    "-c",
                    f"echo Error response from daemon: manifest for {runnable.container.image_uri} not found; exit 125",
                ]
            elif kind == "container" and self.image:
                names = ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT", "BATCH_TASK_RETRY_ATTEMPT")
                passed = {n: env[n] for n in (*names, *dict(runnable.environment.variables)) if n in env}
                command = self._in_image(job, runnable.container, workdir, passed)
            else:
                # A separate process namespace, in which all processes end with the first, and a separate /tmp/workdir.
                command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                           "/bin/bash", "-c", _OWN_WORKDIR, str(workdir), *command]  # fmt: skip
            process = subprocess.Popen(
                command, env=env, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
            (folder / "pid").write_text(str(process.pid))
            if code := process.wait():
                return code
        return 0

    @staticmethod
    def _in_image(job: batch_v1.Job, container: Any, workdir: Path, env: dict[str, str]) -> list[str]:
        return [
            "podman", "run", "--rm", "--name", job.uid, *container.options.split(), "-v", f"{workdir}:/tmp/workdir",
            *(word for name, value in env.items() for word in ("-e", f"{name}={value}")),
            "--entrypoint", container.entrypoint, container.image_uri, *container.commands,
        ]  # fmt: skip


def main() -> None:
    """Run the server until the process is killed."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("port", type=int)
    p.add_argument("folder", type=Path)
    p.add_argument("--image", action="store_true")
    args = p.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    cloud = Cloud(args.folder.resolve(), args.image)

    def handler(function: Any, request: Any, serializer: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            function, request_deserializer=request.deserialize, response_serializer=serializer
        )

    job = batch_v1.Job.serialize
    services = {
        "google.cloud.batch.v1.BatchService": {
            "CreateJob": handler(cloud.create, batch_v1.CreateJobRequest, job),
            "GetJob": handler(cloud.get, batch_v1.GetJobRequest, job),
            "ListJobs": handler(cloud.list_jobs, batch_v1.ListJobsRequest, batch_v1.ListJobsResponse.serialize),
            "DeleteJob": handler(cloud.delete, batch_v1.DeleteJobRequest, operations_pb2.Operation.SerializeToString),
        },
        "google.logging.v2.LoggingServiceV2": {
            "ListLogEntries": handler(cloud.logs, ListLogEntriesRequest, ListLogEntriesResponse.serialize)
        },
    }
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers(tuple(grpc.method_handlers_generic_handler(n, m) for n, m in services.items()))
    server.add_insecure_port(f"127.0.0.1:{args.port}")
    server.start()
    print(f"fake Google Batch on port {args.port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
