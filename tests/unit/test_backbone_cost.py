"""The cost of a backbone, and of a head with it: in the comparison, the release gate, the measured speed and the figure."""

import json
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import safetensors.torch
from onnx import TensorProto, helper, numpy_helper

from autobird.audio.settings import MelSettings, WindowSettings
from autobird.backbone.base import Backbone, BackboneInfo
from autobird.backbone.cost import BackboneCost
from autobird.backbone.load import load_backbone, load_recorded
from autobird.backbone.settings import BackboneSettings
from autobird.core.multiply_adds import graph_multiply_adds
from autobird.model.head_network import HeadNetwork
from autobird.model.settings import TrainSettings
from autobird.release import latency
from autobird.release.compare import cost_columns
from autobird.release.comparison_figure import comparison_figure
from autobird.release.gate import Candidate, select_variant
from autobird.release.settings import GateSettings
from tests.backbones import SAMPLES, SETTINGS, needs_birdnet, needs_litert, write_onnx, write_tflite
from tests.backbones import WIDTH as SMALL_WIDTH
from tests.heads import LABELS, RATE, WIDTH, WINDOW, make_backbone, write_head

COST = BackboneCost(windows=2, window_multiply_adds=1000, size=5_000_000)


@pytest.fixture
def backbone(tmp_path: Path) -> Backbone:
    return load_recorded(make_backbone(tmp_path / "tiny.onnx"), str(tmp_path / "tiny.onnx"))


@needs_birdnet
def test_the_multiply_adds_of_birdnet() -> None:
    birdnet = load_backbone(BackboneSettings())
    # Counted once from the shapes that LiteRT gives all tensors of the original file: 309,600,576 in its convolutions, 12,026,880 in
    # depthwise ones, up to the embedding. The front end has a matrix product of 511 frames for each spectrogram.
    assert birdnet.multiply_adds() == 309_600_576 + 12_026_880 + 511 * 96 * (1025 + 513) == 397_075_584
    assert birdnet.size == 51_726_412
    cost = BackboneCost.of(birdnet, WindowSettings(window=3.0, hop=3.0))
    assert (cost.windows, cost.multiply_adds) == (1, 397_075_584)


@pytest.mark.parametrize("channels", [False, True])
def test_the_multiply_adds_of_an_onnx_file_are_those_that_the_embedding_needs(tmp_path: Path, channels: bool) -> None:
    file = write_onnx(tmp_path / "a.onnx", channels=channels)
    small = load_backbone(BackboneSettings(file=str(file), output="embedding", **SETTINGS))
    assert small.multiply_adds() == SAMPLES * SMALL_WIDTH
    assert small.size == file.stat().st_size


@needs_litert
def test_the_multiply_adds_of_a_tflite_file_are_unknown(tmp_path: Path) -> None:
    file = write_tflite(tmp_path / "a.tflite")
    small = load_backbone(BackboneSettings(file=str(file), **SETTINGS))
    assert small.multiply_adds() is None
    assert BackboneCost.of(small, WindowSettings()).multiply_adds is None


