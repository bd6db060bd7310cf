"""Students: training sounds and the teacher's answers to them, training with a teacher, and the release of a student."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from autobird.audio.decode import decode
from autobird.audio.mel import FrontEnd
from autobird.audio.settings import MelSettings
from autobird.backbone import teach
from autobird.backbone.known import embedding_key
from autobird.backbone.settings import BackboneSettings
from autobird.backbone.training_sounds import MAX_SPEED, Plan, make_sound, plan_sounds
from autobird.config import load_config
from autobird.core.errors import AutobirdError
from autobird.core.files import csv_text, write_json
from autobird.core.tables import read_table, write_table
from autobird.evaluation.calibration import calibrate
from autobird.members import members_of
from autobird.model.loop import Trainer
from autobird.model.losses import Targets
from autobird.model.networks import build_network
from autobird.model.precision import make_deterministic
from autobird.model.settings import TrainSettings
from autobird.model.teaching import (
    TEMPERATURE,
    TeachingFiles,
    TrainingSounds,
    sound_probabilities,
    teacher_description,
    teaching_of,
)
from autobird.release.bundle import training_data
from autobird.release.gate import Bounds, Candidate, select_variant
from autobird.release.references import aligned, gains, not_released, refusals
from autobird.release.settings import CompareSettings, GateSettings
from autobird.sources.settings import SourceSettings
from autobird.sources.unlabelled import UnlabelledRecordings
from tests.backbones import RATE, SETTINGS, WIDTH, weights, write_onnx
from tests.predictions import predictions
from tests.unit.test_training import CPU, equal_weights, known_targets, windows

LENGTH = 4000


def ramp(samples: int) -> NDArray[np.int16]:
    return np.arange(1, samples + 1, dtype=np.int16)


def plain(**changes: Any) -> Plan:
    """A plan of the first part of recording 0, with a seed that neither filters nor adds noise."""
    seed = next(s for s in range(100) if (r := np.random.default_rng(s)).random() >= 0.5 and r.random() >= 0.4)
    return Plan(0, 0.0, 1.0, -1, 0.0, 1.0, seed)._replace(**changes)


def test_a_sound_without_changes_is_a_part_of_its_recording() -> None:
    first = make_sound(plain(), lambda _: ramp(10_000), LENGTH)
    np.testing.assert_array_equal(first * 32768, ramp(LENGTH))
    last = make_sound(plain(position=1.0), lambda _: ramp(10_000), LENGTH)
    np.testing.assert_allclose(last * 32768, ramp(10_000)[-LENGTH - 1 : -1])
    short = make_sound(plain(), lambda _: ramp(1000), LENGTH)
    np.testing.assert_array_equal(short[1000:], 0)


def test_a_faster_sound_takes_a_longer_part() -> None:
    sound = make_sound(plain(speed=1.25), lambda _: ramp(10_000), LENGTH) * 32768
    np.testing.assert_allclose(sound, 1 + 1.25 * np.arange(LENGTH), rtol=1e-5)


def test_a_partner_is_added_at_its_level_relative_to_the_first_sound() -> None:
    rng = np.random.default_rng(0)
    recordings = [
        (1000 * rng.standard_normal(9000)).astype(np.int16),
        (100 * rng.standard_normal(9000)).astype(np.int16),
    ]
    alone = make_sound(plain(), recordings.__getitem__, LENGTH)
    mixed = make_sound(plain(partner=1, partner_gain=0.5), recordings.__getitem__, LENGTH)
    assert np.std(mixed - alone) == pytest.approx(0.5 * np.std(alone), rel=0.05)


def test_plans_use_all_recordings_and_stay_within_the_documented_bounds() -> None:
    plans = plan_sounds(np.array([100, 400]), 4000, np.random.default_rng(0))
    share = np.mean([plan.recording == 1 for plan in plans])
    assert share == pytest.approx(2 / 3, abs=0.03)  # in proportion to the square roots 10 and 20
    speeds = np.log([plan.speed for plan in plans])
    assert np.abs(speeds).max() <= MAX_SPEED
    assert np.mean(speeds == 0) == pytest.approx(0.5, abs=0.03)
    assert np.mean([plan.partner < 0 for plan in plans]) == pytest.approx(0.5, abs=0.03)


def test_all_sounds_are_within_full_scale_and_finite() -> None:
    loud = (32767 * np.sign(np.sin(np.arange(9000) / 9))).astype(np.int16)
    for plan in plan_sounds(np.array([9000, 9000]), 40, np.random.default_rng(1)):
        sound = make_sound(plan, lambda _: loud, LENGTH)
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() <= 1.0001


FRONT_END = MelSettings(window=1.0, hop=1.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings at two rates, a silent one and one that is no audio."""
    folder = tmp_path_factory.mktemp("root")
    rng = np.random.default_rng(0)
    for name, rate in (("a.wav", 16000), ("b.flac", 8000), ("c.wav", 16000)):
        soundfile.write(folder / name, 0.1 * rng.standard_normal(3 * rate), rate)
    soundfile.write(folder / "silent.wav", np.zeros(16000), 16000)
    (folder / "text.mp3").write_text("no audio")
    write_onnx(folder / "small.onnx")
    return folder


