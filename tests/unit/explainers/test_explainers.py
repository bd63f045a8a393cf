"""The interface: names, conformance, packages of others, lifting, and the way from `chiasm.explain` to a method."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import chiasm as cx
from chiasm.core.errors import ChiasmError, InvalidInput, MissingCapability, UnknownName
from chiasm.core.explanation import Explanation
from chiasm.estimators import estimators
from chiasm.explainers import explainers
from chiasm.explainers.base import BlackBox, Explainer, Found, Subject, WhiteBox
from chiasm.explainers.explain import explain_all
from chiasm.explainers.game_based import GameBased
from chiasm.explainers.lifting import RULES, lift
from chiasm.explainers.methods import check_explainer_choice, find_explainer, method_names, names
from chiasm.testing import ConformanceError, check_explainer
from chiasm.testing.games import SparsePolynomial, additive, bilinear_sigmoid

PARTS = {"a": 4, "b": 3}
#: what knows nothing of a game without interplay
CONTROLS = {"random", "dime-multimodal"}
BLACK_BOX = [name for name in explainers if find_explainer(name).kind == "black-box"]


def subject(known=None, **options):
    return Subject.of_function((known or bilinear_sigmoid(7, 1)).values, PARTS, **options)


# names


def test_every_registered_explainer_says_what_the_registry_says():
    for name, entry in explainers.entries().items():
        one = explainers.get(name)
        assert isinstance(one, Explainer)
        assert one.name == name
        assert entry.summary
        assert one.line
        assert one.source


def test_explainers_and_estimators_share_no_name_and_are_all_found():
    assert not set(explainers) & ({"auto"} | set(estimators))
    assert set(names()) == {"auto", *estimators, *explainers}
    for name in names():
        if name != "proxyshap":  # needs a newer shapiq
            assert find_explainer(name).name == name


def test_an_explainer_cannot_take_over_an_estimators_name(monkeypatch):
    monkeypatch.setitem(explainers._entries, "gp", replace(explainers.entries()["lime"]))
    assert isinstance(find_explainer("gp"), GameBased)


def test_an_unknown_method_is_refused_with_a_suggestion():
    with pytest.raises(UnknownName, match=r"Unknown method .lyme.\. Did you mean .lime."):
        find_explainer("lyme")
    with pytest.raises(UnknownName, match="Unknown rule 'times'"):
        find_explainer("lime+times")


def test_methods_are_read_from_a_text():
    assert method_names(" gp, lime ,rise") == ["gp", "lime", "rise"]
    for wrong in ("", " , ", "gp,gp"):
        with pytest.raises(InvalidInput, match="name at least one, and each once"):
            method_names(wrong)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("lime", {"index": "BII"}, "cannot give the index 'BII'; it gives LIME"),
        ("lime", {"tolerance": 0.1}, "does not stop at a tolerance"),
        ("lime", {"budget": "much"}, "The budget is 'much'"),
        ("lime", {"seed": -1}, "The seed is -1"),
        ("gp+product", {}, "gives pairs of its own"),
        ("fixlip", {}, "cannot estimate SII"),
    ],
)
def test_what_cannot_work_is_refused_before_a_model_runs(method, options, message):
    asked = {"index": "SII", "budget": None, "seed": 0, **options}
    with pytest.raises(InvalidInput, match=message):
        check_explainer_choice(method, **asked)


# conformance


@pytest.mark.parametrize("name", [*BLACK_BOX, "exact", "permutation", "gp", "exact-bii", "lime+product"])
def test_black_box_explainers_conform(name):
    check_explainer(find_explainer(name), control=name in CONTROLS)


class Sound(BlackBox):
    """Occlusion once more."""

    name, line, cost, indices = "sound", "hides one", "n + 1 values", ("loss",)

    def least(self, game):
        return game.n + 1

    def find(self, game, index, budget, seed):
        values = game(np.vstack([np.ones((1, game.n), bool), ~np.eye(game.n, dtype=bool)]))
        return Found(values[0] - values[1:])


class Greedy(Sound):
    def explain(self, subject, *, index="SII", budget=None, seed=0):
        done = super().explain(subject, index=index, budget=None, seed=seed)
        return replace(done, provenance=replace(done.provenance, budget=budget))


class Cheap(Sound):
    def least(self, game):
        return 1


class Blind(Sound):
    def find(self, game, index, budget, seed):
        game.full()
        return Found(np.random.default_rng(3).normal(size=game.n))


class Restless(Sound):
    def find(self, game, index, budget, seed):
        found = super().find(game, index, budget, seed)
        return Found(found.single + 1e-9 * np.random.default_rng().normal(size=game.n))


class Backwards(Sound):
    def find(self, game, index, budget, seed):
        return Found(-super().find(game, index, budget, seed).single)


class Holes(Sound):
    def find(self, game, index, budget, seed):
        single = super().find(game, index, budget, seed).single
        single[0] = np.nan
        return Found(single)


class AllPlayers(Sound):
    def explain(self, subject, *, index="SII", budget=None, seed=0):
        if subject.game.fixed:
            raise KeyError(("a", 0))
        return super().explain(subject, index=index, budget=budget, seed=seed)


class Anything(Sound):
    def explain(self, subject, *, index="SII", budget=None, seed=0):
        return super().explain(subject, index="loss", budget=budget, seed=seed)


@pytest.mark.parametrize(
    ("broken", "failed"),
    [
        (Greedy(), "budget|small budget refused"),
        (Blind(), "strong player first"),
        (Restless(), "same seed"),
        (Backwards(), "sign"),
        (Holes(), "finite"),
        (AllPlayers(), "players"),
        (Anything(), "unknown index refused"),
        (type("Pairs", (Sound,), {"pairs": True})(), "pairs"),
        (type("Nameless", (Sound,), {"name": ""})(), "attributes"),
        (type("Odd", (Sound,), {"kind": "grey-box"})(), "attributes"),
        (type("Spaced", (Sound,), {"name": "a b"})(), "attributes"),
    ],
    ids=lambda value: value.__class__.__name__ if not isinstance(value, str) else "",
)
def test_the_kit_catches(broken, failed):
    with pytest.raises(ConformanceError, match=f"fails '({failed})'"):
        check_explainer(broken)


def test_the_kit_passes_a_sound_explainer():
    check_explainer(Sound())


class Inside(WhiteBox):
    name, line, cost, indices = "inside", "looks inside", "one pass", ("gradient",)

    def find(self, subject, index, seed):
        return Found(np.zeros(subject.game.n))


def test_a_white_box_explainer_refuses_a_plain_function_and_needs_a_model_to_be_checked():
    with pytest.raises(MissingCapability, match="inside needs gradients of a model"):
        Inside().explain(subject())
    with pytest.raises(InvalidInput, match="give check_explainer a function"):
        check_explainer(Inside())
    with pytest.raises(MissingCapability, match="no insides"):
        subject().trace()


PACKAGE = """
from chiasm.explainers.base import BlackBox, Found
import numpy as np

