"""Training on a GPU: windows on the device and CUDA graphs change nothing, and a training can be resumed. `make test-gpu`"""

import copy
import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log, Magnitude
from autobird.core.errors import AutobirdError
from autobird.dataset.label_sets import LabelSets
from autobird.model import loop
from autobird.model.data import WindowDataset
from autobird.model.loop import Trainer
from autobird.model.networks import build_network
from autobird.model.precision import Compute, make_deterministic, select_precision
from autobird.model.settings import TrainSettings
from autobird.model.step_graphs import StepGraphs
from autobird.model.validation import predict_logits

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")]

SPECIES, MELS, FRAMES = 5, 64, 157
PLAIN = {"background_probability": 0, "mix_probability": 0, "crop_seconds": 0, "equaliser_db": 0, "gain_db": 0}
NETWORKS = {"resnet": {}, "cnn_transformer": {"architecture": "cnn_transformer"}}


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    make_deterministic(1)
    yield
    torch.use_deterministic_algorithms(False)


def windows(n: int, seed: int = 0, scaling: AmplitudeScaling | None = None) -> WindowDataset:
    """Noise in two shards, in which each species makes bands of its own louder."""
    rng = np.random.default_rng(seed)
    label = np.arange(n) % SPECIES
    frames = rng.normal(-8, 2, (n, FRAMES, MELS))
    for species in range(SPECIES):
        frames[label == species, :, 10 * species : 10 * species + 6] += 3
    if isinstance(scaling, Magnitude):
        frames = np.exp(frames / 4)
    half = n // 2
    shards = [part.reshape(-1, MELS).astype(np.float16) for part in (frames[:half], frames[half:])]
    shard = (np.arange(n) >= half).astype(np.int64)
    labels = LabelSets(np.eye(SPECIES, dtype=bool)[label], np.ones((n, SPECIES), bool))
    room = np.zeros((n, 2), np.int64)
    room[1 : half - 1] = 20
    first = (np.arange(n) - shard * half) * FRAMES
    return WindowDataset(shards, shard, first, labels, np.arange(n), FRAMES, scaling or Log(), room=room)


def trainer(seed: int = 1, scaling: AmplitudeScaling | None = None, n: int = 75, **changes: object) -> Trainer:
    """A training with partial batches, crops and backgrounds, at its start."""
    settings = TrainSettings.model_validate(
        {"epochs": 3, "batch_size": 16, "threads": 1, "seed": seed, "crop_seconds": 0.5, "background_probability": 0.5} | changes
    )  # fmt: skip
    torch.manual_seed(seed)
    network = build_network(settings, SPECIES, -8.0, 2.5)
    data = dataclasses.replace(windows(n, 0, scaling), backgrounds=windows(10, 5, scaling))
    return Trainer(network, data, windows(20, 1, scaling), settings, select_precision(settings))


def weights_of(t: Trainer) -> bytes:
    """The bytes of the weights that a training ends with."""
    return b"".join(v.contiguous().numpy().tobytes() for v in t.run(lambda: None).values())


