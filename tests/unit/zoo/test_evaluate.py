"""The evaluation measures what it says, and writes it where cards, docs and the catalogue look for it."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from chiasm.core.errors import InvalidInput, ModelError, UnknownName
from chiasm.zoo import accuracy, answers, caption_accuracy, catalog, chime_accuracy, evaluate, table
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

    accuracy.judge({"m": (count, TYPES)}, n=7, seeds=(1, 2))
    assert counted == [7] * 6


def test_a_model_that_always_says_no_is_right_where_no_is_right():
    models = {"no": (always("no"), TYPES), "red": (always("red"), {"shapes": ("colour",)})}
    found = {name: accuracy.shares(one) for name, one in accuracy.judge(models, 80, (3, 4)).items()}
    for k, seed in enumerate((3, 4)):
        for data, kind in (("shapes", "existence"), ("digits", "parity")):
            share = np.mean([sample.answer == "no" for sample in accuracy.draw(data, kind, 80, seed)])
            assert found["no"][data][kind][k] == share
            assert 0.3 < share < 0.7
    assert found["no"]["shapes"]["colour"] == [0, 0]
    assert found["red"] == {"shapes": {"colour": pytest.approx([1 / len(COLOURS)] * 2, abs=0.15)}}
    assert found["red"]["shapes"]["colour"][0] > 0


def test_the_floor_is_the_error_of_a_model_that_is_calibrated():
    # All in one bin: the mean of |K/n - 1/2| for K of a binomial law, sqrt(2 / pi) times its standard deviation.
    for n in (300, 2700):
        wanted = np.sqrt(2 / np.pi) * 0.5 / np.sqrt(n)
        assert accuracy.calibration_floor(np.full(n, 0.5)) == pytest.approx(wanted, rel=0.2)
    assert accuracy.calibration_floor(np.ones(50)) == 0
    # Any confidences: calibrated answers lie about the floor, overconfident ones well above.
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0.3, 1, 900)
    floor = accuracy.calibration_floor(confidence)
    assert floor == accuracy.calibration_floor(rng.permutation(confidence)), "the order tells nothing"
    errors = [accuracy.calibration_error(confidence, rng.random(900) < confidence) for _ in range(100)]
    assert np.mean(errors) == pytest.approx(floor, rel=0.1)
    assert accuracy.calibration_error(confidence, rng.random(900) < confidence - 0.2) > 3 * floor


def test_chance_is_the_commonest_answer_over_all_seeds():
    truths = {"shapes": {"colour": [["red", "red", "blue", "blue"], ["blue", "blue", "blue", "red"]]}}
    assert accuracy.commonest(truths) == {"shapes": {"colour": [0.5, 0.75]}}
    seen = {}
    accuracy.judge({"no": (always("no"), {"digits": ("parity",)})}, 9, (3, 4), truths=seen)
    assert seen["digits"]["parity"] == [[s.answer for s in accuracy.draw("digits", "parity", 9, k)] for k in (3, 4)]


def test_chance_is_the_first_row_of_each_table():
    shares, chance = {"a": {"shapes": {"colour": [0.9]}}}, {"shapes": {"colour": [0.2, 0.3]}}
    assert cells(table.overview(shares, chance).splitlines()[4]) == ["chance", "25.0 (20–30)"]
    lines = table.detail([accuracy.Row("whole", {"colour": 0.9}, {})], chance["shapes"]).splitlines()
    assert cells(lines[2]) == ["chance", "25.0", "25.0"]
    assert cells(lines[3]) == ["whole", "90.0", "90.0"]


def test_an_oracle_is_right_until_something_is_hidden():
    kinds, n, seeds = ("colour", "counting"), 10, (5, 6)
    by_seed = [oracle("shapes", kinds, n, seed) for seed in seeds]

    def knows(pictures, texts):
        found = [one(pictures, texts) for one in by_seed]
        return max(found, key=lambda pair: pair[1].sum())

    judged = accuracy.judge({"m": (knows, {"shapes": kinds})}, n, seeds)["m"]
    assert accuracy.shares(judged) == {"shapes": {kind: [1.0, 1.0] for kind in kinds}}
    first = accuracy.row("whole", judged["shapes"])
    assert first.accuracy == dict.fromkeys(kinds, 1.0)
    assert first.calibration == {accuracy.ALL_TYPES: accuracy.Calibration(40, 1.0, 0.0, 0.0)}
    found = accuracy.masked(knows, "shapes", kinds, n, seeds)
    assert list(found) == [name for name, _, _ in accuracy.amounts()][1:]
    for hits in found.values():
        assert {kind: [len(right) for right, _ in several] for kind, several in hits.items()} == {
            kind: [n, n] for kind in kinds
        }
        assert not any(right.any() or chance.any() for several in hits.values() for right, chance in several)


def test_types_whose_faults_cancel_out_are_calibrated_one_by_one():
    half = np.full(100, 0.5)
    found = {"low": [(np.zeros(100, dtype=bool), half)], "high": [(np.ones(100, dtype=bool), half)]}
    assert accuracy.row("", found).calibration[accuracy.ALL_TYPES].error == 0
    each = accuracy.row("", found, by_type=True).calibration
    assert {kind: one.error for kind, one in each.items()} == {"low": 0.5, "high": 0.5}


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


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_show_calibration_of_all_types_or_of_each():
    told = accuracy.Calibration(10, 0.9, 0.12, 0.03)
    several = {"colour": 0.5, "shape": 1.0}
    together = [accuracy.Row("whole", several, {accuracy.ALL_TYPES: told}), accuracy.Row("nothing", several, {})]
    lines = table.detail(together).splitlines()
    assert cells(lines[2]) == ["whole", "50.0", "100.0", "75.0", "90.0", "12.0", "3.0"]
    assert cells(lines[3]) == ["nothing", "50.0", "100.0", "75.0", "–", "–", "–"]
    other = accuracy.Calibration(10, 0.8, 0.2, 0.04)
    first, second = table.detail([accuracy.Row("whole", several, {"colour": told, "shape": other})]).split("\n\n")
    assert cells(first.splitlines()[-1]) == ["whole", "50.0", "100.0", "75.0"]
    assert cells(second.splitlines()[-1]) == ["whole", "90.0", "12.0", "3.0", "80.0", "20.0", "4.0"]


@pytest.fixture
def found():
    rows = [accuracy.Row("nothing hidden", {"colour": 0.95}, {"all types": accuracy.Calibration(9, 0.9, 0.05, 0.01)})]
    shares = {"shapes": {"colour": [0.9, 1.0]}}
    return accuracy.Report("llava-shapes", "a1b2", 5, [1, 2], shares, {"shapes": rows}, {"shapes": 3}, {"mean": [0.5]})


def test_a_report_comes_back_from_its_file(found):
    assert accuracy.Report.from_json(found.as_json()) == found


def test_the_card_takes_the_tables_and_the_numbers_lie_beside(found, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    card = tmp_path / "README.md"
    card.write_text(f"# Card\n\n<!-- accuracy: of old -->\nold\n{table.CARD[1]}\n\n## Licence\n")
    for _ in range(2):  # a second time replaces the first
        evaluate.write_card(found, tmp_path)
    text = card.read_text()
    assert text.count("95.0 (90–100)") == 1
    assert text.count("`a1b2`") == 1, "the checksum of the weights"
    assert "old\n" not in text
    assert text.startswith("# Card")
    assert text.endswith("## Licence\n")
    numbers = json.loads((tmp_path / catalog.ACCURACY).read_text())
    assert numbers["accuracy"] == {"shapes": {"colour": [0.9, 1.0]}}
    assert numbers["hidden"]["shapes"][0]["calibration"]["all types"]["error"] == 0.05
    card.write_text("no marks")
    with pytest.raises(InvalidInput, match="accuracy"):
        evaluate.write_card(found, tmp_path)


ANSWERING = [
    name for name in catalog.loadable() if not {"captions", "chimes"} & set(catalog.accuracy(name)["accuracy"])
]


@pytest.mark.parametrize("name", ANSWERING)
def test_models_that_ship_answer_as_their_cards_say(name):
    """Some samples of those on the card: the share right lies where the card's share allows it.

    Of the type whose share is nearest to three quarters, where a model or data that changed would show.
    """
    numbers = catalog.accuracy(name)
    data, kind, shares = min(
        ((data, kind, shares) for data, kinds in numbers["accuracy"].items() for kind, shares in kinds.items()),
        key=lambda row: abs(row[2][0] - 0.75),
    )
    n = 60
    give = evaluate.answers_of(catalog.path(name))
    judged = accuracy.judge({name: (give, {data: (kind,)})}, n, numbers["seeds"][:1])[name]
    (found,) = accuracy.shares(judged)[data][kind]
    assert abs(found - shares[0]) <= 3 * (shares[0] * (1 - shares[0]) / n) ** 0.5 + 1 / n


@pytest.mark.skipif("omni-chimes" not in catalog.SHIPPED, reason="its weights do not ship")
def test_the_model_of_three_parts_answers_as_its_card_says():
    numbers, n = catalog.accuracy("omni-chimes"), 30
    for kind in ("same", "pitch"):
        told = chime_accuracy.measured(catalog.path("omni-chimes"), (kind,), n, numbers["seeds"][:1])
        (found,) = told["chimes"][kind]
        share = numbers["accuracy"]["chimes"][kind][0]
        assert abs(found - share) <= 3 * (share * (1 - share) / n) ** 0.5 + 1 / n


@pytest.mark.parametrize("name", catalog.loadable())
def test_cards_say_what_was_measured(name):
    """All that stands on a card between the marks is what its accuracy.json makes of it, with the weights' checksum."""
    folder = catalog.folder_of(name)
    catalog.accuracy(name)  # refuses numbers of other weights
    numbers = accuracy.Report.from_json((folder / catalog.ACCURACY).read_text(encoding="utf-8"))
    shown = table.between(folder / "README.md", table.CARD)
    assert shown == evaluate.text_of(numbers)
    assert {data: set(kinds) for data, kinds in numbers.chance.items()} == {
        data: set(kinds) for data, kinds in numbers.accuracy.items()
    }
    assert shown.count("| chance ") >= len(numbers.accuracy)
    assert catalog.weights_checksum(folder) in shown
    assert numbers.model == name
    assert numbers.n >= 300
    assert len(set(numbers.seeds)) >= 3
    types = catalog.ENTRIES[catalog.recipe_of(name)].types
    assert {data: tuple(kinds) for data, kinds in numbers.accuracy.items()} == types
    assert all(len(one) == len(numbers.seeds) for kinds in numbers.accuracy.values() for one in kinds.values())
    assert set(numbers.hidden) == set(types) - {"photos", "chimes"}
    for data, rows in numbers.hidden.items():
        assert [row.hidden for row in rows] == [what for what, _, _ in accuracy.amounts()]
        whole = {kind: np.mean(several) for kind, several in numbers.accuracy[data].items()}
        assert rows[0].accuracy == pytest.approx(whole, abs=1e-5)
        assert all(row.calibration for row in rows[: -1 if data == "captions" else None])


