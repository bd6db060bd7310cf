"""The embedding process: shared by compute processes, jobs and bundles, and replaced when it ends."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.predict.bundle import bundle_manifest
from autobird.serving.compute import embeddings as embeddings_module
from autobird.serving.compute.embeddings import Embedding, Embeddings
from autobird.serving.compute.pool import InlinePool, PoolOptions, ProcessPool
from autobird.serving.compute.requests import ClientGone, Task, TaskAnswer, TaskProblem
from autobird.serving.jobs.compute import JobProcess
from tests.heads import make_backbone, make_head_bundle
from tests.unit.test_pool import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tests stop processes with signals")


@pytest.fixture(scope="module")
def song() -> bytes:
    """7 s: windows of the backbone start at each second, so 7 are computed."""
    file = BytesIO()
    soundfile.write(file, 0.1 * np.random.default_rng(0).standard_normal(7 * 16000), 16000, format="FLAC")
    return file.getvalue()


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    return tmp_path / "backbone.onnx"


@pytest.fixture
def bundle(tmp_path: Path, backbone: Path) -> Path:
    return make_head_bundle(tmp_path / "bundle", make_backbone(backbone), backbone)


@contextmanager
def running(bundle: Path, backbone: Path, processes: int = 1, **options: Any) -> Iterator[ProcessPool]:
    pool = ProcessPool(bundle, PoolOptions(processes, backbone=str(backbone), threads=2, **options))
    try:
        pool.wait_until_ready()
        wait_until(lambda: pool.state().processes == processes)
        yield pool
    finally:
        for embedding in pool._embeddings._found.values():
            if embedding.pid:
                os.kill(embedding.pid, signal.SIGCONT)
        pool.close(0)


def embedding_of(pool: ProcessPool) -> Embedding:
    found = pool._group.current.embedding
    assert found
    return found


@contextmanager
def stopped(pool: ProcessPool, task: Task) -> Iterator[Future[TaskAnswer | TaskProblem]]:
    """Submit a task whose windows wait in the embedding process, which is stopped; it goes on afterwards, if it lives."""
    pid = embedding_of(pool).pid
    os.kill(pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(pool.submit, task)
        wait_until(lambda: pool.state().running)
        yield answer
        if embedding_of(pool).pid == pid:
            os.kill(pid, signal.SIGCONT)


def test_one_process_computes_the_backbone_for_all_and_the_answers_are_those_of_one_process(
    bundle: Path, backbone: Path, song: bytes
) -> None:
    expected = InlinePool(bundle, str(backbone)).submit(Task(song))
    assert isinstance(expected, TaskAnswer)
    with running(bundle, backbone, 3) as pool:
        state = pool.state().embedding
        assert state
        assert (state.backbone, state.ready, state.threads, state.replaced) == ("tiny-backbone", True, 2, 0)
        before = state.windows
        with ThreadPoolExecutor(3) as threads:
            answers = list(threads.map(pool.submit, [Task(song)] * 6))
        for answer in answers:
            assert isinstance(answer, TaskAnswer)
            assert answer.body["windows"] == expected.body["windows"]
            assert answer.features == expected.features
        state = pool.state().embedding
        assert state
        assert state.windows == before + 6 * 7
        assert state.waiting_windows == 0
        assert 0 < state.window_seconds < 10
        # A compute process that is started later needs no file: it loads no backbone.
        backbone.unlink()
        pid = pool._group.current.idle[0].pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pool.state().replaced == 1 and pool.state().processes == 3)
        assert isinstance(pool.submit(Task(song)), TaskAnswer)


def test_jobs_and_a_shadow_bundle_with_the_same_backbone_share_the_process(
    bundle: Path, backbone: Path, song: bytes, tmp_path: Path
) -> None:
    shutil.copytree(bundle, tmp_path / "shadow")
    with running(bundle, backbone, shadow=tmp_path / "shadow") as pool:
        backbone.unlink()
        job = JobProcess(bundle, str(backbone), pool._embeddings)
        assert isinstance(job.submit(Task(song)), TaskAnswer)
        assert list(pool._embeddings._found.values()) == [embedding_of(pool)]
        assert embedding_of(pool).users == 3
        job.idle()
        assert embedding_of(pool).users == 2


def test_a_killed_embedding_process_is_replaced_and_its_windows_are_computed_again(
    bundle: Path, backbone: Path, song: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with running(bundle, backbone) as pool:
        first = pool.submit(Task(song))
        embedding = embedding_of(pool)
        pid, compute = embedding.pid, pool._group.current.idle[0].pid
        with stopped(pool, Task(song)) as answer:
            os.kill(pid, signal.SIGKILL)
            second = answer.result(60)
        assert isinstance(first, TaskAnswer)
        assert isinstance(second, TaskAnswer)
        assert second.body["windows"] == first.body["windows"]
        wait_until(lambda: pool.state().ready)
        assert embedding.pid != pid
        assert pool._group.current.idle[0].pid == compute
        state = pool.state().embedding
        assert state
        assert (state.replaced, state.windows >= 14) == (1, True)
        assert "the embedding process was killed by SIGKILL; it is replaced" in caplog.text


def test_the_pool_is_not_ready_without_the_embedding_process(bundle: Path, backbone: Path, song: bytes) -> None:
    with running(bundle, backbone) as pool:
        backbone.rename(backbone.with_suffix(".away"))
        os.kill(embedding_of(pool).pid, signal.SIGKILL)
        wait_until(lambda: "is not there or cannot be read" in embedding_of(pool).error)
        assert not pool.state().ready
        assert pool.state().processes == 1
        backbone.with_suffix(".away").rename(backbone)
        wait_until(lambda: pool.state().ready)
        assert isinstance(pool.submit(Task(song)), TaskAnswer)


def test_a_process_that_computes_nothing_is_replaced(
    bundle: Path, backbone: Path, song: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(bundle, backbone) as pool:
        embedding = embedding_of(pool)
        pid = embedding.pid
        monkeypatch.setattr(embeddings_module, "_STALLED_SECONDS", 0.0)
        with stopped(pool, Task(song)) as answer:
            embedding.counts[2] = 7.0  # windows that it received before it was stopped
            assert isinstance(answer.result(60), TaskAnswer)
        assert embedding.pid != pid


def test_a_compute_process_that_is_killed_leaves_no_windows(bundle: Path, backbone: Path, song: bytes) -> None:
    with running(bundle, backbone, seconds=3600) as pool:
        windows = embedding_of(pool).state().windows
        with stopped(pool, Task(song)) as answer:
            (process,) = pool._group.current.busy
            os.kill(process.pid, signal.SIGKILL)
            wait_until(lambda: pool.state().replaced == 1)
        assert isinstance(answer.result(60), TaskAnswer)  # computed once more, in another process
        state = embedding_of(pool).state()
        assert state.replaced == state.waiting_windows == 0
        # The example clip in the new process, and the recording; the windows that the killed process had sent are dropped.
        assert state.windows - windows == 6 + 7


def test_a_compute_process_stops_waiting_for_windows_when_its_client_has_gone(
    bundle: Path, backbone: Path, song: bytes
) -> None:
    with running(bundle, backbone) as pool:
        pid = pool._group.current.idle[0].pid
        os.kill(embedding_of(pool).pid, signal.SIGSTOP)
        with pytest.raises(ClientGone):
            pool.submit(Task(song), lambda: pool.state().running > 0)
        assert pool._group.current.idle[0].pid == pid
        os.kill(embedding_of(pool).pid, signal.SIGCONT)
        assert isinstance(pool.submit(Task(song)), TaskAnswer)


def changed(bundle: Path, **values: Any) -> None:
    """Change the description of a bundle."""
    text = (bundle / "bundle.json").read_text()
    for before, after in values.items():
        text = text.replace(before, after)
    (bundle / "bundle.json").write_text(text)
    write_json(bundle / "manifest.json", bundle_manifest(bundle))


def test_a_changed_bundle_with_the_same_backbone_keeps_the_process_and_one_with_another_gets_its_own(
    bundle: Path, backbone: Path, song: bytes, tmp_path: Path
) -> None:
    with running(bundle, backbone) as pool:
        first = embedding_of(pool)
        pid = first.pid
        changed(bundle, **{"0123456789abcdef": "1" * 16})
        wait_until(lambda: pool.bundle().fingerprint == "1" * 16)
        assert embedding_of(pool) is first
        assert first.pid == pid
        wait_until(lambda: first.users == 1)

        windows = pool._embeddings.totals()[0]
        info = make_backbone(backbone, seed=1)  # the path is the same, as with --backbone
        make_head_bundle(tmp_path / "new", info, backbone)
        changed(tmp_path / "new", **{"0123456789abcdef": "2" * 16})
        shutil.copytree(tmp_path / "new", bundle, dirs_exist_ok=True)
        wait_until(lambda: pool.bundle().fingerprint == "2" * 16)
        assert embedding_of(pool) is not first
        assert isinstance(pool.submit(Task(song)), TaskAnswer)
        wait_until(lambda: list(pool._embeddings._found.values()) == [embedding_of(pool)])
        wait_until(lambda: first.pid == 0)
        state = pool.state().embedding
        assert state
        assert state.windows > windows

        changed(bundle, **{info.sha256: "0" * 64, "2" * 16: "3" * 16})
        wait_until(lambda: pool.state().swap_error)
        assert f"was made with {'0' * 64}" in pool.state().swap_error
        assert pool.bundle().fingerprint == "2" * 16
        assert pool.state().ready


def test_a_missing_or_another_backbone_is_reported_at_the_start(bundle: Path, tmp_path: Path) -> None:
    make_backbone(tmp_path / "other.onnx", seed=3)
    for name, message in (("missing.onnx", "is not there or cannot be read"), ("other.onnx", "was made with")):
        pool = ProcessPool(bundle, PoolOptions(1, backbone=str(tmp_path / name)))
        with pytest.raises(AutobirdError, match=message) as error:
            pool.wait_until_ready()
        assert str(tmp_path / name) in str(error.value)


def test_bundles_without_a_backbone_have_no_embedding_process(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text('{"backbone": null}')
    assert Embeddings().lease(tmp_path, tmp_path) is None
    (tmp_path / "bundle.json").write_text("damaged")
    assert Embeddings().lease(tmp_path, tmp_path) is None
