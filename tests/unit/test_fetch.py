"""Requests to servers that throttle, fail, cut connections or withdraw recordings."""

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
from autobird.corpus.settings import CorpusSettings
from autobird.sources import download, refresh
from autobird.sources.fetch.http import AccessRefused, Client, Incomplete, Unavailable
from autobird.sources.fetch.retry_after import parse_retry_after
from autobird.sources.fetch.xeno_canto import KEY_VARIABLE
from autobird.sources.listing import Listing
from autobird.sources.remote.settings import FetchSettings
from autobird.sources.select import source_of
from tests.standins.xeno_canto import API_KEY, FakeServer, Faults, entry, serve

AUDIO = bytes(range(256)) * 1000


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """120 recordings of two species."""
    entries = [entry(str(i), ("Parus major", "Corvus corone")[i % 2], f"XC{i}-long name.MP3") for i in range(120)]
    with serve(entries, {str(i): AUDIO + bytes([i]) for i in range(120)}) as running:
        yield running


def downloaded(server: FakeServer, to: Path, interval: float = 0, retry_seconds: float = 5) -> bytes:
    """Download recording 1 to `to` and return its bytes."""
    Client(interval, retry_seconds).download(f"{server.url}/sound/1/download", to)
    return to.read_bytes()


def test_a_download_survives_cut_connections_throttling_and_failures(server: FakeServer, tmp_path: Path) -> None:
    server.faults = Faults(throttle=3, fail=5, cut=50_000)
    assert downloaded(server, tmp_path / "a") == AUDIO + b"\x01"
    assert server.sent["1"] < 1.2 * len(AUDIO)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a"]


