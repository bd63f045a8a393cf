"""Explanations of a model behind an API, from the first request to the notes: on a toy server over loopback."""

from __future__ import annotations

import base64
import io
import json
import logging
import shutil
import sqlite3
import ssl
import subprocess

import numpy as np
import pytest
from api_help import Toy
from PIL import Image
from typer.testing import CliRunner

import chiasm as cx
from chiasm.cli.main import app
from chiasm.core.errors import BudgetSpent, InvalidInput, MissingCapability, ModelError
from chiasm.modalities import modalities
from chiasm.models.games import make_game
from chiasm.models.remote.memory import FILE, Answers
from chiasm.models.remote.readings_drawn import share_variance

RUNNER = CliRunner()
WEIGHTS = {"w0": 1.5, "w1": -1.0, "w2": 0.5, "w3": 1.0, "w4": -0.5, "w5": 0.3}
SAMPLE = cx.Sample(text=" ".join(WEIGHTS))
SECRET = "sk-very-secret-0123456789"  # noqa: S105 - of nobody
PRICES = {"currency": "EUR", "models": {"toy": {"input": 1000.0, "output": 0.0}}}


@pytest.fixture
def toy():
    made = Toy(WEIGHTS)
    yield made
    made.close()


def load(toy, **options):
    return cx.load("openai:toy", **{"base_url": toy.url, "cache": False, "pause": 0.01, "reading": "first", **options})


def notes(explanation):
    return " | ".join(explanation.provenance.notes)


def test_values_and_explanation_are_those_of_the_toy(toy):
    found = cx.explain(load(toy), SAMPLE, method="exact")
    local = cx.estimate(
        lambda coalitions: np.log([toy.chance(" ".join(f"w{k}" for k in np.flatnonzero(row))) for row in coalitions]),
        {"text": 6},
        method="exact",
    )
    np.testing.assert_allclose(found.single, local.single, atol=1e-9)
    np.testing.assert_allclose(found.pair, local.pair, atol=1e-9)
    assert found.prediction.answer == "red"
    assert "requests were sent" in notes(found)


def test_forced_continuation_of_one_token_is_the_first_token(toy):
    coalitions = np.random.default_rng(0).random((8, 6)) < 0.5
    one, other = (make_game(load(toy, reading=name), SAMPLE).game for name in ("first", "forced"))
    np.testing.assert_allclose(one(coalitions), other(coalitions), atol=1e-12)


def test_bounds_are_counted_and_said(toy):
    found = cx.explain(load(toy, top=1), SAMPLE, method="exact")
    bounded = sum(toy.chance(" ".join(f"w{k}" for k in range(6) if m >> k & 1)) < 0.5 for m in range(64))
    assert bounded > 5
    assert f"{bounded} of 64 values are upper bounds" in notes(found)
    assert "upper bounds" not in notes(cx.explain(load(toy), SAMPLE, method="exact"))


def test_sampled_answers_tell_their_variance_to_the_estimator(toy):
    match = make_game(load(toy, reading="samples", samples=16), SAMPLE)
    coalitions = np.array([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1]], bool)
    shares = match.game(coalitions)
    np.testing.assert_allclose(match.game.variances(coalitions), [share_variance(16 * p, 16) for p in shares])
    assert match.game.scale == "value", "a share may be 0 or 1, which has no logit"
    assert match.game.costs.cell == 16


def test_more_samples_make_smaller_errors(toy):
    """The estimator's errors shrink with the noise of the values, at equal numbers of them."""
    words = cx.Sample(text=" ".join(f"v{k}" for k in range(12)))
    toy.weights = {f"v{k}": (-1) ** k * 0.4 for k in range(12)}
    few, many = (
        cx.explain(load(toy, reading="samples", samples=n, max_requests=1200), words, method="gp", budget=30)
        for n in (2, 20)
    )
    assert np.median(many.single_errors) < np.median(few.single_errors)


def test_a_server_that_does_not_repeat_itself_is_named(toy):
    count = iter(range(1000))

    def wobble(said, _):
        said["choices"][0]["logprobs"]["content"][0]["logprob"] -= 0.01 * next(count)
        return said

    toy.change = wobble
    assert "for the same request" in notes(cx.explain(load(toy), SAMPLE, method="exact", budget=64))
    toy.change = None
    before = len(toy.bodies)
    steady = cx.explain(load(toy), SAMPLE, method="exact")
    assert "same request" not in notes(steady)
    sent = [json.dumps(body) for body in toy.bodies[before:]]
    assert len(sent) - len(set(sent)) == 1, "the check alone asks twice"


