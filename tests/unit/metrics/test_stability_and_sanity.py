from types import SimpleNamespace

import numpy as np
import pytest
import torch
from metric_help import case, descending, game

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.metrics.evaluate import evaluate
from chiasm.metrics.sanity import ParameterRandomisation, Twin, similarity
from chiasm.metrics.stability import Stability, perturbed
from chiasm.modalities.perturbations import SYNONYMS, letter_case, noise, perturbations, register, shift, synonym
from chiasm.models.randomised import layers, randomised

PICTURE = np.random.default_rng(0).integers(40, 215, (24, 24, 3)).astype(np.uint8)
CUT = {"players": "grid:2x2,words", "maskers": "grey,delete"}


def smooth(image, text):
    return image[:12, :12].mean() / 100 + image[12:, 12:].mean() / 200 * ("picture" in text or "image" in text)


def nervous(image, text):
    """Depends on every grey level: no two pictures that look alike have like values."""
    return float(np.sin(image.astype(np.int64)[:12].sum() * 1.7) + np.sin(image.astype(np.int64)[12:].sum() * 2.3)) + (
        0.1 * len(text)
    )


def scored(function, metric, **options):
    model = cx.FunctionModel(function, kinds=("image", "text"), batch=False)
    sample = cx.Sample(image=PICTURE, text="What does this picture show?")
    explanation = cx.explain(model, sample, method="exact", **CUT)
    return evaluate(model, sample, explanation, metrics=[metric], controls=False, **CUT, **options)


def test_a_smooth_function_is_more_stable_than_a_nervous_one():
    calm, shaky = (scored(f, Stability(draws=4))["exact SII", "stability"] for f in (smooth, nervous))
    assert calm.values["explanation moved"] < 0.1 < shaky.values["explanation moved"]
    assert calm.values["mean ratio"] <= calm.values["max ratio"]
    assert {"mean ratio of pairs", "max ratio of pairs"} <= set(calm.values)
    again = scored(smooth, Stability(draws=4))["exact SII", "stability"]
    assert dict(again.values) == dict(calm.values)


def test_a_change_of_the_number_of_players_is_left_out():
    longer = {"text": {"longer": lambda content, rng, strength: content + " please"}}
    found = scored(smooth, Stability(draws=2, own=longer))["exact SII", "stability"]
    assert np.isnan(found.value)
    assert "number of players" in found.notes[0]


def test_nothing_over_nothing_is_no_movement():
    """A change that changes nothing: the target's distance has a floor, so that the ratio is 0 and not 0/0."""
    same = {kind: {"same": lambda content, rng, strength: content} for kind in ("image", "text")}
    found = scored(smooth, Stability(draws=2, own=same))["exact SII", "stability"]
    assert (found.value, found.values["target moved"]) == (0, Stability().floor)


def test_perturbations_are_small_and_keep_the_players():
    rng = np.random.default_rng(0)
    changed = noise(PICTURE, rng, 1.0)
    assert changed.dtype == np.uint8
    assert 0 < np.abs(changed.astype(int) - PICTURE).mean() < 3
    moved = shift(PICTURE, np.random.default_rng(1), 4.0)
    assert moved.shape == PICTURE.shape
    assert (moved != PICTURE).any()
    text = "What does this Picture show?"
    other = letter_case(text, rng, 1.0)
    assert other.lower() == text.lower()
    assert sum(a != b for a, b in zip(other, text, strict=True)) == 1
    assert synonym(text, rng, 9.0) == "What does this Image display?"
    assert synonym("nothing here", rng, 1.0) == "nothing here"
    assert synonym("a dog", rng, 1.0, {"dog": "hound"}) == "a hound"
    assert letter_case("1 2", rng, 1.0) == "1 2"
    with pytest.raises(InvalidInput, match="one word"):
        synonym("a dog", rng, 1.0, {"dog": "young dog"})
    assert all(len(new.split()) == 1 for new in SYNONYMS.values())
    assert perturbations("audio") == {}
    with pytest.raises(InvalidInput):
        register("image", "noise", noise)


def test_every_part_is_perturbed():
    sample = cx.Sample(image=PICTURE, text="What does this picture show?", answer="x")
    other, how = perturbed(sample, np.random.default_rng(0), 1.0, {})
    assert set(how) == {"image", "text"}
    assert (np.asarray(other["image"].data) != PICTURE).any()
    assert other["text"].data != sample["text"].data
    assert other.answer == "x"


def network():
    torch.manual_seed(0)
    layer = torch.nn.ModuleDict(
        {
            "tower": torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Linear(7, 7)),
            "head": torch.nn.Linear(7, 3),
        }
    )
    return SimpleNamespace(name="net", model=layer)


def weights(adapter):
    return {name: p.detach().clone() for name, p in adapter.model.named_parameters()}


def test_layers_are_randomised_from_the_answer_downwards_and_come_back():
    adapter = network()
    assert layers(adapter) == ["head", "tower.1", "tower.0"]
    before = weights(adapter)
    with randomised(adapter, 1 / 3, seed=1) as names:
        assert names == ["head"]
        inside = weights(adapter)
    changed = {name for name in before if not torch.equal(before[name], inside[name])}
    assert changed == {"head.weight", "head.bias"}
    assert torch.equal(inside["head.weight"].flatten().sort()[0], before["head.weight"].flatten().sort()[0])
    inside = {}

    def interrupted():
        with randomised(adapter, 1.0):
            inside.update(weights(adapter))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert not any(torch.equal(before[name], inside[name]) for name in before)
    assert all(torch.equal(before[name], now) for name, now in weights(adapter).items())


def test_randomised_refuses():
    with pytest.raises(InvalidInput), randomised(network(), 0.0):
        pass
    with pytest.raises(MissingCapability, match="torch"):
        layers(cx.FunctionModel(smooth))


def test_similarity_is_of_parts_and_pairs():
    one = case(game({(0, 5): 1.0, (1,): 2.0, (6,): -1.0}, {"a": 5, "b": 3})).explanation
    assert similarity(one, one) == pytest.approx({"singles": 1, "pairs": 1})
    single = case(game({(0,): 1.0, (1,): 2.0}, {"a": 1, "b": 1})).explanation
    assert np.isnan(similarity(single, single)["singles"])


def test_a_twin_that_is_the_same_scores_zero_and_another_more():
    model = cx.FunctionModel(smooth, kinds=("image", "text"), batch=False)
    same = scored(smooth, Twin(), twin=model)["exact SII", "randomised_labels"]
    assert same.value == pytest.approx(0, abs=1e-9)
    other = cx.FunctionModel(nervous, kinds=("image", "text"), batch=False)
    assert scored(smooth, Twin(), twin=other)["exact SII", "randomised_labels"].value > 0.3


def test_checks_that_cannot_be_made_say_so():
    row = scored(smooth, ParameterRandomisation()).row("exact SII", "randomised_weights")
    assert row.score is None
    assert "no torch model" in row.missing
    with pytest.raises(MissingCapability, match="twin"):
        Twin().score(case(game({(0, 1): 1.0}, {"a": 1, "b": 1}), descending(2)))
    with pytest.raises(MissingCapability, match="model"):
        Stability().score(case(game({(0, 1): 1.0}, {"a": 1, "b": 1}), descending(2)))