def test_the_docs_show_what_the_cards_say():
    page = catalog.WEIGHTS.parents[3] / "docs" / "zoo.md"
    if not page.exists():
        pytest.skip("an installed package has no docs")
    assert table.between(page, table.DOCS) == evaluate.stored_table()


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
        found = accuracy.shares(accuracy.judge({name: (evaluate.answers_of(tmp_path), kinds)}, 4, (1,))[name])[data]
    assert tuple(found) == catalog.ENTRIES[name].types[data]
    assert all(0 <= share <= 1 for shares in found.values() for share in shares)
    assert np.mean(list(found.values())) < most


def test_pictures_of_any_size_can_be_hidden():
    white = Image.new("RGB", (96, 64), "white")
    assert np.array_equal(accuracy.hide_image(white, 1.0, np.random.default_rng(0)), np.asarray(white))


def copy_of(name, folder):
    """The files of a model that ships, with a card of nothing but marks."""
    shutil.copytree(catalog.path(name), folder)
    (folder / "README.md").write_text(f"# Card\n\n{table.CARD[0]}\n{table.CARD[1]}\n")
    (folder / catalog.ACCURACY).unlink()
    return folder


@pytest.fixture
def loads(monkeypatch):
    """Counts how often weights are loaded, and where the models go."""
    seen = []
    for module, name in ((evaluate, "_load_fusion"), (answers, "load"), (caption_accuracy, "load")):
        real = getattr(module, name)

        def load(folder, *rest, real=real):
            seen.append(rest[-1] if rest else "cpu")
            return real(folder, *rest)

        monkeypatch.setattr(module, name, load)
    return seen