def test_the_cap_on_cost_holds_and_ends_with_the_best_so_far(toy):
    model = load(toy, prices=PRICES, max_cost=6.0, concurrency=1, check=False)  # 0.10 EUR a request
    words = cx.Sample(text=" ".join(f"v{k}" for k in range(14)))
    toy.weights = {f"v{k}": 0.2 for k in range(14)}
    found = cx.explain(model, words, method="gp", budget=70)
    assert len(toy.bodies) == 60
    assert model.server.spent == pytest.approx(6.0)
    assert "the cap of 6.00 EUR is reached" in notes(found)
    assert "6.00 EUR by the price table" in notes(found)
    assert found.what_if == ()
    with pytest.raises(BudgetSpent):
        cx.explain(load(toy, prices=PRICES, max_cost=1.0, concurrency=1), words, method="gp", budget=70)


@pytest.mark.parametrize(
    "options",
    [{"max_cost": 1.0}, {"concurrency": 0}, {"concurrency": 1.5}, {"timeout": 0}, {"max_requests": "9"}, {"top": 0},
     {"samples": True}, {"image_size": 1}, {"seed": -1}, {"pause": float("nan")}, {"colour": "red"}],
)  # fmt: skip
def test_options_that_cannot_be_used_are_refused(toy, options):
    with pytest.raises(InvalidInput):
        load(toy, **options)
    assert toy.bodies == []


TARGETS = [
    ("first", cx.Target("similarity"), "gives log_probability or probability"),
    ("samples", cx.Target("probability", candidates=("blue",)), "no candidates"),
    ("choice", cx.Target("probability"), "give the other answers"),
    ("first", cx.Target(token=0), "no single tokens"),
    ("first", cx.Target(against="x", candidates=("blue",)), "one of the candidates"),
]


@pytest.mark.parametrize(("reading", "target", "words"), TARGETS)
def test_targets_that_a_reading_lacks_are_refused_before_anything_is_sent(toy, reading, target, words):
    with pytest.raises(InvalidInput, match=words):
        make_game(load(toy, reading=reading), SAMPLE, target=target)
    assert toy.bodies == []


def test_a_server_of_text_alone_leaves_the_readings_of_text(toy):
    toy.logprobs = False
    for name in ("first", "forced"):
        with pytest.raises(MissingCapability, match="samples"):
            make_game(load(toy, reading=name), SAMPLE)
    own = load(toy, reading="similarity", measure=lambda said, answer: float(len(said) == len(answer)))
    found = cx.explain(own, SAMPLE, method="exact")
    assert set(np.round(np.unique(found.single), 9)) != {0.0}
    assert "measure of likeness: <lambda>" in notes(found)


def test_answers_to_masked_samples(toy):
    match = make_game(model := load(toy), SAMPLE)
    masks = {"text": modalities.get("text").masker("delete")}
    one, other = model.answers(
        match.prepared, match.game.all_players, masks, np.array([[1] * 6, [0, 1, 0, 0, 1, 0]], bool)
    )
    assert (one.answer, one.probability) == ("red", pytest.approx(toy.chance(" ".join(WEIGHTS))))
    assert other.answer == "blue"


def test_a_damaged_file_of_answers_is_an_error_in_words(toy, tmp_path):
    (tmp_path / FILE).write_bytes(b"no database" * 200)
    with pytest.raises(ModelError, match="paid for twice"):
        load(toy, cache=str(tmp_path))
    (tmp_path / FILE).unlink()
    model = load(toy, cache=str(tmp_path))
    make_game(model, SAMPLE)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE replies SET answer = '{'")
    with pytest.raises(ModelError, match="remove the file"):
        make_game(load(toy, cache=str(tmp_path)), SAMPLE)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("DROP TABLE replies")
    with pytest.raises(ModelError, match="remove the file"):
        model.server.answers.put("x", {}, "y", "z")