@pytest.mark.parametrize("scaling", [None, Magnitude(1.0)], ids=["log", "magnitude"])
@pytest.mark.parametrize("network", NETWORKS)
def test_graphs_give_the_weights_of_single_kernels(
    network: str, scaling: AmplitudeScaling | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_graphs = trainer(scaling=scaling, epochs=5, **NETWORKS[network])
    found = weights_of(with_graphs)
    assert with_graphs._graphs is not None
    assert (
        len(with_graphs._graphs._recorded) == 2
    )  # of whole batches and of the last one, which runs without a graph in three epochs
    monkeypatch.setattr(StepGraphs, "run", lambda self, inputs: self.compute(inputs.on(self.device)))
    without = trainer(scaling=scaling, epochs=5, **NETWORKS[network])
    assert weights_of(without) == found
    assert without.progress.history == with_graphs.progress.history


def test_windows_on_the_gpu_give_the_weights_of_windows_from_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = trainer(epochs=5)
    assert resident.train.resident is not None
    assert resident.train.resident.frames.is_cuda
    found = weights_of(resident)
    monkeypatch.setattr(loop, "resident", lambda w, _: w)
    read = trainer(epochs=5)
    assert read.train.resident is None
    assert weights_of(read) == found
    assert read._graphs is not None
    assert len(read._graphs._recorded) == 2


@pytest.mark.parametrize("network", NETWORKS)
def test_a_resumed_training_ends_with_the_same_weights(network: str) -> None:
    whole = weights_of(trainer(**NETWORKS[network]))
    first, states = trainer(**NETWORKS[network]), []

    def stop() -> None:
        if first.progress.epoch == 1 and first.progress.step == 2:
            states.append(copy.deepcopy(first.state_dict()))

    assert weights_of_with(first, stop) == whole
    resumed = trainer(**NETWORKS[network])
    resumed.load_state_dict({k: on_cpu(v) for k, v in states[0].items()})
    assert weights_of(resumed) == whole
    assert resumed.progress.history == first.progress.history


def test_a_training_that_has_recorded_graphs_can_go_back_to_a_checkpoint() -> None:
    t = trainer()
    start = copy.deepcopy(t.state_dict())
    first = weights_of(t)
    t.load_state_dict(start)
    assert weights_of(t) == first


def weights_of_with(t: Trainer, after_step: object) -> bytes:
    """`weights_of`, with a function that is called after each step."""
    return b"".join(v.contiguous().numpy().tobytes() for v in t.run(lambda: None, after_step).values())  # type: ignore[arg-type]


def on_cpu(value: object) -> object:
    """A part of a checkpoint as it is read: on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {k: on_cpu(v) for k, v in value.items()}
    return [on_cpu(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("network", NETWORKS)
def test_the_gpu_trains_like_the_cpu(network: str) -> None:
    """In float32, the losses of an epoch and the logits agree; dropout draws other numbers."""
    settings = {"epochs": 2, "precision": "float32", "dropout": 0.0, **NETWORKS[network]}
    gpu, cpu = (trainer(device=device, **settings) for device in ("cuda", "cpu"))
    for t in (gpu, cpu):
        t.run(lambda: None)
    for a, b in zip(gpu.progress.history, cpu.progress.history, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=0.02)
    data = windows(40, 2)
    a, b = (predict_logits(t.ema_network, data, t.compute) for t in (gpu, cpu))
    assert np.abs(a - b).max() < 0.15 * np.abs(b).max()


@pytest.mark.parametrize("precision", ["auto", "float32", "float16", "bfloat16"])
def test_all_number_formats_learn(precision: str) -> None:
    t = trainer(epochs=12, precision=precision, centre_bands=False, **PLAIN)
    t.run(lambda: None)
    assert t.compute.device.type == "cuda"
    losses = [epoch["train_loss"] for epoch in t.progress.history]
    assert losses[-1] < 0.6 * losses[0]


def test_a_value_that_is_not_finite_stops_the_training_with_the_step_that_it_is_of() -> None:
    t = trainer(epochs=4)
    steps = 0

    def break_weights() -> None:
        nonlocal steps
        steps += 1
        if steps == 7:  # the second step of the second epoch, of five steps each
            with torch.no_grad():
                t.network.classifier.bias.fill_(float("nan"))  # type: ignore[operator, union-attr]

    with pytest.raises(AutobirdError, match=r"epoch 2, step 3 of 5, in torch.bfloat16"):
        t.run(lambda: None, break_weights)


def test_the_last_step_is_checked_before_a_checkpoint() -> None:
    t = trainer(epochs=4)

    def break_weights_and_save() -> None:
        if t.progress.epoch == 1 and t.progress.step == 3:
            with torch.no_grad():
                t.network.classifier.bias.fill_(float("nan"))  # type: ignore[operator, union-attr]
            t._step(np.arange(16))
            with pytest.raises(AutobirdError, match="NaN or infinity"):
                t.state_dict()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        t.run(lambda: None, break_weights_and_save)


def test_too_many_windows_for_the_gpu_are_read_from_the_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (1000, 1000))
    t = trainer()
    assert t.train.resident is None
    assert t.compute == Compute(torch.device("cuda"), torch.bfloat16)
