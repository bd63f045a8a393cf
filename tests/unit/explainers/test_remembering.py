"""What is remembered of a model's game: never a value of another game, and a run that was stopped goes on."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

import chiasm as cx
from chiasm.core import cache as storage
from chiasm.core.cache import FILE, CacheError, ValueCache
from chiasm.core.content import NoContent
from chiasm.core.explanation import Prediction
from chiasm.core.game import Game
from chiasm.explainers import remembering
from chiasm.explainers.explain import explain
from chiasm.models.base import Adapter
from chiasm.models.function import FunctionValues
from chiasm.models.games import make_game

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (12, 12, 3), np.uint8) for _ in range(2)]
PICTURES.append(PICTURES[0].copy())
PICTURES[2][11, 11, 2] ^= 1  # one bit


def number(*things):
    """A number that is another one whenever anything is."""
    hashed = hashlib.sha256()
    for thing in things:
        hashed.update(thing.tobytes() if isinstance(thing, np.ndarray) else repr(thing).encode())
    return int.from_bytes(hashed.digest()[:6], "little") / 2**48


class Toy(Adapter):
    """Its values are a hash of all that they may depend on: of what it is shown, of itself, and of the target."""

    def __init__(self, weights="w1", device="cpu", *, stop_after=None):
        super().__init__(name="toy")
        self.family, self.kinds = "toy", ("image", "text")
        self.weights, self.device, self.stop_after = weights, device, stop_after
        self.calls, self.computed = 0, 0

    @property
    def fingerprint(self):
        return self.weights

    def prepare(self, sample):
        return cx.FunctionModel(len).prepare(sample)

    def resolve(self, prepared, target):
        return replace(target, answer=target.answer or "red"), Prediction("red")

    def values(self, prepared, players, maskers, target, batch_size):
        def f(samples):
            if self.calls == self.stop_after:
                raise KeyboardInterrupt
            self.calls += 1
            self.computed += len(samples)
            low = 0 if target.scale == "probability" else -1
            return [low + number(self.weights, str(self.device), target, list(s.items())) for s in samples]

        def show(samples):
            return f([{part: content.tobytes() if part != "text" else content for part, content in s.items()}
                      for s in samples])  # fmt: skip

        inner = cx.FunctionModel(show)
        from chiasm.models.function import content_masks

        masks = {part: content_masks(prepared, players, part, maskers[part]) for part in prepared.contents}
        return FunctionValues(inner, players, masks, batch_size or 16)


def run(cache=None, model=None, *, picture=0, text="is it red", swapped=False, **more):
    parts = {"image": PICTURES[picture], "text": text}
    options = {"players": {"image": "grid:2x2", "text": "words"}, "maskers": {"text": "delete"}, "method": "exact"}
    sample = cx.Sample(**dict(reversed(parts.items())) if swapped else parts)
    return explain(model or Toy(), sample, cache=cache, **{**options, **more})


def same(one, other):
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in ("single", "pair", "single_errors", "pair_errors")
    )


CHANGES = {
    "nothing": {},
    "one bit of a picture": {"picture": 2},
    "another picture": {"picture": 1},
    "another text": {"text": "is it blue"},
    "a space in the text": {"text": "is it  red"},
    "the order of the parts": {"swapped": True},
    "areas of the picture": {"players": {"image": cx.Boxes([[0, 0, 6, 6], [6, 0, 12, 6], [0, 6, 6, 12]])}},
    "areas of the same number": {"players": {"image": "grid:1x4"}},
    "stretches of the text": {"players": {"image": "grid:2x2", "text": cx.CharSpans([(0, 2), (3, 5), (6, 7)])}},
    "a masker of pictures": {"maskers": {"image": "grey", "text": "delete"}},
    "a masker's parameter": {"maskers": {"image": "blur:1", "text": "delete"}},
    "another parameter": {"maskers": {"image": "blur:2", "text": "delete"}},
    "a masker of texts": {"maskers": {"text": "neutral:thing"}},
    "the answer": {"target": cx.Target(answer="blue")},
    "the contrast": {"target": cx.Target(answer="red", against="blue")},
    "the scale": {"target": cx.Target(scale="probability")},
    "one token": {"target": cx.Target(token=0)},
    "the weights": {"model": lambda: Toy("w2")},
    "the device": {"model": lambda: Toy(device="cuda:0")},
}


def changed(name, **more):
    change = {**CHANGES[name], **more}
    model = change.pop("model", Toy)()
    return {**change, "model": model}


@pytest.fixture(scope="module")
def plain():
    """Each game's exact values without any memory."""
    return {name: run(**changed(name)) for name in CHANGES}


