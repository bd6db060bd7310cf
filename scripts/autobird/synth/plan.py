"""What each recording of the embedded corpus is, without making a sound: parsing the Snakefile reads this."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

_EPITHETS = [
    "alba",
    "boreas",
    "cantans",
    "dubia",
    "errans",
    "fluviatilis",
    "gracilis",
    "hortensis",
    "insularis",
    "juncea",
    "lacustris",
    "montana",
    "nivalis",
    "obscura",
    "pallida",
    "querula",
    "rufa",
    "silvestris",
    "tristis",
    "umbrosa",
    "vespertina",
]
_RECORDISTS = [
    "Ada Moss",
    "Bo Lind",
    "Cleo Hart",
    "Dag Voll",
    "Elif Kaya",
    "Finn Roe",
    "Gul Aydin",
    "Hana Sato",
    "Ivo Petr",
    "Jun Park",
    "Kofi Mensah",
    "Lea Blum",
    "Milo Costa",
    "Nia Owen",
    "Otto Falk",
    "Pia Rossi",
    "Quin Doyle",
    "Rui Alves",
    "Sara Nunez",
    "Tom Birch",
    "Uma Rao",
    "Vera Kos",
    "Wim Bos",
    "Zoe Lark",
]
_PLACES = [
    "Alder Fen",
    "Birch Ridge",
    "Clay Pits",
    "Dune Slack",
    "East Moor",
    "Fern Gully",
    "Gravel Bay",
    "Heron Lake",
    "Ivy Wood",
    "Juniper Hill",
    "Kelp Point",
    "Larch Valley",
]
_LICENCES = (
    "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/",
)
_FORMATS = ("mp3", "ogg", "flac", "wav")
_RATES = (16000, 22050, 24000, 32000, 44100, 48000)
_SESSION_SIZES = (0.6, 0.25, 0.15)
"""Shares of sessions of one, two and three recordings."""

_LONG_SHARE = 0.05
"""Share of recordings of 30 to 60 s; the others last 4 to 15 s."""


@dataclass(frozen=True)
class Plan:
    """One recording to be synthesised. Depends on nothing but seed, species and number."""

    seed: int
    species: int
    number: int
    session: int
    name: str
    format: str
    sample_rate: int
    channels: int
    duration: float
    recordist: str
    date: str
    place: str
    licence: str
    quality: str

    @property
    def id(self) -> str:
        """Path in the folder layout: `<Species name>/<id>.<format>`."""
        return f"{self.name.replace(' ', '_')}/demo-{self.species:02d}-{self.number:04d}.{self.format}"


def recipe(plan: Plan) -> str:
    """What the sound of a recording follows from, as one word; who recorded it under which licence is not part of it."""
    p = plan
    return f"{p.seed}-{p.species}-{p.number}-{p.session}-{p.sample_rate}-{p.channels}-{p.duration:.3f}-{p.format}"


def species_name(index: int) -> str:
    """An invented binomial: nobody should take the demo for real birds."""
    genus = "Fictornis" if index < len(_EPITHETS) else f"Fictornis-{index // len(_EPITHETS) + 1}"
    return f"{genus} {_EPITHETS[index % len(_EPITHETS)]}"


def plan_species(seed: int, species: int, recordings: int) -> list[Plan]:
    """The recordings of one species; the first n of them are the same for any larger number.

    One to three, mostly one, make a session: one bird, one recordist, one day, one place.
    """
    plans: list[Plan] = []
    session = -1
    while len(plans) < recordings:
        session += 1
        s = np.random.default_rng([seed, 2, species, session])
        size = int(s.choice((1, 2, 3), p=_SESSION_SIZES))
        recordist, place = str(s.choice(_RECORDISTS)), str(s.choice(_PLACES))
        date = dt.date(2021, 3, 1) + dt.timedelta(days=int(s.integers(0, 4 * 365)))
        licence, quality = (
            str(s.choice(_LICENCES, p=(0.6, 0.12, 0.28))),
            str(s.choice(list("ABCD"), p=(0.3, 0.4, 0.2, 0.1))),
        )
        rate, channels = int(s.choice(_RATES)), int(s.choice((1, 2), p=(0.65, 0.35)))
        for _ in range(size):
            long = s.random() < _LONG_SHARE
            duration = s.uniform(30, 60) if long else s.uniform(4, 15)
            fmt = str(s.choice(_FORMATS, p=(0.3, 0.2, 0.3, 0.2)))
            if len(plans) < recordings:
                plans.append(
                    Plan(
                        seed=seed,
                        species=species,
                        number=len(plans),
                        session=session,
                        name=species_name(species),
                        format=fmt,
                        sample_rate=rate,
                        channels=channels,
                        duration=round(float(duration), 3),
                        recordist=recordist,
                        date=date.isoformat(),
                        place=place,
                        licence=licence,
                        quality=quality,
                    )
                )
    return plans


def plan_corpus(seed: int, species: int, recordings: int) -> list[Plan]:
    """All recordings of the embedded corpus, species by species."""
    return [p for i in range(species) for p in plan_species(seed, i, recordings)]
