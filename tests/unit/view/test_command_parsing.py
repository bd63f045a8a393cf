"""What stands on the command line → fields of a description."""

from __future__ import annotations

import pytest

from chiasm.cli.parsing import joined, merge, parse_fixed, parse_parts
from chiasm.core.errors import InvalidInput


def test_parts_are_named_and_ordered():
    found = parse_parts(["a.png", "b.png"], ["Q"], ["audio=talk.wav", "extra=x=y"])
    assert list(found.items()) == [
        ("image", "a.png"),
        ("image2", "b.png"),
        ("audio", "talk.wav"),
        ("extra", "x=y"),
        ("text", "Q"),
    ]
    assert parse_parts(None, None, None) == {}


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("audio", r"'audio' has no name and value; write NAME=VALUE"),
        ("audio=", r"'audio=' has no name and value"),
        ("2nd=x", r"'2nd' is not a name; use letters"),
        ("answer=red", r"'answer' is not a part of a sample; choose another name"),
        ("image=b.png", r"'image' is given twice; give the second another name, e\.g\. image_b"),
        ("text=Why?", r"'text' is given twice; give the second another name, e\.g\. text_b"),
    ],
)
def test_wrong_parts_name_the_value_and_the_remedy(part, message):
    with pytest.raises(InvalidInput, match=message):
        parse_parts(["a.png"], ["Q"], [part])


def test_players_given_several_times_are_one_list():
    assert joined(["image=grid:3x3", "audio=segments:5,text=words"]) == "image=grid:3x3,audio=segments:5,text=words"
    assert joined(["grid:3x3"]) == "grid:3x3"
    assert joined(None) is joined([]) is None


def test_fixed_players():
    assert parse_fixed(["text=present", "image:3=absent"]) == {"text": True, "image:3": False}
    assert parse_fixed(None) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["text"], r"'text': write PART=present"),
        (["text=yes"], r"'text=yes': write PART=present"),
        (["text:x=present"], r"'text:x' names no part or player; write e\.g\. text or text:3"),
        (["=present"], r"names no part"),
        (["text=present", "text=absent"], r"'text' both present and absent"),
    ],
)
def test_wrong_fixes_name_the_value_and_the_remedy(given, message):
    with pytest.raises(InvalidInput, match=message):
        parse_fixed(given)


def test_the_command_line_wins_over_the_file_entry_by_entry():
    file = {"model": "a", "parts": {"image": "x.png", "text": "Q"}, "seed": 3, "out": ["a.html"]}
    line = {"model": "b", "parts": {"text": "R"}, "seed": None, "out": [], "budget": 5}
    assert merge(file, line) == {
        "model": "b",
        "parts": {"image": "x.png", "text": "R"},
        "seed": 3,
        "out": ["a.html"],
        "budget": 5,
    }
    with pytest.raises(InvalidInput, match="'parts' of the description is 'x'"):
        merge({"parts": "x"}, {"parts": {"text": "R"}})
