"""What a student learns from its teacher: the teacher's answers to training sounds, and the losses that compare the student's with them.

The teacher is a backbone with a head. Its answers are the calibrated probabilities of the head and the embeddings of the backbone.
They come from files that earlier stages computed (`backbone.teach`); only the head, a small matrix, is evaluated here, once.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn
from torch.nn import functional as F

from autobird.core.errors import AutobirdError
from autobird.core.files import read_json
from autobird.core.memory_maps import memory_maps
from autobird.core.stage import log
from autobird.core.tables import read_table
from autobird.model.losses import Targets, binary_loss
from autobird.model.settings import TrainSettings
from autobird.predict.classification import Calibration, softmax
from autobird.predict.graph import Graph

TEMPERATURE = 2.0
"""Divides the logits of teacher and student in the loss, so that unlikely species count too (Hinton et al. 2015)."""

ANSWER_WEIGHT, EMBEDDING_WEIGHT = 1.0, 2.0
"""Weights of the two losses; that of the labels has 1."""

_MIN_STD = 0.02
"""Added to the standard deviation of each value of the embeddings, so that one that never changes does not count."""

_READ_BLOCK = 4096
"""Embeddings that the head answers at a time."""


class TeachingFiles(NamedTuple):
    """Files of the stage `teach`, of all batches in their order, and of the teacher.

    Attributes:
        mels: mel frames of the training sounds.
        embeddings: their embeddings.
        tables: the recordings that they are made of.
        unlabelled: how many of the batches, the last ones, are of unlabelled recordings.
        head: ONNX file of the teacher's head.
        calibration: calibration of the head.
    """

    mels: Sequence[Path]
    embeddings: Sequence[Path]
    tables: Sequence[Path]
    unlabelled: int
    head: Path
    calibration: Path

    @classmethod
    def of(cls, args: argparse.Namespace) -> "TeachingFiles | None":
        """Return the files that the arguments of a stage name (`add_arguments`); None if it has no teacher."""
        if not args.teacher_head:
            return None
        return cls(
            args.sound_mels, args.sound_embeddings, args.sound_tables, args.unlabelled_batches, args.teacher_head, args.teacher_calibration
        )  # fmt: skip

    def all(self) -> list[Path]:
        """Return all files."""
        return [*self.mels, *self.embeddings, *self.tables, self.head, self.calibration]

    def unlabelled_recordings(self) -> int:
        """Return the number of unlabelled recordings that training sounds are made of."""
        tables = self.tables[len(self.tables) - self.unlabelled :]
        return sum(read_table(path, ["recording"])["recording"].nunique() for path in tables)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a stage that trains students; without a teacher they are left out or have no value."""
    for name in ("sound-mels", "sound-embeddings", "sound-tables"):
        parser.add_argument(
            f"--{name}", type=Path, nargs="*", default=[], help="files of the stage `teach`, of all batches"
        )
    parser.add_argument(
        "--unlabelled-batches", type=int, default=0, help="how many of them, the last ones, are unlabelled"
    )
    parser.add_argument("--teacher-head", type=Path, nargs="?", help="ONNX file of the teacher's head")
    parser.add_argument("--teacher-calibration", type=Path, nargs="?", help="its calibration")


