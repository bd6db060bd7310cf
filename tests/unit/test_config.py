"""The configuration: each mistake gives one line that names key, value and remedy."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from autobird.audio.settings import MelSettings
from autobird.config import Config, load_config
from autobird.core.errors import AutobirdError
from autobird.core.settings import Settings
from tests.conftest import ROOT


def merged(*names: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in names:
        for section, values in yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text()).items():
            out[section] = out.get(section, {}) | values
    return out


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"trian": {}}, "trian: there is no such key; did you mean train?"),
        ({"train": {"learning_rte": 1}}, "train.learning_rte: there is no such key; did you mean learning_rate?"),
        (
            {"corpus": {"columns": {"recordst": "x"}}},
            "corpus.columns.recordst: there is no such key; did you mean recordist?",
        ),
        ({"run": {"zzz": 1}}, "run.zzz: there is no such key; valid keys are name, tracking"),
        ({"train": {"epochs": "many"}}, "train.epochs: 'many' is not valid: input should be a valid integer"),
        ({"train": {"epochs": 0}}, "train.epochs: 0 is not valid: input should be greater than or equal to 1"),
        ({"features": {"hop": 6}}, "features: hop 6 s is longer than window 5 s"),
        ({"features": {"hop_length": 2048}}, "features: hop_length 2048 is longer than n_fft 1024"),
        ({"features": {"fmax": 9000}}, "features: fmax 9000 Hz is above the Nyquist frequency"),
        ({"features": {"fmin": 8000}}, "features: fmin 8000 Hz is not below fmax 8000 Hz"),
        ({"features": {"window": 0.05, "hop": 0.05}}, "features: n_fft 1024 is longer than the window"),
        ({"features": {"name": "a/b"}}, "features.name: 'a/b' is not valid"),
        ({"corpus": {"type": "folder"}}, "corpus: type folder needs root"),
        ({"corpus": {"demo": {"species": 1}}}, "corpus.demo.species: 1 is not valid"),
        (
            {"dataset": {"validation": 0.5, "test": 0.5}},
            "dataset: validation 0.5 and test 0.5 leave nothing to train on",
        ),
        ({"dataset": {"fold": 5}}, "dataset: fold 5 is not below folds 5"),
        (
            {"dataset": {"background": "noise"}},
            "dataset: the key background ('noise') was removed: windows that no annotated box touches are now negatives",
        ),
        ({"train": {"heads": 3}}, "train: d_model 64 is not a multiple of heads 3; set d_model to 63"),
        ({"run": {"name": "features"}}, "run.name: 'features' is reserved for results that runs share"),
        ({"train": 3}, "train: 3 is not valid"),
    ],
)
def test_a_mistake_gives_one_line(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(AutobirdError) as error:
        load_config(raw)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_numbers_may_be_given_as_text_as_on_the_command_line() -> None:
    config = load_config({"train": {"learning_rate": "1e-3", "epochs": "7"}, "dataset": {"fold": "2"}})
    assert (config.train.learning_rate, config.train.epochs, config.dataset.fold) == (1e-3, 7, 2)


# sweep.yaml is the file of a sweep; test_sweep.py reads it.
@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "config").glob("*.yaml") if p.stem != "sweep"))
def test_every_provided_configuration_is_valid_on_top_of_the_default(name: str, tmp_path: Path) -> None:
    raw = merged("config", name)
    if raw["corpus"]["type"] == "folder":
        raw["corpus"]["root"] = str(tmp_path)
    assert load_config(raw).run.name == ("demo" if name == "config" else name)


def test_the_baseline_has_the_settings_of_the_original_project() -> None:
    raw = merged("config", "baseline")
    raw["corpus"]["root"] = "x"
    c = load_config(raw)
    f, t = c.features, c.train
    assert (f.sample_rate, f.window, f.hop, f.n_fft, f.hop_length, f.mels, f.fmin, f.fmax) == (
        16000,
        5,
        2.5,
        1024,
        512,
        64,
        20,
        8000,
    )
    assert (f.min_rms, f.min_mel_std, f.alignment) == (0.005, 0.10, "window")
    assert (c.dataset.seed, c.dataset.validation, c.dataset.test, c.dataset.min_windows) == (4, 0.1, 0.1, 50)
    assert (t.architecture, t.d_model, t.heads, t.layers, t.batch_size, t.epochs) == (
        "cnn_transformer",
        64,
        2,
        1,
        32,
        50,
    )
    assert (t.optimizer, t.learning_rate, t.weight_decay, t.schedule, t.step_size, t.gamma) == (
        "adam",
        3e-4,
        1e-4,
        "step",
        5,
        0.5,
    )
    assert (t.gradient_clip, t.select, t.precision, t.sampler) == (1.0, "best", "auto", "uniform")
    assert (t.mix_probability, t.mask_probability, t.ema_decay, t.roll, t.label_smoothing) == (0, 0, 0, False, 0)


def test_an_architecture_sets_the_defaults_of_its_recipe() -> None:
    train = load_config({"train": {"architecture": "cnn_transformer", "epochs": 3}}).train
    assert (train.optimizer, train.epochs, train.select) == ("adam", 3, "best")


def test_a_stage_gets_only_its_own_keys() -> None:
    values = yaml.safe_load(Config().settings_json(MelSettings, "features"))
    assert set(values) == set(MelSettings.model_fields)
    assert "min_rms" not in values


def test_every_key_has_a_description() -> None:
    def check_fields(model: Any, path: str) -> None:
        for name, field in model.model_fields.items():
            assert field.description, f"{path}{name}"
            if hasattr(field.annotation, "model_fields"):
                check_fields(field.annotation, f"{path}{name}.")

    check_fields(Config, "")


class _StageSettings(Settings):
    seed: int = 0


def test_each_key_comes_from_the_one_section_that_has_it() -> None:
    assert json.loads(Config().settings_json(MelSettings, "corpus", "features"))["mels"] == 64
    assert json.loads(Config().settings_json(_StageSettings, "dataset")) == {"seed": Config().dataset.seed}


@pytest.mark.parametrize("sections", [("dataset", "train"), ("run",)])
def test_a_key_of_two_sections_or_of_none_is_refused(sections: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"_StageSettings\.seed must be a key of one of"):
        Config().settings_json(_StageSettings, *sections)
