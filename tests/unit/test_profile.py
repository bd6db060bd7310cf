"""The profile of a training: times of parts and operators, the files of the stage, and that it changes no training."""

import gzip
import json
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from torch._C._autograd import DeviceType

from autobird.audio.npy import NpyWriter
from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import write_json
from autobird.model import profile
from autobird.model.profile_tables import REST, Profile, covered, operators_table, parts_table, short_kernel_name
from autobird.model.settings import TrainSettings
from autobird.model.step_parts import GRAPH, PARTS
from autobird.model.train import add_inputs
from tests.conftest import ROOT
from tests.label_sets import label_columns
from tests.unit.test_training import windows


class Event(SimpleNamespace):
    """An event of torch's profiler, from `start` to `end` in microseconds, inside of `parent`."""

    def __init__(self, name: str, start: float, end: float, parent: Any = None, **values: Any) -> None:
        span = SimpleNamespace(start=start, end=end, elapsed_us=lambda: end - start)
        numbers = {"self_cpu_time_total": end - start, "self_device_time_total": 0, "self_cpu_memory_usage": 0}
        kind = {"device_type": DeviceType.CPU, "is_user_annotation": False}
        super().__init__(name=name, time_range=span, cpu_parent=parent, **(numbers | kind | values))


def steps() -> list[Event]:
    """Return two steps of 100 us: 60 forward, of which 20 augmentation of sounds, 30 backward; a validation of 50 in the second."""
    events = []
    for n, length in enumerate((100, 150)):
        t = 1000 * n
        step = Event(f"ProfilerStep#{n}", t, t + length)
        forward = Event("autobird: forward", t, t + 60, step)
        augmentation = Event("autobird: augmentation", t + 10, t + 30, forward)
        backward = Event("autobird: backward", t + 60, t + 90, step)
        events += [step, forward, augmentation, backward]
        events += [
            Event("aten::mul", t + 11, t + 19, augmentation),
            Event("aten::conv", t + 40, t + 60, forward, self_cpu_memory_usage=8e6),
        ]
        # The operators of a backward pass on a GPU belong to a thread of their own.
        engine = Event("autograd::engine::evaluate_function: X", t + 61, t + 89, self_cpu_time_total=3)
        events += [engine, Event("aten::mul", t + 70, t + 80, engine, self_device_time_total=7)]
    return [*events, Event("autobird: validation", 1095, 1145, events[8])]


def test_a_part_counts_without_the_parts_inside_of_it_and_validation_by_its_share_of_an_epoch() -> None:
    found = Profile()
    found.add(steps())
    assert (found.steps, found.step_us, found.validations) == (2, 250, 1)
    table = parts_table(found, steps_per_epoch=10, validation_scale=4).set_index("part")
    assert table["ms"].to_dict() == pytest.approx(
        {"augmentation": 0.02, "forward": 0.04, "backward": 0.03, "validation": 0.05, REST: 0.01}
    )
    assert table["epoch_seconds"].to_dict() == pytest.approx(
        {"augmentation": 2e-4, "forward": 4e-4, "backward": 3e-4, "validation": 2e-4, REST: 1e-4}
    )
    assert table["share"].sum() == pytest.approx(1)
    assert table.loc["forward", "share"] == pytest.approx(1 / 3)


def test_operators_are_summed_up_by_the_part_that_they_run_in_the_longest_first() -> None:
    found = Profile()
    found.add(steps())
    table = operators_table(found, found)
    assert table[["operator", "part", "calls", "cpu_ms", "gpu_ms", "memory_mb"]].to_numpy().tolist() == [
        ["aten::conv", "forward", 1.0, pytest.approx(0.02), 0.0, 8.0],
        ["aten::mul", "backward", 1.0, pytest.approx(0.01), pytest.approx(0.007), 0.0],
        ["aten::mul", "augmentation", 1.0, pytest.approx(0.008), 0.0, 0.0],
        ["autograd::engine::evaluate_function: X", "backward", 1.0, pytest.approx(0.003), 0.0, 0.0],
    ]