@dataclass(frozen=True)
class TrainingSounds:
    """Training sounds and the teacher's answers.

    Attributes:
        mels: memory-mapped float16 mel frames of each batch, each of shape (sounds of the batch * frames, mels).
        shard: batch of each sound; shape (sounds,).
        first_frame: first frame of each sound in its batch; shape (sounds,).
        frames: number of frames of a sound.
        embeddings: of the backbone; shape (sounds, width), float16.
        answers: probabilities of the species at `TEMPERATURE`; shape (sounds, species), float32.
        negative: which sounds are made of negative recordings alone; shape (sounds,), bool.
    """

    mels: Sequence[NDArray[np.float16]]
    shard: NDArray[np.int64]
    first_frame: NDArray[np.int64]
    frames: int
    embeddings: NDArray[np.float16]
    answers: NDArray[np.float32]
    negative: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.shard)

    @classmethod
    def read(cls, files: TeachingFiles, index: Path, frames: int, outputs: str) -> "TrainingSounds":
        """Read the training sounds whose recordings are all in the training split, or unlabelled.

        Args:
            files: of the stage `teach` and of the teacher.
            index: the index file (`INDEX`).
            frames: number of frames of a window.
            outputs: of the student; see `TrainSettings.outputs`.

        Raises:
            AutobirdError: there are none, or the teacher has other outputs than the student.
        """
        windows = read_table(index, ["recording", "recording_split", "dropped", "negative"])
        usable = windows[(windows["recording_split"] == "train") & (windows["dropped"] == "")]
        training = set(usable["recording"]) | {""}
        negatives = training - set(usable["recording"][~usable["negative"]])
        labelled = len(files.tables) - files.unlabelled
        kept: list[NDArray[np.int64]] = []
        negative: list[NDArray[np.bool_]] = []
        for number, path in enumerate(files.tables):
            table = read_table(path, ["recording", "partner"])
            known = table.isin(training).all(axis=1) if number < labelled else pd.Series(True, table.index)
            kept.append(np.flatnonzero(known.to_numpy()).astype(np.int64))
            negative.append(table[known].isin(negatives).all(axis=1).to_numpy(bool))
        if not sum(map(len, kept)):
            raise AutobirdError(
                "no training sound is made of recordings of the training split alone; raise train.teacher_windows"
            )
        embeddings = np.concatenate(
            [np.load(path, mmap_mode="r")[rows] for path, rows in zip(files.embeddings, kept, strict=True)]
        )
        calibration = read_json(files.calibration)
        if calibration.get("outputs", "softmax") != outputs:
            raise AutobirdError(
                f"{files.calibration}: the teacher has {calibration.get('outputs', 'softmax')} outputs, but train.outputs is {outputs}; "
                "delete the teacher's folder to have it trained again"
            )
        return cls(
            memory_maps(files.mels),
            np.repeat(np.arange(len(kept)), [len(rows) for rows in kept]),
            np.concatenate(kept) * frames,
            frames,
            embeddings,
            _answers(files.head, calibration, embeddings),
            np.concatenate(negative),
        )

    def take(self, rows: NDArray[np.int64]) -> Tensor:
        """Read the mel frames of the sounds at `rows`, in float32; shape (n, 1, mels, frames)."""
        out = np.empty((len(rows), self.frames, self.mels[0].shape[1]), np.float32)
        for at, row in enumerate(rows):
            first = self.first_frame[row]
            out[at] = self.mels[self.shard[row]][first : first + self.frames]
        return torch.from_numpy(out).transpose(1, 2).unsqueeze(1)