def test_the_cache_command_shows_and_clears_answers(toy, tmp_path):
    make_game(load(toy, cache=str(tmp_path)), SAMPLE)
    options = ["--cache", str(tmp_path)]
    shown = RUNNER.invoke(app, ["cache", "show", *options, "--json"])
    (told,) = json.loads(shown.output)["answers"]
    assert (told["server"], told["model"], told["answers"]) == (toy.url, "toy", 3)
    assert "toy" in RUNNER.invoke(app, ["cache", "show", *options]).output
    assert "Removed 0 answers" in RUNNER.invoke(app, ["cache", "clear", "--older-than", "1d", *options]).output
    assert "Removed 3 answers" in RUNNER.invoke(app, ["cache", "clear", "--all", *options]).output
    assert Answers(tmp_path).summary() == []
    (tmp_path / FILE).write_bytes(b"no database" * 200)
    assert "was damaged" in RUNNER.invoke(app, ["cache", "clear", "--all", *options]).output
    assert not (tmp_path / FILE).exists()


def test_a_dry_run_tells_the_cost_and_sends_next_to_nothing(toy, tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("models:\n  toy: {input: 1000.0, output: 0.0}\n")
    line = ["explain", "--model", "openai:toy", "--base-url", toy.url, "--text", SAMPLE["text"].data, "--cache"]
    line += [str(tmp_path / "cache"), "--remote", "reading=first", "--method", "gp", "--budget", "40"]
    shown = RUNNER.invoke(app, [*line, "--remote", f"prices={prices}", "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("40 values by the reading 'first': at most ")
    assert "4.60 USD" in shown.output, "46 requests of 100 tokens"
    assert len(toy.bodies) == 3
    ran = RUNNER.invoke(app, [*line, "--remote", f"prices={prices}", "--out", str(tmp_path / "e.json")])
    assert ran.exit_code == 0, ran.output
    assert len(toy.bodies) <= 46
    local = RUNNER.invoke(app, ["explain", "-m", "zoo:llava-shapes", "-t", "x", "--dry-run"])
    assert local.exit_code == 2
    assert "not behind an API" in local.output


def test_the_key_is_in_nothing_that_the_command_writes_or_logs(toy, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("CHIASM_API_KEY", SECRET)
    toy.change = lambda said, _: {**said, "model": f"toy {SECRET}", "system_fingerprint": SECRET}
    caplog.set_level(logging.DEBUG)
    line = ["explain", "--model", "openai:toy", "--base-url", toy.url, "--text", SAMPLE["text"].data]
    line += ["--cache", str(tmp_path / "cache"), "--remote", "reading=first"]
    for name in ("e.html", "e.json", "e.svg"):
        line += ["--out", str(tmp_path / name)]
    ran = RUNNER.invoke(app, line)
    assert ran.exit_code == 0, ran.output
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 5
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in ran.output + caplog.text


def test_what_a_hostile_model_writes_is_text_on_the_page(toy, tmp_path):
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"

    def spoil(said, _):
        said["choices"][0]["message"]["content"] = evil
        return said

    toy.change = spoil
    found = cx.explain(load(toy, reading="similarity"), SAMPLE, method="exact")
    found.to_html(tmp_path / "e.html")
    page = (tmp_path / "e.html").read_text()
    assert "alert(1)" in page
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_the_certificate_of_a_server_is_checked(tmp_path):
    """A server with a certificate that nobody vouches for is refused, and gets neither key nor picture."""
    pem = tmp_path / "server.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*make, "-keyout", str(pem), "-out", str(tmp_path / "cert.pem")], check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    toy = Toy(WEIGHTS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    toy.server.socket = context.wrap_socket(toy.server.socket, server_side=True)
    try:
        model = load(toy, base_url=toy.url.replace("http:", "https:"), retries=0)
        with pytest.raises(ModelError, match="ConnectError"):
            make_game(model, SAMPLE)
        assert toy.bodies == []
    finally:
        toy.close()


def test_pictures_are_sent_at_the_size_asked_for(toy):
    sample = cx.Sample(image=Image.new("RGB", (200, 100), "white"), text="w0 w3")
    match = make_game(load(toy, image_size=50), sample, players="grid:2x2,words")
    url = toy.bodies[0]["messages"][0]["content"][0]["image_url"]["url"]
    sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert sent.size == (50, 25)
    assert match.game.players["image"].geometry.label_map.shape == (25, 50)
    assert match.prepared.contexts["image"].placement.scale == (0.25, 0.25)
