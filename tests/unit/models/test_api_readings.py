"""What is read off a server's answers: against closed forms, with servers that are a few lines of Python."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, MissingCapability, ModelError, UnknownName
from chiasm.core.target import Target
from chiasm.models.remote.likeness import exact, letters, measure_of, measures, score, words
from chiasm.models.remote.logprobs import beginning, bound_outside, chance, given_answer, number, one_token
from chiasm.models.remote.prices import Bill, read_price
from chiasm.models.remote.reading import Settings
from chiasm.models.remote.readings import READINGS, reading_of
from chiasm.models.remote.readings_drawn import share_variance, voted

BODY = {"model": "m", "max_tokens": 16, "messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}]}


def settings(samples=8, top=20, seed=3, measure="letters"):
    return Settings(samples, top, seed, measure)


def said(text, logprobs=None):
    content = (
        None
        if logprobs is None
        else [
            {
                "token": token,
                "logprob": top.get(token, -30.0),
                "top_logprobs": [{"token": t, "logprob": v} for t, v in top.items()],
            }
            for token, top in logprobs
        ]
    )
    return {"choices": [{"message": {"content": text}, "logprobs": {"content": content}}]}


class Tree:
    """A server whose next token depends on what the assistant's message says so far."""

    def __init__(self, tree, *, continues=True):
        self.tree, self.continues, self.asked = tree, continues, []

    def __call__(self, bodies):
        self.asked += bodies
        return [self.reply(body) for body in bodies]

    def reply(self, body):
        *_, last = body["messages"]
        begun = last["content"] if last["role"] == "assistant" and self.continues else ""
        tokens, text = [], begun
        for _ in range(body["max_tokens"]):
            chances = {token: math.log(p) for token, p in self.tree.get(text, {}).items()}
            if not chances:
                break
            best = max(chances, key=chances.get)
            ranked = dict(sorted(chances.items(), key=lambda item: -item[1])[: body["top_logprobs"]])
            tokens.append((best, ranked))
            text += best
        return said(text, tokens)


TREE = {
    "": {"dark": 0.6, "red": 0.3, "da": 0.1},
    "dark": {" red": 0.7, " blue": 0.2, "er": 0.1},
    "red": {"dish": 0.4},
    "da": {"rk": 0.5},
}


def test_forced_continuation_multiplies_the_tokens_chances():
    server, reading, target = (
        Tree(TREE),
        reading_of("forced", settings()),
        Target(answer="dark red", against="dark blue"),
    )
    reading.get_ready(server, BODY, target)
    bodies = reading.bodies(BODY, target)
    assert len(bodies) == 4, "two tokens of each answer"
    value = reading.read(server(bodies), target)
    assert value.value == pytest.approx(math.log(0.6 * 0.7) - math.log(0.6 * 0.2))
    assert not value.bound
    assert bodies[1]["messages"][-1] == {"role": "assistant", "content": "dark"}
    assert bodies[1]["continue_final_message"] is True
    alone = Target("probability", answer="dark red")
    assert reading.read(server(reading.bodies(BODY, alone)), alone).value == pytest.approx(0.42)


def test_a_token_outside_the_top_makes_an_upper_bound():
    server, reading, target = Tree(TREE), reading_of("forced", settings()), Target(answer="dark red")
    reading.get_ready(server, BODY, target)
    server.tree = {**TREE, "dark": {" blue": 0.7, "er": 0.2, " red": 0.06, "x": 0.04}}
    for body in (bodies := reading.bodies(BODY, target)):
        body["top_logprobs"] = 2
    value = reading.read(server(bodies), target)
    assert value.bound
    assert value.value == pytest.approx(math.log(0.6) + math.log(0.1))
    assert value.value >= math.log(0.6 * 0.06)


def test_a_server_that_does_not_go_on_with_a_message_is_refused():
    reading = reading_of("forced", settings())
    with pytest.raises(MissingCapability, match="does not continue"):
        reading.get_ready(Tree(TREE, continues=False), BODY, Target(answer="dark red"))
    with pytest.raises(MissingCapability, match="goes on with"):
        reading.get_ready(Tree(TREE), BODY, Target(answer="green"))
    with pytest.raises(MissingCapability, match="no log-probabilities"):
        reading.get_ready(lambda bodies: [said("dark red") for _ in bodies], BODY, Target(answer="dark red"))


def test_candidates_share_the_probability():
    top = {"red": math.log(0.5), "blue": math.log(0.2), "x": math.log(0.1)}
    reading, target = reading_of("first", settings()), Target("probability", answer="blue", candidates=("red",))
    assert reading.read([said("red", [("red", top)])], target).value == pytest.approx(2 / 7)
    logs = reading.read([said("", [("red", top)])], Target(answer="blue", against="red", candidates=("red",)))
    assert logs.value == pytest.approx(math.log(2 / 5))