def test_a_download_resumes_where_a_killed_one_stopped(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(AUDIO[:200_000])
    assert downloaded(server, tmp_path / "a") == AUDIO + b"\x01"
    assert server.sent["1"] == len(AUDIO) + 1 - 200_000


def test_a_download_from_a_server_without_ranges_starts_from_the_beginning(server: FakeServer, tmp_path: Path) -> None:
    server.faults = Faults(ranges=False)
    (tmp_path / "a.part").write_bytes(b"something else")
    assert downloaded(server, tmp_path / "a") == AUDIO + b"\x01"


def test_a_partial_file_that_is_longer_than_the_file_is_discarded(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(AUDIO + bytes(500))
    assert downloaded(server, tmp_path / "a") == AUDIO + b"\x01"


def test_a_file_that_is_always_shorter_than_declared_is_incomplete(server: FakeServer, tmp_path: Path) -> None:
    server.faults = Faults(wrong_length={"1"})
    with pytest.raises(Incomplete, match=f"sends only {len(AUDIO) + 1} bytes, less than the declared length"):
        downloaded(server, tmp_path / "a")


def test_a_withdrawn_recording_is_reported_with_the_status(server: FakeServer, tmp_path: Path) -> None:
    server.faults = Faults(withdrawn={"1"})
    with pytest.raises(Unavailable, match=r"withdrawn: .* answers 404"):
        downloaded(server, tmp_path / "a")


def test_a_file_with_another_checksum_than_expected_is_refused(server: FakeServer, tmp_path: Path) -> None:
    with pytest.raises(Incomplete, match="another sha256"):
        Client(0, 5).download(f"{server.url}/sound/1/download", tmp_path / "a", digest_of("x"))
    assert not list(tmp_path.iterdir())


def test_a_server_that_does_not_respond_ends_the_job_and_received_data_is_kept(
    server: FakeServer, tmp_path: Path
) -> None:
    server.faults = Faults(closed=True)
    (tmp_path / "a.part").write_bytes(AUDIO[:1000])
    with pytest.raises(AutobirdError, match=r"does not respond .* run again later: the data received so far is kept"):
        downloaded(server, tmp_path / "a", retry_seconds=0.5)
    assert (tmp_path / "a.part").stat().st_size == 1000


def test_requests_are_repeated_until_the_server_responds_again(server: FakeServer, tmp_path: Path) -> None:
    server.faults = Faults(closed=True)
    recovery = threading.Timer(1.0, lambda: setattr(server, "faults", Faults()))
    recovery.start()
    assert downloaded(server, tmp_path / "a", retry_seconds=20) == AUDIO + b"\x01"
    recovery.join()


class Clock:
    """A replacement for the module `time`, whose time passes only in `sleep` and by changes of `now`."""

    def __init__(self) -> None:
        self.now, self.waits = 100.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def test_the_interval_between_requests_is_kept(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, clock = Client(interval=0.2, retry_seconds=5), Clock()
    monkeypatch.setattr(sys.modules[Client.__module__], "time", clock)
    for number, later in (("1", 0.15), ("2", 0.5), ("3", 0.0)):
        client.download(f"{server.url}/sound/{number}/download", tmp_path / number)
        clock.now += later
    assert clock.waits == pytest.approx([0.05])
    client.download(f"{server.url}/sound/4/download", tmp_path / "4")
    assert clock.waits == pytest.approx([0.05, 0.2])


def test_retry_after_is_a_number_of_seconds_or_a_date() -> None:
    assert parse_retry_after("7") == 7
    assert parse_retry_after(None) == parse_retry_after("soon") == 0
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 30))
    assert 20 < parse_retry_after(date) <= 30


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays for which the client would sleep, seconds."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_the_first_retry_after_is_honoured(server: FakeServer, tmp_path: Path, delays: list[float]) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 900))
    server.faults = Faults(retry_after=["700", date])
    assert downloaded(server, tmp_path / "a") == AUDIO + b"\x01"
    first, second = delays
    assert first == 700
    assert 890 < second <= 900


@pytest.mark.parametrize("value", ["86400", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_server_that_asks_to_wait_for_very_long_ends_the_job(
    value: str, server: FakeServer, tmp_path: Path, delays: list[float]
) -> None:
    server.faults = Faults(retry_after=[value])
    with pytest.raises(AutobirdError, match=r"answers 503 and asks to wait for .* h .* run again then"):
        downloaded(server, tmp_path / "a")
    assert delays == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_not_a_withdrawal_and_ends_the_job(
    status: int, server: FakeServer, tmp_path: Path, delays: list[float]
) -> None:
    server.faults = Faults(refused={"1": status})
    with pytest.raises(
        AccessRefused, match=rf"/sound/1/download: the server refuses access \(answers {status}\)"
    ) as refused:
        downloaded(server, tmp_path / "a")
    assert not isinstance(refused.value, Unavailable)
    assert len(server.requests) == 3


def test_a_refusal_that_ends_is_survived(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.faults = Faults(refused={"1": 403})
    monkeypatch.setattr(time, "sleep", lambda seconds: server.faults.refused.clear())
    assert downloaded(server, tmp_path / "a") == AUDIO + b"\x01"


def test_a_short_listing_is_refused_and_the_lock_file_is_kept(
    server: FakeServer, refreshed: CorpusSettings, tmp_path: Path
) -> None:
    before = (tmp_path / "lock.jsonl").read_bytes()
    server.faults = Faults(missing=2)
    with pytest.raises(AutobirdError, match=r"lists 58 of the 60 recordings .* run `snakemake refresh_sources` again"):
        refresh.refresh(refreshed)
    assert (tmp_path / "lock.jsonl").read_bytes() == before


def test_a_recording_that_is_listed_twice_does_not_hide_a_missing_one(
    server: FakeServer, refreshed: CorpusSettings, tmp_path: Path
) -> None:
    server.entries[2] = server.entries[0]  # as if a page had shifted while the pages were requested
    with pytest.raises(AutobirdError, match="lists 59 of the 60 recordings"):
        refresh.refresh(refreshed)


def settings_for(server: FakeServer, tmp_path: Path, **changes: object) -> CorpusSettings:
    return CorpusSettings(**server.settings(**changes), lock=str(tmp_path / "lock.jsonl"), batches=2)


def test_a_refresh_lists_every_page_of_every_species_and_reports_the_changes(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, API_KEY)
    server.faults = Faults(throttle=4)
    settings = settings_for(server, tmp_path)
    first = refresh.refresh(settings)
    assert first is not None
    assert (len(first.added), len(first.removed), len(first.changed)) == (120, 0, 0)
    lock = (tmp_path / "lock.jsonl").read_bytes()
    assert API_KEY.encode() not in lock
    assert len(source_of(settings, tmp_path / "c").recordings()) == 120
    server.entries[:] = [e for e in server.entries[::-1] if e["id"] != "7"]
    server.entries.append(entry("200", "Parus major", "XC200.mp3", file="x"))
    server.entries[0]["lic"] = "CC0"
    changes = refresh.refresh(settings)
    assert changes is not None
    assert changes == (["200"], ["7"], [server.entries[0]["id"]])
    assert refresh.describe(changes) == [
        "1 recordings added: 200",
        "1 recordings removed: 7",
        f"1 recordings changed: {server.entries[0]['id']}",
    ]


def test_recordings_in_another_order_give_the_same_lock_file(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, API_KEY)
    settings = settings_for(server, tmp_path)
    refresh.refresh(settings)
    first = (tmp_path / "lock.jsonl").read_bytes()
    server.entries.reverse()
    refresh.refresh(settings)
    assert (tmp_path / "lock.jsonl").read_bytes() == first


def test_messages_about_a_missing_or_wrong_api_key_do_not_show_it(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(AutobirdError, match=KEY_VARIABLE):
        refresh.refresh(settings_for(server, tmp_path))
    monkeypatch.setenv(KEY_VARIABLE, "wrong-and-private")
    with pytest.raises(AutobirdError, match=f"answers 401: .*; check the API key in {KEY_VARIABLE}") as refused:
        refresh.refresh(settings_for(server, tmp_path))
    monkeypatch.setenv(KEY_VARIABLE, API_KEY)
    server.faults = Faults(closed=True)
    short_retry = FetchSettings(interval=0, retry_seconds=1)
    with pytest.raises(AutobirdError, match="does not respond") as closed:
        refresh.refresh(settings_for(server, tmp_path).model_copy(update={"fetch": short_retry}))
    messages = f"{refused.value} {closed.value} {caplog.text}"
    assert "private" not in messages
    assert API_KEY not in messages


@pytest.mark.parametrize("answered", [True, False], ids=["error status", "no connection"])
def test_an_error_message_that_contains_the_url_does_not_show_the_api_key(
    answered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if answered:
            return httpx.Response(400, text=f"wrong: {request.url}")
        raise httpx.ConnectError(f"no route to {request.url}")

    client = Client(0, 0, ("hidden",), _http=httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(AutobirdError, match=r"birds\.example .*key=\*\*\*") as error:
        client.get_json("https://birds.example/", {"key": "hidden"})
    assert "hidden" not in f"{error.value} {caplog.text}"


def download_batch(
    settings: CorpusSettings, tmp_path: Path, number: str = "0"
) -> tuple[Path, Path, list[dict[str, str]]]:
    """Download one batch; return its archive, the path of its table of fetched recordings, and the rows of that."""
    manifest, archive, table = tmp_path / "manifest.csv", tmp_path / "out" / "0.tar", tmp_path / "out" / "0.csv"
    tmp_path.mkdir(exist_ok=True)
    manifest.write_text(Listing(source_of(settings, tmp_path / "c"), settings).manifests.text(number), encoding="utf-8")
    zip_file = ["--archive", settings.root or ""] if settings.type == "kaggle" else []
    download.main(
        ["--settings", settings.fetch.model_dump_json(), "--manifest", str(manifest), *zip_file, "--audio", str(archive), "--fetched", str(table)]
    )  # fmt: skip
    with table.open(newline="", encoding="utf-8") as file:
        return archive, table, list(csv.DictReader(file))


@pytest.fixture
def refreshed(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CorpusSettings:
    """Settings with a lock file of the server's recordings."""
    monkeypatch.setenv(KEY_VARIABLE, API_KEY)
    settings = settings_for(server, tmp_path)
    refresh.refresh(settings)
    return settings


def test_an_archive_has_the_same_bytes_with_and_without_server_faults(
    server: FakeServer, refreshed: CorpusSettings, tmp_path: Path
) -> None:
    archive, table, _ = download_batch(refreshed, tmp_path / "without")
    server.faults = Faults(throttle=5, fail=7, cut=100_000)
    other_archive, other_table, _ = download_batch(refreshed, tmp_path / "with")
    assert archive.read_bytes() == other_archive.read_bytes()
    assert table.read_bytes() == other_table.read_bytes()
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        assert all(m.mtime == 0 and m.uname == "" for m in members)
        files = {m.name.split("/")[-2]: tar.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    assert len(files) > 40
    assert files == {number: server.audio(number) for number in files}


def test_a_withdrawn_recording_does_not_affect_the_others(
    server: FakeServer, refreshed: CorpusSettings, tmp_path: Path
) -> None:
    all_recordings = [r["recording"] for r in download_batch(refreshed, tmp_path / "all")[2]]
    number = all_recordings[0].split("XC")[1].removesuffix(".MP3")
    server.faults = Faults(withdrawn={number})
    fetched = download_batch(refreshed, tmp_path / "fewer")[2]
    assert [r["recording"] for r in fetched] == all_recordings
    assert [bool(r["problem"]) for r in fetched] == [True] + [False] * (len(fetched) - 1)


def test_only_an_added_recording_is_downloaded(server: FakeServer, refreshed: CorpusSettings, tmp_path: Path) -> None:
    archive, table, before = download_batch(refreshed, tmp_path)
    server.sent.clear()
    # Snakemake deletes the outputs before a rule runs again.
    archive.unlink()
    table.unlink()
    number = 300
    while True:  # until a new recording belongs to batch 0
        new = entry(str(number), "Parus major", "x.mp3")
        new["file"] = f"{server.url}/sound/{number}/download"
        server.entries.append(new)
        server.files[str(number)] = b"new"
        refresh.refresh(refreshed)
        if f"XC{number}.mp3" in Listing(source_of(refreshed, tmp_path / "c"), refreshed).manifests.text("0"):
            break
        number += 1
    after = download_batch(refreshed, tmp_path)[2]
    assert len(after) == len(before) + 1
    assert set(server.sent) == {str(number)}


def test_only_a_replaced_recording_is_downloaded_again(
    server: FakeServer, refreshed: CorpusSettings, tmp_path: Path
) -> None:
    archive, table, before = download_batch(refreshed, tmp_path)
    server.sent.clear()
    archive.unlink()
    table.unlink()
    name = before[3]["recording"]
    number = name.split("XC")[1].removesuffix(".MP3")
    server.files[number] = b"other audio"
    next(e for e in server.entries if e["id"] == number)["uploaded"] = "2024-02-02"
    refresh.refresh(refreshed)
    after = download_batch(refreshed, tmp_path)[2]
    assert set(server.sent) == {number}
    assert [r["recording"] for r in after if r not in before] == [name]
    assert after[3]["sha256"] == digest_of("other audio")


def test_files_in_a_zip_are_copied_into_the_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as data_set:
        for i in range(6):
            data_set.writestr(f"x/Species {i % 2}_sound/{i}.mp3", f"audio {i}")
    settings = CorpusSettings(type="kaggle", root=str(tmp_path / "d.zip"), batches=1)
    archive, _, fetched = download_batch(settings, tmp_path)
    assert len(fetched) == 6
    with tarfile.open(archive) as tar:
        assert {tar.extractfile(m).read() for m in tar} == {f"audio {i}".encode() for i in range(6)}  # type: ignore[union-attr]


def test_files_at_a_url_are_copied_into_the_archive(tmp_path: Path) -> None:
    for i in range(6):
        path = tmp_path / f"root/Species {i % 2}/{i}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"audio {i}".encode())
    (tmp_path / "root/SOURCES.csv").write_text("file,recordist\nSpecies 0/0.mp3,Ann\n")
    settings = CorpusSettings(
        type="url", root=f"file://{tmp_path / 'root'}", lock=str(tmp_path / "lock.jsonl"), batches=1
    )
    refresh.refresh(settings)
    assert json.loads((tmp_path / "lock.jsonl").read_text().splitlines()[1])["facts"]["recordist"] == "Ann"
    _, _, fetched = download_batch(settings, tmp_path)
    assert [r["sha256"] for r in fetched] == [digest_of(f"audio {i}") for i in (0, 2, 4, 1, 3, 5)]


def test_kagglehub_downloads_the_configured_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = CorpusSettings(type="kaggle")
    with pytest.raises(AutobirdError, match="kagglehub is not installed; pip install kagglehub"):
        refresh.refresh(settings)
    handles: list[str] = []
    kagglehub = types.SimpleNamespace(dataset_download=lambda handle: handles.append(handle) or str(tmp_path))
    monkeypatch.setitem(sys.modules, "kagglehub", kagglehub)
    assert refresh.refresh(settings) is None
    assert handles == ["soumendraprasad/sound-of-114-species-of-birds-till-2022/versions/1"]


def test_a_local_source_cannot_be_refreshed() -> None:
    with pytest.raises(AutobirdError, match="nothing to refresh"):
        refresh.refresh(CorpusSettings())
