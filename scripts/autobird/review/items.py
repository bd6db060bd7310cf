"""An item of a review: a window of a recording and one species, with all that a screen shows of it."""

import hashlib
from dataclasses import dataclass

from autobird.sources.review_table import ItemKey, seconds_text


@dataclass(frozen=True)
class ReviewItem:
    """A window of a recording and the species that the reviewer is asked about.

    Attributes:
        file: path of the recording below the folder of the recordings, with `/`.
        start: start of the window, seconds.
        end: its end, seconds.
        species: the species.
        probability: its calibrated probability.
        model: fingerprint of the bundle.
        stratum: how the item was chosen, the column `stratum` of reviews.csv: `score 0.25-0.5`, `random`, `uncertain`, `unlike` or
            `similar`, and the filter in brackets if there was one.
        sampling_probability: probability with which it was chosen; None if it was not chosen at random.
        unknown_score: how little the window resembles the model's species (`predict.unknown`); None if the bundle has no such score.
        site: site of the recording, "" if unknown.
        recorded_at: local time of the window's start, ISO 8601, "" if unknown.
        similarity: cosine with the clip that was searched for (queue `similar`); None for the other queues.
    """

    file: str
    start: float
    end: float
    species: str
    probability: float
    model: str
    stratum: str
    sampling_probability: float | None = None
    unknown_score: float | None = None
    site: str = ""
    recorded_at: str = ""
    similarity: float | None = None

    @property
    def key(self) -> ItemKey:
        """The key of its decisions in reviews.csv."""
        return ItemKey.of(self.file, self.start, self.end, self.species)

    @property
    def id(self) -> str:
        """A short text for URLs: 16 hexadecimal digits that depend on the key alone."""
        return item_id(self.key)


def item_id(key: ItemKey) -> str:
    """Return 16 hexadecimal digits of the sha256 of a key."""
    text = "\n".join((key.file, seconds_text(key.start), seconds_text(key.end), key.species))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
