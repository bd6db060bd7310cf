"""The loop of a GPU with everything but the GPU: a thread draws the next step, numbers are read one step later, and graphs are replayed."""

import contextlib
import copy
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from autobird.core.errors import AutobirdError
from autobird.model import loop, step_graphs
from autobird.model.loop import Trainer
from autobird.model.networks import build_network
from autobird.model.precision import make_deterministic
from autobird.model.settings import TrainSettings
from autobird.model.shares import StepInputs
from autobird.model.step_graphs import EAGER_STEPS, StepGraphs
from tests.unit.test_training import CPU, windows, with_crops_and_backgrounds

SETTINGS = TrainSettings(
    epochs=2, batch_size=8, threads=1, seed=3, width=4, dropout=0.0, crop_seconds=0.5, background_probability=0.5, select="best"
)  # fmt: skip


class Eager(StepGraphs):
    """Runs all steps without graphs."""

    def run(self, inputs: StepInputs) -> Tensor:
        """Compute a step."""
        return self.compute(inputs)


@pytest.fixture(autouse=True)
def _without_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Numbers of a step are on the CPU already, and the step leaves the CPU's random generator to the thread, as a step on a GPU does."""
    monkeypatch.setattr(loop, "_seed", lambda seed, device: None)
    monkeypatch.setattr(loop, "_copied_to_cpu", lambda numbers: (numbers, SimpleNamespace(synchronize=lambda: None)))
    monkeypatch.setattr(loop, "StepGraphs", Eager)
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def trainer(is_like_on_a_gpu: bool = True) -> Trainer:
    """A training of five steps in each epoch, the last one of three windows."""
    make_deterministic(1)
    torch.manual_seed(0)
    train = with_crops_and_backgrounds(windows(35))
    t = Trainer(build_network(SETTINGS, 3, -8.0, 2.0), train, windows(12, seed=1), SETTINGS, CPU)
    t._graphs = Eager(t._compute_alone, CPU.device) if is_like_on_a_gpu else None
    return t


def weights_of(t: Trainer) -> bytes:
    """The bytes of the weights that a training ends with."""
    return b"".join(v.numpy().tobytes() for v in t.run(lambda: None).values())


def test_a_thread_that_draws_ahead_and_numbers_that_are_read_later_change_no_weight_and_no_history() -> None:
    expected, found = trainer(False), trainer()
    assert weights_of(found) == weights_of(expected)
    assert found.progress.history == expected.progress.history


def test_a_checkpoint_after_any_step_resumes_to_the_same_weights_and_history() -> None:
    """Also after the last step of an epoch, when no step of it remains."""
    t, states = trainer(), []
    t.run(lambda: None, lambda: states.append(copy.deepcopy(t.state_dict())))
    whole = weights_of(trainer())
    assert [state["progress"]["step"] for state in states] == [1, 2, 3, 4, 5] * 2
    for state in states:
        resumed = trainer()
        resumed.load_state_dict(copy.deepcopy(state))
        assert weights_of(resumed) == whole
        assert resumed.progress.history == t.progress.history


def test_a_training_that_goes_back_to_a_checkpoint_forgets_unread_numbers_and_recorded_graphs() -> None:
    """Recorded graphs change the former state of the optimizer."""
    t = trainer()
    start = copy.deepcopy(t.state_dict())
    uninterrupted, graphs = trainer(), t._graphs
    whole = weights_of(uninterrupted)

    def stop() -> None:
        if t.progress.step == 2:
            raise SystemExit

    with pytest.raises(SystemExit):
        t.run(lambda: None, stop)
    assert len(t._unread) == 1
    t.load_state_dict(start)
    assert t._graphs is not graphs
    assert weights_of(t) == whole
    assert t.progress.history == uninterrupted.progress.history


def test_the_thread_has_ended_when_an_error_of_a_step_is_handled() -> None:
    """The error holds the frame of the loop, and with it what the loop has not closed."""
    t, threads = trainer(), threading.active_count()

    def stop() -> None:
        raise SystemExit

    with pytest.raises(SystemExit) as error:
        t.run(lambda: None, stop)
    assert threading.active_count() == threads
    assert error.traceback


def test_an_error_in_the_thread_is_raised_before_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    t, steps, own_inputs = trainer(), [], loop.own_inputs

    def broken(*args: object) -> StepInputs:
        if len(args[1]) == 3:  # type: ignore[arg-type]
            raise OSError("a shard was deleted")
        return own_inputs(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "own_inputs", broken)
    with pytest.raises(OSError, match="deleted"):
        t.run(lambda: None, lambda: steps.append(t.progress.step))
    assert steps == [1, 2, 3, 4]


def test_a_value_that_is_not_finite_is_reported_with_its_step_one_step_later_and_never_saved() -> None:
    t, steps = trainer(), []

    def break_weights() -> None:
        steps.append(t.progress.step)
        if t.progress.step == 2:
            with torch.no_grad():
                t.network.classifier.bias.fill_(torch.nan)  # type: ignore[operator, union-attr]
        if t.progress.step == 3:
            with pytest.raises(AutobirdError, match="epoch 1, step 3 of 5"):
                t.state_dict()

    with pytest.raises(AutobirdError, match="epoch 1, step 4 of 5"):
        t.run(lambda: None, break_weights)
    assert steps == [1, 2, 3, 4]


def test_each_shape_is_recorded_after_some_steps_and_replayed_with_the_inputs_of_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A graph that is replayed here writes to its result what the inputs that it holds add up to."""
    t, recording = trainer(), []

    class Graph:
        def replay(self) -> None:
            held, numbers = self.recorded
            numbers.copy_(held.present.sum())

    def compute(inputs: StepInputs) -> Tensor:
        numbers = inputs.present.sum()
        if recording:
            recording[-1].recorded = (inputs, numbers.zero_())
            replayed.append(recording[-1])
        else:
            eager.append(len(inputs.present))
        return numbers

    @contextlib.contextmanager
    def record(graph: Graph) -> Iterator[None]:
        recording.append(graph)
        yield
        recording.pop()

    monkeypatch.setattr(step_graphs.torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(step_graphs.torch.cuda, "graph", record)
    eager: list[int] = []
    replayed: list[Graph] = []
    graphs = StepGraphs(compute, torch.device("cpu"))
    for step in range(10):
        for windows_of_step in (8, 3):
            inputs = copy.deepcopy(t._draw(torch.arange(windows_of_step).numpy(), step).inputs)
            inputs.present.fill_(step + 1)
            assert graphs.run(inputs).item() == (step + 1) * inputs.present.numel()
    assert eager == [8, 3] * EAGER_STEPS
    assert len(replayed) == 2
