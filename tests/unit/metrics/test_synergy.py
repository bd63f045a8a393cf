import itertools

import numpy as np
import pytest
from metric_help import EIGHT, TWO, case, descending, game, told

from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput, MissingCapability, UnknownName
from chiasm.core.game import Game
from chiasm.core.indices import exact, index
from chiasm.core.players import Players
from chiasm.metrics.base import Case
from chiasm.metrics.synergy import FSyn, FSynExact, FSynMid
from chiasm.testing.games import additive, bilinear_sigmoid, sparse_polynomial

SIGNED = FSyn(form="signed")
AND = {(0, 1): 1.0}
OR = {(0,): 1.0, (1,): 1.0, (0, 1): -1.0}
XOR = {(0,): 1.0, (1,): 1.0, (0, 1): -2.0}


def halves_up(k, n):
    return int(n * k + 0.5 + 1e-9)


def by_definition(values, a, b, *, clip=True):
    """The paper's formulas, one coalition at a time: players of two parts, best first."""
    n, steps, floor = len(a) + len(b), 10, 0.05

    def v(image, text):
        row = np.zeros((1, n), bool)
        row[0, [*image, *text]] = True
        return float(values(row)[0])

    z = max(abs(v(a, b) - v([], [])), floor)
    points = []
    for step in range(steps + 1):
        i, t = halves_up(step / steps, len(a)), halves_up(step / steps, len(b))
        ins = v(a[:i], b[:t]) - v(a[:i], []) - v([], b[:t]) + v([], [])
        dele = v(a[i:], b[t:]) - v(a[i:], b) - v(a, b[t:]) + v(a, b)
        both = np.array([ins, dele]) / z
        points.append((np.clip(both, 0, 1) if clip else both).mean())
    return sum((x + y) / 2 for x, y in itertools.pairwise(points)) / steps


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clip", [True, False])
def test_is_the_published_formula(seed, clip):
    known = bilinear_sigmoid(9, seed)
    single = np.random.default_rng(seed).normal(size=9)
    played = Game(known.values, Players.abstract({"a": 5, "b": 4}))
    order = np.argsort(-single)
    wanted = by_definition(known.values, [i for i in order if i < 5], [i for i in order if i >= 5], clip=clip)
    metric = FSyn() if clip else SIGNED
    assert metric.score(case(played, single)).value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(("terms", "z", "delta"), [(AND, 1, 1), (OR, 1, -1), (XOR, 0.05, -2)])
def test_and_or_xor_of_one_player_a_part(terms, z, delta):
    """The two players are in from k = ½ on; the trapezoid of that step over ten steps is 0.55."""
    one = case(game(terms, TWO), [2.0, 1.0])
    assert SIGNED.score(one).value == pytest.approx(0.55 * delta / z)
    assert FSyn().score(one).value == pytest.approx(0.55 * min(max(delta / z, 0), 1))
    assert FSynMid().score(one).value == pytest.approx(0.55 * delta / z)
    assert FSynExact().score(one).value == pytest.approx(0.55 * delta / z)


@pytest.mark.parametrize("metric", [FSyn(), SIGNED, FSynMid(), FSynExact(groups=3)], ids=lambda m: m.about.name)
def test_an_additive_game_has_no_synergy(metric):
    known = additive(8, seed=3)
    played = Game(known.values, Players.abstract(EIGHT))
    assert metric.score(case(played, descending(8))).value == pytest.approx(0, abs=1e-12)


def test_three_way_game_shows_in_deletion_and_not_in_insertion_before_its_third_player_is_in():
    """v = 1 if players 0, 1 (of a) and 5 (of b) are there; 1 comes last in its part, so 0 and 5 alone are the top."""
    played = game({(0, 1, 5): 1.0}, EIGHT)
    found = FSyn(steps=1000).score(case(played, [9, 1, 5, 4, 3, 9, 2, 1]))
    halves = {name.rpartition(", ")[2]: value for name, value in found.values.items() if ", " in name}
    assert halves["insertion"] == pytest.approx(1 - 0.9, abs=2e-3)  # until 1 is in (k = 0.9)
    assert halves["deletion"] == pytest.approx(1 - 1 / 6, abs=2e-3)  # from 5 in the top (k = 1/6), 0 before that


def test_the_middle_is_exact_up_to_order_five():
    """Groups of one player each: the macro-game is the game, and at k = ½ SII is that of its two macro-players."""
    parts = {"a": 4, "b": 4}
    for seed in range(3):
        known = sparse_polynomial(8, seed=seed, order=5)
        single = np.random.default_rng(seed).normal(size=8)
        one = case(Game(known.values, Players.abstract(parts)), single)
        middle, reference = FSynMid(draws="all").score(one).value, FSynExact().score(one).value
        assert middle == pytest.approx(reference, abs=1e-10)
        published = SIGNED.score(one).value
        assert abs(published - reference) > 1e-4  # the two ends alone are not enough


