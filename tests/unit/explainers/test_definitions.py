"""Each black-box method against its own definition: closed forms, enumeration, games that it must recover."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import shap
import shapiq
import torch
from captum import attr as captum
from captum._utils.models.linear_model import SkLearnLinearRegression

from chiasm.core import indices
from chiasm.core.coalitions import all_coalitions, distinct
from chiasm.core.errors import BudgetTooSmall
from chiasm.explainers.base import Subject
from chiasm.explainers.dime import projected
from chiasm.explainers.eagle import greedy, objective
from chiasm.explainers.kernelshap import design, layers
from chiasm.explainers.lime import perturbations, proximity
from chiasm.explainers.methods import find_explainer
from chiasm.testing.games import SparsePolynomial, additive, bilinear_sigmoid, sparse_polynomial

PARTS = {"a": 4, "b": 3}
N = 7


def explain(method, known, parts=None, **options):
    return find_explainer(method).explain(Subject.of_function(known.values, parts or PARTS), **options)


def weights_of(known):
    return known.exact("SII")[0]


def row(*players, n=N):
    mask = np.zeros((1, n), bool)
    mask[0, list(players)] = True
    return mask


# occlusion


def test_occlusion_is_the_loss_of_one_player():
    known = bilinear_sigmoid(N, 1)
    e = explain("occlusion", known)
    for i in range(N):
        others = row(*(set(range(N)) - {i}))
        assert e.single[i] == known.values(row(*range(N)))[0] - known.values(others)[0]
    assert e.provenance.computed == N + 1 + 4 - 1  # the whole is a value of whole parts too
    assert explain("occlusion", known, budget=N + 1).provenance.computed == N + 1


def test_keep_one_in_is_the_gain_of_one_player():
    known = bilinear_sigmoid(N, 1)
    e = explain("keep-one-in", known)
    alone = [known.values(row(i))[0] - known.values(row())[0] for i in range(N)]
    assert np.array_equal(e.single, alone)


# LIME


@pytest.mark.parametrize("budget", [14, 60, 300])
def test_lime_recovers_a_linear_game(budget):
    known = additive(12, 3)
    e = explain("lime", known, {"a": 8, "b": 4}, budget=budget, seed=2)
    assert np.abs(e.single - weights_of(known)).max() < 1e-6
    assert e.provenance.extra["r2"] == pytest.approx(1)


def test_lime_is_the_weighted_regression_on_all_coalitions():
    known = bilinear_sigmoid(N, 4)
    masks = all_coalitions(N)
    root = np.sqrt(proximity(masks, 0.25))
    design_matrix = np.hstack([masks, np.ones((len(masks), 1))])
    wanted = np.linalg.lstsq(design_matrix * root[:, None], known.values(masks) * root, rcond=None)[0][:-1]
    e = explain("lime", known, budget=2**N)
    assert np.abs(e.single - wanted).max() < 1e-7
    assert not e.single_errors.any()
    assert 0 < e.provenance.extra["r2_left_out"] < e.provenance.extra["r2"] < 1


def test_lime_weighs_by_cosine_distance_to_the_whole():
    masks = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    distance = np.array([0, 0.5, 1])  # 1 − √(share present)
    assert np.allclose(proximity(masks, 0.25), np.sqrt(np.exp(-(distance**2) / 0.25**2)))


def test_lime_draws_each_coalition_once_and_the_whole_first():
    masks = perturbations(10, 200, np.random.default_rng(0))
    assert masks.shape == (200, 10)
    assert masks[0].all()
    assert len(distinct(masks)[0]) == 200


def covered(method, wanted, known, *, parts, budget, runs=40):
    """Share of values within two standard errors of what all coalitions would give."""
    found = [explain(method, known, parts, budget=budget, seed=s) for s in range(runs)]
    return np.mean([np.abs(e.single - wanted) < 2 * e.single_errors for e in found])


@pytest.mark.parametrize("method", ["lime", "rise", "rise-signed", "mm-shap"])
def test_two_standard_errors_cover_what_all_coalitions_give(method):
    n, parts, budget = 11, {"a": 7, "b": 4}, 200
    known = bilinear_sigmoid(n, 5)
    wanted = weights_of(known) if method == "mm-shap" else explain(method, known, parts, budget=2**n).single
    assert 0.88 < covered(method, wanted, known, parts=parts, budget=budget) <= 1


# KernelSHAP


@pytest.mark.parametrize("budget", [2 * 12 + 2, 100, 1000])
def test_kernelshap_recovers_a_linear_game_and_is_efficient(budget):
    known = additive(12, 3)
    e = explain("kernelshap", known, {"a": 8, "b": 4}, budget=budget)
    assert np.abs(e.single - weights_of(known)).max() < 1e-9
    bent = bilinear_sigmoid(12, 3)
    e = explain("kernelshap", bent, {"a": 8, "b": 4}, budget=budget)
    assert abs(e.efficiency_gap or e.single.sum() - np.diff(bent.values(all_coalitions(12)[[0, -1]]))[0]) < 1e-9


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8])
def test_kernelshap_is_exact_with_all_values(n):
    known = sparse_polynomial(n, 6)
    e = explain("kernelshap", known, {"a": n}, budget=2**n)
    assert np.abs(e.single - weights_of(known)).max() < 1e-9


def test_kernelshap_equals_shapiq_with_all_values():
    known = bilinear_sigmoid(N, 8)
    theirs = shapiq.KernelSHAP(n=N, random_state=0).approximate(2**N, lambda x: known.values(np.asarray(x, bool)))
    ours = explain("kernelshap", known, budget=2**N).single
    assert np.abs(ours - [theirs[(i,)] for i in range(N)]).max() < 1e-6  # theirs weighs the ends by 10^6


def tensor_game(known):
    """A game as captum wants it: rows of zeros and ones → values."""
    return lambda rows: torch.from_numpy(known.values(rows.detach().numpy() > 0.5))


EVERYONE, NOBODY = torch.ones(1, N), torch.zeros(1, N)


def test_occlusion_equals_captum_s_feature_ablation():
    known = bilinear_sigmoid(N, 8)
    theirs = captum.FeatureAblation(tensor_game(known)).attribute(EVERYONE, NOBODY)
    assert np.allclose(explain("occlusion", known).single, theirs[0].numpy(), atol=1e-6)


def test_kernelshap_equals_shap_s_kernel_explainer():
    """With all coalitions of seven players both are exact; a game with interplay of every order."""
    known = bilinear_sigmoid(N, 8)
    explainer = shap.KernelExplainer(lambda rows: known.values(rows > 0.5), np.zeros((1, N)), silent=True)
    theirs = explainer.shap_values(np.ones((1, N)), nsamples=2**N, l1_reg=False, silent=True)
    assert np.allclose(explain("kernelshap", known, budget=2**N).single, theirs[0], atol=1e-6)


def test_kernelshap_equals_captum_s_where_both_are_exact():
    """Captum draws coalitions with replacement, so only a game that adds up has one answer."""
    known = additive(N, 8)
    torch.manual_seed(0)
    theirs = captum.KernelShap(tensor_game(known)).attribute(EVERYONE, NOBODY, n_samples=100, perturbations_per_eval=10)
    assert np.allclose(explain("kernelshap", known, budget=60).single, theirs[0].numpy(), atol=1e-5)


def test_lime_equals_captum_s_on_the_same_coalitions():
    known, masks = bilinear_sigmoid(N, 8), perturbations(N, 60, np.random.default_rng(0))
    rows = iter(masks)
    theirs = captum.LimeBase(
        tensor_game(known),
        SkLearnLinearRegression(),
        lambda _input, _changed, shown, **_: float(proximity(shown.numpy() > 0.5, 0.25)[0]),
        lambda *_args, **_options: torch.from_numpy(next(rows))[None].float(),
        perturb_interpretable_space=True,
        from_interp_rep_transform=lambda shown, *_args, **_options: shown,
        to_interp_rep_transform=None,
    ).attribute(EVERYONE, n_samples=len(masks))
    own = find_explainer("lime").find(Subject.of_function(known.values, PARTS).game, "LIME", len(masks), 0).single
    assert np.abs(own).max() > 0.1
    assert np.allclose(own, theirs[0].detach().numpy(), atol=1e-4)


def test_kernelshap_comes_closer_with_more_values():
    known = bilinear_sigmoid(14, 2)
    wanted = weights_of(known)

    def error(budget):
        runs = [explain("kernelshap", known, {"a": 9, "b": 5}, budget=budget, seed=s).single for s in range(8)]
        return np.mean((np.array(runs) - wanted) ** 2)

    assert error(2000) < 0.3 * error(200) < 0.3 * error(40)


@pytest.mark.parametrize(("n", "budget"), [(6, 20), (9, 60), (12, 300), (20, 44)])
def test_kernelshap_design_is_distinct_weighs_one_and_pairs_complements(n, budget):
    masks, weights = design(n, budget, np.random.default_rng(1))
    assert len(masks) <= budget
    assert len(distinct(masks)[0]) == len(masks)
    assert len(masks) == len(weights)
    taken = weights.sum()
    assert taken == pytest.approx(1) or len(masks) + 2 > budget
    named = {tuple(m): w for m, w in zip(masks, weights, strict=True)}
    assert all(named[tuple(~m)] == pytest.approx(w) for m, w in zip(masks, weights, strict=True))
    outer = masks.sum(axis=1) == 1
    assert outer.sum() == n
    assert weights[outer].sum() * 2 == pytest.approx(layers(n)[0][1])


# RISE


def test_rise_is_unbiased_on_a_linear_game():
    known = additive(N, 2)
    w = weights_of(known)
    wanted = known.terms[()] + w + 0.5 * (w.sum() - w)  # E[v | i shown], the others shown with probability ½
    runs = np.array([explain("rise", known, budget=40, seed=s).single for s in range(400)])
    signed = np.array([explain("rise-signed", known, budget=40, seed=s).single for s in range(400)])
    for found, truth in ((runs, wanted), (signed, w)):
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0) - truth) < 4 * error).all()
        assert error.max() < 0.1


def test_rise_with_all_masks_is_the_conditional_mean_and_signed_the_banzhaf_value():
    known = bilinear_sigmoid(N, 3)
    masks = all_coalitions(N)
    values = known.values(masks)
    e = explain("rise", known, budget=2**N)
    assert np.allclose(e.single, [values[masks[:, i]].mean() for i in range(N)])
    assert np.allclose(explain("rise-signed", known, budget=2**N).single, known.exact("BII")[0])


# MM-SHAP


def test_mm_shap_gives_shapley_values_and_shares():
    known = SparsePolynomial(N, {(0,): 3.0, (4,): -1.0})
    e = explain("mm-shap", known, budget=100)
    assert np.allclose(e.single, weights_of(known))
    assert e.provenance.extra["shares"] == pytest.approx({"a": 0.75, "b": 0.25})
    bent = bilinear_sigmoid(N, 2)
    runs = np.array([explain("mm-shap", bent, budget=40, seed=s).single for s in range(200)])
    error = runs.std(axis=0, ddof=1) / np.sqrt(len(runs))
    assert (np.abs(runs.mean(axis=0) - weights_of(bent)) < 4 * error).all()
    total = np.diff(bent.values(all_coalitions(N)[[0, -1]]))[0]
    assert np.allclose(runs.sum(axis=1), total)


# EMAP


def additive_projection(known, parts):
    """Least squares on functions that add up over parts: indicators of each part's masks, all coalitions alike."""
    n = sum(parts.values())
    masks, columns, start = all_coalitions(n), [], 0
    for k in parts.values():
        code = masks[:, start : start + k] @ (1 << np.arange(k))
        columns.append(np.eye(2**k)[code])
        start += k
    x = np.hstack(columns)
    return masks, x @ np.linalg.lstsq(x, known.values(masks), rcond=None)[0]


