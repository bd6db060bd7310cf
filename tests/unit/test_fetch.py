"""Servers on a bad day: what is asked is polite, what breaks off goes on, and what cannot come is said."""

import csv
import json
import sys
import tarfile
import threading
import time
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from autobird.core.errors import AutobirdError
from autobird.core.hashing import digest_of
from autobird.corpus import download, refresh
from autobird.corpus.fetch.http import Client, Incomplete, Withdrawn, retry_after
from autobird.corpus.fetch.xeno_canto import KEY as VARIABLE
from autobird.corpus.listing import Listing
from autobird.corpus.settings import CorpusSettings
from autobird.corpus.sources.select import source_of
from autobird.corpus.sources.settings import FetchSettings
from tests.standins.xeno_canto import KEY, Mood, StandIn, entry, serve

SOUND = bytes(range(256)) * 1000


@pytest.fixture
def server() -> Iterator[StandIn]:
    """120 recordings of two species."""
    entries = [entry(str(i), ("Parus major", "Corvus corone")[i % 2], f"XC{i}-long name.MP3") for i in range(120)]
    with serve(entries, {str(i): SOUND + bytes([i]) for i in range(120)}) as running:
        yield running


def fetched(server: StandIn, to: Path, number: str = "1", **options: float) -> bytes:
    Client(**({"interval": 0, "patience": 5} | options)).download(f"{server.url}/sound/{number}/download", to)  # type: ignore[arg-type]
    return to.read_bytes()