def test_a_share_among_candidates_is_never_set_too_low():
    rng = np.random.default_rng(0)
    names = ["red", "blue", "green", "grey"]
    reading = reading_of("first", settings())
    bounds = 0
    for _ in range(200):
        p = rng.dirichlet(np.full(12, 0.4))
        order = np.argsort(-p)[:3]
        token = {k: names[k] if k < 4 else f"t{k}" for k in range(12)}
        top = {token[k]: float(np.log(p[k])) for k in order}
        value = reading.read(
            [said("", [(token[order[0]], top)])], Target("probability", "red", candidates=tuple(names[1:]))
        )
        true = p[0] / p[:4].sum()
        bounds += value.bound
        if value.unknown:
            assert value.value == 0.25
            assert value.variance == pytest.approx(3 / 16)
        else:
            assert value.value >= true - 1e-12
            assert value.bound or value.value == pytest.approx(true)
    assert bounds > 20


def test_answers_that_begin_alike_are_refused():
    top = {"dark": -0.1, "red": -3.0}
    reading = reading_of("first", settings())
    with pytest.raises(InvalidInput, match="same token 'dark'"):
        reading.get_ready(
            lambda _: [said("dark", [("dark", top)])], BODY, Target(answer="dark red", against="dark blue")
        )


def test_forced_choice_reads_the_letter():
    reading, target = (
        reading_of("choice", settings()),
        Target("probability", answer="red", candidates=("blue", "green")),
    )
    (body,) = reading.bodies(BODY, target)
    asked = body["messages"][-1]["content"][-1]["text"]
    assert [asked.index(x) for x in ("A) blue", "B) green", "C) red")] == sorted(
        asked.index(x) for x in ("A)", "B)", "C)")
    )
    assert BODY["messages"][-1]["content"] == [{"type": "text", "text": "q"}], "the question itself stays as it was"
    top = {"C": math.log(0.6), " A": math.log(0.2), "B": math.log(0.1)}
    assert reading.read([said("C", [("C", top)])], target).value == pytest.approx(0.6 / 0.9)
    with pytest.raises(ModelError, match="None of the letters"):
        reading.get_ready(lambda _: [said("x", [("x", {"x": -0.1})])], BODY, target)


def test_votes_turn_the_options_and_count():
    reading, target = reading_of("votes", settings(6)), Target("probability", "red", candidates=("blue", "green"))
    bodies = reading.bodies(BODY, target)
    first = [body["messages"][-1]["content"][-1]["text"].split("\n")[1] for body in bodies]
    assert first == ["A) blue", "A) green", "A) red"] * 2
    assert len({body["seed"] for body in bodies}) == 6
    always_a = reading.read([said("A")] * 6, target)
    assert always_a.value == pytest.approx(1 / 3), "a model that always says A prefers nothing"
    assert reading.read([said("Red."), *[said("?")] * 5], target).value == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("text", "vote"), [("B", "red"), ("b)", "red"), ("A. blue", "blue"), ("Red", "red"), ("Both", None), ("", None)]
)
def test_a_vote(text, vote):
    assert voted(text, ["blue", "red"]) == vote


def test_the_variance_of_a_share_is_that_of_its_posterior():
    """Against sampling: Beta(k + 1/2, n − k + 1/2) has this variance."""
    rng = np.random.default_rng(0)
    for k, n in ((0, 8), (3, 8), (8, 8), (50, 100)):
        drawn = rng.beta(k + 0.5, n - k + 0.5, 200_000)
        assert share_variance(k, n) == pytest.approx(drawn.var(), rel=0.02)


def test_sampled_answers_agree():
    reading = reading_of("samples", settings(4))
    replies = [said("Red."), said("red"), said("blue"), said("a red one")]
    value = reading.read(replies, Target("probability", answer="red"))
    assert (value.value, value.variance) == (0.5, share_variance(2, 4))
    contrast = reading.read(replies, Target("probability", answer="red", against="blue"))
    assert contrast.value == 0.25
    assert contrast.variance == share_variance(2, 4) + share_variance(1, 4)


def test_the_mean_likeness_of_samples_has_the_variance_of_a_mean():
    reading = reading_of("similarity", settings(3, measure="exact"))
    value = reading.read([said("red"), said("blue"), said("red")], Target("similarity", answer="red"))
    assert value.value == pytest.approx(2 / 3)
    assert value.variance == pytest.approx(np.var([1, 0, 1], ddof=1) / 3)
    greedy = reading_of("similarity", settings(1, measure="exact"))
    assert len(greedy.bodies(BODY, Target("similarity", answer="red"))) == 1
    assert greedy.read([said("red")], Target("similarity", answer="red")).variance == 0.0


