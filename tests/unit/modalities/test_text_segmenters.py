from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, ModelError, UnknownName
from chiasm.core.players import PartPlayers, Regions
from chiasm.modalities import modalities
from chiasm.modalities.base import Context, Placement
from chiasm.modalities.text import TEXT, CharSpans
from chiasm.modalities.text_clusters import clusters, needs_space
from chiasm.modalities.text_segmenters import labels_of

PLAIN = Context()


def pieces(text, segmenter, context=PLAIN):
    players = TEXT.segment("text", text, segmenter, context)
    assert players.kind == "text"
    assert players.content == text
    bounds = players.geometry.bounds
    assert bounds.dtype == np.int64
    assert bounds.shape == (len(players), 2)
    return [text[a:b] for a, b in bounds.tolist()]


def test_registry_finds_it() -> None:
    assert modalities.get("text") is TEXT
    assert (TEXT.kind, TEXT.default_segmenter, TEXT.default_masker) == ("text", "words", "delete")


@pytest.mark.parametrize(
    "text", ["", " \n\t ", "What is it?", "  odd  spacing\n", "👩‍🚀 é 你好", "\x00\x1f", "a\u2028b"]
)
def test_read_changes_nothing(text) -> None:
    assert TEXT.read(text) == text


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"abc", "decode"), (3, "int"), (None, "NoneType"), (["a"], "list"), ("a\ud800b", "lone surrogate .*character 1")],
)
def test_read_refuses(data, words) -> None:
    with pytest.raises(InvalidInput, match=words):
        TEXT.read(data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What colour is the car?", ["What", "colour", "is", "the", "car?"]),
        ("  a\tb\n\nc\u3000d\u00a0e ", ["a", "b", "c", "d", "e"]),
        ("", []),
        (" \n ", []),
        ('don\'t (really) "quote"!', ["don't", "(really)", '"quote"!']),
        ("你好，世界。", ["你", "好，", "世", "界。"]),
        ("「こんにちは」と言った", ["「こ", "ん", "に", "ち", "は」", "と", "言", "っ", "た"]),
        ("iPhone15を買う", ["iPhone15", "を", "買", "う"]),
        ("カﾞ㍿ 한국어 문장", ["カﾞ", "㍿", "한국어", "문장"]),
        ("か\u3099き", ["か\u3099", "き"]),
        ("\U00020000\U000e0100好", ["\U00020000\U000e0100", "好"]),  # a variation selector stays with its ideograph
        ("👨‍👩‍👧‍👦🇩🇪 好👍🏽好", ["👨‍👩‍👧‍👦🇩🇪", "好", "👍🏽", "好"]),
        ("f(x) 中(a)b", ["f(x)", "中", "(a)b"]),
        ("Sony「新製品」 f(x)中 a((中", ["Sony", "「新", "製", "品」", "f(x)", "中", "a", "((中"]),
        ("中a[ 中a,(b", ["中", "a[", "中", "a,(b"]),
        ("네。네", ["네。", "네"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("สวัสดี ครับ", ["สวัสดี", "ครับ"]),
        ("a\u200bb \u200b", ["a\u200bb", "\u200b"]),
        ("-- ... ?", ["--", "...", "?"]),
        ("）中", ["）中"]),
    ],
)
def test_words(text, expected) -> None:
    assert pieces(text, "words") == expected
    assert pieces(text, "word") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", ["a", "b", "c"]),
        ("e\u0301\u0323x", ["e\u0301\u0323", "x"]),
        ("👨‍👩‍👧👍🏽❤️‍🔥", ["👨‍👩‍👧", "👍🏽", "❤️‍🔥"]),
        ("🇩🇪🇫🇷🇯", ["🇩🇪", "🇫🇷", "🇯"]),
        ("1️⃣2", ["1️⃣", "2"]),
        ("\u1112\u1161\u11ab\uac00\u11a8가각", ["\u1112\u1161\u11ab", "\uac00\u11a8", "가", "각"]),
        ("a\u200db", ["a\u200d", "b"]),  # a joiner joins pictures only
        ("🏴\U000e0067\U000e0062\U000e007fz", ["🏴\U000e0067\U000e0062\U000e007f", "z"]),
    ],
)
def test_grapheme_clusters(text, expected) -> None:
    assert [text[a:b] for a, b in clusters(text)] == expected
    assert [a for a, _ in clusters("__" + text, 2)] == [a + 2 for a, _ in clusters(text)]
    assert clusters("") == []