def test_a_download_survives_cut_connections_throttling_and_failures(server: StandIn, tmp_path: Path) -> None:
    server.mood = Mood(throttle=3, fail=5, cut=50_000)
    assert fetched(server, tmp_path / "a") == SOUND + b"\x01"
    assert server.sent["1"] < 1.2 * len(SOUND)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_a_download_goes_on_where_a_killed_one_left_off(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(SOUND[:200_000])
    assert fetched(server, tmp_path / "a") == SOUND + b"\x01"
    assert server.sent["1"] == len(SOUND) + 1 - 200_000


def test_a_download_from_a_server_without_ranges_begins_again(server: StandIn, tmp_path: Path) -> None:
    server.mood = Mood(ranges=False)
    (tmp_path / "a.part").write_bytes(b"something else")
    assert fetched(server, tmp_path / "a") == SOUND + b"\x01"


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(SOUND + bytes(500))
    assert fetched(server, tmp_path / "a") == SOUND + b"\x01"


def test_a_server_that_lies_about_the_length_is_found_out(server: StandIn, tmp_path: Path) -> None:
    server.mood = Mood(lie={"1"})
    with pytest.raises(Incomplete, match=f"sends only {len(SOUND) + 1} bytes of what it promises"):
        fetched(server, tmp_path / "a")


def test_a_withdrawn_recording_says_so(server: StandIn, tmp_path: Path) -> None:
    server.mood = Mood(withdrawn={"1"})
    with pytest.raises(Withdrawn, match=r"withdrawn: .* answers 404"):
        fetched(server, tmp_path / "a")


def test_other_bytes_than_promised_are_refused(server: StandIn, tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="another sha256"):
        Client(0, 5).download(f"{server.url}/sound/1/download", tmp_path / "a", digest_of("x"))
    assert not list(tmp_path.iterdir())


def test_a_dead_server_ends_the_job_and_what_came_is_kept(server: StandIn, tmp_path: Path) -> None:
    server.mood = Mood(closed=True)
    (tmp_path / "a.part").write_bytes(SOUND[:1000])
    with pytest.raises(AutobirdError, match=r"does not answer .* run again later: what has come so far is kept"):
        fetched(server, tmp_path / "a", patience=0.5)
    assert (tmp_path / "a.part").stat().st_size == 1000


def test_a_server_that_comes_back_in_time_is_waited_for(server: StandIn, tmp_path: Path) -> None:
    server.mood = Mood(closed=True)
    back = threading.Timer(1.0, lambda: setattr(server, "mood", Mood()))
    back.start()
    assert fetched(server, tmp_path / "a", patience=20) == SOUND + b"\x01"
    back.join()


class Clock:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now, self.waits = 100.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def test_requests_keep_their_distance(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, clock = Client(0.2, 5), Clock()
    monkeypatch.setattr(sys.modules[Client.__module__], "time", clock)
    for number, later in (("1", 0.15), ("2", 0.5), ("3", 0.0)):
        client.download(f"{server.url}/sound/{number}/download", tmp_path / number)
        clock.now += later
    assert clock.waits == pytest.approx([0.05])
    client.download(f"{server.url}/sound/4/download", tmp_path / "4")
    assert clock.waits == pytest.approx([0.05, 0.2])


def test_a_server_may_say_how_long_to_wait() -> None:
    assert retry_after("7") == 7
    assert retry_after(None) == retry_after("soon") == 0
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert 20 < retry_after(soon) <= 30


def settings_for(server: StandIn, tmp_path: Path, **asks: object) -> CorpusSettings:
    return CorpusSettings(**server.settings(**asks), lock=str(tmp_path / "lock.jsonl"), batches=2)


def test_a_refresh_lists_every_page_of_every_species_and_says_what_changed(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    server.mood = Mood(throttle=4)
    settings = settings_for(server, tmp_path)
    came = refresh.refresh(settings)
    assert came is not None
    assert (len(came.came), len(came.went), len(came.changed)) == (120, 0, 0)
    first = (tmp_path / "lock.jsonl").read_bytes()
    assert KEY.encode() not in first
    assert len(source_of(settings, tmp_path / "c").rows()) == 120
    server.entries[:] = [e for e in server.entries[::-1] if e["id"] != "7"]
    server.entries.append(entry("200", "Parus major", "XC200.mp3", file="x"))
    server.entries[0]["lic"] = "CC0"
    changes = refresh.refresh(settings)
    assert changes is not None
    assert changes == (["200"], ["7"], [server.entries[0]["id"]])
    assert refresh.report(changes)[0] == "1 recordings came: 200"


def test_the_same_listing_in_another_order_gives_the_same_lock(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    settings = settings_for(server, tmp_path)
    refresh.refresh(settings)
    first = (tmp_path / "lock.jsonl").read_bytes()
    server.entries.reverse()
    refresh.refresh(settings)
    assert (tmp_path / "lock.jsonl").read_bytes() == first


def test_a_missing_or_wrong_key_is_said_without_telling_it(
    server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(AutobirdError, match=VARIABLE):
        refresh.refresh(settings_for(server, tmp_path))
    monkeypatch.setenv(VARIABLE, "wrong-and-private")
    with pytest.raises(AutobirdError, match="answers 401") as error:
        refresh.refresh(settings_for(server, tmp_path))
    monkeypatch.setenv(VARIABLE, KEY)
    server.mood = Mood(closed=True)
    hasty = settings_for(server, tmp_path).model_copy(update={"fetch": FetchSettings(interval=0, patience=1)})
    with pytest.raises(AutobirdError, match="does not answer") as silent:
        refresh.refresh(hasty)
    told = f"{error.value} {silent.value} {caplog.text}"
    assert "private" not in told
    assert KEY not in told


@pytest.mark.parametrize("refused", [True, False], ids=["an answer", "a failure"])
def test_an_error_that_repeats_the_url_does_not_show_the_key(refused: bool, caplog: pytest.LogCaptureFixture) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if refused:
            return httpx.Response(400, text=f"wrong: {request.url}")
        raise httpx.ConnectError(f"no route to {request.url}")

    client = Client(0, 0, ("hidden",), _http=httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(AutobirdError, match=r"birds\.example .*key=\*\*\*") as error:
        client.get_json("https://birds.example/", {"key": "hidden"})
    assert "hidden" not in f"{error.value} {caplog.text}"


def batch(settings: CorpusSettings, tmp_path: Path, number: str = "0") -> tuple[Path, Path, list[dict[str, str]]]:
    """Download one batch; its tar, its table, and what came."""
    rows, tar, came = tmp_path / "rows.csv", tmp_path / "out" / "0.tar", tmp_path / "out" / "0.csv"
    tmp_path.mkdir(exist_ok=True)
    rows.write_text(Listing(source_of(settings, tmp_path / "c"), settings).text(number), encoding="utf-8")
    archive = ["--archive", settings.root or ""] if settings.type == "kaggle" else []
    download.main(
        [
            "--settings", settings.fetch.model_dump_json(), "--rows", str(rows), *archive, "--audio", str(tar), "--fetched", str(came),
        ]
    )  # fmt: skip
    with came.open(newline="", encoding="utf-8") as file:
        return tar, came, list(csv.DictReader(file))


@pytest.fixture
def listed(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CorpusSettings:
    """A lock of the server's recordings."""
    monkeypatch.setenv(VARIABLE, KEY)
    settings = settings_for(server, tmp_path)
    refresh.refresh(settings)
    return settings


def test_a_batch_becomes_one_tar_with_the_same_bytes_on_good_and_bad_days(
    server: StandIn, listed: CorpusSettings, tmp_path: Path
) -> None:
    tar, came, _ = batch(listed, tmp_path / "good")
    server.mood = Mood(throttle=5, fail=7, cut=100_000)
    other, there, _ = batch(listed, tmp_path / "bad")
    assert tar.read_bytes() == other.read_bytes()
    assert came.read_bytes() == there.read_bytes()
    with tarfile.open(tar) as archive:
        members = archive.getmembers()
        assert all(m.mtime == 0 and m.uname == "" for m in members)
        found = {m.name.split("/")[-2]: archive.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    assert len(found) > 40
    assert found == {number: server.sound(number) for number in found}


def test_withdrawn_recordings_cost_themselves_alone(server: StandIn, listed: CorpusSettings, tmp_path: Path) -> None:
    everything = [r["recording"] for r in batch(listed, tmp_path / "all")[2]]
    number = everything[0].split("XC")[1].removesuffix(".MP3")
    server.mood = Mood(withdrawn={number})
    rows = batch(listed, tmp_path / "less")[2]
    assert [r["recording"] for r in rows] == everything
    assert [bool(r["problem"]) for r in rows] == [True] + [False] * (len(rows) - 1)


def test_an_added_recording_is_the_only_one_that_is_downloaded(
    server: StandIn, listed: CorpusSettings, tmp_path: Path
) -> None:
    tar, came, before = batch(listed, tmp_path)
    server.sent.clear()
    # Snakemake deletes the outputs before a rule runs again.
    tar.unlink()
    came.unlink()
    number = 300
    while True:
        new = entry(str(number), "Parus major", "x.mp3")
        new["file"] = f"{server.url}/sound/{number}/download"
        server.entries.append(new)
        server.files[str(number)] = b"new"
        refresh.refresh(listed)
        if f"XC{number}.mp3" in Listing(source_of(listed, tmp_path / "c"), listed).text("0"):
            break
        number += 1
    after = batch(listed, tmp_path)[2]
    assert len(after) == len(before) + 1
    assert set(server.sent) == {str(number)}


def test_a_replaced_recording_is_downloaded_again_and_no_other_one(
    server: StandIn, listed: CorpusSettings, tmp_path: Path
) -> None:
    tar, came, before = batch(listed, tmp_path)
    server.sent.clear()
    tar.unlink()
    came.unlink()
    name = before[3]["recording"]
    number = name.split("XC")[1].removesuffix(".MP3")
    server.files[number] = b"another sound"
    next(e for e in server.entries if e["id"] == number)["uploaded"] = "2024-02-02"
    refresh.refresh(listed)
    after = batch(listed, tmp_path)[2]
    assert set(server.sent) == {number}
    assert [r["recording"] for r in after if r not in before] == [name]
    assert after[3]["sha256"] == digest_of("another sound")


def test_files_in_a_zip_come_into_the_tar(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        for i in range(6):
            archive.writestr(f"x/Species {i % 2}_sound/{i}.mp3", f"sound {i}")
    settings = CorpusSettings(type="kaggle", root=str(tmp_path / "d.zip"), batches=1)
    tar, _, came = batch(settings, tmp_path)
    assert len(came) == 6
    with tarfile.open(tar) as archive:
        assert {archive.extractfile(m).read() for m in archive} == {f"sound {i}".encode() for i in range(6)}  # type: ignore[union-attr]


def test_files_at_a_url_come_into_the_tar(tmp_path: Path) -> None:
    for i in range(6):
        path = tmp_path / f"root/Species {i % 2}/{i}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"sound {i}".encode())
    (tmp_path / "root/SOURCES.csv").write_text("file,recordist\nSpecies 0/0.mp3,Ann\n")
    settings = CorpusSettings(
        type="url", root=f"file://{tmp_path / 'root'}", lock=str(tmp_path / "lock.jsonl"), batches=1
    )
    refresh.refresh(settings)
    assert json.loads((tmp_path / "lock.jsonl").read_text().splitlines()[1])["facts"]["recordist"] == "Ann"
    _, _, came = batch(settings, tmp_path)
    assert [r["sha256"] for r in came] == [digest_of(f"sound {i}") for i in (0, 2, 4, 1, 3, 5)]


def test_kagglehub_is_asked_for_the_pinned_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = CorpusSettings(type="kaggle")
    with pytest.raises(AutobirdError, match="kagglehub is not installed; pip install kagglehub"):
        refresh.refresh(settings)
    asked: list[str] = []
    hub = types.SimpleNamespace(dataset_download=lambda handle: asked.append(handle) or str(tmp_path))
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    assert refresh.refresh(settings) is None
    assert asked == ["soumendraprasad/sound-of-114-species-of-birds-till-2022/versions/1"]


def test_what_lies_on_a_disk_has_nothing_to_refresh() -> None:
    with pytest.raises(AutobirdError, match="nothing to refresh"):
        refresh.refresh(CorpusSettings())