@pytest.mark.parametrize("parts", [{"a": 4, "b": 3}, {"a": 2, "b": 3, "c": 2}, {"a": 7}])
def test_emap_is_occlusion_of_the_additive_projection(parts):
    known = bilinear_sigmoid(N, 4)
    masks, closest = additive_projection(known, parts)
    table = {tuple(m): v for m, v in zip(masks, closest, strict=True)}
    whole = (True,) * N
    wanted = [table[whole] - table[tuple(j != i for j in range(N))] for i in range(N)]
    e = explain("emap", known, parts, budget=2**N)
    assert np.allclose(e.single, wanted)
    assert e.provenance.extra["additive"] == pytest.approx(table[whole])
    full = known.values(row(*range(N)))[0]
    assert e.provenance.extra["interplay"] == pytest.approx(full - table[whole])


def test_emap_from_few_backgrounds_is_unbiased():
    known = bilinear_sigmoid(12, 4)
    parts = {"a": 8, "b": 4}
    wanted = explain("emap", known, parts, budget=2**12)
    runs = [explain("emap", known, parts, budget=120, seed=s) for s in range(150)]
    single = np.array([e.single for e in runs])
    error = single.std(axis=0, ddof=1) / np.sqrt(len(runs))
    assert (np.abs(single.mean(axis=0) - wanted.single) < 4 * error).all()
    sums = np.array([e.provenance.extra["additive"] for e in runs])
    assert abs(sums.mean() - wanted.provenance.extra["additive"]) < 4 * sums.std() / np.sqrt(len(runs))
    assert max(e.provenance.computed for e in runs) <= 120


