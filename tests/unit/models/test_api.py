"""A model behind an API: values are true, faults do no harm, keys stay secret.

Served by `chiasm serve` over loopback."""

from __future__ import annotations

import json
import pickle
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest
import uvicorn

import chiasm as cx
from chiasm.core.errors import BudgetSpent, InvalidInput, ModelError
from chiasm.models.games import make_game
from chiasm.models.remote.keys import Key, check_url, find_key
from chiasm.serve.app import make_app

SECRET = "sk-very-secret-0123456789"  # noqa: S105 - of nobody
JSON = {"Content-Type": "application/json"}
PLAYERS, MASKERS = "grid:2x2,words", {"image": "mean", "text": "delete"}


class Proxy:
    """Passes requests on, badly where it is told to; `script` holds a fault for each request to come."""

    def __init__(self, upstream):  # noqa: C901 - one branch a fault
        self.script, self.seen, self.answered = [], [], []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                proxy.seen.append(dict(self.headers))
                fault = proxy.script.pop(0) if proxy.script else None
                if isinstance(fault, tuple):
                    return self.reply(*fault)
                if fault == "echo":
                    return self.reply(401, json.dumps({"error": self.headers["Authorization"]}).encode())
                if fault == "slow":
                    time.sleep(0.1)
                said = httpx.post(f"{upstream}/chat/completions", content=body, headers=JSON, timeout=60).content
                if fault == "duplicate":
                    httpx.post(f"{upstream}/chat/completions", content=body, headers=JSON, timeout=60)
                if fault == "changed":
                    said = json.dumps({**json.loads(said), "system_fingerprint": "another"}).encode()
                if fault == "reset":
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(said)))
                    self.end_headers()
                    self.wfile.write(said[: len(said) // 2])
                    self.close_connection = True
                    return None
                proxy.answered.append(body)
                self.reply(200, said)
                if fault == "duplicate":
                    self.reply(200, said)
                return None

            def reply(self, status, body, headers=()):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def local():
    return cx.load("zoo:llava-shapes")


@pytest.fixture(scope="module")
def upstream(local):
    server = uvicorn.Server(uvicorn.Config(make_app(local, "shapes"), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture
def proxy(upstream):
    made = Proxy(upstream)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def sample():
    given = cx.dataset("shapes", n=1, seed=3)[0]
    from chiasm.modalities import modalities

    # At the model's own size, so that masks on the given and on the seen picture are the same.
    seen = cx.load("zoo:llava-shapes").prepare(given).contents["image"]
    assert modalities.get("image").read(seen).shape == seen.shape
    return cx.Sample(image=seen, text=given["text"].data)


def remote(url, **options):
    return cx.load("openai:shapes", **{"base_url": url, "cache": False, "pause": 0.01, "check": False, **options})


@pytest.mark.parametrize("reading", ["prompt", "first", "forced"])
def test_values_are_those_of_the_local_model(local, upstream, sample, reading):
    coalitions = np.random.default_rng(0).random((12, 4 + len(sample["text"].data.split()))) < 0.6
    own = make_game(local, sample, players=PLAYERS, maskers=MASKERS)
    far = make_game(remote(upstream, reading=reading, top=50), sample, players=PLAYERS, maskers=MASKERS)
    assert far.prediction.answer == own.prediction.answer
    assert far.prediction.probability == pytest.approx(own.prediction.probability, abs=1e-4)
    np.testing.assert_allclose(far.game(coalitions), own.game(coalitions), atol=1e-4)


def test_answers_of_several_tokens_are_those_of_the_local_model(local, upstream, sample):
    """Exact by the prompt; token by token exact or, where a token is outside the top, an upper bound."""
    coalitions = np.random.default_rng(0).random((6, 4 + len(sample["text"].data.split()))) < 0.6
    target = cx.Target(answer="red circle")
    own = make_game(local, sample, players=PLAYERS, maskers=MASKERS, target=target).game(coalitions)
    prompt, forced = (
        make_game(remote(upstream, reading=name, top=50), sample, players=PLAYERS, maskers=MASKERS, target=target)
        for name in ("prompt", "forced")
    )
    np.testing.assert_allclose(prompt.game(coalitions), own, atol=1e-4)
    values = forced.game(coalitions)
    assert (values >= own - 1e-4).all()
    bounds = int((values > own + 1e-4).sum())
    assert 0 < bounds < len(own)
    assert any(f"{bounds} of 6 values are upper bounds" in note for note in forced.afterwards())
    assert forced.game.costs.cell == 2


def test_samples_agree_as_often_as_the_model_is_sure(upstream, sample):
    match = make_game(remote(upstream, reading="samples", samples=4), sample, players=PLAYERS)
    value = match.game.full()
    assert value in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert match.game.costs.cell == 4
    assert make_game(remote(upstream, reading="similarity"), sample, players=PLAYERS).game.full() == 1.0


def explained(url, sample, **options):
    return cx.explain(remote(url, **options), sample, players=PLAYERS, method="gp", budget=40, cache=False)


def test_faults_change_nothing_and_nothing_is_asked_twice_after_success(upstream, proxy, sample):
    plain = explained(upstream, sample)
    kinds = [(429, b"{}", [("Retry-After", "0.05")]), (500, b""), "reset", "slow", "duplicate", (200, b"{"), None]
    proxy.script = [fault for kind in kinds for fault in (kind, None)] * 2
    faulty = explained(proxy.url, sample)
    np.testing.assert_allclose(faulty.pair, plain.pair, atol=1e-9)
    assert len(proxy.answered) == len(set(proxy.answered))
    assert proxy.script == []


def test_a_stopped_run_pays_only_for_what_is_missing(proxy, sample, tmp_path):
    with pytest.raises(BudgetSpent):
        explained(proxy.url, sample, cache=str(tmp_path), max_requests=10)
    assert len(proxy.seen) == 10
    whole = explained(proxy.url, sample, cache=str(tmp_path))
    assert len(proxy.answered) == len(set(proxy.answered))
    before = len(proxy.seen)
    again = explained(proxy.url, sample, cache=str(tmp_path))
    assert len(proxy.seen) == before
    np.testing.assert_array_equal(again.pair, whole.pair)


def test_the_cap_ends_with_the_best_explanation_so_far(proxy, sample):
    model = remote(proxy.url, max_requests=60)
    found = cx.explain(model, sample, players="grid:4x4,words", method="gp", budget=80)
    assert len(proxy.seen) == 60
    assert any("cap of 60 requests" in note for note in found.provenance.notes)


def test_retry_after_is_honoured(proxy, sample):
    proxy.script = [(503, b"", [("Retry-After", "0.6")])]
    started = time.monotonic()
    explained_once = make_game(remote(proxy.url), sample, players=PLAYERS)
    assert explained_once.prediction.answer
    assert time.monotonic() - started >= 0.6


def test_another_model_stops_the_run(proxy, sample):
    match = make_game(remote(proxy.url), sample, players=PLAYERS)
    proxy.script = ["changed"]
    with pytest.raises(ModelError, match="changed its model"):
        match.game.empty()


HOSTILE = {
    "empty": (200, b""),
    "no choices": (200, b'{"choices": []}'),
    "no text": (200, b'{"choices": [{"message": {"content": 3}}]}'),
    "deep": (200, b"[" * 100_000),
    "not utf-8": (200, b"\xff\xfe"),
    "redirect": (302, b"", [("Location", "http://127.0.0.1:1/")]),
    "long": (200, b" " * 20_000),
    "packed": (200, b"x", [("Content-Encoding", "gzip")]),
}


@pytest.mark.parametrize("fault", HOSTILE.values(), ids=HOSTILE)
def test_hostile_answers_end_in_words(proxy, sample, fault):
    proxy.script = [fault]
    with pytest.raises(ModelError):
        make_game(remote(proxy.url, retries=0, max_bytes=10_000), sample, players=PLAYERS)


def test_a_server_that_drips_is_left(proxy, sample):
    proxy.script = ["slow"]
    with pytest.raises(ModelError, match="failed 1 times"):
        make_game(remote(proxy.url, retries=0, timeout=0.05), sample, players=PLAYERS)


def test_a_server_that_is_not_there_is_told_at_once(sample):
    with pytest.raises(ModelError, match=r"failed 2 times, last: ConnectError\. See that http://127"):
        make_game(remote("http://127.0.0.1:9/v1", retries=6, pause=0.01), sample, players=PLAYERS)


def test_the_key_is_nowhere(proxy, sample, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("CHIASM_API_KEY", SECRET)
    found = explained(proxy.url, sample, cache=str(tmp_path))
    assert proxy.seen[0]["Authorization"] == f"Bearer {SECRET}"
    found.save(tmp_path / "e.json")
    found.to_html(tmp_path / "e.html")
    model = remote(proxy.url)
    proxy.script = ["echo"]
    with pytest.raises(ModelError, match=r"\*\*\*") as error:
        make_game(model, sample, players=PLAYERS)
    said = repr(error.value) + repr(vars(model)) + repr(vars(model.server)) + "".join(capfd.readouterr())
    assert SECRET not in said
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file
    assert (tmp_path / "chiasm-answers.sqlite").stat().st_mode & 0o077 == 0


def test_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.delenv("CHIASM_API_KEY", raising=False)
    assert find_key("elsewhere.example", None, None) is None, "the key of one server is not given to another"
    assert SECRET in find_key("api.openai.com", None, None).header()
    file = tmp_path / "key"
    file.write_text(SECRET)
    file.chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600"):
        find_key("x", None, file)
    file.chmod(0o600)
    assert SECRET in find_key("x", None, str(file)).header()
    with pytest.raises(TypeError):
        pickle.dumps(Key(SECRET))
    with pytest.raises(InvalidInput, match="NO_SUCH_KEY"):
        find_key("x", "NO_SUCH_KEY", None)


@pytest.mark.parametrize("url", ["ftp://x/v1", "http://x/v1", "https://u:p@x/v1", "https://x/v1?key=1", "nothing"])
def test_unsafe_urls_are_refused(url):
    with pytest.raises(InvalidInput):
        check_url(url, allow_http=False)
    assert check_url("http://x/v1/", allow_http=True) == "http://x/v1"


def test_requests_that_cannot_be_served_are_refused(upstream):
    for body in ({}, {"messages": [{"role": "system", "content": "x"}]}, {"messages": "x"}):
        answer = httpx.post(f"{upstream}/chat/completions", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]
    assert httpx.get(f"{upstream}/models").json()["data"][0]["id"] == "shapes"