def test_a_pair_of_complements_is_exact_to_order_three():
    """Δ is then linear in the background, and two draws that are each other's complement have its mean."""
    for seed in range(3):
        known = sparse_polynomial(8, seed=seed, order=3)
        one = case(Game(known.values, Players.abstract({"a": 4, "b": 4})), descending(8), seed=seed)
        assert FSynMid(draws=2).score(one).value == pytest.approx(FSynExact().score(one).value, abs=1e-10)


def test_the_middle_at_every_second_step_costs_less_and_is_interpolated():
    """Four of nine steps are asked for, and most of what the ends alone miss is still seen."""
    known = bilinear_sigmoid(20, 3)
    one = case(Game(known.values, Players.abstract({"a": 12, "b": 8})), np.random.default_rng(0).normal(size=20))
    whole, half, ends = (metric.score(one) for metric in (FSynMid(draws=8), FSynMid(draws=8, every=2), SIGNED))
    assert half.values_used - ends.values_used < 0.6 * (whole.values_used - ends.values_used)
    assert abs(half.value - whole.value) < 0.5 * abs(ends.value - whole.value)
    rarely = FSynMid(every=10).score(one)
    assert rarely.value == pytest.approx(ends.value, abs=1e-12)  # the middle is asked for nowhere
    assert rarely.values_used == ends.values_used
    with pytest.raises(InvalidInput, match="every is 0"):
        FSynMid(every=0).score(one)


def test_the_middle_is_not_exact_beyond_order_five():
    known = sparse_polynomial(8, seed=1, order=8, terms=60)
    one = case(Game(known.values, Players.abstract({"a": 4, "b": 4})), descending(8))
    assert abs(FSynMid(draws="all").score(one).value - FSynExact().score(one).value) > 1e-6


def test_the_reference_is_the_exact_sii_of_the_macro_game():
    """At k = ½ of 4 + 4 players: 2 + 2 in the macro-players, 4 background players in groups of their own."""
    known = bilinear_sigmoid(8, 5)
    one = case(Game(known.values, Players.abstract({"a": 4, "b": 4})), [4, 3, 2, 1, 4, 3, 2, 1])
    macro = [[0, 1], [4, 5], [2], [3], [6], [7]]
    coalitions = all_coalitions(6)
    whole = np.zeros((len(coalitions), 8), bool)
    for column, members in enumerate(macro):
        whole[:, members] = coalitions[:, [column]]
    _, pair = exact(known.values(whole), index("SII"))
    found = FSynExact(groups=4).indices(one)["a", "b"]
    assert found[0, 5] == pytest.approx(pair[0, 1], abs=1e-12)
    assert FSynExact(groups=6).indices(one)["a", "b"][0, 5] == pytest.approx(pair[0, 1], abs=1e-12)  # two are empty


def test_more_draws_come_closer_to_all_of_them():
    known = bilinear_sigmoid(12, 2)
    one = case(Game(known.values, Players.abstract({"a": 7, "b": 5})), descending(12))
    every = FSynMid(draws="all").score(one).value
    off = {}
    for draws in (2, 32):
        seeds = [Case(one.explanation, one.game, seed=seed) for seed in range(12)]
        alls = [FSynMid(draws="all").score(c).value for c in seeds]
        some = [FSynMid(draws=draws).score(c).value for c in seeds]
        off[draws] = np.sqrt(np.mean((np.array(some) - alls) ** 2))
    assert off[32] < off[2] / 2
    assert np.isfinite(every)


@pytest.mark.parametrize(
    ("metric", "values"), [(FSynMid(every=2), 74), (FSynMid(), 102), (FSynExact(), 1388)], ids=lambda x: str(x)[:20]
)
def test_where_a_macro_player_is_empty_nothing_is_asked(metric, values):
    """16 + 4 players: none at k = 0, and none of the four at k = 0.1, where no background could make a synergy."""
    played = Game(lambda rows: rows.sum(axis=1) / 20, Players.abstract({"a": 16, "b": 4}))
    one = case(played, np.random.default_rng(0).normal(size=20))
    assert metric.score(one).values_used == values
    assert not next(iter(metric.designs(one).values())).coalitions[:, :2].any()


@pytest.mark.parametrize(("sizes", "most"), [((16, 4), 42), ((16, 3), 40), ((30, 20), 58)])
def test_distinct_values_and_not_single_passes(sizes, most):
    """Eleven steps of eight values are 88; those that are alike are asked for once, those that cancel not at all."""
    parts = dict(zip("ab", sizes, strict=True))
    n = sum(sizes)
    played = Game(lambda rows: rows.sum(axis=1) / n, Players.abstract(parts))
    score = FSyn().score(case(played, np.random.default_rng(0).normal(size=n)))
    assert score.values_used == most
    assert played.counts.computed == most
    SIGNED.score(case(played, np.random.default_rng(0).normal(size=n)))
    assert played.counts.computed == most  # the signed form costs nothing more