@given(order=st.permutations(list(CHANGES)))
@settings(  # every order holds every pair of games, so there is nothing to make smaller
    max_examples=4,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_games_that_differ_never_share_a_value(order, plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    for name in order:
        e = run(folder, **changed(name))
        assert same(e, plain[name]), f"{name} was given values of another game"
        assert e.provenance.computed == plain[name].provenance.computed, name
    for name in order:
        e = run(folder, **changed(name))
        assert same(e, plain[name]), name
        assert e.provenance.computed == 0, f"{name} was not remembered"
    with ValueCache(folder) as cache:
        assert len(cache.games()) == len(CHANGES)


def test_the_games_of_the_test_above_do_differ(plain):
    assert len({e.single.tobytes() for e in plain.values()}) == len(CHANGES)


def test_code_and_versions_count(tmp_path, monkeypatch):
    run(tmp_path)
    for name, change in (("code_of", "other code"), ("installed_versions", {"transformers": "99"})):
        with monkeypatch.context() as patch:
            patch.setattr(remembering, name, lambda *_, change=change: change)
            assert run(tmp_path).provenance.computed == 128
    assert run(tmp_path).provenance.computed == 0


def test_a_picture_file_that_changes_is_another_masker(tmp_path):
    file = tmp_path / "other.png"
    found = []
    for level in (10, 20):
        Image.new("RGB", (12, 12), (level,) * 3).save(file)
        found.append(run(tmp_path / "cache", maskers={"image": f"image:{file}", "text": "delete"}))
    assert [e.provenance.computed for e in found] == [128, 128]


def test_index_estimator_seed_and_what_is_fixed_choose_among_the_same_values(tmp_path):
    run(tmp_path)
    for more in ({"index": "BII"}, {"seed": 5, "method": "permutation", "budget": 60}, {"fixed": {"text": True}}):
        e = run(tmp_path, **more)
        assert e.provenance.computed == 0
        assert same(e, run(**more))


# ---- a run that was stopped


@pytest.mark.parametrize("method", ["exact", "permutation", "gp"])
@pytest.mark.parametrize("stop_after", [0, 1, 3, 9])
def test_a_run_that_was_stopped_goes_on(tmp_path, method, stop_after):
    task = {"text": "is it red or blue or green", "budget": 300 if method != "exact" else 2048, "method": method}
    whole = Toy()
    expected = run(None, whole, **task)
    stopped = Toy(stop_after=stop_after)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stopped, **task)
    assert stopped.calls == stop_after
    second = Toy()
    e = run(tmp_path, second, **task)
    assert same(e, expected)
    assert second.computed == whole.computed - stopped.computed
    assert e.provenance.computed == second.computed
    assert e.provenance.requested == expected.provenance.requested
    assert e.provenance.cached == e.provenance.requested - second.computed
    note = f"{stopped.computed:,} of {whole.computed:,} values were remembered from earlier runs"
    assert (note in e.provenance.notes) is (stop_after > 0)


def test_a_run_that_is_done_needs_no_value(tmp_path):
    first, again = run(tmp_path), run(tmp_path)
    assert same(first, again)
    assert again.provenance.computed == 0
    assert again.provenance.notes[-1] == "all 128 values were remembered from earlier runs"
    assert first.provenance.notes == [n for n in again.provenance.notes if "remembered" not in n]


def test_the_model_is_called_for_the_prediction_alone_when_all_is_known(tmp_path):
    run(tmp_path)
    model = Toy()
    run(tmp_path, model)
    assert model.computed == 0


def test_an_error_of_the_model_keeps_what_was_computed(tmp_path, monkeypatch):
    model = Toy(stop_after=3)
    monkeypatch.setattr("builtins.KeyboardInterrupt", ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, model)
    assert run(tmp_path).provenance.computed == 128 - model.computed


# ---- by default, nothing is written


def test_nothing_is_remembered_unless_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "own"))
    run()
    run(cache=False)
    assert not (tmp_path / "own").exists()
    run(cache=True)
    assert (tmp_path / "own" / FILE).is_file()
    monkeypatch.setenv("CHIASM_CACHE", "off")
    assert run(cache=True).provenance.computed == 128


# ---- what cannot be told is not remembered, and said so


def redness(samples):
    return [float(s["image"][..., 0].mean()) for s in samples]


def explained(model, folder, **more):
    return explain(model, cx.Sample(image=PICTURES[0]), players="grid:2x2", cache=folder, **more)


def test_a_function_is_remembered_by_the_fingerprint_that_it_was_given(tmp_path):
    e = explained(cx.FunctionModel(redness), tmp_path)
    assert any("values were not remembered: nobody can see whether 'redness' still" in n for n in e.provenance.notes)
    assert not (tmp_path / FILE).exists()
    for fingerprint, computed in (("1", 16), ("2", 16), ("1", 0)):
        e = explained(cx.FunctionModel(redness, fingerprint=fingerprint), tmp_path)
        assert e.provenance.computed == computed
        assert not any("not remembered" in note for note in e.provenance.notes)
    other = cx.FunctionModel(redness, fingerprint="1", name="other")
    assert explained(other, tmp_path).provenance.computed == 16


class Masker:
    name = "mine"

    def apply(self, content, players, present):
        return np.repeat(content[None], len(present), axis=0)