def test_measures():
    assert set(measures) >= {"exact", "letters", "words"}
    assert exact("Red!", "red") == 1.0
    assert exact("reddish", "red") == 0.0
    assert letters("abcd", "bcde") == pytest.approx(0.75)
    assert words("a red circle", "the red circle") == pytest.approx(2 / 3)
    assert words("", "") == 1.0
    assert measure_of(lambda one, other: len(one) - len(other))[1]("abc", "a") == 2
    with pytest.raises(UnknownName, match="letters"):
        measure_of("lettres")
    with pytest.raises(InvalidInput, match="function of two texts"):
        measure_of(3)
    with pytest.raises(ModelError, match="finite"):
        score(lambda *_: math.nan, "a", "b")


def test_the_bound_outside_the_top_is_sound():
    rng = np.random.default_rng(0)
    for _ in range(20):
        chances = np.sort(rng.dirichlet(np.full(30, 0.3)))[::-1]
        top = {str(k): float(np.log(p)) for k, p in enumerate(chances[:5])}
        assert np.exp(bound_outside(top)) >= chances[5] - 1e-12
        assert one_token(top, "9") == (bound_outside(top), True)
        assert beginning({"re": math.log(0.2), "r": math.log(0.1), "x": -1.0}, "red") == (
            pytest.approx(math.log(0.3)),
            False,
        )


def test_prompt_scores_are_of_the_answers_own_tokens():
    reply = {"prompt_logprobs": [None, *({str(k): {"logprob": -k, "decoded_token": t}} for k, t in enumerate("xab"))]}
    assert given_answer(reply, "ab") == -3
    with pytest.raises(ModelError):
        given_answer(reply, "zab")
    with pytest.raises(MissingCapability):
        given_answer({}, "ab")


@pytest.mark.parametrize("value", [None, "x", True, math.nan, 0.5, -math.inf])
def test_what_is_no_log_probability_is_refused(value):
    with pytest.raises(ModelError, match="as a log-probability"):
        number(value)


def test_the_chance_of_an_answer_is_that_of_its_tokens():
    assert chance(said("ab", [("a", {"a": -1.0}), ("b", {"b": -0.5})])) == pytest.approx(math.exp(-1.5))
    assert chance(said("ab")) is None


def test_every_reading_says_its_variance_and_what_a_value_costs():
    for name, kind in READINGS.items():
        assert "request" in kind.gives, name
        assert kind.variance, name
    with pytest.raises(UnknownName, match="forced"):
        reading_of("force", settings())


PRICES = {
    "currency": "EUR",
    "models": {"m": {"input": 2.5, "output": 10, "request": 0.001}, "free": {"input": 0, "output": 0}},
}


def test_prices(tmp_path):
    file = tmp_path / "prices.yaml"
    file.write_text("currency: EUR\nmodels:\n  m: {input: 2.5, output: 10, request: 0.001}\n")
    price = read_price(file, "m")
    assert price == read_price(PRICES, "m")
    assert price.of(1e6, 1e5, 10) == pytest.approx(2.5 + 1.0 + 0.01)
    bill = Bill(251, 251 * 300, 251, price)
    assert bill.cost == pytest.approx((251 * 300 * 2.5 + 251 * 10) / 1e6 + 0.251)
    assert bill.describe() == "at most 251 requests, 75,300 prompt tokens and 251 answer tokens, 0.442 EUR"
    assert "unknown" in Bill(251, None, None, price).describe()
    assert "no price table" in Bill(251, 1, 1, None).describe()


WRONG = {
    "no such file": "nowhere.yaml",
    "no models": {"m": {"input": 1, "output": 1}},
    "another model": {"models": {"x": {"input": 1, "output": 1}}},
    "half a price": {"models": {"m": {"input": 1}}},
    "a field too many": {"models": {"m": {"input": 1, "output": 1, "cached": 2}}},
    **{f"input {v!r}": {"models": {"m": {"input": v, "output": 1}}} for v in (-1, "1", True, math.inf, math.nan)},
}


@pytest.mark.parametrize("table", WRONG.values(), ids=WRONG)
def test_wrong_price_tables_are_refused(table):
    with pytest.raises(InvalidInput, match="price"):
        read_price(table, "m")


def test_option_letters_never_run_out_silently():
    many = Target("probability", "a0", candidates=tuple(f"a{k}" for k in range(1, 30)))
    for name in ("choice", "votes"):
        with pytest.raises(InvalidInput, match="2 to 26"):
            reading_of(name, settings()).bodies(BODY, many)


def test_all_combinations_of_targets_give_one_finite_number():
    top = {"red": -0.2, "blue": -2.0, "A": -3.0, "B": -4.0}
    for name, scale, against in itertools.product(
        READINGS, ("log_probability", "probability", "similarity"), (None, "blue")
    ):
        reading = reading_of(name, settings(2))
        if scale not in reading.scales or name in {"prompt", "forced"}:
            continue
        target = Target(scale, "red", against, candidates=("blue",) if reading.takes_candidates is None else ())
        bodies = reading.bodies(BODY, target)
        value = reading.read([said("red", [("red", top)]) for _ in bodies], target)
        assert math.isfinite(value.value)
        assert value.variance >= 0.0