# DIME


def test_the_projection_of_a_table_is_the_additive_one():
    table = np.random.default_rng(0).normal(size=(4, 3, 5))
    codes = np.stack(np.meshgrid(*map(np.arange, table.shape), indexing="ij"), -1).reshape(-1, 3)
    x = np.hstack([np.eye(k)[codes[:, axis]] for axis, k in enumerate(table.shape)])
    wanted = x @ np.linalg.lstsq(x, table.ravel(), rcond=None)[0]
    assert np.allclose(projected(table, [0, 0, 0]).ravel(), wanted)


@pytest.mark.parametrize("parts", [{"a": 4, "b": 3}, {"a": 3, "b": 2, "c": 2}])
def test_the_parts_of_dime_add_up_to_lime_on_the_same_masks(parts):
    known = bilinear_sigmoid(N, 9)
    both, alone, interplay = (
        explain(m, known, parts, budget=2**N) for m in ("dime", "dime-unimodal", "dime-multimodal")
    )
    assert np.allclose(both.single, alone.single + interplay.single)
    assert np.array_equal(both.provenance.extra["multimodal"], interplay.single)
    assert np.abs(interplay.single).max() > 1e-3
    if parts == PARTS:  # all masks of each part fit: the grid is every coalition
        assert np.allclose(both.single, explain("lime", known, budget=2**N).single)