def teach_batch(folder: Path, root: Path, names: list[str], sounds: int = 40, threads: int = 1) -> list[Path]:
    """Run stage `teach` on a manifest; return its outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text(csv_text([["recording", "sha256"], *([name, "0"] for name in names)]))
    key = embedding_key(BackboneSettings(**SETTINGS, file=str(root / "small.onnx")), folder / "cache")
    outputs = [folder / name for name in ("mels.npy", "embeddings.npy", "table.parquet")]
    teach.main(
        [
            *("--settings", json.dumps({"sounds": sounds}), "--front-end", FRONT_END.model_dump_json(), "--backbone", key),
            *("--file", str(root / "small.onnx"), "--recordings", "--manifest", str(folder / "manifest.csv")),
            *("--root", str(root), "--audio", "--threads", str(threads)),
            *("--mels", str(outputs[0]), "--embeddings", str(outputs[1]), "--table", str(outputs[2])),
        ]
    )  # fmt: skip
    return outputs


def test_the_stage_writes_the_same_bytes_with_any_number_of_processes(tmp_path: Path, root: Path) -> None:
    one, two = (teach_batch(tmp_path / str(n), root, ["a.wav", "b.flac", "c.wav"], threads=n) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_mel_frames_and_embeddings_are_those_of_the_same_sound(tmp_path: Path, root: Path) -> None:
    mels, embeddings, table = teach_batch(tmp_path, root, ["a.wav", "b.flac", "c.wav"])
    frames, found = np.load(mels), np.load(embeddings)
    rows = read_table(table, ["recording", "partner"])
    size = FrontEnd.of(FRONT_END).frames_per_window
    assert frames.shape == (40 * size, 64)
    assert found.shape == (40, WIDTH)
    assert frames.dtype == found.dtype == np.float16
    assert set(rows["recording"]) == {"a.wav", "b.flac", "c.wav"}
    assert set(rows["partner"]) == {"", "a.wav", "b.flac", "c.wav"}
    names = ["a.wav", "b.flac", "c.wav"]
    recordings = [decode(root / name, RATE) for name in names]
    lengths = np.array([len(r) for r in recordings])
    plans = plan_sounds(lengths, 40, np.random.default_rng(teach.batch_seed(names, 0)))
    for row in (0, 17, 39):
        plan = plans[row]
        assert rows["recording"][row] == names[plan.recording]
        assert rows["partner"][row] == (names[plan.partner] if plan.partner >= 0 else "")
        sound = make_sound(plan, recordings.__getitem__, RATE)
        # A window of a second holds two of the small backbone, and its embedding is their mean.
        expected = np.mean([np.abs(weights() @ part) for part in (sound[: RATE // 2], sound[RATE // 2 :])], axis=0)
        np.testing.assert_allclose(found[row], expected, rtol=2e-3, atol=1e-3)
        np.testing.assert_array_equal(frames[row * size : (row + 1) * size], teach.mel_window(sound, RATE, FRONT_END))
        # The band up to 4 kHz, which a sound at 8 kHz has, is that of the sound; the rest is silence.
        assert frames[row * size + size // 2, :20].mean() > frames[row * size + size // 2, -8:].mean() + 3


def test_unreadable_and_silent_recordings_are_left_out_and_reported(
    tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, _, table = teach_batch(tmp_path, root, ["a.wav", "silent.wav", "text.mp3", "missing.wav"])
    assert set(read_table(table, ["recording"])["recording"]) == {"a.wav"}
    assert "1 of 4 recordings used" in caplog.text
    for name in ("silent.wav: no training sounds are made of it: it is silent", "text.mp3: no", "missing.wav: no"):
        assert name in caplog.text


def test_of_a_large_batch_recordings_are_drawn_from_all_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach, "_MAX_RECORDINGS", 30)
    locations = [teach.RecordingLocation(f"{n:03d}") for n in range(300)]
    drawn = [int(location.recording) for location in teach.draw_locations(locations, 0)]
    assert len(set(drawn)) == 30
    assert drawn == sorted(drawn)
    assert min(drawn) < 60
    assert max(drawn) > 240
    assert teach.draw_locations(locations[:30], 0) == locations[:30]


def test_a_batch_without_a_usable_recording_has_no_sounds(tmp_path: Path, root: Path) -> None:
    mels, embeddings, table = teach_batch(tmp_path, root, ["text.mp3"])
    assert np.load(mels).shape == (0, 64)
    assert np.load(embeddings).shape == (0, WIDTH)
    assert len(read_table(table, ["recording"])) == 0


# ---- Training with a teacher. The windows are those of test_training: each species is a band of higher power.

SPECIES, FRAMES, EMBEDDING = 3, 40, 5
STUDENT = TrainSettings(width=4, epochs=4, batch_size=8, threads=1, teacher="small", teacher_batch=12)


def write_head(file: Path) -> None:
    """Write a head whose logits are ten times the first values of the embedding."""
    weights = numpy_helper.from_array((10 * np.eye(EMBEDDING, SPECIES)).astype(np.float32), "w")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["embedding", "w"], ["logits"])],
        "head",
        [value("embedding", TensorProto.FLOAT, ["n", EMBEDDING])],
        [value("logits", TensorProto.FLOAT, ["n", SPECIES])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(file))


def calibration_of_teacher(outputs: str) -> dict[str, Any]:
    """Return the calibration of a head: with softmax outputs the temperature 2.5."""
    scale, offset = (0.4, 0.0) if outputs == "softmax" else (0.5, -1.0)
    species = {f"s{n}": {"threshold": 0.5, "scale": scale, "offset": offset} for n in range(SPECIES)}
    return {"outputs": outputs, "aggregation": "mean", "thresholds": species}


@pytest.fixture
def taught(tmp_path: Path) -> tuple[TeachingFiles, Path]:
    """Files of two batches of the corpus and one of unlabelled recordings, of a teacher, and an index.

    Sound i of a batch is window i of `windows()`, and its embedding is the species in one-hot form. Recordings r0 to r5 are in the
    training split, r6 in the test split.
    """
    data = windows(60)
    for batch in range(3):
        rows = np.arange(20 * batch, 20 * batch + 20)
        frames = np.concatenate([data.shards[0][FRAMES * row : FRAMES * (row + 1)] for row in rows])
        np.save(tmp_path / f"{batch}.npy", frames)
        np.save(tmp_path / f"{batch}.embeddings.npy", np.eye(EMBEDDING, dtype=np.float16)[rows % SPECIES])
        names = [f"r{row % 7}" if batch < 2 else f"u{row}" for row in rows]
        partners = ["r6" if row % 5 == 0 else "" for row in rows]
        write = pd.DataFrame({"recording": names, "partner": partners})
        write_table(tmp_path / f"{batch}.parquet", write, teach.TRAINING_SOUNDS)
    index = pd.DataFrame(
        {
            "recording": [f"r{n}" for n in range(7)],
            "recording_split": ["train"] * 6 + ["test"],
            "dropped": [""] * 7,
            "negative": [False] * 7,
        }
    )
    index.to_parquet(tmp_path / "index.parquet")
    write_head(tmp_path / "head.onnx")
    for outputs in ("softmax", "independent"):
        write_json(tmp_path / f"{outputs}.json", calibration_of_teacher(outputs))
    paths = [[tmp_path / f"{b}{suffix}" for b in range(3)] for suffix in (".npy", ".embeddings.npy", ".parquet")]
    files = TeachingFiles(*paths, unlabelled=1, head=tmp_path / "head.onnx", calibration=tmp_path / "independent.json")
    return files, tmp_path / "index.parquet"


def test_sounds_with_a_recording_of_another_split_are_not_used(taught: tuple[TeachingFiles, Path]) -> None:
    files, index = taught
    sounds = TrainingSounds.read(files, index, FRAMES, "independent")
    used = [row for row in range(40) if row % 7 != 6 and row % 5 != 0]
    assert len(sounds) == len(used) + 20  # the unlabelled ones are all used
    data = windows(60)
    for at in (0, 7, len(used) - 1):
        expected = data.take(np.array([used[at]]))
        torch.testing.assert_close(sounds.take(np.array([at])), expected)
        assert sounds.embeddings[at].argmax() == used[at] % SPECIES


def test_the_answers_are_the_calibrated_probabilities_of_the_head_at_the_temperature_of_teaching(
    taught: tuple[TeachingFiles, Path],
) -> None:
    files, index = taught
    softmax = files._replace(calibration=files.calibration.with_name("softmax.json"))
    sounds = TrainingSounds.read(softmax, index, FRAMES, "softmax")
    right, wrong = np.exp(10 / 2.5 / 2.0), 1.0
    np.testing.assert_allclose(sounds.answers.max(axis=1), right / (right + 2 * wrong), rtol=1e-6)
    np.testing.assert_allclose(sounds.answers.sum(axis=1), 1, rtol=1e-6)
    independent = TrainingSounds.read(files, index, FRAMES, "independent").answers
    np.testing.assert_allclose(independent.max(axis=1), 1 / (1 + np.exp(-(0.5 * 10 - 1) / 2.0)), rtol=1e-6)
    np.testing.assert_allclose(independent.min(axis=1), 1 / (1 + np.exp(1 / 2.0)), rtol=1e-6)


def test_sounds_of_negative_recordings_are_drawn_with_their_share_at_most(taught: tuple[TeachingFiles, Path]) -> None:
    files, index = taught
    table = pd.read_parquet(index)
    table["negative"] = table["recording"].isin(["r0", "r1", "r2"])
    table.to_parquet(index)
    sounds = TrainingSounds.read(files, index, FRAMES, "independent")
    used = [row for row in range(40) if row % 7 != 6 and row % 5 != 0]
    np.testing.assert_array_equal(sounds.negative, [row % 7 < 3 for row in used] + [False] * 20)
    few = sound_probabilities(np.array([True, False, False]), 0.4)
    assert few is None
    many = sound_probabilities(np.array([True, True, True, False]), 0.3)
    np.testing.assert_allclose(many, [0.1, 0.1, 0.1, 0.7])
    assert sound_probabilities(np.ones(3, bool), 0.3) is None
    settings = STUDENT.model_copy(update={"negative_share": 0.0})
    teaching = teaching_of(files, index, FRAMES, build_network(settings, SPECIES, -8.0, 2.0), settings, CPU.device)
    assert teaching is not None
    drawn = torch.cat([teaching.lesson(np.random.default_rng(seed)).frames for seed in range(20)])
    unwanted = teaching.sounds.take(np.flatnonzero(teaching.sounds.negative))
    assert not any((drawn == sound).flatten(1).all(1).any() for sound in unwanted)


def test_a_teacher_with_other_outputs_than_the_student_is_an_error_with_the_remedy(
    taught: tuple[TeachingFiles, Path],
) -> None:
    files, index = taught
    with pytest.raises(
        AutobirdError, match=r"the teacher has independent outputs, but train.outputs is softmax; delete"
    ):
        TrainingSounds.read(files, index, FRAMES, "softmax")


def test_a_student_without_training_sounds_is_an_error(taught: tuple[TeachingFiles, Path]) -> None:
    network = build_network(STUDENT, SPECIES, -8.0, 2.0)
    with pytest.raises(AutobirdError, match=r"train.teacher is small, but there are no training sounds; remove train"):
        teaching_of(None, taught[1], FRAMES, network, STUDENT, CPU.device)
    alone = STUDENT.model_copy(update={"teacher": None})
    assert teaching_of(None, taught[1], FRAMES, network, alone, CPU.device) is None


@pytest.mark.parametrize("outputs", ["softmax", "independent"])
def test_the_loss_of_the_answers_is_lowest_for_those_of_the_teacher(
    outputs: Literal["softmax", "independent"], taught: tuple[TeachingFiles, Path]
) -> None:
    files, index = taught
    settings = STUDENT.model_copy(update={"outputs": outputs})
    network = build_network(settings, SPECIES, -8.0, 2.0)
    teaching = teaching_of(
        files._replace(calibration=files.calibration.with_name(f"{outputs}.json")),
        index,
        FRAMES,
        network,
        settings,
        CPU.device,
    )
    assert teaching is not None
    lesson = teaching.lesson(np.random.default_rng(0))
    answers = lesson.answers.double()
    of_teacher = TEMPERATURE * (torch.log(answers) if outputs == "softmax" else torch.logit(answers))
    z = of_teacher.clone().requires_grad_()
    features = torch.zeros(len(z), network.classifier.in_features)
    teaching.loss(lesson, features, z).backward()
    assert z.grad is not None
    assert z.grad.abs().max() < 1e-6
    assert teaching.loss(lesson, features, of_teacher + 1 * torch.eye(SPECIES)[0]) > teaching.loss(
        lesson, features, of_teacher
    )


def test_no_usable_sound_is_an_error_with_the_remedy(taught: tuple[TeachingFiles, Path], tmp_path: Path) -> None:
    files, index = taught
    test_only = pd.read_parquet(index).assign(recording_split="test")
    test_only.to_parquet(tmp_path / "other.parquet")
    labelled = TeachingFiles(files.mels[:2], files.embeddings[:2], files.tables[:2], 0, files.head, files.calibration)
    with pytest.raises(AutobirdError, match=r"no training sound is made of .*; raise train.teacher_windows"):
        TrainingSounds.read(labelled, tmp_path / "other.parquet", FRAMES, "softmax")


def student(taught: tuple[TeachingFiles, Path], settings: TrainSettings = STUDENT) -> Trainer:
    files, index = taught
    files = files._replace(calibration=files.calibration.with_name(f"{settings.outputs}.json"))
    make_deterministic(1)
    torch.manual_seed(0)
    network = build_network(settings, SPECIES, -8.0, 2.0)
    teaching = teaching_of(files, index, FRAMES, network, settings, CPU.device)
    return Trainer(network, windows(), windows(12, seed=1), settings, CPU, teaching)


@pytest.mark.parametrize("architecture", [{}, {"architecture": "cnn_transformer", "d_model": 8}])
@pytest.mark.parametrize("steps", [1, 7, 13])
def test_an_interrupted_student_ends_with_the_same_weights(
    taught: tuple[TeachingFiles, Path], steps: int, architecture: dict[str, Any]
) -> None:
    settings = TrainSettings(**(STUDENT.model_dump(exclude_unset=True) | architecture))
    expected = student(taught, settings).run(lambda: None)
    interrupted, remaining = student(taught, settings), iter(range(steps))

    def stop() -> None:
        if next(remaining, None) is None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted.run(lambda: None, stop)
    torch.manual_seed(99)
    resumed = student(taught, settings)
    resumed.load_state_dict(interrupted.state_dict())
    assert equal_weights(resumed.run(lambda: None), expected)


def test_the_weights_hold_no_projection(taught: tuple[TeachingFiles, Path]) -> None:
    names = student(taught).run(lambda: None).keys()
    assert names == build_network(STUDENT, SPECIES, -8.0, 2.0).state_dict().keys()


def test_a_student_learns_from_its_teacher_alone(taught: tuple[TeachingFiles, Path]) -> None:
    """The labels are wrong, and are used at the very end only."""
    settings = STUDENT.model_copy(update={"epochs": 30, "teacher_only": 0.999, "ema_decay": 0.9})
    t = student(taught, settings)
    t.train.labels.present[:] = np.roll(t.train.labels.present, 1, axis=1)
    t.run(lambda: None)
    assert t.progress.history[-1]["validation_macro_f1"] > 0.9


def test_the_labels_count_after_the_share_of_steps_in_which_the_teacher_is_alone(
    taught: tuple[TeachingFiles, Path],
) -> None:
    t = student(taught)
    rng = np.random.default_rng
    x = t.train.take(np.arange(8))
    right, wrong = (known_targets(torch.eye(SPECIES)[(torch.arange(8) + shift) % SPECIES]) for shift in (0, 1))
    total = t.steps_per_epoch * STUDENT.epochs

    def loss(target: Targets, step: int) -> float:
        torch.manual_seed(0)
        t.network.eval()
        return float(t._loss(x, target, step, rng(0))[0].detach())

    assert loss(right, total // 2 - 1) == loss(wrong, total // 2 - 1)
    assert loss(right, total // 2) != loss(wrong, total // 2)


# ---- Settings and members.


@pytest.mark.parametrize(
    ("train", "outputs"),
    [({}, "independent"), ({"outputs": "softmax"}, "softmax"), ({"architecture": "cnn_transformer"}, "softmax")],
)
def test_a_teacher_and_the_network_without_one_have_the_outputs_of_the_student(
    train: dict[str, str], outputs: str
) -> None:
    members = members_of({"train": {"teacher": "birdnet-2.4", **train}, "dataset": {"folds": 3}}).values()
    assert {member.config.train.outputs for member in members} == {outputs}


def test_a_student_run_has_its_teacher_and_the_network_without_one_as_members() -> None:
    raw = {
        "train": {"teacher": "birdnet-2.4", "epochs": 7, "width": 8, "teacher_windows": 500, "seeds": [1, 2]},
        "dataset": {"folds": 3},
    }
    members = {member.id: member for member in members_of(raw).values()}
    assert set(members) == {
        "", "teacher", "scratch", *(f"fold{f}{s}" for f in range(3) for s in ("", ".teacher", ".seed1", ".seed2", ".seed1.scratch", ".seed2.scratch"))
    }  # fmt: skip
    teacher, scratch = members["teacher"].config.train, members["scratch"].config.train
    assert (teacher.architecture, teacher.teacher, teacher.weight_decay) == ("head", None, "auto")
    assert (scratch.architecture, scratch.teacher, scratch.epochs, scratch.width) == ("resnet", None, 7, 8)
    assert (members["fold1.teacher"].dataset, members["fold1.seed2.scratch"].dataset) == ("fold1", "fold1")
    assert members["fold1.seed2.scratch"].config.train.seed == 2


def test_a_student_has_a_recipe_of_its_own_and_the_network_without_a_teacher_the_default() -> None:
    members = members_of({"train": {"teacher": "birdnet-2.4"}})
    student, scratch, default = members[""].config.train, members["members/scratch/"].config.train, TrainSettings()
    assert (student.epochs, student.crop_seconds, student.background_probability) == (40, 0, 0)
    for name in ("epochs", "crop_seconds", "background_probability"):
        assert getattr(scratch, name) == getattr(default, name) > 0


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"teacher": "perch-2"}, r"train.teacher: 'perch-2' is not the backbone of the run, 'birdnet-2.4'; set"),
        ({"teacher": "birdnet-2.4", "architecture": "head"}, r"train: teacher is set, but a head has no teacher; set"),
        (
            {"unlabelled": "field"},
            r"train: unlabelled is field, but only a network with a teacher .*, or remove unlabelled",
        ),
    ],
)
def test_settings_that_do_not_fit_a_teacher_are_errors(train: dict[str, Any], message: str) -> None:
    with pytest.raises(AutobirdError, match=message):
        load_config({"train": train})


def test_a_licence_policy_that_forbids_the_teacher_is_an_error() -> None:
    raw = {"train": {"teacher": "birdnet-2.4"}, "corpus": {"licences": {"train": ["CC0", "BY"]}}}
    with pytest.raises(AutobirdError, match=r"does not allow CC BY-NC-SA 4.0, the licence of the backbone"):
        load_config(raw)


# ---- Unlabelled recordings.


def test_unlabelled_recordings_follow_the_licences_and_the_take_down_list(tmp_path: Path, root: Path) -> None:
    (folder := tmp_path / "field").mkdir()
    for name in ("a.wav", "b.flac", "c.wav"):
        (folder / name).write_bytes((root / name).read_bytes())
    (folder / "notes.pdf").write_bytes(b"%PDF-1.4")
    (folder / "SOURCES.csv").write_text("file,licence\na.wav,CC BY 4.0\nb.flac,CC BY-ND 4.0\nc.wav,CC0\n")
    (tmp_path / "down.csv").write_text("id,c.wav\n")
    settings = SourceSettings.model_validate(
        {"licences": {"train": ["CC0", "BY"]}, "take_down": str(tmp_path / "down.csv")}
    )
    found = UnlabelledRecordings(folder, tmp_path / "cache", 2, settings)
    assert sum(map(len, found.sizes)) == 1
    note = found.notes[-1]
    assert "1 recordings used" in note
    for reason in ("1 no audio, or cannot be read", "1 taken down", "1 licence not in corpus.licences.train"):
        assert reason in note
    with pytest.raises(AutobirdError, match=r"train.unlabelled: .* holds no recording that may be used \("):
        UnlabelledRecordings(folder, tmp_path / "cache", 2, SourceSettings.model_validate({"licences": {"train": []}}))
    with pytest.raises(AutobirdError, match=r"train.unlabelled: .* is not a folder; give a folder"):
        UnlabelledRecordings(tmp_path / "none", tmp_path / "cache", 2, settings)


# ---- Release.


LABELS = ["a", "b", "c"]


def scores(guesses: list[int]) -> pd.DataFrame:
    """Predictions of validation recordings of the species a, b, c, a, ..., each a group, with these most probable species."""
    rows = [
        (f"r{n:02d}", f"g{n}", LABELS[n % 3], [0.8 if k == guess else 0.1 for k in range(3)])
        for n, guess in enumerate(guesses)
    ]
    return predictions(rows, split="validation")


def test_the_gain_is_the_paired_difference_from_the_network_without_a_teacher() -> None:
    truth = [n % 3 for n in range(24)]
    wrong = [(n + 1) % 3 if n % 4 == 0 else n % 3 for n in range(24)]
    tables = {"float": scores(truth), "int8": scores(wrong), "scratch": scores(wrong)}
    settings = CompareSettings(resamples=200)
    calibrations = {name: calibrate(table, LABELS, "softmax", settings).calibration for name, table in tables.items()}
    found = gains(tables, calibrations, LABELS, settings)
    assert set(found) == {"float", "int8"}
    assert found["float"] is not None
    value, low, high = found["float"]
    assert value == pytest.approx(0.25)
    assert 0 < low < value < high
    assert set(refusals(found, 0.0)) == {"int8"}


def test_references_are_compared_on_the_windows_of_the_student() -> None:
    table = scores([0, 1, 2, 0])
    other = scores([0, 1, 2, 0, 1])[::-1]  # a recording of a species that the student does not know, and another order
    pd.testing.assert_frame_equal(aligned(other, table), table)


def test_a_training_data_summary_names_the_licence_of_the_teacher_and_its_terms() -> None:
    licences = {"licences": {"CC0": {"used": 3}}, "training_data": {"statement": "", "commercial_use": True}}
    data = training_data(licences, teacher={"licence": "CC BY-NC-SA 4.0"})
    assert data["teacher"] == "CC BY-NC-SA 4.0"
    assert "NC" in json.dumps(data)


def test_the_description_of_the_teacher_counts_the_unlabelled_recordings(taught: tuple[TeachingFiles, Path]) -> None:
    key = json.dumps({"name": "n", "sha256": "0", "window": 3.0})
    found = teacher_description(key, taught[0])
    assert found == {"name": "n", "sha256": "0", "unlabelled_recordings": 20}
    labelled = taught[0]._replace(unlabelled=0)
    assert teacher_description(key, labelled)["unlabelled_recordings"] == 0


def test_the_gate_refuses_variants_of_a_student_without_a_gain() -> None:
    cheap, costly = (
        Candidate(name, Bounds(0, 0, 0), Bounds(0, 0, 0), None, 1.0, ops, 8, 1)
        for name, ops in (("int8", 1), ("float", 4))
    )
    assert select_variant([costly, cheap], 40, 20, GateSettings()).released == "int8"
    decision = select_variant([costly, cheap], 40, 20, GateSettings(), {"int8": "gains 0.1 [-0.1, 0.2] of macro-F1"})
    assert decision.released == "float"
    assert "int8 gains 0.1" in decision.reason
    both = {"int8": "x", "float": "y"}
    assert select_variant([costly, cheap], 40, 20, GateSettings(), both).released == "float"


def test_only_the_lower_end_of_the_gain_decides() -> None:
    found = {"float": (0.2, 0.01, 0.4), "int8": (0.2, 0.0, 0.4), "pruned": None}
    refused = refusals(found, 0.0)
    assert set(refused) == {"int8", "pruned"}
    assert refused["int8"] == "gains 0.200 [0.000, 0.400] of macro-F1"
    assert refusals(found, -1.0) == {}
    text = not_released({"float": "gains 0.100 [-0.100, 0.300] of macro-F1"}, 24, 20, 0.0)
    assert text.startswith("no bundle is written: ")
    assert "\n" not in text
    assert "release.min_gain" in text