class Told(Masker):
    fingerprint = "mine 1"


def test_a_masker_of_ones_own_is_remembered_by_what_it_says_of_itself(tmp_path):
    e = run(tmp_path, maskers={"image": Masker(), "text": "delete"})
    (note,) = [note for note in e.provenance.notes if "not remembered" in note]
    assert "the masker of part 'image': 'mine' (Masker) cannot be told" in note
    assert not (tmp_path / FILE).exists()
    assert [run(tmp_path, maskers={"image": Told(), "text": "delete"}).provenance.computed for _ in "ab"] == [128, 0]


def test_players_that_do_not_say_where_they_are_are_refused():
    model, sample = Toy(), cx.Sample(image=PICTURES[0], text="is it red")
    hidden_by = remembering.masker_objects(model, sample, {"text": "delete"})
    match = make_game(model, sample, maskers=hidden_by)
    assert len(remembering.game_key(model, match, hidden_by)) == 32
    part = match.game.all_players.parts["text"]
    match.game.all_players.parts["text"] = replace(part, geometry=None)
    with pytest.raises(NoContent, match="players of part 'text' do not say where they are"):
        remembering.game_key(model, match, hidden_by)


# ---- what is wrong with the file does not lose the run


def not_remembered(e):
    return [note for note in e.provenance.notes if "not remembered" in note or "damaged" in note]


@pytest.fixture
def expected():
    return run(method="permutation", budget=60)


def test_a_damaged_file_does_not_lose_the_run(tmp_path, expected):
    (tmp_path / FILE).write_bytes(b"garbage" * 999)
    e = run(tmp_path, method="permutation", budget=60)
    assert same(e, expected)
    assert ["is damaged; `chiasm cache clear --all`" in note for note in not_remembered(e)] == [True]


def test_a_folder_that_cannot_be_made_does_not_lose_the_run(tmp_path, expected):
    (tmp_path / "file").write_text("")
    e = run(tmp_path / "file", method="permutation", budget=60)
    assert same(e, expected)
    assert ["cannot be made" in note for note in not_remembered(e)] == [True]


def test_a_file_that_is_locked_from_the_start_does_not_lose_the_run(tmp_path, expected, monkeypatch):
    monkeypatch.setattr(storage, "_WAIT", 0.05)
    run(tmp_path)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    e = run(tmp_path, method="permutation", budget=60)
    other.close()
    assert same(e, expected)
    assert ["locked by another process" in note for note in not_remembered(e)] == [True]


@pytest.mark.parametrize("failing", ["get", "put", "flush"])
@pytest.mark.parametrize("after", [0, 2])
def test_a_file_that_fails_on_the_way_does_not_lose_the_run(tmp_path, expected, monkeypatch, failing, after):
    calls = []
    real = getattr(storage.CachedValues, failing)

    def fails(self, *arguments):
        calls.append(failing)
        if len(calls) > after:
            raise CacheError("The value cache is gone.")
        return real(self, *arguments)

    monkeypatch.setattr(storage.CachedValues, failing, fails)
    if failing == "flush":
        monkeypatch.setattr(storage, "_BETWEEN", -1.0)
        monkeypatch.setattr(storage, "_PATIENCE", 0)
    e = run(tmp_path, method="permutation", budget=60)
    assert same(e, expected)
    assert ["is gone" in note for note in not_remembered(e)] == [True]
    assert len(calls) <= after + 2  # not asked again and again, each time waiting for a lock


def test_a_file_that_may_only_be_read_still_gives_its_values(tmp_path, monkeypatch):
    run(tmp_path, Toy(), method="permutation", budget=60)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **more: connect(f"file:{path}?mode=ro", uri=True, **more))
    again = run(tmp_path, method="permutation", budget=60)
    assert again.provenance.computed == 0
    assert not_remembered(again) == []
    more = run(tmp_path)
    assert 0 < more.provenance.computed < 128
    assert same(more, run())
    assert ["may only be read" in note for note in not_remembered(more)] == [True]


def test_damaged_rows_are_computed_again(tmp_path):
    expected = run(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE batches SET vals = zeroblob(LENGTH(vals))")
    e = run(tmp_path)
    assert same(e, expected)
    assert e.provenance.computed == 128
    assert ["left out" in note for note in not_remembered(e)] == [True]


def test_the_memory_is_a_memory(tmp_path):
    """`Recall` serves any game, not only that of `explain`."""
    model, sample = Toy(), cx.Sample(image=PICTURES[0], text="is it red")
    hidden_by = remembering.masker_objects(model, sample, {"text": "delete"})
    for computed in (8, 0):
        recall = remembering.Recall(tmp_path)
        with recall:
            match = make_game(model, sample, players="grid:2x2,words", maskers=hidden_by, memory=recall)
            recall.open(model, match, hidden_by)
            assert isinstance(match.game, Game)
            match.game(np.eye(8, 7, dtype=bool))
        assert match.game.counts.computed == computed
