"""The demo corpus as a source: recordings that stage `download` synthesises."""

from autobird.sources.base import NEGATIVE, ListedRecording, RecordingMetadata, Source
from autobird.synth.plan import NegativePlan, Plan, all_plans
from autobird.synth.settings import DemoSettings


class DemoSource(Source):
    """Synthetic recordings of invented species and negatives, with invented recordists, dates, places and licences."""

    name = "corpus.demo"

    def __init__(self, demo: DemoSettings) -> None:
        self._plans: list[Plan | NegativePlan] = sorted(all_plans(demo), key=lambda p: p.id)

    def recordings(self) -> list[ListedRecording]:
        """Return one recording per plan. Its size is that of uncompressed 16-bit audio."""
        return [_listed(plan) for plan in self._plans]

    def metadata(self) -> list[RecordingMetadata]:
        """Return the metadata of the plans."""
        return [
            RecordingMetadata(
                p.id, recordist=p.recordist, date=p.date, place=p.place, licence=p.licence, quality=p.quality
            )
            for p in self._plans
        ]


def _listed(p: Plan | NegativePlan) -> ListedRecording:
    species, kind = ("", NEGATIVE) if isinstance(p, NegativePlan) else (p.name, "")
    return ListedRecording(
        p.id,
        species,
        f"demo:{p.audio_parameters}",
        size=round(2 * p.duration * p.sample_rate * p.channels),
        kind=kind,
    )
