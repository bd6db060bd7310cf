"""The demo corpus and its field recordings as sources."""

import json

from autobird.sources.base import ANNOTATED, NEGATIVE
from autobird.sources.demo import DemoFieldSource, DemoSource
from autobird.synth.settings import DemoFieldSettings, DemoSettings


def test_the_negatives_of_the_demo_have_metadata_and_no_species() -> None:
    source = DemoSource(DemoSettings(species=3, recordings=5, negatives=2, other_birds=1))
    recordings = source.recordings()
    negatives = [r for r in recordings if r.kind == NEGATIVE]
    names = [r.recording.partition(".")[0] for r in negatives]
    assert names == ["noise/demo-noise-0000", "noise/demo-noise-0001", "other/demo-other-0000"]
    assert {r.species for r in negatives} == {""}
    assert {r.kind for r in recordings if r.species} == {""}
    assert [m.recording for m in source.metadata()] == [r.recording for r in recordings]


def test_the_metadata_of_the_demo_have_the_distance_of_the_bird_and_none_for_negatives() -> None:
    source = DemoSource(DemoSettings(species=2, recordings=30, negatives=2, other_birds=1))
    extra = {m.recording: m.extra for m in source.metadata()}
    distances = [float(json.loads(text)["distance_m"]) for name, text in extra.items() if name.startswith("Fictornis")]
    assert len(distances) == 60
    # The log-uniform distance of a session between 8 and 70 m, times a factor that is 1.3 or its inverse at one standard deviation.
    assert 3 < min(distances) < 15
    assert 50 < max(distances) < 200
    assert all(not text for name, text in extra.items() if not name.startswith("Fictornis"))


def test_the_field_recordings_of_the_demo_are_annotated_and_listed_without_synthesising_them() -> None:
    source = DemoFieldSource(DemoSettings(), DemoFieldSettings(recordings=6))
    recordings = source.recordings()
    assert len(recordings) == 6
    assert {(r.kind, r.species, r.problem) for r in recordings} == {(ANNOTATED, "", "")}
    assert source.boxes() == []
    metadata = source.metadata()
    assert [m.recording for m in metadata] == [r.recording for r in recordings]
    assert all(m.place and m.date and m.time and m.latitude and m.licence for m in metadata)


def test_a_longer_or_other_field_recording_has_another_content() -> None:
    demo = DemoSettings()
    short, long = (DemoFieldSource(demo, DemoFieldSettings(recordings=2, seconds=s)).recordings() for s in (20, 30))
    assert not {r.content for r in short} & {r.content for r in long}
    assert {r.recording for r in short} == {r.recording for r in long}
