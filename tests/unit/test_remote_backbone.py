"""The backbone as compute processes see it: blocks that are sent again, and faults of the embedding process."""

import sys
import threading
from multiprocessing import current_process
from multiprocessing.connection import Listener
from pathlib import Path

import numpy as np
import pytest

from autobird.backbone.base import BackboneInfo
from autobird.serving.compute.embedding_process import Fault, Hello
from autobird.serving.compute.messages import EmbeddingAddress
from autobird.serving.compute.remote_backbone import EmbeddingLost, RemoteBackbone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tests listen at a socket in a folder")

INFO = BackboneInfo(name="b", sha256="0" * 64, sample_rate=4, window=1.0, width=2)


class Server(threading.Thread):
    """An embedding process that answers each block with the next of some answers, or (None) closes the connection."""

    def __init__(self, folder: Path, *answers: object) -> None:
        super().__init__(daemon=True)
        self.address = EmbeddingAddress(str(folder / "socket"))
        self._listener = Listener(self.address.address, authkey=bytes(current_process().authkey))
        self._answers = list(answers)
        self.start()

    def run(self) -> None:
        while True:
            with self._listener.accept() as pipe:
                assert pipe.recv() is False
                pipe.send(Hello(INFO, 10, 4))
                while self._answers:
                    try:
                        pipe.recv_bytes()
                    except EOFError:
                        break
                    if (answer := self._answers.pop(0)) is None:
                        break
                    pipe.send(answer)


def test_a_block_is_sent_once_more_and_not_twice(tmp_path: Path) -> None:
    found = np.ones((4, 2), np.float32)
    remote = RemoteBackbone(Server(tmp_path, None, found, None, None).address)
    np.testing.assert_array_equal(remote.embed(np.zeros((4, 4), np.float32)), found)
    assert (remote.info, remote.block, remote.windows) == (INFO, 4, 4)
    with pytest.raises(EmbeddingLost, match="ended twice"):
        remote.embed(np.zeros((4, 4), np.float32))


def test_faults_of_the_backbone_arrive_in_the_compute_process(tmp_path: Path) -> None:
    remote = RemoteBackbone(Server(tmp_path, Fault("ValueError: x", False), Fault("", True)).address)
    with pytest.raises(RuntimeError, match="ValueError: x"):
        remote.embed(np.zeros((1, 4), np.float32))
    with pytest.raises(MemoryError):
        remote.embed(np.zeros((1, 4), np.float32))
    assert remote.embed(np.zeros((0, 4), np.float32)).shape == (0, 2)
