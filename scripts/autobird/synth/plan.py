"""The recordings of the demo corpus as parameters, without synthesis: the Snakefile reads them while it is parsed."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from autobird.synth.settings import DemoSettings

_EPITHETS = (
    "alba", "boreas", "cantans", "dubia", "errans", "fluviatilis", "gracilis", "hortensis", "insularis", "juncea", "lacustris",
    "montana", "nivalis", "obscura", "pallida", "querula", "rufa", "silvestris", "tristis", "umbrosa", "vespertina",
)  # fmt: skip
_RECORDISTS = (
    "Ada Moss", "Bo Lind", "Cleo Hart", "Dag Voll", "Elif Kaya", "Finn Roe", "Gul Aydin", "Hana Sato", "Ivo Petr", "Jun Park",
    "Kofi Mensah", "Lea Blum", "Milo Costa", "Nia Owen", "Otto Falk", "Pia Rossi", "Quin Doyle", "Rui Alves", "Sara Nunez",
    "Tom Birch", "Uma Rao", "Vera Kos", "Wim Bos", "Zoe Lark",
)  # fmt: skip
_PLACES = (
    "Alder Fen", "Birch Ridge", "Clay Pits", "Dune Slack", "East Moor", "Fern Gully", "Gravel Bay", "Heron Lake", "Ivy Wood",
    "Juniper Hill", "Kelp Point", "Larch Valley",
)  # fmt: skip

_LICENCES = (
    "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/",
)
_LICENCE_SHARES = (0.6, 0.12, 0.28)

_GRADES, _GRADE_SHARES = ("A", "B", "C", "D"), (0.3, 0.4, 0.2, 0.1)

_FORMATS, _FORMAT_SHARES = ("mp3", "ogg", "flac", "wav"), (0.3, 0.2, 0.3, 0.2)

_SAMPLE_RATES = (16000, 22050, 24000, 32000, 44100, 48000)

_SESSION_SIZES, _SESSION_SHARES = (1, 2, 3), (0.6, 0.25, 0.15)
"""Numbers of recordings in a session, and the shares of sessions with that number."""

NEGATIVES_FOLDER = "noise"
"""Folder of the negatives. By default, the sources treat a folder of this name as sound without any species."""

OTHER_BIRDS, OTHER_BIRDS_FOLDER = "other birds", "other"
"""Sound and folder of the negatives with birds of other species near the microphone. The name of the folder is reserved, too."""

NEGATIVE_SOUNDS = ("wind", "rain", "insects", "traffic", "speech", "machine", "handling", "birds")
"""Main sound of a negative. `birds` are distant birds of other species than those of the corpus."""

_NEGATIVE_SECONDS = (8.0, 24.0)
"""Shortest and longest duration of a negative, seconds: longer than songs, because nobody cuts noise."""

_OTHER_BIRDS_SECONDS = (6.0, 15.0)
"""Shortest and longest duration of a recording of other birds, seconds."""

_LONG_SHARE = 0.05
"""Share of recordings of 30 to 60 s. The others last 4 to 15 s."""


@dataclass(frozen=True, kw_only=True)
class RecordingPlan:
    """What the recordings of species and the negatives have in common.

    Attributes:
        seed: seed of the corpus.
        number: index of the recording within its species, or among the negatives.
        session: index of the session within its species, or among the negatives.
        format: file format: mp3, ogg, flac or wav.
        sample_rate: Hz.
        channels: 1 or 2.
        duration: seconds.
        recordist: invented name.
        date: YYYY-MM-DD.
        place: invented name.
        licence: URL.
        quality: grade, A to D.
    """

    seed: int
    number: int
    session: int
    format: str
    sample_rate: int
    channels: int
    duration: float
    recordist: str
    date: str
    place: str
    licence: str
    quality: str


@dataclass(frozen=True, kw_only=True)
class Plan(RecordingPlan):
    """Parameters of a recording of a species. They depend only on the seed, the species and the recording's number.

    Attributes:
        species: index of the species.
        name: name of the species.
    """

    species: int
    name: str

    @property
    def id(self) -> str:
        """Path in the folder layout: `<Species name>/<id>.<format>`."""
        return f"{self.name.replace(' ', '_')}/demo-{self.species:02d}-{self.number:04d}.{self.format}"

    @property
    def audio_parameters(self) -> str:
        """The parameters that determine the audio, as one word. Metadata such as recordist and licence do not count."""
        return f"{self.seed}-{self.species}-{_audio_parameters(self)}"


@dataclass(frozen=True, kw_only=True)
class NegativePlan(RecordingPlan):
    """Parameters of a recording without any of the species. They depend only on the seed and the recording's number.

    Attributes:
        sound: one of `NEGATIVE_SOUNDS`, or `OTHER_BIRDS`.
    """

    sound: str

    @property
    def id(self) -> str:
        """Path in the folder layout: `noise/<id>.<format>`, or `other/<id>.<format>`."""
        if self.sound == OTHER_BIRDS:
            return f"{OTHER_BIRDS_FOLDER}/demo-other-{self.number:04d}.{self.format}"
        return f"{NEGATIVES_FOLDER}/demo-noise-{self.number:04d}.{self.format}"

    @property
    def audio_parameters(self) -> str:
        """The parameters that determine the audio, as one word."""
        return f"{self.seed}-{self.sound}-{_audio_parameters(self)}"


def _audio_parameters(p: RecordingPlan) -> str:
    return f"{p.number}-{p.session}-{p.sample_rate}-{p.channels}-{p.duration:.3f}-{p.format}"


def species_name(index: int) -> str:
    """Return an invented scientific name; no real genus is called Fictornis."""
    genus = "Fictornis" if index < len(_EPITHETS) else f"Fictornis-{index // len(_EPITHETS) + 1}"
    return f"{genus} {_EPITHETS[index % len(_EPITHETS)]}"


class _Session(TypedDict):
    """What the recordings of a session have in common."""

    recordist: str
    place: str
    date: str
    licence: str
    quality: str
    sample_rate: int
    channels: int


def _draw_session(rng: np.random.Generator) -> tuple[int, _Session]:
    """Return the number of recordings of a session, and what they have in common.

    The order of the draws is part of the corpus: another order gives other recordings.
    """
    size = int(rng.choice(_SESSION_SIZES, p=_SESSION_SHARES))
    recordist, place = str(rng.choice(_RECORDISTS)), str(rng.choice(_PLACES))
    date = dt.date(2021, 3, 1) + dt.timedelta(days=int(rng.integers(0, 4 * 365)))
    licence, quality = str(rng.choice(_LICENCES, p=_LICENCE_SHARES)), str(rng.choice(_GRADES, p=_GRADE_SHARES))
    sample_rate, channels = int(rng.choice(_SAMPLE_RATES)), int(rng.choice((1, 2), p=(0.65, 0.35)))
    return size, {
        "recordist": recordist, "place": place, "date": date.isoformat(), "licence": licence, "quality": quality,
        "sample_rate": sample_rate, "channels": channels,
    }  # fmt: skip


def plan_species(seed: int, species: int, recordings: int) -> list[Plan]:
    """Return the recordings of one species. A larger number of recordings does not change the first ones.

    Recordings come in sessions of one to three, mostly one. A session has one bird, recordist, date and place.

    Args:
        seed: seed of the corpus.
        species: index of the species.
        recordings: number of recordings.
    """
    plans: list[Plan] = []
    session = -1
    while len(plans) < recordings:
        session += 1
        rng = np.random.default_rng([seed, 2, species, session])
        size, shared = _draw_session(rng)
        for _ in range(size):
            is_long = rng.random() < _LONG_SHARE
            duration = rng.uniform(30, 60) if is_long else rng.uniform(4, 15)
            fmt = str(rng.choice(_FORMATS, p=_FORMAT_SHARES))
            if len(plans) < recordings:
                plans.append(
                    Plan(
                        seed=seed,
                        species=species,
                        number=len(plans),
                        session=session,
                        name=species_name(species),
                        format=fmt,
                        duration=round(float(duration), 3),
                        **shared,
                    )
                )
    return plans


def plan_negatives(seed: int, recordings: int) -> list[NegativePlan]:
    """Return the negatives. A larger number of recordings does not change the first ones.

    Negatives come in sessions of one to three, mostly one. A session has one sound, recordist, date and place. Each sound is the
    main one of every eighth session.

    Args:
        seed: seed of the corpus.
        recordings: number of recordings.
    """
    return _negative_plans(seed, recordings, 5, NEGATIVE_SOUNDS, _NEGATIVE_SECONDS)


def plan_other_birds(seed: int, recordings: int) -> list[NegativePlan]:
    """Return the recordings of other birds, in sessions as the other negatives. A larger number does not change the first ones.

    Args:
        seed: seed of the corpus.
        recordings: number of recordings.
    """
    return _negative_plans(seed, recordings, 15, (OTHER_BIRDS,), _OTHER_BIRDS_SECONDS)


def _negative_plans(
    seed: int, recordings: int, stream: int, of_sessions: Sequence[str], seconds: tuple[float, float]
) -> list[NegativePlan]:
    """Return negatives.

    Args:
        seed: seed of the corpus.
        recordings: number of recordings.
        stream: number that makes the random numbers of these negatives differ from all others.
        of_sessions: main sounds of the sessions, in turn.
        seconds: shortest and longest duration.
    """
    plans: list[NegativePlan] = []
    session = -1
    while len(plans) < recordings:
        session += 1
        rng = np.random.default_rng([seed, stream, session])
        size, shared = _draw_session(rng)
        for _ in range(size):
            duration, fmt = rng.uniform(*seconds), str(rng.choice(_FORMATS, p=_FORMAT_SHARES))
            if len(plans) < recordings:
                plans.append(
                    NegativePlan(
                        seed=seed,
                        number=len(plans),
                        session=session,
                        sound=of_sessions[session % len(of_sessions)],
                        format=fmt,
                        duration=round(float(duration), 3),
                        **shared,
                    )
                )
    return plans


def plan_corpus(seed: int, species: int, recordings: int) -> list[Plan]:
    """Return all recordings of species in the demo corpus, species by species.

    Args:
        seed: seed of the corpus.
        species: number of species.
        recordings: number of recordings per species.
    """
    return [plan for index in range(species) for plan in plan_species(seed, index, recordings)]


def all_plans(settings: DemoSettings) -> list[Plan | NegativePlan]:
    """Return the recordings of the species and the negatives."""
    return [
        *plan_corpus(settings.seed, settings.species, settings.recordings),
        *plan_negatives(settings.seed, settings.negatives),
        *plan_other_birds(settings.seed, settings.other_birds),
    ]