def test_without_the_package_onnx_they_are_unknown(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autobird.core.multiply_adds.find_spec", lambda _: None)
    assert backbone.multiply_adds() is None


def test_the_cost_of_a_window_is_that_of_the_backbone_windows_in_it(backbone: Backbone) -> None:
    for window, count in ((0.5, 1), (1.0, 1), (2.0, 2), (2.5, 3)):
        cost = BackboneCost.of(backbone, WindowSettings(window=window, hop=0.5))
        assert (cost.windows, cost.window_multiply_adds) == (count, round(RATE * WINDOW) * WIDTH)
        assert cost.multiply_adds == count * round(RATE * WINDOW) * WIDTH


def graph(kind: str, shape: list[int | str], **attributes: object) -> onnx.ModelProto:
    """One product of x with a matrix of 3 x 5, whose result is also an output of a graph that another output does not need."""
    value = helper.make_tensor_value_info
    w = numpy_helper.from_array(np.zeros((3, 5), np.float32), "w")
    nodes = [helper.make_node(kind, ["x", "w"], ["y"], **attributes), helper.make_node("Identity", ["x"], ["z"])]
    outputs = [value("y", TensorProto.FLOAT, None), value("z", TensorProto.FLOAT, shape)]
    made = helper.make_graph(nodes, "g", [value("x", TensorProto.FLOAT, shape)], outputs, [w])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


def test_a_graph_that_cannot_be_counted_has_no_number_instead_of_a_wrong_one() -> None:
    assert graph_multiply_adds(graph("MatMul", [2, 3])) == 2 * 3 * 5
    assert graph_multiply_adds(graph("Gemm", [3, 2], transA=1)) == 2 * 3 * 5
    assert graph_multiply_adds(graph("MatMul", [2, 3]), "z") == 0
    assert graph_multiply_adds(graph("MatMul", ["n", 3])) is None
    assert graph_multiply_adds(graph("MatMul", ["n", 3]), skip_unknown=True) == 0
    assert graph_multiply_adds(graph("Einsum", [2, 3], equation="ab,bc->ac")) is None


def test_the_columns_of_the_comparison_include_the_backbone_of_the_models_that_need_one() -> None:
    costs = {"float": (50, 32, 700), "teacher": (10, 32, 90)}
    names = ["float", "teacher", "float"]
    plain = cost_columns(names, costs, {"float": None, "teacher": None})
    assert plain.to_csv(index=False) == "multiply_adds,bits,bytes\n50,32,700\n10,32,90\n50,32,700\n"
    table = cost_columns(names, costs, {"float": None, "teacher": COST})
    assert table["multiply_adds"].tolist() == [50, 2010, 50]
    assert table["backbone_multiply_adds"].tolist() == [0, 2000, 0]
    assert table["backbone_bytes"].tolist() == [0, 5_000_000, 0]
    unknown = COST.model_copy(update={"window_multiply_adds": None})
    line = cost_columns(["teacher"], costs, {"float": None, "teacher": unknown}).to_csv(index=False)
    assert line == "multiply_adds,bits,bytes,backbone_multiply_adds,backbone_bytes\n,32,90,,5000000\n"


def test_the_reason_of_the_release_states_the_cost_with_the_backbone() -> None:
    def reason(backbone: BackboneCost | None) -> str:
        candidate = Candidate("float", 0.0, 0.0, 0.0, 1.0, 200_000, 32, 60_000, backbone)
        return select_variant([candidate], 10, 8, GateSettings()).reason

    assert reason(None) == "float: the only variant, 0.2 million 32-bit multiply-adds per window"
    large = COST.model_copy(update={"window_multiply_adds": 200_000_000})
    assert reason(large) == (
        "float: the only variant, 400.2 million 32-bit multiply-adds per window, 400.0 million of them in the backbone, "
        "files of 60.0 kB (head) and 5.0 MB (backbone)"
    )
    unknown = reason(COST.model_copy(update={"window_multiply_adds": None}))
    assert (
        "0.2 million 32-bit multiply-adds per window without those of the backbone, which cannot be counted" in unknown
    )


def measured(folder: Path, info: BackboneInfo, file: Path | None) -> dict[str, object]:
    """Run stage `latency` for a head."""
    network = HeadNetwork(len(LABELS), info.width, 0, False)
    safetensors.torch.save_file(network.state_dict(), folder / "weights.safetensors")
    write_head(folder / "float.onnx", info.width, len(LABELS))
    model = {
        "labels": LABELS, "features": MelSettings().model_dump(mode="json"), "backbone": info.model_dump(mode="json"),
        "backbone_cost": COST.model_dump(mode="json"), "known_to_backbone": [],
        "train": TrainSettings(architecture="head").model_dump(mode="json"),
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(model))
    latency.main(
        [
            "--settings", '{"latency_seconds": 0.01}', "--variants", str(folder / "float.onnx"), "--model", str(folder / "model.json"),
            "--weights", str(folder / "weights.safetensors"), "--output", str(folder / "latency.json"),
            "--log", str(folder / "log"), *(["--backbone", str(file)] if file else []),
        ]
    )  # fmt: skip
    return json.loads((folder / "latency.json").read_text())


def test_the_speed_of_a_head_is_measured_with_its_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    class Counted(Backbone):
        def embed(self, samples: np.ndarray) -> np.ndarray:  # type: ignore[override]
            calls.append(samples.shape)
            return np.zeros((len(samples), WIDTH), np.float32)

    file = tmp_path / "tiny.onnx"
    info = make_backbone(file)
    loaded = Counted()
    loaded.info = info
    monkeypatch.setattr(latency, "load_recorded", lambda *_: loaded)
    found = measured(tmp_path, info, file)
    assert (found["backbone"], found["includes_backbone"]) == ("tiny-backbone", True)
    assert set(calls) == {(COST.windows, info.window_samples)}


def test_the_speed_without_a_backbone_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    found = measured(tmp_path, make_backbone(tmp_path / "tiny.onnx"), tmp_path / "missing.onnx")
    assert (found["backbone"], found["includes_backbone"]) == ("tiny-backbone", False)
    assert "measured without the backbone" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("included", [True, False])
def test_the_figure_says_whether_the_speed_includes_the_backbone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, included: bool
) -> None:
    row = {
        "variant": "float",
        "split": "test",
        "macro_f1": 0.8,
        "macro_f1_low": 0.7,
        "macro_f1_high": 0.9,
        "released": True,
    }
    row |= {"bytes": 60_000, "backbone_bytes": 51_700_000}
    labels: list[str] = []

    def keep(fig: object, path: Path) -> None:
        labels.extend(ax.get_xlabel() for ax in fig.axes)  # type: ignore[attr-defined]

    monkeypatch.setattr("autobird.release.comparison_figure.save", keep)
    speed = {"windows_per_second": {"float": 20.0}, "times_eager": {"float": 1.0}, "backbone": "b"}
    comparison_figure(tmp_path / "x.png", pd.DataFrame([row]), speed | {"includes_backbone": included})
    assert labels[1] == "size, kB\n(backbone b: 51.7 MB more)"
    assert labels[2].endswith("with the backbone b" if included else "without the backbone b")