def test_three_parts_give_every_pair_and_the_joint_dividend():
    parts = {"a": 1, "b": 1, "c": 1}
    found = SIGNED.score(case(game({(0, 1, 2): 1.0}, parts), [3.0, 2.0, 1.0]))
    assert found.values["a × b × c"] == pytest.approx(0.55)
    for pair in ("a × b", "a × c", "b × c"):  # needs the third part: there in deletion, not there in insertion
        assert found.values[pair] == pytest.approx(0.55 / 2)
        assert found.values[f"{pair}, insertion"] == pytest.approx(0)
    assert found.value == found.values["mean of pairs"] == pytest.approx(0.55 / 2)
    only = FSyn(form="signed", parts=("a", "c")).score(case(game({(0, 1, 2): 1.0}, parts), [3.0, 2.0, 1.0]))
    assert next(iter(only.values)) == "a × c"


def test_joint_counting_ranks_all_players_together():
    """All of a is ranked above b: counted jointly, b is empty until a is complete."""
    played = game({(0, 2): 1.0, (1, 3): 1.0}, {"a": 2, "b": 2})
    one = case(played, [9, 8, 2, 1])
    joint = FSyn(form="signed", counting="joint", steps=4).score(one)
    assert joint.values["a × b, insertion"] == pytest.approx((0 + 0 + 0 + 0.5 + 0.5) / 4)
    assert FSyn(form="signed", steps=2).score(one).values["a × b, insertion"] == pytest.approx((0.5 + 0.5) / 2)


def test_player_order_does_not_matter_even_for_random_backgrounds():
    known, rng = bilinear_sigmoid(9, 4), np.random.default_rng(1)
    single = rng.normal(size=9)
    order = np.concatenate([rng.permutation(5), 5 + rng.permutation(4)])

    def moved(rows):
        back = np.zeros_like(rows)
        back[:, order] = rows
        return known.values(back)

    parts = {"a": 5, "b": 4}
    first = case(Game(known.values, Players.abstract(parts)), single)
    second = case(Game(moved, Players.abstract(parts)), single[order])
    for metric in (FSyn(), FSynMid(), FSynExact(groups=2)):
        assert metric.score(first).value == pytest.approx(metric.score(second).value, abs=1e-12)


def test_ties_are_no_order():
    """A constant explanation: the first players get no more than the last; the spread is told."""
    one = case(game({(0, 5): 1.0}, EIGHT), np.zeros(8))
    other = case(game({(4, 7): 1.0}, EIGHT), np.zeros(8))
    metric = FSyn(ties=400)
    found = [metric.score(c) for c in (one, other)]
    assert found[0].value == pytest.approx(found[1].value, abs=0.03)
    assert found[0].error is not None
    assert 0 < found[0].error < 0.02
    assert metric.score(case(game({(0, 5): 1.0}, EIGHT), descending(8))).error is None


def test_rounding_noise_is_a_tie():
    noise = 1e-13 * np.random.default_rng(0).normal(size=8)
    score = FSyn().score(case(game({(0, 5): 1.0}, EIGHT), 1 + noise))
    assert score.error is not None


def test_log_probabilities_are_read_as_probabilities():
    """v = log p with p of an AND: the score is that of p."""
    values = lambda rows: np.log(np.where(rows.all(axis=1), 0.9, 0.1))  # noqa: E731
    played = Game(values, Players.abstract(TWO), scale="log_probability")
    found = FSyn().score(case(played, [2.0, 1.0]))
    assert found.value == pytest.approx(0.55)
    assert found.notes == ()
    assert FSyn().score(case(game(AND, TWO), [2.0, 1.0])).notes  # Z's floor was not meant for plain values


def test_z_has_a_floor():
    weak = {(0, 1): 0.01}
    assert FSyn().score(case(game(weak, TWO), [2.0, 1.0])).value == pytest.approx(0.55 * 0.01 / 0.05)
    assert FSyn(floor=0.001).score(case(game(weak, TWO), [2.0, 1.0])).value == pytest.approx(0.55)


def test_refusals():
    with pytest.raises(MissingCapability, match="two parts"):
        FSyn().score(case(game({(0,): 1.0}, {"a": 3}), descending(3)))
    with pytest.raises(UnknownName):
        FSyn(parts=("a", "z")).score(case(game(AND, TWO), [1, 2]))
    with pytest.raises(InvalidInput):
        FSyn(parts=("a", "a")).score(case(game(AND, TWO), [1, 2]))
    with pytest.raises(InvalidInput):
        FSynMid(draws=3).score(case(game(AND, TWO), [1, 2]))
    with pytest.raises(InvalidInput):
        FSyn(steps=0).score(case(game(AND, TWO), [1, 2]))
    with pytest.raises(InvalidInput, match="nan"):
        case(game(AND, TWO), [np.nan, 2])
    with pytest.raises(InvalidInput, match="players"):
        Case(told(Players.abstract({"a": 2}), [1, 2]), game(AND, TWO))
