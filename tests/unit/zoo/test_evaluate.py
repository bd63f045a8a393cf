"""The evaluation measures what it says, and writes it where cards, docs and the catalogue look for it."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from PIL import Image

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.zoo import accuracy, catalog, evaluate, table
from chiasm.zoo.data.scenes import COLOURS
from chiasm.zoo.recipes import training

TYPES = {"shapes": ("colour", "existence"), "digits": ("parity",)}


def always(answer, confidence=1.0):
    def give(pictures, texts):
        assert len(pictures) == len(texts)
        return [answer] * len(texts), np.full(len(texts), confidence)

    return give


def oracle(data, kinds, n, seed):
    """Answers by heart, and only where both the picture and the question are those of a sample."""
    known = {
        (sample["text"].data, np.asarray(sample["image"].data).tobytes()): sample.answer
        for kind in kinds
        for sample in accuracy.draw(data, kind, n, seed)
    }

    def give(pictures, texts):
        asked = [(text, np.asarray(picture).tobytes()) for text, picture in zip(texts, pictures, strict=True)]
        return [known.get(one, "unknown") for one in asked], np.array([float(one in known) for one in asked])

    return give


def test_calibration_error_by_hand():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.3])
    right = np.array([True, True, True, False, False])
    assert accuracy.calibration_error(confidence, right) == pytest.approx((abs(3.6 - 3) + 0.3) / 5)
    assert accuracy.calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0
    assert accuracy.calibration_error(np.ones(3), np.zeros(3, dtype=bool)) == 1
    # Right as often as it says, in every bin: calibrated, whatever the order.
    chances = np.repeat([0.25, 0.5, 0.75], 4)
    hits = np.array([1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    assert accuracy.calibration_error(chances, hits) == pytest.approx(0)


def test_the_asked_fraction_is_hidden():
    picture = accuracy.draw("shapes", "colour", 1, 0)[0]["image"].data
    masked = np.asarray(accuracy.hide_image(picture, 0.5, np.random.default_rng(0)))
    cells = (masked.reshape(4, 64, 4, 64, 3).std(axis=(1, 3)).max(axis=-1) == 0).sum()
    assert cells == 8
    assert accuracy.hide_text("Is there a star?", 0.5, np.random.default_rng(0)).count("<mask>") == 2
    assert accuracy.hide_text("Is there a star?", 1.0, np.random.default_rng(0)) == "<mask> <mask> <mask> <mask>"


def test_each_type_has_as_many_samples_as_any_other():
    counted = []

    def count(pictures, texts):
        counted.append(len(texts))
        return ["no"] * len(pictures), np.ones(len(texts))

    accuracy.measure({"m": (count, TYPES)}, n=7, seeds=(1, 2))
    assert counted == [7] * 6


def test_a_model_that_always_says_no_is_right_where_no_is_right():
    found = accuracy.measure({"no": (always("no"), TYPES), "red": (always("red"), {"shapes": ("colour",)})}, 80, (3, 4))
    for k, seed in enumerate((3, 4)):
        for data, kind in (("shapes", "existence"), ("digits", "parity")):
            share = np.mean([sample.answer == "no" for sample in accuracy.draw(data, kind, 80, seed)])
            assert found["no"][data][kind][k] == share
            assert 0.3 < share < 0.7
    assert found["no"]["shapes"]["colour"] == [0, 0]
    assert found["red"] == {"shapes": {"colour": pytest.approx([1 / len(COLOURS)] * 2, abs=0.15)}}
    assert found["red"]["shapes"]["colour"][0] > 0


def test_an_oracle_is_right_until_something_is_hidden():
    kinds, n, seed = ("colour", "counting"), 10, 5
    knows = oracle("shapes", kinds, n, seed)
    assert accuracy.measure({"m": (knows, {"shapes": kinds})}, n, (seed,))["m"]["shapes"] == {k: [1.0] for k in kinds}
    rows = accuracy.masked(knows, "shapes", kinds, n, seed)
    assert [row.hidden for row in rows] == [name for name, _, _ in accuracy.amounts()]
    assert rows[0].accuracy == dict.fromkeys(kinds, 1.0)
    assert rows[0].calibration_error == 0
    assert all(set(row.accuracy.values()) == {0.0} for row in rows[1:])
    assert all(row.confidence == row.calibration_error == 0 for row in rows[1:])


def test_confidence_above_accuracy_is_the_calibration_error():
    row = accuracy.masked(always("yes", 0.9), "shapes", ("existence",), 40, 1)[0]
    assert row.confidence == pytest.approx(0.9)
    assert row.calibration_error == pytest.approx(abs(0.9 - row.accuracy["existence"]))


def test_types_of_prior_are_what_they_say():
    samples = {kind: accuracy.draw("prior", kind, 40, 2) for kind in ("unbiased", "expected", "against")}
    assert {kind: len(several) for kind, several in samples.items()} == dict.fromkeys(samples, 40)
    assert all(sample.tags["canonical"] for sample in samples["expected"])
    assert not any(sample.tags["canonical"] for sample in samples["against"])
    assert 0 < sum(bool(sample.tags["canonical"]) for sample in samples["unbiased"]) < 25


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(InvalidInput, match="at least one"):
        accuracy.draw("shapes", "colour", 0, 0)
    with pytest.raises(UnknownName, match="unbiased"):
        accuracy.draw("prior", "colour", 1, 0)
    with pytest.raises(UnknownName, match="colour"):
        accuracy.draw("shapes", "parity", 1, 0)


def test_tables_hold_the_numbers():
    shares = {
        "a": {"shapes": {"colour": [0.99, 1.0, 0.98], "shape": [0.5]}, "captions": {"swap": [0.875]}},
        "b": {"shapes": {"colour": [0.25, 0.25]}},
    }
    text = table.overview(shares)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == ["model", "colour", "shape"]
    assert rows[2:4] == [["a", "99.0 (98–100)", "50.0"], ["b", "25.0", "–"]]
    assert rows[-1] == ["a", "87.5"]
    assert len({len(line) for line in text.splitlines()[2:6]}) == 1, "columns stand under each other"
    row = accuracy.Row("nothing hidden", {"colour": 0.5, "shape": 1.0}, 0.9, 0.12)
    cells = [cell.strip() for cell in table.detail([row]).splitlines()[-1].strip("|").split("|")]
    assert cells == ["nothing hidden", "50.0", "100.0", "75.0", "90.0", "12.0"]
    plain = table.detail([accuracy.Row("nothing hidden", {"swap": 0.5})])
    assert "confidence" not in plain


@pytest.fixture
def found():
    rows = [accuracy.Row("nothing hidden", {"colour": 0.95}, 0.9, 0.05)]
    return evaluate.Report("llava-shapes", "", 5, [1, 2], {"shapes": {"colour": [0.9, 1.0]}}, {"shapes": rows})


def test_the_card_takes_the_tables_and_the_numbers_lie_beside(found, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    card = tmp_path / "README.md"
    card.write_text(f"# Card\n\n<!-- accuracy: of old -->\nold\n{table.CARD[1]}\n\n## Licence\n")
    for _ in range(2):  # a second time replaces the first
        evaluate.write_card(found, tmp_path)
    text = card.read_text()
    assert text.count("95.0 (90–100)") == 1
    assert "old\n" not in text
    assert text.startswith("# Card")
    assert text.endswith("## Licence\n")
    numbers = json.loads((tmp_path / catalog.ACCURACY).read_text())
    assert numbers["accuracy"] == {"shapes": {"colour": [0.9, 1.0]}}
    assert numbers["hidden"]["shapes"][0]["calibration_error"] == 0.05
    card.write_text("no marks")
    with pytest.raises(InvalidInput, match="accuracy"):
        evaluate.write_card(found, tmp_path)


def test_a_model_that_ships_answers_as_its_card_says():
    """A few samples of those on the card: the share right lies where the card's share allows it."""
    name = catalog.loadable()[0]
    numbers = catalog.accuracy(name)
    data, kinds = next(iter(numbers["accuracy"].items()))
    kind, shares = max(kinds.items(), key=lambda item: sum(item[1]))
    n = 20
    answers = evaluate.answers_of(catalog.path(name))
    found = accuracy.measure({name: (answers, {data: (kind,)})}, n, numbers["seeds"][:1])[name][data][kind][0]
    spread = 3 * (shares[0] * (1 - shares[0]) / n) ** 0.5 + 1 / n
    assert abs(found - shares[0]) <= spread


