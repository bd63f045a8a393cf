from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Regions, Spans
from chiasm.modalities.base import ContentMasker, Context, TokenMasker
from chiasm.modalities.text import TEXT, CharSpans


def mask(text, spec, keep, segmenter="words"):
    players = TEXT.segment("text", text, segmenter, Context())
    return TEXT.masker(spec).apply(text, players, np.array([keep], bool))[0]


@pytest.mark.parametrize(
    ("text", "keep", "expected"),
    [
        ("a b c", [1, 0, 1], "a c"),
        ("a b c", [0, 1, 1], "b c"),
        ("a b c", [1, 1, 0], "a b"),
        ("a b c", [0, 0, 0], ""),
        ("  a b  c ", [0, 1, 1], "  b  c "),
        ("  a b  c ", [1, 0, 1], "  a c "),
        ("  a b  c ", [1, 1, 0], "  a b "),
        ("  a b  c ", [1, 1, 1], "  a b  c "),
        ("a\nb c", [1, 0, 1], "a\nc"),
        ("a b\n\nc d", [1, 0, 0, 1], "a\n\nd"),
        ("你好世", [1, 0, 1], "你世"),
        ("hello中world", [1, 0, 1], "hello world"),
        ("a,中「b」", [1, 0, 1], "a, 「b」"),
        ("国 中国", [1, 0, 1], "国 国"),
    ],
)
def test_delete(text, keep, expected) -> None:
    assert mask(text, "delete", keep) == expected


@pytest.mark.parametrize(
    ("text", "spans", "keep", "expected"),
    [
        ('say "red" now', [(5, 8)], [0], 'say "" now'),
        ("a (red car) b", [(3, 6)], [0], "a (car) b"),
        ("is it red? yes", [(6, 9)], [0], "is it? yes"),
        ("unbelievable", [(0, 2), (2, 8), (8, 12)], [1, 0, 1], "un able"),
        ("playing cards", [(0, 4), (4, 7)], [1, 0], "play cards"),
        ("a red b", [(2, 5)], [0], "a b"),
        ("red  b ", [(0, 3)], [0], "b "),
        (" b red", [(3, 6)], [0], " b"),
    ],
)
def test_delete_char_spans(text, spans, keep, expected) -> None:
    assert mask(text, "delete", keep, CharSpans(spans)) == expected


def test_delete_on_plain_text_is_join_of_the_kept_words() -> None:
    words = ["What", "colour", "is", "the", "car?"]
    for keep in itertools.product([0, 1], repeat=5):
        expected = " ".join(word for word, kept in zip(words, keep, strict=True) if kept)
        assert mask(" ".join(words), "delete", keep) == expected


@pytest.mark.parametrize(
    ("text", "spec", "keep", "expected"),
    [
        ("a b c", "neutral", [1, 0, 1], "a something c"),
        ("a b c", "neutral:thing", [0, 0, 1], "thing thing c"),
        ("a b c", "neutral: some  thing ", [0, 1, 1], "some thing b c"),
        ("  a  b ", "neutral", [1, 0], "  a  something "),
        ("你好世", "neutral", [1, 0, 1], "你something世"),
        ("你好世", "neutral", [0, 0, 1], "something something世"),
        ("a b c", "empty", [1, 0, 1], "a  c"),
        ("a b c", "empty", [0, 1, 0], " b "),
        ("a b", "empty", [0, 0], " "),
    ],
)
def test_neutral_and_empty(text, spec, keep, expected) -> None:
    assert mask(text, spec, keep) == expected


def test_neutral_keeps_off_letters_alone() -> None:
    assert mask("unbelievable", "neutral", [1, 0, 1], CharSpans([(0, 2), (2, 8), (8, 12)])) == "un something able"
    assert mask('say "red"!', "neutral", [0], CharSpans([(5, 8)])) == 'say "something"!'


@pytest.mark.parametrize("spec", ["delete", "neutral", "neutral:x", "empty"])
@pytest.mark.parametrize("text", ["", "  ", " a  b\n", "一 二三 (x) y"])
def test_all_present_is_the_text_itself(spec, text) -> None:
    players = TEXT.segment("text", text, "words", Context())
    masker = TEXT.masker(spec)
    assert isinstance(masker, ContentMasker)
    assert masker.name == spec
    assert masker.apply(text, players, np.ones((2, len(players)), bool)) == [text, text]
    assert masker.apply(text, players, np.ones((0, len(players)), bool)) == []
    assert pickle.loads(pickle.dumps(masker)) == masker  # noqa: S301


def test_players_in_any_order() -> None:
    text = "a b c"
    players = PartPlayers("text", "text", ("c", "a"), Spans(np.array([[4, 5], [0, 1]])), text)
    present = np.array([[0, 1], [1, 0]], bool)
    assert TEXT.masker("delete").apply(text, players, present) == ["a b", "b c"]
    assert TEXT.masker("empty").apply(text, players, present) == ["a b ", " b c"]


def test_token_maskers() -> None:
    assert TEXT.masker("attention") == TokenMasker("attention", "attention")
    assert TEXT.masker("pad") == TokenMasker("pad", "attention")
    assert TEXT.masker("mask") == TokenMasker("mask", "mask")
    own = TokenMasker("own", "mask")
    assert TEXT.masker(own) is own


@pytest.mark.parametrize("spec", ["neutral:", "neutral:  ", "delete:3", "mask:x", "empty:", None, 5, TokenMasker])
def test_bad_maskers(spec) -> None:
    with pytest.raises(InvalidInput):
        TEXT.masker(spec)


def test_unknown_masker() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'delete'"):
        TEXT.masker("delet")


@pytest.mark.parametrize("spec", ["delete", "neutral", "empty"])
def test_things_that_do_not_fit(spec) -> None:
    players = TEXT.segment("text", "a b", "words", Context())
    masker = TEXT.masker(spec)
    for present in (np.ones((1, 3), bool), np.ones(2, bool)):
        with pytest.raises(InvalidInput, match=r"\(batch, 2\)"):
            masker.apply("a b", players, present)
    with pytest.raises(InvalidInput, match="'b'"):
        masker.apply("a", players, np.zeros((1, 2), bool))
    areas = PartPlayers("image", "image", ("a",), Regions(np.zeros((1, 1), np.int32)))
    with pytest.raises(InvalidInput, match="no stretches"):
        masker.apply("a", areas, np.ones((1, 1), bool))
