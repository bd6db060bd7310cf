"""The demo corpus as a source: recordings that stage `download` synthesises."""

from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.synth.plan import Plan, audio_parameters, plan_corpus
from autobird.synth.settings import DemoSettings


class DemoSource(Source):
    """Synthetic recordings of invented species, with invented recordists, dates, places and licences."""

    name = "corpus.demo"

    def __init__(self, demo: DemoSettings) -> None:
        self._plans: list[Plan] = sorted(plan_corpus(demo.seed, demo.species, demo.recordings), key=lambda p: p.id)

    def recordings(self) -> list[ListedRecording]:
        """Return one recording per plan. Its size is that of uncompressed 16-bit audio."""
        return [
            ListedRecording(
                p.id, p.name, f"demo:{audio_parameters(p)}", size=round(2 * p.duration * p.sample_rate * p.channels)
            )
            for p in self._plans
        ]

    def metadata(self) -> list[RecordingMetadata]:
        """Return the metadata of the plans."""
        return [
            RecordingMetadata(
                p.id, recordist=p.recordist, date=p.date, place=p.place, licence=p.licence, quality=p.quality
            )
            for p in self._plans
        ]
