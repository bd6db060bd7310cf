"""The embedded corpus: recordings that exist as recipes until `download` synthesises them."""

from autobird.sources.base import ListedRecording, RecordingMetadata, Source
from autobird.synth.plan import Plan, plan_corpus, recipe
from autobird.synth.settings import DemoSettings


class DemoSource(Source):
    """Invented birds with invented recordists, days, places and licences."""

    name = "corpus.demo"

    def __init__(self, demo: DemoSettings) -> None:
        self.plans: list[Plan] = sorted(plan_corpus(demo.seed, demo.species, demo.recordings), key=lambda p: p.id)

    def recordings(self) -> list[ListedRecording]:
        """One row a plan; its size is that of uncompressed sound."""
        return [
            ListedRecording(p.id, p.name, f"demo:{recipe(p)}", size=round(2 * p.duration * p.sample_rate * p.channels))
            for p in self.plans
        ]

    def metadata(self) -> list[RecordingMetadata]:
        """As the plans have them."""
        return [
            RecordingMetadata(
                p.id, recordist=p.recordist, date=p.date, place=p.place, licence=p.licence, quality=p.quality
            )
            for p in self.plans
        ]
