"""Windows in the memory of a device: the same values as from the shards, also cropped and with backgrounds."""

import dataclasses

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autobird.audio.amplitude_scaling import AmplitudeScaling, Log, Magnitude, Pcen
from autobird.audio.settings import MelSettings
from autobird.dataset.label_sets import LabelSets
from autobird.model.data import WindowDataset
from autobird.model.resident_windows import copied, resident, used_frames
from autobird.model.settings import TrainSettings
from autobird.model.shares import augmented, own_inputs

CPU = torch.device("cpu")
FRAMES, MELS, SPECIES = 20, 8, 3


def windows(shard: list[int], first: list[int], room: NDArray[np.int64] | None = None, seed: int = 0) -> WindowDataset:
    """Windows of noise in three shards of 200 frames."""
    shards = np.random.default_rng(seed).uniform(0.1, 3, (3, 200, MELS)).astype(np.float16)
    n = len(first)
    labels = LabelSets(np.eye(SPECIES, dtype=bool)[np.arange(n) % SPECIES], np.ones((n, SPECIES), bool))
    return WindowDataset(list(shards), np.array(shard), np.array(first), labels, np.arange(n), FRAMES, Log(), room=room)


def on_device(data: WindowDataset) -> WindowDataset:
    """The windows as on a GPU."""
    used, first = used_frames(data)
    backgrounds = on_device(data.backgrounds) if data.backgrounds else None
    return dataclasses.replace(data, resident=copied(data, used, first, CPU), backgrounds=backgrounds)


def test_overlapping_windows_share_their_frames_and_frames_outside_of_windows_are_left_out() -> None:
    data = windows([2, 0, 0, 2], [100, 0, 10, 180])
    used, first = used_frames(data)
    assert [len(rows) for rows in used] == [30, 0, 40]
    assert first.tolist() == [30, 0, 10, 50]
    copy = on_device(data)
    assert copy.resident is not None
    assert copy.resident.frames.shape == (70, MELS)
    rows = np.array([3, 0, 1, 2, 2])
    assert torch.equal(copy.take(rows), data.take(rows))


def test_shifted_windows_stay_within_the_copied_frames() -> None:
    room = np.array([[5, 0], [0, 7], [3, 3]])
    data = windows([0, 1, 1], [5, 100, 130], room)
    copy = on_device(data)
    for shift in (-room[:, 0], room[:, 1]):
        assert torch.equal(copy.take(np.arange(3), shift), data.take(np.arange(3), shift))


def test_on_the_cpu_windows_are_read_from_the_shards() -> None:
    data = windows([0], [0])
    assert resident([data], CPU)[0] is data


def test_all_windows_together_take_at_most_half_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training windows come first, then their backgrounds, then the validation; what does not fit any more is read from the shards."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (free, 10**6))
    size = FRAMES * MELS * 2
    train = dataclasses.replace(windows([0, 1], [0, 50]), backgrounds=windows([2], [0]))
    validation = windows([2, 2], [30, 90])
    for share, expected in (
        (1.9, (False, True, False)),
        (2, (True, False, False)),
        (3.9, (True, True, False)),
        (5, (True, True, True)),
    ):
        free = int(2 * share * size)
        a, b = resident([train, validation], torch.device("meta"))
        assert a.backgrounds is not None
        found = tuple(each.resident is not None for each in (a, a.backgrounds, b))
        assert found == expected, share


def test_frames_are_copied_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autobird.model.resident_windows._FRAMES_PER_COPY", 7)
    data = windows([2, 0, 0, 2], [100, 0, 10, 180])
    assert torch.equal(on_device(data).take(np.arange(4)), data.take(np.arange(4)))


def test_each_block_of_frames_is_requested_from_the_file_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = []
    monkeypatch.setattr(
        "autobird.model.resident_windows.request_rows",
        lambda shard, first, count: requested.append((first.tolist(), count)),
    )
    on_device(windows([0, 0, 0], [0, 10, 100]))
    assert requested == [([0], 30), ([100], 20)]


@pytest.mark.parametrize(
    "scaling", [Log(), Magnitude(1.0), Pcen(MelSettings(front_end="pcen"))], ids=["log", "magnitude", "pcen"]
)
def test_a_step_with_crops_and_backgrounds_is_that_of_windows_from_shards(scaling: AmplitudeScaling) -> None:
    """If a background is read for each window, those keep it to which one is added."""
    settings = TrainSettings(crop_seconds=0.5, background_probability=0.5, mask_bands=2, mask_frames=4)
    room = np.array([[5, 5]] * 8)
    data = windows([0] * 4 + [1] * 4, [10, 40, 70, 100] * 2, room)
    data = dataclasses.replace(
        data, scaling=scaling, backgrounds=dataclasses.replace(windows([2] * 3, [0, 50, 90], seed=1), scaling=scaling)
    )
    rows = np.arange(8)
    found = []
    for each in (data, on_device(data)):
        inputs = own_inputs(each, rows, slice(None), settings, np.random.default_rng(3), each is not data)
        found.append((inputs, augmented(inputs.on(CPU), each, settings, 8)))
    (of_shards, expected), (of_device, actual) = found
    torch.testing.assert_close(actual, expected)
    assert of_shards.located.shape == (8, 1, MELS, FRAMES)
    assert of_device.located.shape == (8,)
    assert of_device.noise is not None
    assert of_shards.noise is not None
    assert len(of_shards.noise) < 8 == len(of_device.noise)


@pytest.mark.parametrize("is_resident", [True, False])
def test_the_inputs_of_all_steps_have_the_same_shapes(is_resident: bool) -> None:
    """A CUDA graph is recorded for each list of shapes, also if the windows do not fit into the memory of the GPU."""
    settings = TrainSettings(crop_seconds=0.5, background_probability=0.5, mask_bands=2, mask_frames=4)
    data = windows([0] * 8, [10, 40, 70, 100] * 2, np.array([[5, 5]] * 8))
    data = dataclasses.replace(data, backgrounds=windows([2] * 3, [0, 50, 90], seed=1))
    data = on_device(data) if is_resident else data
    inputs = [
        own_inputs(data, np.arange(8), slice(None), settings, np.random.default_rng(s), every=True) for s in range(20)
    ]
    assert len({tuple(t.shape for t in each.tensors()) for each in inputs}) == 1
