"""Scales, tokens and contrasts of decoder targets."""

from __future__ import annotations

import numpy as np
import pytest
from decoder_help import QUESTION, Case, plain_inputs, plain_logits, plain_score, random_coalitions

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models.decoder_scoring import Ask, plan
from chiasm.models.tokens import continuations

CLOSE = {"rtol": 0, "atol": 1e-4}
LONG = "yes blue house"


@pytest.fixture
def model(adapter):
    return adapter("llava")


def test_probability_is_the_exponential(model, picture):
    log = Case(model, picture)
    chance = Case(model, picture, Target(scale="probability", answer=log.target.answer))
    coalitions = random_coalitions(log.n, 6)
    np.testing.assert_allclose(chance.values(coalitions), np.exp(log.values(coalitions)), rtol=1e-4)


def test_tokens_sum_to_the_whole_answer(model, picture):
    whole = Case(model, picture, Target(answer=LONG))
    count = len(whole.answer_ids)
    assert count > 2
    coalitions = random_coalitions(whole.n, 6)
    parts = [Case(model, picture, Target(answer=LONG, token=k)).values(coalitions) for k in range(count)]
    np.testing.assert_allclose(np.sum(parts, axis=0), whole.values(coalitions), **CLOSE)


def test_logit_of_a_token_is_the_models_own(model, picture):
    case = Case(model, picture, Target(scale="logit", answer=LONG, token=1))
    logits = plain_logits(model, plain_inputs(model, picture, QUESTION), case.answer_ids[:1])
    np.testing.assert_allclose(case.full(), float(logits[-1, case.answer_ids[1]]), **CLOSE)
    np.testing.assert_allclose(model.plain_value(case.prepared, case.target), case.full(), **CLOSE)


@pytest.mark.parametrize("scale", ["log_probability", "probability"])
def test_a_contrast_is_the_difference(model, picture, scale):
    case = Case(model, picture, Target(scale=scale, answer=LONG, against="red square above"))
    coalitions = random_coalitions(case.n, 6)
    one = Case(model, picture, Target(scale=scale, answer=LONG)).values(coalitions)
    two = Case(model, picture, Target(scale=scale, answer="red square above")).values(coalitions)
    np.testing.assert_allclose(case.values(coalitions), one - two, **CLOSE)
    np.testing.assert_allclose(case.full(), model.plain_value(case.prepared, case.target), **CLOSE)


def test_a_contrast_encodes_pictures_once(model, picture):
    case = Case(model, picture, Target(answer=LONG, against="no"))
    coalitions = np.ones((3, case.n), bool)
    coalitions[:, 0] = False
    before = case.prepared.state.store.encoded
    case.values(coalitions)
    assert case.prepared.state.store.encoded == before + 1


def test_answers_with_a_common_beginning_share_a_pass():
    passes = plan([Ask((1, 2, 3), 0, 3), Ask((1, 9), 0, 2)])
    assert [(one.suffix, one.keep) for one in passes] == [((1, 2), 3)]
    passes = plan([Ask((1, 2, 3), 2, 3), Ask((7, 8), 0, 2)])
    assert [(one.suffix, one.keep) for one in passes] == [((1, 2), 1), ((7,), 2)]
    assert len(plan([Ask((1,), 0, 1), Ask((5,), 0, 1)])) == 1


def test_the_likelier_spelling_is_explained(model, picture):
    case = Case(model, picture, Target(answer="blue"))
    ways = continuations(model.tokenizer, case.prepared.state.prompt.text, "blue")
    inputs = plain_inputs(model, picture, QUESTION)
    scores = [plain_score(model, inputs, tuple(way)) for way in ways]
    assert case.answer_ids == tuple(ways[int(np.argmax(scores))])


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Target(scale="similarity", answer="a"), "no similarity.*log_probability"),
        (Target(scale="value", answer="a"), "no value.*log_probability"),
        (Target(answer=LONG, token=40), "no token 40"),
        (Target(answer=LONG, token=-1), "count the answer's tokens from 0"),
        (Target(scale="logit", answer=LONG), "token=0"),
        (Target(answer="yes", candidates=("yes", "no")), "candidates"),
    ],
)
def test_targets_that_do_not_fit_are_refused_with_words(model, picture, target, words):
    prepared = model.prepare(Sample(image=picture, text=QUESTION))
    with pytest.raises(InvalidInput, match=words):
        model.resolve(prepared, target)


def test_an_empty_own_answer_needs_a_given_one(model, picture, monkeypatch):
    monkeypatch.setattr(model.answerer, "own", lambda *_: ("", (), True))
    prepared = model.prepare(Sample(image=picture, text=QUESTION))
    with pytest.raises(InvalidInput, match="empty"):
        model.resolve(prepared, Target())
    _, prediction = model.resolve(prepared, Target(answer="yes"))
    assert prediction.answer == ""
    assert prediction.probability is None


def test_batch_sizes_must_be_positive(model, picture):
    with pytest.raises(InvalidInput, match="batch size is 0"):
        Case(model, picture, batch_size=0)
    assert Case(model, picture, batch_size=5).values.batch_size == 5
    assert Case(model, picture).values.batch_size == 64


def test_an_unresolved_target_is_refused(model, picture):
    case = Case(model, picture)
    with pytest.raises(InvalidInput, match="resolve"):
        model.values(case.prepared, case.players, case.maskers, Target(), None)
