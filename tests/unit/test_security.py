"""Who may use the server: host names, pages of other sites, API keys, and the headers that protect its pages (case S6)."""

import hashlib
import os
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from autobird.core.errors import AutobirdError
from autobird.serving.admission import Admission
from autobird.serving.keys import Keys, new_key, read_keys
from autobird.serving.problems import KINDS, Problem
from autobird.serving.security import HEADERS, Guard, problem_response
from tests.api import client_of, make_complete_bundle, sound


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_complete_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def client(bundle: Path) -> FlaskClient:
    return client_of(bundle)


def allowed(guard: Guard, host: str | None) -> bool:
    try:
        guard.check_host(host)
    except Problem as error:
        return (error.status, error.title) != (421, "Foreign host name")
    return True


@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("localhost:8000", True), ("LOCALHOST.", True), ("127.0.0.1:8000", True), ("127.0.0.1", True), ("[::1]:8000", True),
        ("192.168.1.20:8000", True), ("[fe80::1%25eth0]:80", True), ("birds.localhost", True), (None, True),
        ("evil.example", False), ("evil.example:8000", False), ("localhost.evil.example", False), ("127.0.0.1.evil.example", False),
        ("", False), ("[::1", True), ("[evil.example]", False), ("a" * 300, False), ("\u00e4", False), ("127.0.0.1@evil.example", False),
        ("evil.example:127.0.0.1", False), ("..", False),
    ],
)  # fmt: skip
def test_only_names_of_this_server_are_answered(host: str | None, accepted: bool) -> None:
    assert allowed(Guard("127.0.0.1"), host) is accepted


def test_further_names_can_be_allowed() -> None:
    guard = Guard("127.0.0.1", ["Birds.example.org", "[fd00::5]"])
    assert allowed(guard, "birds.EXAMPLE.org:443")
    assert allowed(guard, "birds.example.org.")
    assert not allowed(guard, "www.birds.example.org")
    assert allowed(Guard("127.0.0.1", ["*"]), "evil.example")


def test_the_name_of_the_machine_is_allowed_if_the_server_listens_to_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Owl")
    monkeypatch.setattr("socket.getfqdn", lambda: "owl.example.org")
    for host in ("owl", "owl.local", "owl.example.org"):
        assert allowed(Guard("0.0.0.0"), host)
        assert allowed(Guard("::"), host)
        assert not allowed(Guard("127.0.0.1"), host)
    assert allowed(Guard("birds.example.org"), "birds.example.org")


def page_allowed(method: str, origins: tuple[str, ...] = (), **headers: str) -> bool:
    try:
        Guard("127.0.0.1", (), origins).check_page(method, {k.replace("_", "-"): v for k, v in headers.items()})
    except Problem as error:
        return (error.status, error.title) != (403, "Foreign page")
    return True


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
def test_pages_of_other_sites_are_refused(method: str) -> None:
    own = "localhost:8000"
    # A program that is no browser.
    assert page_allowed(method, Host=own)
    # The server's own page, with and without Sec-Fetch-Site, and behind a proxy that encrypts.
    assert page_allowed(method, Host=own, Origin="http://localhost:8000", Sec_Fetch_Site="same-origin")
    assert page_allowed(method, Host="10.0.0.5:8000", Origin="http://10.0.0.5:8000")
    assert page_allowed(method, Host="birds.example.org", Origin="https://birds.example.org")
    assert page_allowed(method, Host="localhost:080", Origin="http://localhost")
    assert page_allowed(method, Host=own, Sec_Fetch_Site="none")
    assert not page_allowed(method, Host=f"localhost:{'9' * 5000}", Origin="http://localhost")
    for origin in (
        "https://evil.example", "null", "http://localhost", "http://localhost:8001", "https://localhost:8000.evil.example", "file://",
        "http://[", "http://localhost:8000@evil.example", "",
    ):  # fmt: skip
        assert not page_allowed(method, Host=own, Origin=origin), origin
    for site in ("cross-site", "same-site", "anything"):
        assert not page_allowed(method, Host=own, Sec_Fetch_Site=site)
        assert not page_allowed(method, Host=own, Origin="http://localhost:8000", Sec_Fetch_Site=site)