@pytest.mark.parametrize("name", ["prior-grounded", "clip-captions"])
def test_the_command_writes_a_card_and_loads_the_model_once(name, loads, tmp_path, capsys):
    folder = copy_of(name, tmp_path / "copy")
    few = ["--n", "8", "--seeds", "1", "2"]
    assert evaluate.main([name, "--folder", str(folder), "--card", "--device", "cpu:0", *few]) == 0
    assert loads == ["cpu:0"]
    report = accuracy.Report.from_json((folder / catalog.ACCURACY).read_text())
    shown = table.between(folder / "README.md", table.CARD)
    assert shown == evaluate.text_of(report)
    assert shown in capsys.readouterr().out
    assert report.chance == evaluate.chance_of(name, 8, (1, 2))
    (folder / catalog.ACCURACY).write_text(dataclasses.replace(report, chance={}).as_json())
    assert evaluate.main([name, "--folder", str(folder), "--chance"]) == 0
    assert table.between(folder / "README.md", table.CARD) == shown, "filled in without the model"
    assert loads == ["cpu:0"]
    assert catalog.weights_checksum(folder) in shown
    ((data, rows),) = report.hidden.items()
    assert [row.hidden for row in rows] == [what for what, _, _ in accuracy.amounts()]
    if data == "prior":
        assert set(rows[0].calibration) == {"unbiased", "expected", "against"}
        assert rows[0].calibration["against"].n == 16
        assert set(report.removal) == {"mean", "grey", "blur"}
        assert '"mean"' in shown
    else:
        assert rows[0].calibration[accuracy.ALL_TYPES].confidence > 0.8
        assert rows[-1].calibration == {}, "all words hidden leave equal captions, of which none is chosen"
    assert all(0 <= one.error <= 1 for row in rows for one in row.calibration.values())


