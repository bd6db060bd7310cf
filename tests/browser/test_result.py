"""The result of a recording: detections at any threshold, names, sound, spectrogram, downloads."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from autobird.predict import Classifier
from autobird.predict.answer_options import AnswerOptions
from autobird.predict.columns import DETECTION_COLUMNS
from autobird.predict.field_formats import RAVEN_COLUMNS
from tests.browser.browsing import choose, opened_page, recording, until, wait_for_own_spectrogram, wait_until_done
from tests.unit.test_predict import make_bundle
from tests.unit.test_server import Server, start

pytestmark = pytest.mark.browser

_RATE = 16000


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 31.3 s whose parts differ in level and colour, with silence from 12 to 18 s."""
    file = tmp_path_factory.mktemp("audio") / "dawn, 1.wav"
    rng = np.random.default_rng(3)
    t = np.arange(int(31.3 * _RATE)) / _RATE
    x = 0.02 * rng.standard_normal(len(t)) * (1 + 4 * (np.sin(0.9 * t) > 0))
    x += 0.3 * np.sin(2 * np.pi * 3000 * t) * (np.sin(1.7 * t) > 0.3)
    x[12 * _RATE : 18 * _RATE] = 0
    soundfile.write(file, x, _RATE)
    return file


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, song: Path) -> Path:
    """A bundle whose thresholds are exactly probabilities of windows of the song, in the middle of all."""
    folder = tmp_path_factory.mktemp("bundle")
    p = Classifier(make_bundle(folder / "any")).predict(song)
    middle = [sorted(p.probabilities[~p.quiet, k])[len(p.starts) // 2 - 1 + k] for k in (0, 1)]
    return make_bundle(folder / "bundle", (float(middle[0]), float(middle[1])))


@pytest.fixture(scope="module")
def server(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with this bundle."""
    running = start(bundle, tmp_path_factory.mktemp("log") / "log.sqlite", "--workers", "1")
    yield running
    running.process.terminate()
    running.process.wait(30)


@pytest.fixture
def page(server: Server, song: Path) -> Iterator[Any]:
    """The page with the result of the song."""
    with opened_page(server.url) as page:
        choose(page, song)
        wait_until_done(page)
        wait_for_own_spectrogram(page)
        yield page


def downloaded(page: Any, button: str) -> tuple[str, bytes]:
    """Click a button that downloads a file; return name and content."""
    with page.expect_download() as download:
        page.click(button)
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def detections(page: Any) -> list[tuple[str, str, str, str]]:
    """Return start, end, species and probability of the detections in the downloaded CSV."""
    rows = csv.DictReader(io.StringIO(downloaded(page, "#save-csv")[1].decode()))
    return [(row["start"], row["end"], row["species"], row["probability"]) for row in rows]


def expected(bundle: Path, song: Path, options: AnswerOptions | None = None) -> list[tuple[str, str, str, str]]:
    """Return the same of the Python class."""
    classifier = Classifier(bundle, options=options)
    found = classifier.detections(classifier.predict(song))
    return [(f"{d.start:g}", f"{d.end:g}", d.species, f"{d.probability:.4f}") for d in found]


def set_range(page: Any, selector: str, value: float) -> None:
    """Move a slider."""
    page.locator(selector).evaluate("(e, value) => { e.value = value; e.dispatchEvent(new Event('input')); }", value)


def test_the_detections_at_the_default_threshold_are_those_of_the_server(page: Any, bundle: Path, song: Path) -> None:
    """The thresholds are exact probabilities of windows: the rounded ones of the answer do not say whether they are reached."""
    wanted = expected(bundle, song)
    assert len(wanted) > 3
    assert len({species for _, _, species, _ in wanted}) == 2
    assert detections(page) == wanted
    assert page.locator("#detections tr").count() == len(wanted)
    assert page.inner_text("#threshold-value") == "× 1.00"


def test_the_rule_of_detections_is_the_servers_at_many_thresholds(page: Any, bundle: Path, song: Path) -> None:
    """In the middle between two neighbouring probabilities, rounding to 4 decimals does not matter."""
    p = Classifier(bundle).predict(song)
    values = np.unique(p.probabilities[~p.quiet].round(4))
    gaps = np.flatnonzero(np.diff(values) > 2e-4)
    thresholds = [round(float((values[k] + values[k + 1]) / 2), 6) for k in gaps[:: max(1, len(gaps) // 8)]]
    assert len(thresholds) >= 4
    answer = page.evaluate(
        "async file => (await fetch('v1/predict?top_k=0', {method: 'POST', body: new Uint8Array(file)})).json()",
        list(song.read_bytes()),
    )
    found = page.evaluate(
        "async ([windows, thresholds]) => { const {detect} = await import('/static/detections.js');"
        " return thresholds.map(t => detect(windows, () => t).map(d => [d.start, d.end, d.species])); }",
        [answer["windows"], thresholds],
    )
    for threshold, rows in zip(thresholds, found, strict=True):
        wanted = expected(bundle, song, AnswerOptions(threshold=threshold))
        assert [(f"{start:g}", f"{end:g}", species) for start, end, species in rows] == [w[:3] for w in wanted]


def test_the_threshold_acts_at_once(page: Any, bundle: Path, song: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.select_option("#threshold-mode", "absolute")
    for slider, threshold in ((-98, 0.01), (98, 0.99), (0, 0.5)):
        set_range(page, "#threshold", slider)
        assert page.inner_text("#threshold-value") == f"{threshold:.2f}"
        assert detections(page) == expected(bundle, song, AnswerOptions(threshold=threshold))
    assert [url for url in asked if not url.startswith("blob:")] == []
    page.click("#threshold-reset")
    assert detections(page) == expected(bundle, song)
    assert page.is_hidden("#threshold-reset")


def test_species_without_a_tick_are_left_out(page: Any, bundle: Path, song: Path) -> None:
    page.uncheck("#row-Parus-major")
    left = [w for w in expected(bundle, song) if w[2] != "Parus major"]
    assert detections(page) == left
    assert page.locator("#detections tr").count() == len(left)
    assert f"{len(left)} detection" in page.inner_text("#files tr")
    page.check("#row-Parus-major")
    assert detections(page) == expected(bundle, song)


def test_downloads_have_the_documented_columns(page: Any, bundle: Path, song: Path) -> None:
    wanted = expected(bundle, song)
    name, content = downloaded(page, "#save-csv")
    assert name == "dawn, 1.csv"
    rows = list(csv.reader(io.StringIO(content.decode())))
    assert rows[0] == [c.name for c in DETECTION_COLUMNS]
    assert rows[1] == ["dawn, 1.wav", *wanted[0], "", "", "", "", "", ""]
    name, content = downloaded(page, "#save-raven")
    assert name == "dawn, 1.Table.1.selections.txt"
    lines = [line.split("\t") for line in content.decode().splitlines()]
    assert lines[0] == list(RAVEN_COLUMNS)
    start, end, species, probability = wanted[1]
    path = "dawn, 1.wav"
    assert lines[2] == [
        "2",
        "Spectrogram 1",
        "1",
        start,
        end,
        "20",
        "8000",
        path,
        start,
        path,
        species,
        probability,
        "",
    ]
    name, content = downloaded(page, "#save-audacity")
    assert name == "dawn, 1.txt"
    assert content.decode().splitlines()[0] == f"{float(wanted[0][0]):.6f}\t{float(wanted[0][1]):.6f}\t{wanted[0][2]}"


def test_site_and_local_time_are_in_the_csv_where_the_server_knows_them(page: Any) -> None:
    text = page.evaluate(
        "async () => { const {csvTable} = await import('/static/exports.js');"
        " const place = {site: 'lake, north', recorder: 'SM4', recorded_at: '2023-05-12T23:59:58+02:00'};"
        " const d = {start: 2.5, end: 5, species: 'Parus major', probability: 0.5};"
        " return csvTable([{file: 'a.wav', duration: 60, detections: [d], place}]); }"
    )
    assert text.splitlines()[1] == (
        'a.wav,2.5,5,Parus major,0.5000,"lake, north",SM4,2023-05-12T23:59:58+02:00,2023-05-13,00:00:00,'
    )


def test_tables_have_the_unknown_score_of_the_server(page: Any) -> None:
    """The lowest of the windows of a detection, as in `Classifier.detections`."""
    csv_text, raven_text = page.evaluate(
        "async () => { const {csvTable, ravenTable} = await import('/static/exports.js');"
        " const {detect} = await import('/static/detections.js');"
        " const windows = [0.25, 0.12345, 0.5, null].map((unknown_score, k) => ({start: 5 * k, end: 5 * k + 5, quiet: false, unknown_score,"
        "  species: [{species: k === 2 ? 'b' : 'a', probability: 0.9}]}));"
        " const recording = {file: 'a.wav', duration: 20, detections: detect(windows, () => 0.5)};"
        " return [csvTable([recording]), ravenTable([recording], {low: 20, high: 8000})]; }"
    )
    assert [row["unknown_score"] for row in csv.DictReader(io.StringIO(csv_text))] == ["0.1235", "0.5000", ""]
    rows = list(csv.DictReader(io.StringIO(raven_text), delimiter="\t"))
    assert [row["Unknown Score"] for row in rows] == ["0.1235", "0.5000", ""]


def test_tables_of_all_files_count_ravens_times_from_the_start_of_the_first(page: Any, song: Path) -> None:
    choose(page, song)
    wait_until_done(page)
    rows = list(csv.DictReader(io.StringIO(downloaded(page, "#save-all-csv")[1].decode())))
    assert len(rows) == 2 * page.locator("#detections tr").count()
    lines = [line.split("\t") for line in downloaded(page, "#save-all-raven")[1].decode().splitlines()]
    half = len(rows) // 2
    assert float(lines[1 + half][3]) == pytest.approx(31.3 + float(lines[1][3]))
    assert lines[1 + half][8] == lines[1][8]


def test_a_clip_holds_the_sound_of_its_detection_and_half_a_second_around_it(
    page: Any, bundle: Path, song: Path
) -> None:
    start, end, species, _ = expected(bundle, song)[-1]
    name, content = downloaded(page, "#detections tr:last-child button:text('WAV')")
    assert name == f"dawn, 1_{start}-{end}s_{species.replace(' ', '_')}.wav"
    clip, rate = soundfile.read(io.BytesIO(content))
    assert rate == _RATE
    first, last = round((float(start) - 0.5) * rate), round((float(end) + 0.5) * rate)
    original = soundfile.read(song)[0][first:last]
    np.testing.assert_allclose(clip, original, atol=1e-4)


def cursor(page: Any) -> float:
    """Return the place of the cursor in the recording, seconds."""
    return float(page.get_attribute("#plot", "aria-valuenow"))


def test_a_click_in_the_spectrogram_or_a_row_plays_from_there(page: Any) -> None:
    for selector in ("#plot", "#species .row:nth-child(2) .lane"):
        box = page.locator(selector).bounding_box()
        page.locator(selector).click(position={"x": 0.5 * box["width"], "y": 10})
        until(page, "document.querySelector('#play').textContent.includes('Pause')")
        assert 15.5 < cursor(page) < 17
        line = page.locator("#cursor").bounding_box()
        assert abs(line["x"] - (box["x"] + cursor(page) / 31.3 * box["width"])) < 0.1 * box["width"]
        rows = page.locator("#species").bounding_box()
        assert line["y"] + line["height"] >= rows["y"] + rows["height"] - 1
        page.keyboard.press("Space") if selector == "#plot" else page.click("#play")
        until(page, "document.querySelector('#play').textContent.includes('Play')")


def test_sound_that_is_decoded_while_the_file_plays_is_used_when_it_stops(server: Server, song: Path) -> None:
    with opened_page(server.url) as page:
        page.evaluate(
            "() => { const real = OfflineAudioContext.prototype.decodeAudioData, make = URL.createObjectURL; window.blobs = 0;"
            " OfflineAudioContext.prototype.decodeAudioData = async function (data) { const sound = await real.call(this, data);"
            " await new Promise(resolve => { window.release = resolve; }); return sound; };"
            " URL.createObjectURL = blob => { window.blobs += 1; return make.call(URL, blob); }; }"
        )
        choose(page, song)
        wait_until_done(page)
        page.click("#play")
        until(page, "document.querySelector('#plot').getAttribute('aria-valuenow') > 0.2 && window.release")
        page.evaluate("window.release()")
        wait_for_own_spectrogram(page)
        assert page.evaluate("window.blobs") == 1
        page.click("#play")
        until(page, "window.blobs === 2")
        until(page, "document.querySelector('#plot').getAttribute('aria-valuenow') > 0.2")


def test_a_detection_is_repeated_until_it_is_stopped(page: Any) -> None:
    page.evaluate(
        "() => { const set = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'currentTime'); window.seeks = [];"
        " Object.defineProperty(HTMLMediaElement.prototype, 'currentTime', {...set, set(t) { window.seeks.push(t); set.set.call(this, t); }}); }"
    )
    page.select_option("#speed", "2")
    row = page.locator("#detections tr").last
    start = float(row.get_attribute("data-span").split()[0])
    row.locator(".repeat").click()
    until(page, f"window.seeks.filter(t => t === {start}).length >= 2")
    assert row.locator(".repeat").get_attribute("aria-pressed") == "true"
    page.click("#stop-loop")
    assert row.locator(".repeat").get_attribute("aria-pressed") == "false"


def test_zoom_and_scroll_with_buttons_wheel_and_drag(page: Any) -> None:
    def times() -> list[str]:
        page.evaluate("new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
        return list(page.locator("#times span").all_text_contents())

    whole = times()
    assert whole[0] == "0:00"
    page.click("#zoom-in")
    page.click("#zoom-in")
    page.wait_for_selector("#overview", state="visible")
    zoomed = times()
    assert len(zoomed) > 2
    assert zoomed != whole
    box = page.locator("#plot").bounding_box()
    page.mouse.move(box["x"] + 400, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 100, steps=4)
    page.mouse.up()
    dragged = times()
    assert dragged != zoomed
    assert cursor(page) == 0  # dragging is no click
    page.mouse.wheel(0, 400)
    assert times() != dragged  # the spectrogram has the focus after the press
    page.click("#zoom-all")
    assert times() == whole
    page.wait_for_selector("#overview", state="hidden")
    page.keyboard.down("Control")
    page.mouse.move(box["x"] + 400, box["y"] + 100)
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    page.wait_for_selector("#overview", state="visible")


def test_two_fingers_zoom_on_a_phone(server: Server) -> None:
    with opened_page(server.url, 390, 844) as page:
        choose(page, recording("a.wav", 30))
        wait_until_done(page)
        wait_for_own_spectrogram(page)
        page.locator("#plot").scroll_into_view_if_needed()
        box = page.locator("#plot").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch = page.context.new_cdp_session(page)
        for kind, distance in (("touchStart", 20), ("touchMove", 60), ("touchMove", 120), ("touchEnd", None)):
            points = [] if distance is None else [{"x": x - distance, "y": y}, {"x": x + distance, "y": y}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.wait_for_selector("#overview", state="visible")
        assert "Play" in page.inner_text("#play")  # zooming is no tap


def test_the_spectrogram_shows_a_tone_at_its_frequency(page: Any) -> None:
    """The tone of 3 kHz is the brightest row; the axis ends at 8 kHz, half the sample rate."""
    page.evaluate("new Promise(resolve => setTimeout(resolve, 0))")
    until(page, "document.querySelector('#frequencies').textContent.includes('8 kHz')")
    rows = page.evaluate(
        "(() => { const c = document.querySelector('#spectrogram'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " const sums = new Array(c.height).fill(0);"
        " for (let k = 0; k < d.length; k += 4) sums[Math.floor(k / 4 / c.width)] += d[k + 1]; return sums; })()"
    )
    assert (len(rows) - int(np.argmax(rows))) / len(rows) * 8000 == pytest.approx(3000, abs=80)


@pytest.mark.parametrize("decodes", [True, False])
def test_without_decoding_the_servers_spectrogram_is_shown(server: Server, song: Path, decodes: bool) -> None:
    with opened_page(server.url) as page:
        if not decodes:
            page.evaluate(
                "() => { OfflineAudioContext.prototype.decodeAudioData = () => Promise.reject(new Error()); }"
            )
        choose(page, song)
        wait_until_done(page)
        until(page, f"document.querySelector('#sound-note').textContent === '' === {str(decodes).lower()}")
        colours = page.evaluate(
            "(() => { const c = document.querySelector('#spectrogram'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            " return new Set(new Uint32Array(d.buffer)).size; })()"
        )
        assert colours > 20


def test_common_and_scientific_names_are_complete_on_a_phone(server: Server, song: Path) -> None:
    """Corvus cornix and Corvus corone were both "Corvus co..."."""
    names = {
        "Parus major": "Great Tit",
        "Corvus corone": "Carrion Crow of a name that needs more than one line on a phone",
    }

    def add_names(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=json.dumps({**response.json(), "common_names": names}))

    with opened_page(server.url, 390, 844) as page:
        page.route("**/v1/predict*", add_names)
        # Playwright does not pass on the content of a file of the disk to `route`.
        choose(page, {"name": song.name, "mimeType": "audio/wav", "buffer": song.read_bytes()})
        wait_until_done(page)
        for part in ("#species", "#detections"):
            texts = " ".join(page.locator(f"{part} .name").all_inner_texts())
            for scientific, common in names.items():
                assert f"{common} {scientific}" in texts
        cut = page.evaluate(
            "[...document.querySelectorAll('.name')].filter(e => { const box = e.getBoundingClientRect();"
            " return box.right > innerWidth || box.left < 0 || getComputedStyle(e).textOverflow !== 'clip'"
            " || e.parentElement.scrollWidth > e.parentElement.clientWidth; }).length"
        )
        assert cut == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