def _answers(head: Path, calibration: Mapping[str, Any], embeddings: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return the calibrated probabilities of the teacher's head at `TEMPERATURE`; shape (sounds, species)."""
    graph, out = Graph(head), []
    calibrated = Calibration.from_json(calibration)
    for start in range(0, len(embeddings), _READ_BLOCK):
        logits = graph.logits(embeddings[start : start + _READ_BLOCK].astype(np.float32))
        scaled = calibrated.logits(logits) / TEMPERATURE
        out.append((expit(scaled) if calibrated.is_independent else softmax(scaled)).astype(np.float32))
    return np.concatenate(out)


class Lesson(NamedTuple):
    """Training sounds of one step: mel frames, standardised embeddings and the teacher's probabilities."""

    frames: Tensor
    embeddings: Tensor
    answers: Tensor


class Teaching:
    """Draws training sounds and computes the losses of a student. Its only state is the projection.

    The projection maps the student's features to embeddings. It is trained with the student and thrown away.

    Args:
        sounds: the training sounds.
        features: number of the student's features.
        batch: training sounds per step.
        settings: of the student: sounds per step, outputs, and the largest share of sounds of negative recordings.
        device: of the student.
    """

    def __init__(self, sounds: TrainingSounds, features: int, settings: TrainSettings, device: torch.device) -> None:
        self.sounds, self.batch, self.outputs, self.device = sounds, settings.teacher_batch, settings.outputs, device
        self._probabilities = sound_probabilities(sounds.negative, settings.negative_share)
        self.projection = nn.Linear(features, sounds.embeddings.shape[1]).to(device)
        values = sounds.embeddings.astype(np.float64)
        self._mean = values.mean(axis=0).astype(np.float32)
        self._std = (values.std(axis=0) + _MIN_STD).astype(np.float32)

    def lesson(self, rng: np.random.Generator, own: NDArray[np.int64] | None = None) -> Lesson:
        """Draw the training sounds of a step.

        Args:
            rng: generator of the step.
            own: which of the sounds to return; None: all.
        """
        if self._probabilities is None:
            rows = rng.integers(len(self.sounds), size=self.batch)
        else:
            rows = rng.choice(len(self.sounds), self.batch, p=self._probabilities)
        rows = rows if own is None else rows[own]
        embeddings = (self.sounds.embeddings[rows].astype(np.float32) - self._mean) / self._std
        return Lesson(
            self.sounds.take(rows).to(self.device),
            torch.from_numpy(embeddings).to(self.device),
            torch.from_numpy(self.sounds.answers[rows]).to(self.device),
        )

    def loss(self, lesson: Lesson, features: Tensor, logits: Tensor) -> Tensor:
        """Return the loss of a student's answers to a lesson.

        Args:
            lesson: the training sounds.
            features: the student's features of them; shape (batch, features).
            logits: the student's logits; shape (batch, species).
        """
        # The factor keeps the size of the gradient when the temperature changes (Hinton et al. 2015).
        softened = logits.float() / TEMPERATURE
        if self.outputs == "softmax":
            answers = TEMPERATURE**2 * F.cross_entropy(softened, lesson.answers)
        else:
            all_known = torch.ones_like(lesson.answers, dtype=torch.bool)
            answers = TEMPERATURE**2 * binary_loss(softened, Targets(lesson.answers, all_known))
        embeddings = F.mse_loss(self.projection(features.float()), lesson.embeddings)
        return ANSWER_WEIGHT * answers + EMBEDDING_WEIGHT * embeddings


def sound_probabilities(negative: NDArray[np.bool_], largest_share: float) -> NDArray[np.float64] | None:
    """Return the probability with which each training sound is drawn; None if all have the same.

    Sounds of negative recordings are drawn less often if there are so many that they would have more than their share.

    Args:
        negative: see `TrainingSounds`.
        largest_share: largest share of the sounds that are drawn.
    """
    count = int(negative.sum())
    if count <= largest_share * len(negative) or count == len(negative):
        return None
    return np.where(negative, largest_share / count, (1 - largest_share) / (len(negative) - count))


def teaching_of(
    files: TeachingFiles | None,
    index: Path,
    frames: int,
    network: nn.Module,
    settings: TrainSettings,
    device: torch.device,
) -> Teaching | None:
    """Return the teaching of a network, or None for a network without a teacher.

    Args:
        files: of the stage `teach` and of the teacher.
        index: the index file (`INDEX`).
        frames: number of frames of a window.
        network: the student.
        settings: training settings.
        device: of the student.

    Raises:
        AutobirdError: see `TrainingSounds.read`; or the settings name a teacher, and there are no files.
    """
    if files is None:
        if settings.teacher:
            raise AutobirdError(
                f"train.teacher is {settings.teacher}, but there are no training sounds; remove train.teacher"
            )
        return None
    sounds = TrainingSounds.read(files, index, frames, settings.outputs)
    log.info("%d training sounds with answers of the teacher", len(sounds))
    classifier: Any = network.classifier
    return Teaching(sounds, classifier.in_features, settings, device)


def teacher_description(key: str, files: TeachingFiles) -> dict[str, Any]:
    """Return what `model.json` records of the teacher, from the `BackboneKey` as JSON."""
    fields = json.loads(key)
    described = {name: fields[name] for name in ("name", "sha256")}
    return described | {"unlabelled_recordings": files.unlabelled_recordings()}