def test_clusters_agree_with_the_regex_package() -> None:
    regex = pytest.importorskip("regex")  # comes with transformers
    rng = np.random.default_rng(0)
    alphabet = list("ab1.好か\u3099\u0301\u0323👨👩👧❤🏽🇩🇪🇫가각\u1112\u1161\u11ab\u200d\ufe0f\u20e3éß")
    for _ in range(2000):
        text = "".join(rng.choice(alphabet, size=rng.integers(1, 9)))
        expected = [m.span() for m in regex.finditer(r"\X", text)]
        assert clusters(text) == expected, [hex(ord(c)) for c in text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "What colour is the car to the left of the red ball?",
            ["What colour", "is the car", "to the left", "of the red ball?"],
        ),
        ("A dog, which barks (a lot) at me.", ["A dog,", "which barks", "(a lot)", "at me."]),
        ("red\nblue car", ["red", "blue car"]),
        ("the of in", ["the of in"]),
        ("好的，谢谢", ["好的，", "谢谢"]),
        ("It's Tom’s hat", ["It's Tom’s hat"]),
        ("", []),
    ],
)
def test_phrases(text, expected) -> None:
    assert pieces(text, "phrases") == expected
    assert pieces(text, "phrase") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two!  Three?", ["One.", "Two!", "Three?"]),
        ("Dr. J. Smith came at 3.5 p.m. today. He left.", ["Dr. J. Smith came at 3.5 p.m. today.", "He left."]),
        ('He asked "why?" Then "Stop." And', ['He asked "why?"', 'Then "Stop."', "And"]),
        ("So did I. You too, e.g. here.", ["So did I.", "You too, e.g. here."]),
        ("Wait... what? No…  Yes", ["Wait... what?", "No…", "Yes"]),
        ("你好。今天好吗？好！", ["你好。", "今天好吗？", "好！"]),
        ("Title\n\nbody text\ngoes on", ["Title", "body text\ngoes on"]),
        ("क्या है। हाँ", ["क्या है।", "हाँ"]),
        ("no stop", ["no stop"]),
        (" ", []),
    ],
)
def test_sentences(text, expected) -> None:
    assert pieces(text, "sentences") == expected
    assert pieces(text, "sentence") == expected


def tokens(*spans):
    return Context(token_spans=np.array(spans, np.int64).reshape(-1, 2))


def test_tokens() -> None:
    text = "a 👩‍🚀 bee"
    # leading spaces, byte pieces of one emoji, an empty span, white space alone, disorder
    context = tokens((0, 1), (1, 3), (2, 3), (3, 4), (4, 5), (4, 5), (0, 0), (5, 6), (7, 9), (5, 7))
    assert pieces(text, "tokens", context) == ["a", "👩", "\u200d", "🚀", "b", "ee"]
    assert pieces(text, "token", context) == pieces(text, "tokens", context)
    assert pieces("ab", "tokens", tokens()) == []
    assert pieces("abcd", "tokens", tokens((0, 2), (1, 3), (2, 4))) == ["abcd"]
    with pytest.raises(InvalidInput, match="take 'words'"):
        pieces("a", "tokens")
    for bad in (tokens((0, 9)), Context(token_spans=np.array([[0, 1, 2]])), tokens((-1, 1))):
        with pytest.raises(ModelError):
            pieces("ab", "tokens", bad)


def test_char_spans() -> None:
    text = "is the red car here?"
    assert pieces(text, CharSpans([(7, 10), (11, 14)])) == ["red", "car"]
    assert pieces(text, CharSpans([(6, 11)])) == ["red"]  # white space at the ends is left out
    with_rest = TEXT.segment("text", text, CharSpans([(7, 10), (11, 14)], rest="player"), PLAIN)
    assert with_rest.labels == ("rest", "red", "car", "rest (2)")
    assert [text[a:b] for a, b in with_rest.geometry.bounds] == ["is the", "red", "car", "here?"]
    assert CharSpans([[7, 10]]) == CharSpans(((7, 10),))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CharSpans([]),
        lambda: CharSpans([(0, 2), (1, 3)]),
        lambda: CharSpans([(3, 4), (0, 2)]),
        lambda: CharSpans([(2, 2)]),
        lambda: CharSpans([(-1, 2)]),
        lambda: CharSpans([(0, 1.5)]),
        lambda: CharSpans([(0, 1, 2)]),
        lambda: CharSpans([(0, 1)], rest="gone"),
        lambda: pieces("abc", CharSpans([(1, 4)])),
        lambda: pieces("a  c", CharSpans([(1, 3)])),
    ],
)
def test_bad_char_spans(make) -> None:
    with pytest.raises(InvalidInput):
        make()