def test_dime_finds_no_interplay_where_there_is_none_and_some_where_there_is():
    none = SparsePolynomial(N, {(0, 1): 1.0, (4, 5): 2.0, (2,): -1.0})
    assert not explain("dime-multimodal", none, budget=100).single.any()
    some = SparsePolynomial(N, {(0, 4): 1.0, (2,): 0.3})
    e = explain("dime-multimodal", some, budget=2**N)
    assert set(np.argsort(-e.single)[:2]) == {0, 4}
    assert e.single[[0, 4]].min() > 0
    assert abs(e.single[2]) < 0.01


# EAGLE


def test_eagle_maximises_what_suffices_and_is_needed():
    known = bilinear_sigmoid(N, 3)
    game = Subject.of_function(known.values, PARTS).game
    masks = all_coalitions(N)
    f = known.values(masks) + 1 - known.values(~masks)
    assert np.array_equal(objective(game, masks), f)
    order, reached, steps = greedy(game, 2**N)
    assert steps == N
    best = dict(zip(map(tuple, masks), f, strict=True))
    chosen: list[int] = []
    for player, got in zip(order, reached, strict=True):  # each step is the best there is by brute force
        tried = {i: best[tuple(row(*chosen, i)[0])] for i in range(N) if i not in chosen}
        assert got == max(tried.values()) == tried[player]
        chosen.append(player)
    assert reached[0] == f[masks.sum(axis=1) == 1].max()


def test_greedy_is_the_optimum_at_every_size_of_an_additive_game_and_near_it_elsewhere():
    ratios = []
    for known in [additive(N, s) for s in range(4)] + [bilinear_sigmoid(N, s) for s in range(8)]:
        game = Subject.of_function(known.values, PARTS).game
        _, reached, _ = greedy(game, 2**N)
        base = objective(game, row())[0]
        for k in range(1, N + 1):
            sets = np.vstack([row(*who) for who in combinations(range(N), k)])
            best = objective(game, sets).max()
            if isinstance(known, SparsePolynomial):
                assert reached[k - 1] == pytest.approx(best)
            elif best > base:
                ratios.append((reached[k - 1] - base) / (best - base))
    # F is not submodular (−v(N∖S) is supermodular where v is submodular), so no bound holds: 0.21 at worst here
    assert np.mean(ratios) > 0.9
    assert np.median(ratios) == 1


def test_eagle_turns_log_probabilities_into_probabilities_and_stops_at_its_budget():
    known = bilinear_sigmoid(N, 3)
    subject = Subject.of_function(lambda s: np.log(known.values(s)), PARTS)
    subject.game.scale = "log_probability"
    logged = find_explainer("eagle").explain(subject)
    plain = explain("eagle", known)
    assert np.array_equal(logged.single, plain.single)
    assert sorted(plain.single) == pytest.approx(np.linspace(0, 1, N))
    short = explain("eagle", known, budget=2 * N + 4)
    assert short.provenance.extra["steps"] < N
    assert short.single.argmax() == plain.single.argmax()
    assert any("steps" in note for note in short.provenance.notes)


# budgets


@pytest.mark.parametrize("method", ["lime", "kernelshap", "mm-shap", "rise", "emap", "dime", "eagle", "occlusion"])
def test_what_is_least_is_said_and_is_enough(method):
    known = additive(10, 1)
    parts = {"a": 6, "b": 4}
    explainer = find_explainer(method)
    least = explainer.least(Subject.of_function(known.values, parts).game)
    with pytest.raises(BudgetTooSmall, match=f"at least {least:,} values.*allows {least - 1:,}"):
        explain(method, known, parts, budget=least - 1)
    assert explain(method, known, parts, budget=least).provenance.computed <= least


def test_exact_agrees_with_the_indices_used_here():
    known = bilinear_sigmoid(N, 1)
    table = known.values(all_coalitions(N))
    assert np.allclose(indices.exact(table, indices.index("SII"))[0], explain("exact", known).single)
