"""The demo corpus and its field recordings as sources."""

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
