"""What the log holds: one entry for each classified recording, and the feedback of users. No audio and no addresses of clients."""

import json
import math
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autobird.drift.names import DRIFT_FEATURES

Role = Literal["answer", "job", "shadow"]
"""Why a recording was classified: for the answer to a request, for a job, or by the shadow bundle, whose answers nobody gets."""

ROLES: tuple[Role, ...] = ("answer", "job", "shadow")

Decision = Literal["yes", "no", "other", "unsure"]
"""Whether the species is heard; `other`: another species is."""

DECISIONS: tuple[Decision, ...] = ("yes", "no", "other", "unsure")

MAX_DETECTIONS = 200
"""Largest number of detections that an entry holds, the most probable ones; `detection_count` counts all of them."""

Values = tuple[float | int | str | None, ...]
"""Values of a row, in the order of the columns (`schema`)."""


@dataclass(frozen=True)
class LogEntry:
    """One classified recording.

    Attributes:
        bundle: fingerprint of the bundle.
        duration: length of the recording, seconds.
        species: most probable species; None if the whole recording is quiet.
        probability: probability of that species; None if there is none.
        features: drift features, by name.
        request: id of the request or of the job; several entries have the same one if several files were sent.
        role: why it was classified.
        unknown_score: how little the recording resembles the model's species; None if it is unknown.
        detections: start and end (seconds), species and probability of each detection.
        seconds: time of each stage, seconds.
    """

    bundle: str
    duration: float
    species: str | None
    probability: float | None
    features: Mapping[str, float]
    request: str = ""
    role: Role = "answer"
    unknown_score: float | None = None
    detections: tuple[tuple[float, float, str, float], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_answer(
        cls,
        body: Mapping[str, Any],
        features: Mapping[str, float],
        seconds: Mapping[str, float],
        request: str,
        role: Role = "answer",
    ) -> "LogEntry":
        """Return the entry of an answer.

        Args:
            body: JSON answer of one recording (`TaskAnswer.body`).
            features: its drift features.
            seconds: time of each stage.
            request: id of the request or of the job.
            role: why it was classified.
        """
        best = body["species"][0] if body["species"] else None
        return cls(
            bundle=body["model"]["fingerprint"],
            duration=body["duration"],
            species=best["species"] if best else None,
            probability=best["probability"] if best else None,
            features=features,
            request=request,
            role=role,
            unknown_score=body["unknown_score"],
            detections=tuple((d["start"], d["end"], d["species"], d["probability"]) for d in body["detections"]),
            seconds=seconds,
        )

    def values(self) -> Values:
        """Return the values of the columns (`schema.PREDICTIONS`); the time is now."""
        kept = sorted(self.detections, key=lambda d: -d[3])[:MAX_DETECTIONS]
        return (
            time.time(),
            stored_text(self.bundle),
            self.duration,
            None if self.species is None else stored_text(self.species),
            self.probability,
            *(float(self.features[name]) for name in DRIFT_FEATURES),
            stored_text(self.request),
            self.role,
            self.unknown_score,
            _json([[round(start, 3), round(end, 3), name, round(p, 4)] for start, end, name, p in sorted(kept)]),
            len(self.detections),
            _json({name: round(value, 4) for name, value in self.seconds.items() if math.isfinite(value)}),
        )


@dataclass(frozen=True)
class Feedback:
    """What a person says about a species in a part of a recording.

    Attributes:
        request: id of the request whose answer is meant, or "".
        prediction: id of an entry of the log, or None.
        start: start of the part, seconds.
        end: end of the part, seconds.
        species: the species that the decision is about.
        decision: whether it is heard.
        other_species: the species that is heard instead, or "".
        reviewer: name of the person, or "".
    """

    request: str
    prediction: int | None
    start: float
    end: float
    species: str
    decision: Decision
    other_species: str = ""
    reviewer: str = ""

    def values(self) -> Values:
        """Return the values of the columns (`schema.FEEDBACK`); the time is now."""
        return (
            time.time(),
            stored_text(self.request),
            self.prediction,
            self.start,
            self.end,
            stored_text(self.species),
            self.decision,
            stored_text(self.other_species),
            stored_text(self.reviewer),
        )


def new_key() -> str:
    """Return a random key of a row, by which PostgreSQL recognises one that was written before the connection broke."""
    return uuid.uuid4().hex


def stored_text(text: str) -> str:
    """Return a text without what a database refuses: the character 0 (PostgreSQL) and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _json(value: Any) -> str:
    return stored_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