def test_the_gpu_is_busy_while_any_kernel_runs() -> None:
    assert covered([(0, 2), (5, 9), (6, 7), (8, 10)]) == 7
    assert covered([]) == 0
    found = Profile()
    gpu = {"device_type": DeviceType.CUDA}
    kernels = [Event("gemm", 0, 30, **gpu), Event("copy", 20, 50, **gpu)]
    found.add(
        [
            *kernels,
            Event("autobird: forward", 0, 90, **gpu | {"is_user_annotation": True}),
            Event("ProfilerStep#1", 0, 100),
        ]
    )
    assert found.kernel_share == 0.5
    # The times of the next cycle count from its own start, and a validation counts neither as computing nor as time.
    validation = [Event("autobird: validation", 60, 100), Event("gemm", 60, 90, **gpu)]
    found.add([Event("gemm", 0, 30, **gpu), *validation, Event("ProfilerStep#2", 0, 100)])
    assert found.kernel_share == pytest.approx((50 + 30) / (100 + 60))


def test_the_kernels_of_a_graph_are_listed_by_their_short_names_without_those_of_a_validation() -> None:
    gpu = {"device_type": DeviceType.CUDA}
    conv = "void at::native::(anonymous namespace)::conv_kernel<float, 4>(float*)"
    events = [
        Event("ProfilerStep#1", 0, 100), Event("autobird: CUDA graph", 0, 20), Event("autobird: validation", 60, 90),
        Event(conv, 5, 25, **gpu), Event(conv, 30, 40, **gpu), Event(conv, 65, 70, **gpu), Event("Memcpy HtoD", 0, 3, **gpu),
    ]  # fmt: skip
    found = Profile()
    found.add(events)
    assert found.operators == {("conv_kernel", "CUDA graph"): [2, 0, 30, 0]}
    without = Profile()  # kernels that operators have started are counted by these
    without.add([event for event in events if "CUDA graph" not in event.name])
    assert without.operators == {}
    assert short_kernel_name("sm80_xmma_wgrad_bf16") == "sm80_xmma_wgrad_bf16"


