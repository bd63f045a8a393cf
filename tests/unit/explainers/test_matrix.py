"""Every white-box method on every family: what the documentation's table says, and nothing left behind."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import chiasm as cx
from chiasm.core.errors import MissingCapability
from chiasm.core.game import Game
from chiasm.explainers import explainers
from chiasm.explainers.base import Subject
from chiasm.modalities import modalities
from chiasm.models.games import make_game

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "explainers.md"
#: model of the zoo → the family's name in the table
FAMILIES = {
    "llava-shapes": "LLaVA",
    "qwen-shapes": "Qwen3-VL",
    "idefics-shapes": "Idefics3",
    "vilt-shapes": "ViLT",
    "blip-shapes": "BLIP",
    "clip-captions": "CLIP",
    "siglip-captions": "SigLIP",
}
#: maps that may be zero everywhere, where another token explains them
MAY_BE_ZERO = {"tam", "msea-arc"}
REFUSALS = r"scores no vocabulary|do not stand in the stream|one stream|dual encoder"


def table():
    """(method, family) → whether the page says that it runs."""
    block = re.search(r"<!-- families -->\n(.*?)<!-- /families -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block[1].strip().splitlines()]
    names = rows[0][1:]
    return {
        (row[0].strip("`"), name): cell == "yes" for row in rows[2:] for name, cell in zip(names, row[1:], strict=True)
    }


TABLE = table()
METHODS = [name for name in explainers if explainers.get(name).kind == "white-box"]


@pytest.fixture(scope="module")
def loaded():
    kept = {}

    def get(name):
        if name not in kept:
            kept[name] = cx.load(f"zoo:{name}")
        return kept[name]

    return get


def subject(adapter, name):
    one = cx.dataset("shapes", 1, seed=3, types=["colour"])[0]
    if name.endswith("captions"):
        one = cx.Sample(image=one["image"].data, text="a red circle")
    chosen, cut = {"image": "mean", "text": "attention"}, {"image": "grid:2x2", "text": "words"}
    maskers = {part: modalities.get(part).masker(chosen[part]) for part in one.parts}
    match = make_game(adapter, one, players=cut, maskers=maskers, batch_size=8)
    game = Game(match.game, match.game.all_players, batch_size=8)
    return Subject(game, adapter, match.prepared, maskers, match.target, match.prediction)


def state_of(model):
    """Hooks, replaced methods, what is trained, how attention is computed."""
    named = list(model.named_modules())
    found = [(name, len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for name, m in named]
    trained = [(p.requires_grad, p.grad is None) for p in model.parameters()]
    return found, trained, [m.config._attn_implementation for _, m in named if hasattr(m, "config")]


def test_the_table_of_the_documentation_has_every_white_box_method_and_family():
    assert set(TABLE) == {(method, family) for method in METHODS for family in FAMILIES.values()}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_each_runs_or_refuses_as_documented(loaded, method, name):
    adapter, explainer = loaded(name), explainers.get(method)
    one = subject(adapter, name)
    before = state_of(adapter.model)  # after a plain pass: the library puts hooks of its own on some models
    if not TABLE[method, FAMILIES[name]]:
        with pytest.raises(MissingCapability, match=REFUSALS):
            explainer.explain(one)
    else:
        found = explainer.explain(one)
        assert np.isfinite(found.single).all()
        assert found.single.any() or method in MAY_BE_ZERO
        assert found.provenance.computed == 0
        assert explainer.signed or (found.single >= 0).all()
        if explainer.pairs:
            assert np.isfinite(found.interactions["image", "text"]).all()
    assert state_of(adapter.model) == before