@pytest.mark.parametrize("name", catalog.loadable())
def test_cards_say_what_was_measured(name):
    folder = catalog.folder_of(name)
    numbers = catalog.accuracy(name)
    shown = table.between(folder / "README.md", table.CARD)
    assert table.overview({name: numbers["accuracy"]}) in shown
    assert numbers["model"] == name
    assert len(numbers["seeds"]) >= 3
    assert all(
        len(shares) == len(numbers["seeds"]) for kinds in numbers["accuracy"].values() for shares in kinds.values()
    )


def test_the_docs_show_what_the_cards_say():
    page = catalog.WEIGHTS.parents[3] / "docs" / "zoo.md"
    if not page.exists():
        pytest.skip("an installed package has no docs")
    assert table.between(page, table.DOCS) == table.overview(evaluate.stored())


@pytest.mark.parametrize(
    ("name", "recipe", "data", "most"),
    [
        ("prior-grounded", "prior:grounded", "prior", 0.6),
        ("qwen-shapes", "qwen:plan", "shapes", 0.6),
        ("idefics-shapes", "idefics:plan", "shapes", 0.6),
        ("vilt-shapes", "vilt:plan", "shapes", 0.6),
        ("blip-shapes", "blip:plan", "shapes", 0.6),
        ("clip-captions", "clip:plan", "captions", 0.95),
        ("siglip-captions", "siglip:plan", "captions", 0.95),
    ],
)
def test_models_of_every_architecture_are_measured_and_untrained_ones_are_bad(name, recipe, data, most, tmp_path):
    module, function = recipe.split(":")
    plan = getattr(importlib.import_module(f"chiasm.zoo.recipes.{module}"), function)(0, 1e-9)
    training.save(plan, {}, tmp_path)
    if data == "captions":
        found = evaluate.shares_of({name: tmp_path}, 12, (1,))[name][data]
    else:
        kinds = {data: catalog.ENTRIES[name].types[data]}
        found = accuracy.measure({name: (evaluate.answers_of(tmp_path), kinds)}, 4, (1,))[name][data]
    assert tuple(found) == catalog.ENTRIES[name].types[data]
    assert all(0 <= share <= 1 for shares in found.values() for share in shares)
    assert np.mean(list(found.values())) < most


def test_pictures_of_any_size_can_be_hidden():
    white = Image.new("RGB", (96, 64), "white")
    assert np.array_equal(accuracy.hide_image(white, 1.0, np.random.default_rng(0)), np.asarray(white))


def test_the_command_line_refuses_in_words(capsys):
    for arguments, words in ((["--card"], "--card"), (["no-such-model"], "no-such-model")):
        with pytest.raises(SystemExit):
            evaluate.main(arguments)
        assert words in capsys.readouterr().err
