"""The server of local models: what it answers is what the model says; what it cannot serve it refuses in words."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fastapi.testclient import TestClient

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.models.remote.chat import content_of, sample_of
from chiasm.serve.app import Request, make_app

QUESTION = "What colour is the star?"


@pytest.fixture(scope="module")
def picture():
    return np.asarray(cx.dataset("shapes", n=1, seed=3)[0]["image"].data)


def client(name):
    adapter = cx.load(f"zoo:{name}")
    return adapter, TestClient(make_app(adapter, name))


@pytest.fixture(scope="module", params=["llava-shapes", "vilt-shapes", "blip-shapes"])
def served(request):
    return client(request.param)


def asked(picture, **fields):
    content = content_of([("image", "image"), ("text", "text")], {"image": picture, "text": QUESTION})
    return {"messages": [{"role": "user", "content": content}], "temperature": 0, **fields}


def prediction(adapter, picture, **target):
    sample = cx.Sample(image=picture, text=QUESTION)
    return adapter.resolve(adapter.prepare(sample), cx.Target("probability", **target))[1]


def test_the_answer_and_its_chance_are_the_models_own(served, picture):
    adapter, http = served
    body = asked(picture, logprobs=True, top_logprobs=3)
    said = http.post("/v1/chat/completions", json=body).json()
    own = prediction(adapter, picture)
    assert said["choices"][0]["message"]["content"] == own.answer
    tokens = said["choices"][0]["logprobs"]["content"]
    assert math.exp(sum(token["logprob"] for token in tokens)) == pytest.approx(own.probability, abs=1e-4)
    known = 1 + len(own.alternatives)  # BLIP knows of no others
    assert len(tokens[0]["top_logprobs"]) == (3 if adapter.family == "decoder" else min(3, known))
    assert said["usage"]["completion_tokens"] == len(tokens)
    again = http.post("/v1/chat/completions", json=body).json()
    assert again["choices"] == said["choices"]
    assert again["system_fingerprint"] == said["system_fingerprint"]


def test_a_given_answer_is_scored(served, picture):
    adapter, http = served
    body = asked(picture, prompt_logprobs=0, max_tokens=1, continue_final_message=True)
    body["messages"].append({"role": "assistant", "content": "red"})
    scored = http.post("/v1/chat/completions", json=body).json()["prompt_logprobs"]
    values = [next(iter(token.values()))["logprob"] for token in scored if token is not None]
    expected = prediction(adapter, picture, answer="red").explained_probability
    assert math.exp(sum(values)) == pytest.approx(expected, abs=1e-4)


def test_a_decoder_goes_on_with_what_was_begun(picture):
    _, http = client("llava-shapes")
    free = http.post("/v1/chat/completions", json=asked(picture, logprobs=True, top_logprobs=5)).json()
    own = free["choices"][0]["message"]["content"]
    body = asked(picture, continue_final_message=True, logprobs=True, top_logprobs=5)
    body["messages"].append({"role": "assistant", "content": own})
    assert http.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"] == ""


def test_sampled_answers_follow_the_seed(picture):
    _, http = client("llava-shapes")
    body = {**asked(picture), "temperature": 5.0, "n": 4, "seed": 7}
    one, other = (http.post("/v1/chat/completions", json=body).json()["choices"] for _ in range(2))
    assert one == other
    assert len({choice["message"]["content"] for choice in one}) > 1


WRONG = {
    "no messages": ({"messages": []}, "one message"),
    "a system message": ({"messages": [{"role": "system", "content": "x"}]}, "other roles"),
    "a message to be continued without the flag": (
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
        "continue_final_message",
    ),
    "a temperature of text": ({"temperature": "hot"}, "temperature"),
    "too many tokens": ({"max_tokens": 10**6}, "max_tokens"),
    "no answers": ({"n": 0}, "n is 0"),
    "half a top": ({"top_logprobs": 1.5}, "top_logprobs"),
}


@pytest.mark.parametrize(("fields", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_served_is_refused(fields, words):
    with pytest.raises(InvalidInput, match=words):
        Request.read({"messages": [{"role": "user", "content": "x"}], **fields})


def test_models_of_closed_sets_are_not_sampled_or_continued(picture):
    _, http = client("vilt-shapes")
    for fields in ({"temperature": 1}, {"continue_final_message": True}):
        body = {**asked(picture), **fields}
        if "continue_final_message" in fields:
            body["messages"].append({"role": "assistant", "content": "red"})
        answer = http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 400
        assert "vilt-shapes" in answer.json()["error"]["message"]


def test_a_dual_encoder_gives_no_answers():
    with pytest.raises(MissingCapability, match="no answers"):
        make_app(cx.load("zoo:clip-captions"), "clip")


@pytest.mark.parametrize(
    "content",
    [
        3,
        ["x"],
        [{"type": "audio"}],
        [{"type": "image_url", "image_url": {"url": "https://host/x.png"}}],
        [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,!!"}}],
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    ],
)
def test_nothing_is_fetched_and_nonsense_is_refused(content):
    with pytest.raises(InvalidInput):
        sample_of(content)


def test_a_sample_comes_back_from_its_message(picture):
    order = [("image", "image"), ("text", "text"), ("image2", "image")]
    sample = sample_of(content_of(order, {"image": picture, "text": QUESTION, "image2": picture[::-1]}))
    assert list(sample.parts) == ["image", "text", "image2"]
    np.testing.assert_array_equal(np.asarray(sample["image2"].data), picture[::-1])