def test_unknown_segmenters() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'words'"):
        pieces("a", "wordz")
    for spec in (None, 4, CharSpans):
        with pytest.raises(InvalidInput, match="no segmenter"):
            pieces("a", spec)


def test_labels() -> None:
    assert labels_of(["the", "cat", "the", "the"]) == ("the", "cat", "the (2)", "the (3)")
    assert labels_of(["a", "a", "a (2)", "a (2)"]) == ("a", "a (3)", "a (2)", "a (2) (2)")
    assert labels_of(["a\n  b", "\u200b", "\u200b\ufeff", "\u0301"]) == ("a b", "U+200B", "U+200B U+FEFF", "U+0301")
    many = labels_of(["x"] * 2000)
    assert len(set(many)) == 2000


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("un", "able", True),
        ("red", "?", False),
        ("(", "red", False),
        ("red", "(", True),
        ("a,", "b", True),
        ("你", "a", False),
        ("a", "好", False),
        ("か\u3099", "a", False),
        ("e\u0301", "a", True),
        ("a ", "b", False),
        ("", "b", False),
    ],
)
def test_needs_space(left, right, expected) -> None:
    assert needs_space(left, right) is expected


def test_overlap() -> None:
    text = "the red car"
    players = TEXT.segment("text", text, "words", PLAIN)
    plain = Placement()

    def share(truth):
        return TEXT.overlap(players, np.array(truth), plain).tolist()

    assert share([[4, 7]]) == [0, 1, 0]
    assert share([[2, 9]]) == pytest.approx([1 / 3, 1, 1 / 3])
    assert share([[8, 10], [9, 11], [0, 0]]) == pytest.approx([0, 0, 1])
    assert share(np.zeros((0, 2), int)) == [0, 0, 0]
    assert share([]) == [0, 0, 0]
    assert TEXT.overlap(TEXT.segment("text", "", "words", PLAIN), np.array([[0, 0]]), plain).shape == (0,)
    for bad in ([[0, 12]], [[-1, 2]], [[3, 1]], [1, 2], [[0.0, 1.0]]):
        with pytest.raises(InvalidInput, match="truth"):
            share(bad)
    areas = PartPlayers("image", "image", ("a",), Regions(np.zeros((1, 1), np.int32)))
    with pytest.raises(InvalidInput, match="no stretches"):
        TEXT.overlap(areas, np.array([[0, 1]]), plain)


def test_two_thousand_words_are_quick() -> None:
    text = "the quick 棕色 fox, " * 500
    assert len(pieces(text, "words")) == 2500
    assert len(pieces(text, "sentences")) == 1


def test_words_that_share_a_token_are_one_player():
    text = "你好世界 the cat"
    tokens = np.array([(0, 2), (2, 3), (3, 4), (4, 8), (8, 12)])  # the last two begin with a space
    found = TEXT.segment("text", text, "words", Context(token_spans=tokens))
    assert found.labels == ("你好", "世", "界", "the", "cat")
    assert TEXT.segment("text", text, "words", Context()).labels == ("你", "好", "世", "界", "the", "cat")
    over = np.array([(0, 5), (5, 12)])  # a token over a space
    assert TEXT.segment("text", text, "words", Context(token_spans=over)).labels == ("你好世界", "the cat")
    with pytest.raises(ModelError, match="do not lie in a text"):
        TEXT.segment("text", "short", "words", Context(token_spans=tokens))


def test_names_are_listed_with_what_they_do():
    from chiasm.modalities import modalities

    arguments = {"grid:RxC": "grid:2x3", "slic:N": "slic:5", "constant:R,G,B": "constant:1,2,3", "blur:R": "blur:3"}
    arguments |= {"noise:SEED": "noise:1", "image:PATH": ""}
    for kind in ("image", "text"):
        modality = modalities.get(kind)
        assert modality.default_segmenter.partition(":")[0] in {n.partition(":")[0] for n in modality.segmenters}
        assert modality.default_masker in modality.maskers
        assert all(line and "\n" not in line for line in {**modality.segmenters, **modality.maskers}.values())
        for name in modality.maskers:
            if arguments.get(name, name):
                modality.masker(arguments.get(name, name))
    assert "default" in modalities.get("text").maskers["delete"]
    assert "prefer" in modalities.get("text").maskers["attention"]
