"""Games: caching, counting, budgets, fixed players; coalitions and players."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from chiasm.core.coalitions import all_coalitions, distinct, keys, of_size
from chiasm.core.errors import BudgetTooSmall, InvalidInput, ModelError, UnknownName
from chiasm.core.game import Costs, Game
from chiasm.core.players import PartPlayers, Players, Regions, Spans


class Recorder:
    """A value function that keeps every batch it was given."""

    def __init__(self, n):
        self.batches = []
        self.weights = 2.0 ** np.arange(n)

    def __call__(self, coalitions):
        self.batches.append(coalitions.copy())
        return coalitions @ self.weights

    @property
    def rows(self):
        return np.concatenate(self.batches)


def make(sizes=None, **options):
    players = Players.abstract(sizes or {"a": 2, "b": 3})
    values = Recorder(len(players))
    return Game(values, players, **options), values


def test_no_coalition_is_computed_twice():
    game, values = make(batch_size=4)
    rng = np.random.default_rng(0)
    asked = 0
    for _ in range(6):
        batch = rng.random((11, 5)) < 0.5
        np.testing.assert_array_equal(game(batch), batch @ values.weights)
        asked += 11
    assert len(distinct(values.rows)[0]) == len(values.rows) == game.counts.computed
    assert max(len(batch) for batch in values.batches) <= 4
    assert game.counts.requested == asked
    assert game.counts.cached == asked - game.counts.computed


def test_batches_are_split_and_reported():
    seen = []
    game, values = make(batch_size=5, on_batch=lambda counts: seen.append(counts.computed))
    game(all_coalitions(5))
    assert [len(batch) for batch in values.batches] == [5] * 6 + [2]
    assert seen == [5, 10, 15, 20, 25, 30, 32]


def test_known_costs_nothing():
    game, values = make()
    batch = all_coalitions(5)[:7]
    game(batch[:3])
    assert game.known(batch).tolist() == [True] * 3 + [False] * 4
    assert game.counts.computed == 3
    assert len(values.rows) == 3


def test_integers_and_single_rows_are_taken():
    game, _ = make()
    assert game(np.array([1, 0, 0, 0, 1])).tolist() == [17.0]
    assert game(np.zeros((0, 5), bool)).shape == (0,)


@pytest.mark.parametrize("shape", [(3, 4), (6,), (1, 2, 5)])
def test_wrong_shapes_are_refused(shape):
    game, _ = make()
    with pytest.raises(InvalidInput, match="needs"):
        game(np.zeros(shape, bool))


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("which", ["a", ("b", 1)])
def test_fixed_players_give_the_restricted_game(which, present):
    game, values = make(fixed={which: present})
    columns = [0, 1] if which == "a" else [3]
    free = [k for k in range(5) if k not in columns]
    assert game.n == len(free)
    table = all_coalitions(game.n)
    whole = np.zeros((len(table), 5), bool)
    whole[:, free], whole[:, columns] = table, present
    np.testing.assert_array_equal(game(table), whole @ values.weights)
    np.testing.assert_array_equal(values.rows, whole)


def test_fixed_players_leave_their_labels_behind():
    game, _ = make(fixed={("b", 1): True})
    assert game.players["b"].labels == ("b 0", "b 2")
    assert list(game.players) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert game.all_players["b"].labels == ("b 0", "b 1", "b 2")


def test_a_wholly_fixed_part_is_no_part_of_the_contributions():
    game, values = make(fixed={"a": True})
    assert game.part_values() == {(): 3.0, ("b",): values.weights.sum()}
    with pytest.raises(InvalidInput, match="no player"):
        make(fixed={"a": True, "b": False})
    with pytest.raises(UnknownName, match="part"):
        make(fixed={"c": True})
    with pytest.raises(InvalidInput, match="no player 7"):
        make(fixed={("a", 7): True})


def test_part_values_of_three_parts():
    game, values = make({"a": 1, "b": 2, "c": 1})
    found = game.part_values()
    weight = {"a": 1.0, "b": 6.0, "c": 8.0}
    for k in range(4):
        for names in itertools.combinations("abc", k):
            assert found[names] == sum(weight[name] for name in names)
    assert len(values.rows) == 8
    assert (game.empty(), game.full()) == (0.0, 15.0)
    assert game.counts.computed == 8


def test_an_allowance_is_hard():
    game, values = make()
    table = all_coalitions(5)
    game(table[:4])
    with game.allowance(6):
        assert game.budget_left == 6
        game(table[:10])
        assert game.budget_left == 0
        game(table[:10])  # remembered values stay free
        with pytest.raises(BudgetTooSmall, match="1 new values are needed and the budget leaves 0"):
            game(table[10:11])
    assert len(values.rows) == 10
    assert game.budget_left is None
    game(table)


def test_an_allowance_ends_with_an_interruption():
    game, _ = make()
    with pytest.raises(KeyboardInterrupt), game.allowance(1):
        raise KeyboardInterrupt
    assert game.budget_left is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    players = Players.abstract({"a": 3})
    game = Game(lambda c: np.where(c.all(1), bad, 1.0), players)
    assert game.empty() == 1.0
    with pytest.raises(ModelError, match=r"3 of 3 players is .*float32"):
        game.full()
    assert not game.known(np.ones((1, 3), bool)).any()


@pytest.mark.parametrize("result", [np.zeros(2), np.zeros((1, 1)), 0.0])
def test_values_of_a_wrong_shape_are_refused(result):
    game = Game(lambda _: result, Players.abstract({"a": 3}))
    with pytest.raises(ModelError, match="one number a coalition"):
        game.full()


def test_a_batch_size_must_be_positive():
    with pytest.raises(InvalidInput, match="at least 1"):
        make(batch_size=0)


def test_all_coalitions_are_bits_of_their_row():
    table = all_coalitions(4)
    assert table.shape == (16, 4)
    assert (table @ (1 << np.arange(4))).tolist() == list(range(16))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 65])
def test_keys_tell_coalitions_apart(n):
    rng = np.random.default_rng(n)
    batch = rng.random((50, n)) < 0.5
    names = keys(batch)
    for i, j in itertools.combinations(range(50), 2):
        assert (names[i] == names[j]) == bool((batch[i] == batch[j]).all())
    assert keys(batch[:, ::-1]) == keys(np.ascontiguousarray(batch[:, ::-1]))


def test_distinct_keeps_the_order_of_appearance():
    batch = np.array([[1, 0], [0, 1], [1, 0], [1, 1], [0, 1]], bool)
    first, inverse = distinct(batch)
    assert first.tolist() == [0, 1, 3]
    assert inverse.tolist() == [0, 1, 0, 2, 1]
    np.testing.assert_array_equal(batch[first][inverse], batch)


def test_coalitions_of_a_size_are_uniform():
    rng = np.random.default_rng(0)
    drawn = of_size(np.full(6000, 2), 4, rng)
    assert (drawn.sum(1) == 2).all()
    _, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(counts) == 6
    assert abs(counts - 1000).max() < 150


def test_players_are_slices_of_parts():
    players = Players.abstract({"image": 4, "text": 3})
    assert len(players) == 7
    assert players.slices == {"image": slice(0, 4), "text": slice(4, 7)}
    assert players.position(("text", 1)) == 5
    assert players.label(("text", 1)) == "text 1"
    assert [players.position(player) for player in players] == list(range(7))
    assert repr(players) == "Players(image: 4, text: 3)"
    batch = np.arange(14).reshape(2, 7) % 2 == 0
    assert {name: part.shape for name, part in players.split(batch).items()} == {"image": (2, 4), "text": (2, 3)}


def test_players_that_do_not_exist():
    players = Players.abstract({"image": 4})
    with pytest.raises(UnknownName, match="Did you mean 'image'"):
        players.position(("imgae", 0))
    for i in (4, -1):
        with pytest.raises(InvalidInput, match=f"no player {i}"):
            players.position(("image", i))
    for size in (0, -1, 2.0, "3"):
        with pytest.raises(InvalidInput, match="whole number"):
            Players.abstract({"image": size})
    with pytest.raises(InvalidInput, match="no player"):
        Players([])
    with pytest.raises(InvalidInput, match="share a name"):
        Players([PartPlayers("a", "a", ("x",)), PartPlayers("a", "a", ("y",))])


def test_a_subset_keeps_geometry_in_step():
    regions = Regions(np.array([[0, 0, 1], [2, -1, 1]], np.int32))
    spans = Spans(np.array([[0, 2], [3, 5]]))
    players = Players(
        [PartPlayers("i", "image", ("p", "q", "r"), regions), PartPlayers("t", "text", ("u", "v"), spans)]
    )
    kept = players.subset(np.array([True, False, True, False, True]))
    assert kept["i"].labels == ("p", "r")
    assert kept["i"].geometry.label_map.tolist() == [[0, 0, -1], [1, -1, -1]]
    assert kept["t"].geometry.bounds.tolist() == [[3, 5]]


class _Notebook:
    """A memory that a test can look into."""

    def __init__(self) -> None:
        self.known: dict[bytes, float] = {}

    def get(self, coalitions):
        return np.array([self.known.get(row.tobytes(), np.nan) for row in coalitions], np.float64)

    def put(self, coalitions, values) -> None:
        self.known.update(zip((row.tobytes() for row in coalitions), values.tolist(), strict=True))


def test_a_memory_spares_values_of_an_earlier_game():
    notebook, asked = _Notebook(), []

    def values(present):
        asked.extend(present.tolist())
        return present @ np.array([1.0, 2.0, 4.0])

    players = Players.abstract({"a": 2, "b": 1})
    first = Game(values, players, memory=notebook)
    rows = np.array([[1, 0, 1], [0, 1, 0]], bool)
    np.testing.assert_array_equal(first(rows), [5.0, 2.0])
    second = Game(values, players, memory=notebook)
    assert second.known(rows).all()
    np.testing.assert_array_equal(second(np.concatenate([rows, [[1, 1, 1]]])), [5.0, 2.0, 7.0])
    assert (second.counts.requested, second.counts.cached, second.counts.computed) == (3, 2, 1)
    assert len(asked) == 3


def test_games_with_fixed_players_share_a_memory():
    notebook = _Notebook()
    players = Players.abstract({"a": 2, "b": 1})
    whole = Game(lambda x: x @ np.array([1.0, 2.0, 4.0]), players, memory=notebook)
    whole(np.array([[1, 0, 1]], bool))
    held = Game(lambda x: 1 / 0, players, fixed={"b": True}, memory=notebook)
    assert held(np.array([[1, 0]], bool)).tolist() == [5.0]
    assert not held.known(np.array([[0, 1]], bool))[0]


def test_coalitions_that_share_a_dear_part_stand_side_by_side():
    batches = []

    class Values:
        costs = Costs({"a": 0.9, "b": 0.01}, cell=0.1)

        def __call__(self, present):
            batches.append(present.copy())
            return present @ np.array([1.0, 2.0, 4.0, 8.0])

    game = Game(Values(), Players.abstract({"a": 2, "b": 2}), batch_size=4)
    table = all_coalitions(4)
    shuffled = table[np.random.default_rng(0).permutation(16)]
    np.testing.assert_array_equal(game(shuffled), shuffled @ np.array([1.0, 2.0, 4.0, 8.0]))
    assert [len({row.tobytes() for row in batch[:, :2]}) for batch in batches] == [1, 1, 1, 1]
    assert game.counts.passes == pytest.approx(4 * 0.9 + 4 * 0.01 + 16 * 0.1)
