"""The demo corpus and its field recordings as sources: recordings that jobs synthesise."""

import json

from autobird.sources.base import ANNOTATED, NEGATIVE, Box, ListedRecording, RecordingMetadata, Source
from autobird.synth.bird import distance_of
from autobird.synth.field_plan import LICENCE, SURVEY, plan_field
from autobird.synth.plan import NegativePlan, Plan, all_plans
from autobird.synth.settings import DemoFieldSettings, DemoSettings


class DemoSource(Source):
    """Synthetic recordings of invented species and negatives, with invented recordists, dates, places and licences."""

    name = "corpus.demo"

    def __init__(self, demo: DemoSettings) -> None:
        self._plans: list[Plan | NegativePlan] = sorted(all_plans(demo), key=lambda p: p.id)

    def recordings(self) -> list[ListedRecording]:
        """Return one recording per plan. Its size is that of uncompressed 16-bit audio."""
        return [_listed(plan) for plan in self._plans]

    def metadata(self) -> list[RecordingMetadata]:
        """Return the metadata of the plans; those of species have the distance of the bird, for the evaluation by distance."""
        return [
            RecordingMetadata(
                p.id,
                recordist=p.recordist,
                date=p.date,
                place=p.place,
                licence=p.licence,
                quality=p.quality,
                extra=json.dumps({"distance_m": f"{distance_of(p):.1f}"}) if isinstance(p, Plan) else "",
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


class DemoFieldSource(Source):
    """Synthetic field recordings of the species of the demo corpus, by other recorders at other places.

    Args:
        demo: number of species and seed.
        field: number and duration of the recordings.
    """

    name = "evaluation.field.demo"

    def __init__(self, demo: DemoSettings, field: DemoFieldSettings) -> None:
        self._plans = sorted(plan_field(demo, field), key=lambda p: p.id)

    def recordings(self) -> list[ListedRecording]:
        """Return one recording per plan. Its size is that of uncompressed 16-bit audio."""
        return [
            ListedRecording(
                p.id, "", f"demo-field:{p.audio_parameters}", size=round(2 * p.duration * p.sample_rate), kind=ANNOTATED
            )
            for p in self._plans
        ]

    def metadata(self) -> list[RecordingMetadata]:
        """Return time and place of the recordings."""
        return [
            RecordingMetadata(
                p.id,
                recordist=SURVEY,
                date=f"{p.start:%Y-%m-%d}",
                time=f"{p.start:%H:%M:%S}",
                place=p.recorder.site,
                latitude=f"{p.recorder.latitude:.3f}",
                longitude=f"{p.recorder.longitude:.3f}",
                licence=LICENCE,
            )
            for p in self._plans
        ]

    def boxes(self) -> list[Box]:
        """Return no boxes: stage `field_demo` writes them, because only the synthesised sound shows which songs are audible."""
        return []