@pytest.mark.parametrize("architecture", ["resnet", "cnn_transformer"])
def test_the_stage_writes_trace_tables_text_and_figure_of_all_parts(architecture: str, tmp_path: Path) -> None:
    n = 60
    dataset = windows(n)
    with NpyWriter(tmp_path / "0.npy", "<f2", (16,)) as out:
        out.append(dataset.shards[0])
    split = np.array(["train", "train", "validation", "test"])[np.arange(n) // 2 % 4]
    index = {"recording": [f"r{i // 2:02d}" for i in range(n)], "start": 0, "split": split, "shard": 0, "dropped": ""}
    index |= {"earliest": 0, "latest": 0, "rms": 0.1, "negative": False}
    names = label_columns([f"s{i % 3}" for i in range(n)])
    pd.DataFrame({**index, "first_frame": dataset.first_frame, **names}).to_parquet(tmp_path / "index.parquet")
    write_json(tmp_path / "labels.json", ["s0", "s1", "s2"])
    write_json(tmp_path / "norm.json", {"mean": -8.0, "std": 2.0})
    settings = TrainSettings.model_validate(
        {
            "architecture": architecture,
            "width": 8,
            "d_model": 8,
            "epochs": 1,
            "batch_size": 8,
            "threads": 1,
            "ema_decay": 0.9,
        }
    )
    out_folder = tmp_path / "profile"
    files = {
        "trace": "trace.json.gz",
        "parts": "parts.csv",
        "operators": "operators.csv",
        "summary": "profile.txt",
        "figure": "profile.png",
    }
    front_end = json.dumps({"window": 39 * 512 / 16000, "hop": 0.5, "mels": 16})
    inputs = {
        "index": "index.parquet",
        "labels": "labels.json",
        "normalisation": "norm.json",
        "shards": "0.npy",
        "log": "log",
    }
    profile.main(
        ["--settings", settings.model_dump_json(), "--front-end", front_end]
        + [part for key, name in inputs.items() for part in (f"--{key}", str(tmp_path / name))]
        + [part for key, name in files.items() for part in (f"--{key}", str(out_folder / name))]
    )
    assert {p.name for p in out_folder.iterdir() if not p.name.endswith(".lock")} == set(files.values())
    parts = pd.read_csv(out_folder / "parts.csv")
    # The original's recipe augments nothing, but the function is called.
    assert parts["part"].tolist() == [*(part for part in PARTS if part != GRAPH), REST]
    assert (parts["ms"] > 0).all()
    assert parts["share"].sum() == pytest.approx(1, abs=1e-5)
    operators = pd.read_csv(out_folder / "operators.csv").set_index(["operator", "part"])
    calls = operators["calls"]
    layers = {"resnet": 12, "cnn_transformer": 2}[architecture]
    assert calls["aten::convolution_backward", "backward"] == calls["aten::convolution", "forward"] == layers
    assert operators.loc[("aten::convolution", "forward"), "cpu_ms"] > 0
    assert operators["memory_mb"].max() > 0
    trace = json.loads(gzip.decompress((out_folder / "trace.json.gz").read_bytes()))["traceEvents"]
    assert {"ProfilerStep#14", "ProfilerStep#19", "autobird: validation"} <= {event["name"] for event in trace}
    assert any(event.get("args", {}).get("Input Dims") for event in trace)
    assert any(event.get("cat") == "python_function" for event in trace)
    assert any(event["name"] == "[memory]" for event in trace)
    text = (out_folder / "profile.txt").read_text()
    assert "profiled steps: 12" in text
    assert "aten::convolution_backward" in text


def test_the_stage_refuses_a_head(tmp_path: Path) -> None:
    # A head has no network that is trained in steps; without the check, another network would be profiled.
    names = ("index", "labels", "normalisation", "shards", "trace", "parts", "operators", "summary", "figure", "log")
    files = [part for name in names for part in (f"--{name}", str(tmp_path / name))]
    settings = TrainSettings.model_validate({"architecture": "head"}).model_dump_json()
    with pytest.raises(AutobirdError, match="a head is not trained in steps"):
        profile.main(["--settings", settings, "--front-end", "{}", *files])


def test_the_text_says_that_one_process_computed_the_whole_batch() -> None:
    assert profile._processes(TrainSettings()) == "1"
    shared = TrainSettings.model_validate({"devices": 2, "nodes": 3})
    assert profile._processes(shared) == "1 with the whole batch; the training divides it among 6"


def test_the_rule_profiles_with_all_inputs_of_the_training() -> None:
    # With train.ensemble: distill, the answers of the ensemble are among them.
    parser = ArgumentParser(add_help=False)
    add_inputs(parser)
    options = {action.option_strings[0] for action in parser._actions}
    assert "--ensemble-answers" in options
    for file, rule in (("model", "train"), ("profile", "profile")):
        text = (ROOT / f"workflow/rules/{file}.smk").read_text(encoding="utf-8").split(f"\nrule {rule}:")[1]
        command = text.split('r"""')[1]
        assert not [option for option in options if f" {option} {{" not in command]


def test_switching_the_profile_on_changes_no_setting_of_the_training() -> None:
    off, on = load_config({}), load_config({"train": {"profile": True}})
    assert on.train.profile
    assert on.settings_json(TrainSettings, "train") == off.settings_json(TrainSettings, "train")
    # Otherwise the bundle would be written again.
    assert on.provenance() == off.provenance()


def test_a_head_cannot_be_profiled() -> None:
    with pytest.raises(AutobirdError, match=r"profile is set, but a head .*remove profile"):
        load_config({"train": {"architecture": "head", "profile": True}})
