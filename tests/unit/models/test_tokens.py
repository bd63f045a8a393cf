"""Texts and tokens: where a part lies in a prompt, and which tokens are its own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tiny

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.models.tokens import continuations, encode, expand, render, tokens_within

TEXTS = ["what colour is it ?", " a  b ", "", "é🚗 naïve", "日本語 テキスト", "x\ny\t z", "<b> & {{ c }}"]


@pytest.fixture(scope="module", params=["byte_bpe", "metaspace"])
def tokenizer(request):
    make = {"byte_bpe": tiny.byte_bpe, "metaspace": tiny.metaspace}[request.param]
    return make(["<image>", "<|x|>"], bos=True)


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_of_a_part_spell_its_text(tokenizer, text):
    rendered = render(lambda texts: f"<|x|>user: {texts['a']}<|x|>", {"a": text})
    encoded = encode(tokenizer, rendered.prompt)
    piece = rendered.pieces["a"]
    assert rendered.prompt[piece.start : piece.end] == text
    tokens = tokens_within(encoded, piece.start, piece.end)
    covered = {k for start, end in tokens.spans for k in range(start, end)}
    assert covered >= {k for k, char in enumerate(text) if not char.isspace()}
    assert ((tokens.spans >= 0) & (tokens.spans <= len(text))).all()
    special = {tokenizer.convert_tokens_to_ids("<|x|>"), tokenizer.bos_token_id}
    assert not special & set(encoded.ids[tokens.positions].tolist())


def test_several_parts_are_found_in_order():
    rendered = render(lambda t: f"[{t['a']}|{t['b']}]", {"a": "same", "b": "same"})
    assert [rendered.prompt[p.start : p.end] for p in rendered.pieces.values()] == ["same", "same"]
    assert rendered.pieces["a"].start == 1
    assert rendered.pieces["b"].start == 6


@pytest.mark.parametrize(("trim", "shown"), [(str.strip, "x y"), (str.lstrip, "x y "), (str.rstrip, "  x y")])
def test_trimming_templates_are_understood(trim, shown):
    rendered = render(lambda texts: f"<{trim(texts['a'])}>", {"a": "  x y "})
    piece = rendered.pieces["a"]
    assert rendered.prompt[piece.start : piece.end] == shown
    assert "  x y "[piece.lead :].startswith(shown)


def test_templates_that_change_texts_are_refused():
    with pytest.raises(ModelError, match="changes the text"):
        render(lambda texts: texts["a"].upper(), {"a": "hello"})
    with pytest.raises(ModelError, match="twice"):
        render(lambda texts: texts["a"] * 2, {"a": "hello"})
    with pytest.raises(ModelError, match="nowhere"):
        render(lambda _: "fixed", {"a": "hello"})
    with pytest.raises(InvalidInput, match="private character"):
        render(lambda texts: texts["a"], {"a": "\ue000"})


def test_placeholders_are_expanded_and_parts_move_along():
    rendered = render(lambda t: f"<image>{t['a']}<image>\n{t['b']}!", {"a": "one", "b": "two"})
    grown = expand(rendered, "<image>", ["[1111]", "[2]"])
    assert grown.prompt == "[1111]one[2]\ntwo!"
    assert [grown.prompt[p.start : p.end] for p in grown.pieces.values()] == ["one", "two"]
    shrunk = expand(rendered, "<image>", ["", ""])
    assert [shrunk.prompt[p.start : p.end] for p in shrunk.pieces.values()] == ["one", "two"]


def test_wrong_numbers_of_placeholders_and_placeholders_in_texts_are_refused():
    rendered = render(lambda t: f"<image>{t['a']}", {"a": "one"})
    with pytest.raises(ModelError, match="1 placeholders '<image>' for 2 pictures"):
        expand(rendered, "<image>", ["", ""])
    with pytest.raises(InvalidInput, match="stands for a picture"):
        expand(render(lambda t: f"<image>{t['a']}", {"a": "an <image>"}), "<image>", [""])


def test_slow_tokenizers_are_refused():
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        encode(SimpleNamespace(is_fast=False), "text")


def test_continuations_are_ways_to_write_the_answer(tokenizer):
    ways = continuations(tokenizer, "is it? Answer:", "yes")
    assert 1 < len(ways) <= 4
    assert {tokenizer.decode(way).strip() for way in ways} == {"yes"}
    assert len({tuple(way) for way in ways}) == len(ways)


def test_answers_outside_the_vocabulary_are_refused():
    with pytest.raises(InvalidInput, match="cannot be written"):
        continuations(tiny.metaspace([]), "is it?", "車")
