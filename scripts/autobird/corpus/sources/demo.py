"""The embedded corpus: recordings that exist as recipes until `download` synthesises them."""

from autobird.corpus.demo.plan import Plan, plan_corpus, recipe
from autobird.corpus.sources.base import Facts, Row, Source
from autobird.corpus.sources.settings import DemoSettings


class DemoSource(Source):
    """Invented birds with invented recordists, days, places and licences."""

    name = "corpus.demo"

    def __init__(self, demo: DemoSettings) -> None:
        self.plans: list[Plan] = sorted(plan_corpus(demo.seed, demo.species, demo.recordings), key=lambda p: p.id)

    def rows(self) -> list[Row]:
        """One row a plan; its size is that of uncompressed sound."""
        return [
            Row(p.id, p.name, f"demo:{recipe(p)}", size=round(2 * p.duration * p.sample_rate * p.channels))
            for p in self.plans
        ]

    def facts(self) -> list[Facts]:
        """As the plans have them."""
        return [
            Facts(p.id, recordist=p.recordist, date=p.date, place=p.place, licence=p.licence, quality=p.quality)
            for p in self.plans
        ]