def test_what_cannot_be_written_or_loaded_is_refused_before_measuring(loads, tmp_path, capsys):
    folder = copy_of("prior-grounded", tmp_path / "copy")
    card = folder / "README.md"
    asked = ["prior-grounded", "--folder", str(folder), "--n", "5", "--seeds", "1"]
    cases = [(["--card"], card.unlink, "README.md"), (["--card"], lambda: card.write_text("no marks"), "no place")]
    cases += [(["--json", str(tmp_path / "no" / "x.json")], lambda: None, "no folder")]
    for extra, change, words in cases:
        change()
        with pytest.raises(SystemExit):
            evaluate.main([*asked, *extra])
        assert words in capsys.readouterr().err
    assert loads == []
    with pytest.raises(ModelError, match=r"config\.json"):
        evaluate.report("clip-captions", tmp_path, 1, (1,))
    (folder / "config.json").write_text('{"architectures": ["OtherForQuestionAnswering"]}')
    with pytest.raises(ModelError, match="ViltForQuestionAnswering"):
        evaluate.answers_of(folder)


def test_the_command_line_refuses_in_words(capsys):
    for arguments, words in ((["--card"], "--card"), (["no-such-model"], "no-such-model")):
        with pytest.raises(SystemExit):
            evaluate.main(arguments)
        assert words in capsys.readouterr().err