class Halves(BlackBox):
    name, line, cost, source = "halves", "half of what occlusion says", "n + 1 values", "us"
    indices = ("halves",)

    def least(self, game):
        return game.n + 1

    def find(self, game, index, budget, seed):
        values = game(np.vstack([np.ones((1, game.n), bool), ~np.eye(game.n, dtype=bool)]))
        return Found((values[0] - values[1:]) / 2)

HALVES = Halves()
"""
USER = """
import json
import numpy as np
import chiasm as cx
from chiasm.explainers.base import Subject
from chiasm.explainers.methods import find_explainer
from chiasm.testing import check_explainer
from typer.testing import CliRunner
from chiasm.cli.main import app

halves = find_explainer("halves")
check_explainer(halves)
e = halves.explain(Subject.of_function(lambda s: s.sum(1), {"a": 2, "b": 2}))
print(e.provenance.method, e.single.tolist())
model = cx.FunctionModel(lambda samples: [float("red" in s["text"]) for s in samples], kinds=("text",))
e = cx.explain(model, cx.Sample(text="a red dot"), method="halves", players="words", maskers="delete")
print(e.provenance.method, e.values["text"].tolist())
rows = json.loads(CliRunner().invoke(app, ["list", "explainers", "--json"]).stdout)
print(next(row["summary"] for row in rows if row["name"] == "halves"))
"""


def test_another_package_adds_an_explainer_by_entry_point_and_checks_itself(tmp_path):
    (tmp_path / "their_package.py").write_text(PACKAGE)
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[chiasm.explainers]\nhalves = their_package:HALVES\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", USER], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "halves [0.5, 0.5, 0.5, 0.5]",
        "halves [0.0, 0.5, 0.0]",
        "half of what occlusion says",
    ]


# provenance


def test_provenance_says_what_was_done(tmp_path):
    e = find_explainer("lime").explain(subject(fixed={("a", 1): False}), budget=50, seed=3)
    p = e.provenance
    assert (p.method, p.index, p.budget, p.seed, p.signed) == ("lime", "LIME", 50, 3, True)
    assert p.fixed == {"a[1]": False}
    assert 0 < p.computed <= 50
    assert p.seconds > 0
    assert set(p.extra) == {"r2", "r2_left_out"}
    assert e.pair is None
    assert e.part_values.keys() == {(), ("a",), ("b",), ("a", "b")}
    again = Explanation.load(e.save(tmp_path / "e.json"))
    assert again.provenance.extra == p.extra
    assert np.array_equal(again.single_errors, e.single_errors)


def test_a_budget_may_be_a_time_or_passes():
    for budget, words in (("0.2s", "0.2 s"), ("60 passes", "60 passes")):
        e = find_explainer("lime").explain(subject(), budget=budget)
        assert any(note.startswith(f"budget: {words}, enough for") for note in e.provenance.notes)
        assert e.provenance.computed <= e.provenance.budget


def test_a_scarce_budget_goes_to_the_method_and_not_to_values_of_whole_parts():
    e = find_explainer("occlusion").explain(subject(), budget=8)
    assert e.part_values == {}
    assert any("no values of whole parts" in note for note in e.provenance.notes)


def test_free_players_are_told_from_those_held_fixed():
    held = subject(fixed={"b": False, ("a", 0): True})
    assert held.whole.tolist() == [True] * 4 + [False] * 3
    assert held.none.tolist() == [True] + [False] * 6
    assert held.free.tolist() == [False] + [True] * 3 + [False] * 3
    assert len(held.players) == 3


def test_the_top_players_of_a_method_without_a_sign_are_those_of_largest_value():
    known = SparsePolynomial(7, {(): -50.0, (2,): 3.0, (5,): -3.0})
    e = find_explainer("rise").explain(subject(known))
    assert e.single.max() < 0
    assert e.top(1)[0].player == ("a", 2)
    signed = find_explainer("rise-signed").explain(subject(known))
    assert {top.player for top in signed.top(2)} == {("a", 2), ("b", 1)}


# lifting


def test_lifted_pairs_follow_their_rule_and_say_so():
    e = find_explainer("occlusion").explain(subject(SparsePolynomial(7, {(0,): 2.0, (4,): -1.0, (5,): 1.0})))
    total = 4.0
    for rule, wanted in (("product", [-2 / total, 2 / total]), ("sum", [1.0, 3.0]), ("least", [0.0, 1.0])):
        lifted = lift(e, rule)
        assert lifted.interactions["a", "b"][0].tolist() == pytest.approx([*wanted, {"sum": 2.0}.get(rule, 0.0)])
        assert np.isnan(lifted.pair[0, 1])
        assert not np.diagonal(lifted.pair).any()
        assert lifted.provenance.method == f"occlusion+{rule}"
        assert any("pairs were not measured" in note for note in lifted.provenance.notes)
    assert set(RULES) == {"product", "sum", "least"}


def test_measured_pairs_are_not_lifted():
    with pytest.raises(InvalidInput, match="pairs of its own"):
        lift(find_explainer("exact").explain(subject()), "product")


# chiasm.explain


def brightness(samples):
    return [float(np.mean(s["image"])) / 255 + 0.1 * ("red" in s["text"]) for s in samples]


@pytest.fixture
def sample():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:16, :16] = 200
    return cx.Sample(image=picture, text="a red dot")


def test_explain_takes_any_method_by_name(sample):
    model = cx.FunctionModel(brightness, kinds=("image", "text"))
    options = {"players": "grid:2x2,words", "maskers": "zero,delete", "budget": 200}
    found = explain_all(model, sample, ["exact", "occlusion", "lime", "random", "rise+product"], **options)
    assert list(found) == ["exact", "occlusion", "lime", "random", "rise+product"]
    for method in ("occlusion", "lime"):  # the model is additive
        assert np.abs(found[method].single - found["exact"].single).max() < 1e-6
        alone = cx.explain(model, sample, method=method, **options)
        assert np.array_equal(alone.single, found[method].single)
        assert alone.provenance.requested == found[method].provenance.requested
    assert found["lime"].top(1)[0].player == ("text", 1) or found["lime"].top(1)[0].player == ("image", 0)
    assert found["rise+product"].pair is not None
    assert found["exact"].provenance.computed == 2**7
    assert found["lime"].provenance.computed == 0  # all values were there already
    assert any("the methods before" in note for note in found["lime"].provenance.notes)


def test_explain_refuses_what_the_model_cannot_give(sample, monkeypatch):
    monkeypatch.setitem(explainers._entries, "inside", replace(explainers.entries()["lime"], target=Inside()))
    model = cx.FunctionModel(brightness, kinds=("image", "text"))
    with pytest.raises(MissingCapability, match="inside needs gradients"):
        cx.explain(model, sample, method="inside")
    with pytest.raises(ChiasmError, match="Unknown method"):
        cx.explain(model, sample, method="insight")


def test_a_method_reports_its_progress(sample):
    seen = []
    model = cx.FunctionModel(brightness, kinds=("image", "text"))
    explain_all(
        model,
        sample,
        ["lime", "occlusion"],
        players="grid:2x2,words",
        budget=60,
        progress=lambda done, budget, note: seen.append((done, budget, note)),
    )
    assert {"predicting", "lime: explaining", "occlusion: explaining"} == {note for _, _, note in seen}
    assert {budget for _, budget, _ in seen} == {None, 60}


def test_an_additive_game_looks_the_same_to_every_signed_method_without_noise():
    known = additive(7, 4)
    weights = known.exact("SII")[0]
    for method in ("occlusion", "keep-one-in", "lime", "kernelshap", "mm-shap", "emap", "dime", "exact"):
        e = find_explainer(method).explain(subject(known))
        assert np.abs(e.single - weights).max() < 1e-6, method