def test_a_link_on_another_site_may_open_a_page_but_not_in_a_frame() -> None:
    link = {"Host": "localhost", "Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert page_allowed("GET", **link, Sec_Fetch_Dest="document")
    assert not page_allowed("GET", **link, Sec_Fetch_Dest="iframe")
    assert not page_allowed("POST", **link, Sec_Fetch_Dest="document")
    assert not page_allowed("GET", **link | {"Sec_Fetch_Mode": "no-cors"}, Sec_Fetch_Dest="image")


def test_s6_a_foreign_page_can_neither_write_nor_read(client: FlaskClient) -> None:
    song = sound(2)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        response = client.post("/v1/predict", data=song, headers=headers)
        assert (response.status_code, response.content_type) == (403, "application/problem+json")
        assert client.get("/v1/species", headers=headers).status_code == 403
    response = client.get("/v1/species", headers={"Host": "evil.example"})
    assert response.status_code == 421
    assert "Parus" not in response.get_data(as_text=True)
    assert "start it with --allow-host and this name" in response.get_json()["detail"]
    assert client.post("/v1/predict", data=song, headers={"Origin": "http://localhost"}).status_code == 200


def test_s6_every_response_forbids_frames_inline_scripts_and_guessed_types(client: FlaskClient) -> None:
    for response in (
        client.get("/docs"),
        client.get("/static/docs.css"),
        client.get("/v1/model"),
        client.get("/nothing"),
        client.get("/v1/predict"),
        client.post("/v1/predict", data=b"text"),
        client.get("/", headers={"Host": "evil.example"}),
    ):
        assert {name: response.headers[name] for name in HEADERS} == dict(HEADERS)
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "Server" not in response.headers
    policy = HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    headers, body = problem_response(408, "Request timed out", "x")
    assert dict(headers)["X-Frame-Options"] == "DENY"
    assert b'"/docs#request-timed-out"' in body


def test_pages_of_allowed_origins_can_use_the_api(bundle: Path) -> None:
    client = client_of(bundle, allow_origin=("https://birds.example.org",))
    origin = {"Origin": "https://birds.example.org", "Sec-Fetch-Site": "cross-site"}
    for response in (
        client.get("/v1/species", headers=origin),
        client.post("/v1/predict", data=sound(2), headers=origin),
    ):
        assert response.status_code == 200
        assert response.headers["Access-Control-Allow-Origin"] == "https://birds.example.org"
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert response.headers["Vary"] == "Origin"
    preflight = client.options("/v1/predict", headers=origin | {"Access-Control-Request-Method": "POST"})
    assert preflight.status_code == 204
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "X-API-Key" in preflight.headers["Access-Control-Allow-Headers"]
    other = client.options("/v1/predict", headers={"Origin": "https://evil.example"})
    assert (other.status_code, other.headers.get("Access-Control-Allow-Origin")) == (403, None)


def test_head_and_options_are_sane(client: FlaskClient) -> None:
    head = client.head("/v1/species")
    assert (head.status_code, head.data) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0
    options = client.options("/v1/predict")
    assert (options.status_code, set(options.headers["Allow"].split(", "))) == (200, {"POST", "OPTIONS"})
    for method, path, allow in (
        ("GET", "/v1/predict", {"POST", "OPTIONS"}),
        ("DELETE", "/v1/species", {"GET", "HEAD", "OPTIONS"}),
        ("TRACE", "/docs", {"GET", "HEAD", "OPTIONS"}),
        ("BREW", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ):
        response = client.open(path, method=method)
        assert (response.status_code, response.content_type) == (405, "application/problem+json")
        assert set(response.headers["Allow"].split(", ")) == allow


def test_s11_a_body_that_cannot_be_read_is_a_bad_request(client: FlaskClient) -> None:
    class Broken:
        def read(self, *_: int) -> bytes:
            raise OSError("bad chunk")

        def tell(self) -> int:
            return 0

        def seek(self, *_: int) -> int:
            return 0

        def close(self) -> None:
            return None

    response = client.post("/v1/predict", input_stream=Broken())
    assert (response.status_code, response.get_json()["title"]) == (400, "Broken upload")


def test_s11_variables_of_wsgi_in_headers_have_no_effect(client: FlaskClient) -> None:
    for name in ("Script-Name", "Path-Info", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Original-Url", "Forwarded"):
        assert client.get("/healthz", headers={name: "/elsewhere"}).status_code == 200


def test_s14_what_is_refused_is_named_truly(client: FlaskClient) -> None:
    many = {f"field{n}": "1" for n in range(1100)}
    value = client.post("/v1/predict", data=many, content_type="multipart/form-data").get_json()
    assert (value["title"], value["detail"][:37]) == ("Too many fields", "the form has more than 100 fields; se")
    value = client.post("/v1/predict", data=sound(0.499, form="WAV")).get_json()
    assert value["detail"] == "0.499 s of audio is too short to classify; give at least 0.5 s"


# API keys


@pytest.fixture
def keys_file(tmp_path: Path) -> tuple[str, Path]:
    key, line = new_key("ann")
    path = tmp_path / "keys"
    path.write_text(f"# keys\n\n{line}\n")
    return key, path


def test_a_new_key_is_random_and_only_its_hash_is_kept() -> None:
    key, line = new_key("ann@example.org")
    assert key != new_key("ann@example.org")[0]
    assert len(key) > 40
    assert key not in line
    assert line == f"ann@example.org sha256:{hashlib.sha256(key.encode()).hexdigest()} 600"
    with pytest.raises(AutobirdError, match="--new-key 'a b' is not possible"):
        new_key("a b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no keys, so nobody could use the server; `autobird serve --new-key NAME` prints such a line"),
        ("# nothing", "has no keys"),
        ("ann secret", "line 1 is not `NAME sha256:HASH`"),
        ("\nann sha256:" + "0" * 64 + " fast", "line 2 is not"),
        ("ann sha256:" + "0" * 64 + " 0", "line 1 is not"),
        ("ann sha256:" + "0" * 63, "line 1 is not"),
        ("ann sha256:" + "0" * 64 + "\nann sha256:" + "1" * 64, "line 2: a second key named ann"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_is_reported(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(AutobirdError) as error:
        read_keys(tmp_path / "keys")
    assert message in str(error.value)
    with pytest.raises(AutobirdError, match="cannot be read"):
        read_keys(tmp_path / "none")


def test_with_keys_the_api_needs_one_and_the_page_does_not(bundle: Path, keys_file: tuple[str, Path]) -> None:
    key, path = keys_file
    client = client_of(bundle, keys=str(path))
    for headers in (
        {},
        {"X-API-Key": "wrong"},
        {"Authorization": f"Basic {key}"},
        {"Authorization": "Bearer"},
        {"X-API-Key": "\xff"},
    ):
        for url in ("/v1/species", "/v1/model", "/metrics", "/metrics/", "/v1//model", "/v1/nothing"):
            response = client.get(url, headers=headers)
            assert response.status_code == 401
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert client.post("/v1/predict", data=sound(2), headers=headers).status_code == 401
    for headers in ({"X-API-Key": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer  {key} "}):
        assert client.get("/v1/species", headers=headers).status_code == 200
    for url in ("/healthz", "/readyz", "/openapi.json", "/docs", "/static/docs.css"):
        assert client.get(url).status_code == 200
    document = client.get("/openapi.json").get_json()
    assert document["security"] == [{"bearer": []}, {"header": []}]


def test_a_key_has_a_rate(keys_file: tuple[str, Path]) -> None:
    """60 a minute: ten at once, then one a second."""
    key, path = keys_file
    path.write_text(path.read_text().replace(" 600", " 60"))
    now = 100.0
    keys = Keys(path, lambda: now)
    entry = keys.find(key)
    assert entry is not None
    assert [keys.wait(entry) for _ in range(10)] == [0] * 10
    assert keys.wait(entry) == pytest.approx(1)
    now += 0.5
    assert keys.wait(entry) == pytest.approx(0.5)
    now += 0.6
    assert keys.wait(entry) == 0
    now += 1000
    assert [keys.wait(entry) for _ in range(10)] == [0] * 10
    assert keys.wait(entry) > 0


def test_the_front_knows_from_the_headers_which_bodies_are_refused(keys_file: tuple[str, Path]) -> None:
    key, path = keys_file
    path.write_text(path.read_text().replace(" 600", " 1"))
    admission = Admission(Guard("127.0.0.1", (), ["https://ally.example"]), Keys(path))

    def refusal(path: str = "/v1/predict", **headers: str) -> tuple[int, dict[str, str]] | None:
        found = admission.refusal("POST", path, {"HOST": "localhost", **headers})
        if found is None:
            return None
        assert re.fullmatch(r"[0-9a-f-]{36}", found.headers.pop("X-Request-Id"))
        return found.status, found.headers

    bearer = {"WWW-Authenticate": 'Bearer realm="autobird"'}
    assert refusal(HOST="evil.example", X_API_KEY=key) == (421, {"Vary": "Origin"})
    assert refusal(ORIGIN="https://evil.example", X_API_KEY=key) == (403, {"Vary": "Origin"})
    for where in ("/v1/predict", "/", "/docs"):  # only the API takes bodies, so that others need not be read either
        assert refusal(where) == (401, {**bearer, "Vary": "Origin"})
    assert refusal(X_API_KEY="wrong") == (401, {**bearer, "Vary": "Origin"})
    named = admission.refusal("POST", "/", {"HOST": "localhost", "X_REQUEST_ID": "mine"})
    assert named is not None
    assert named.headers["X-Request-Id"] == "mine"
    found = refusal(ORIGIN="https://ally.example")
    assert found is not None
    assert found[1]["Access-Control-Allow-Origin"] == "https://ally.example"  # the page may read the answer
    for _ in range(3):  # the request is counted later, by the app
        assert refusal(X_API_KEY=key) is None
        assert refusal(AUTHORIZATION=f"Bearer {key}") is None
    assert Admission(Guard("127.0.0.1"), None).refusal("POST", "/v1/predict", {"HOST": "localhost"}) is None


def test_a_key_beyond_its_rate_gets_a_time_to_wait(bundle: Path, keys_file: tuple[str, Path]) -> None:
    key, path = keys_file
    path.write_text(path.read_text().replace(" 600", " 1"))
    client = client_of(bundle, keys=str(path))
    assert client.get("/v1/species", headers={"X-API-Key": key}).status_code == 200
    response = client.get("/v1/species", headers={"X-API-Key": key})
    assert (response.status_code, response.get_json()["title"]) == (429, "Too many requests")
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_a_withdrawn_key_is_refused_at_once(keys_file: tuple[str, Path]) -> None:
    key, path = keys_file
    keys = Keys(path)
    assert keys.find(key) is not None
    other, line = new_key("bob")
    path.write_text(line)
    assert keys.find(key) is None
    assert keys.find(other) is not None
    path.write_text("damaged")
    assert keys.find(other) is None
    path.unlink()
    assert keys.find(other) is None
    path.write_text(line)
    os.utime(path, ns=(1, 1))
    assert keys.find(other) is not None


def test_every_problem_of_the_app_is_explained() -> None:
    """Titles in the code of the server that `KINDS` lacks would have no place in /docs."""
    import ast

    import autobird.serving

    titles: dict[str, str] = {}
    for file in Path(autobird.serving.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Problem", "TaskProblem"):
                status, title = (*node.args, None, None)[:2]
                if isinstance(status, ast.Constant) and status.value == 499:
                    continue  # the client has gone
                if isinstance(title, ast.Constant):
                    titles[str(title.value)] = file.name
    assert len(titles) > 10
    assert {title: file for title, file in titles.items() if title not in KINDS} == {}
