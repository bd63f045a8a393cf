"""The benchmark of planted truth: its enumerated values are those of the library's own game."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput
from chiasm.core.target import Target
from chiasm.models.games import make_game
from chiasm.models.hub import load
from chiasm.zoo import catalog, dataset

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("an installed package has no benchmarks", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))
import exact_games  # noqa: E402
import planted  # noqa: E402

DECODERS = [name for name in ("llava-shapes", "qwen-shapes", "idefics-shapes") if name in catalog.MODELS]


def test_each_word_stands_once_for_every_choice_of_those_before_it():
    packed = exact_games.pack(np.array([-1, 0, 1, 1, -1]))
    assert packed.source.tolist() == [0, 1, 2, 2, 3, 3, 4, 4, 4, 4]
    seen = [set(np.flatnonzero(row).tolist()) for row in packed.sees]
    assert seen[:3] == [{0}, {0, 1}, {0, 2}]
    assert seen[3] == {0, 1, 3}
    ends = packed.ends.tolist()
    assert ends == [6, 7, 8, 9]
    assert [seen[end] - {end} for end in ends] == [{0}, {0, 1}, {0, 2, 4}, {0, 1, 3, 5}]
    for owners in ([-1, 1, 0, -1], [-1, 0]):
        with pytest.raises(InvalidInput, match="order"):
            exact_games.pack(np.array(owners))


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("players", ["grid:2x2,words", "grid:1x2,tokens"])
def test_enumerated_values_are_those_of_the_game(name, players):
    model = load(f"zoo:{name}")
    sample = dataset("shapes", 1, 3, ["existence"])[0]
    for scale in ("log_probability", "probability"):
        match = make_game(model, sample, players=players, target=Target(scale))
        table = exact_games.exact_values(match, model.forward)
        assert table.shape == (1 << match.game.n,)
        np.testing.assert_allclose(table, match.game(all_coalitions(match.game.n)), rtol=1e-4, atol=1e-5)
        assert table.std() > 0.01
        assert exact_games.check(match, table, 32) < 1e-3
        assert exact_games.check(match, table[::-1], 32) > 1e-2, "values in another order are noticed"


def test_games_that_cannot_be_enumerated_are_refused():
    model = load("zoo:llava-shapes")
    sample = dataset("shapes", 1, 3, ["existence"])[0]
    match = make_game(model, sample, players="grid:1x2,words", maskers="text=delete", target=Target("probability"))
    with pytest.raises(InvalidInput, match="attention"):
        exact_games.exact_values(match, model.forward)


def test_a_game_of_sixteen_is_found_for_questions_of_any_length():
    model = load("zoo:llava-shapes")
    cuts = set()
    for kind in planted.TYPES:
        for sample in dataset("shapes", 12, 5, [kind]):
            found = planted.sixteen(model, sample, Target("probability"))
            assert found is not None, sample["text"].data
            assert found[1].game.n == 16
            cuts.add(found[0])
    assert len(cuts) >= 3


def test_results_of_other_weights_or_settings_are_not_taken_up(tmp_path):
    file = tmp_path / "lines.jsonl"
    of = {"model": "a", "weights": "1", "seed": 1}
    line = '{"of": {"model": "a", "weights": "1", "seed": 1}, "kind": "colour", "sample": "s-1"}'
    file.write_text(f"{line}\n")
    assert set(planted.read_lines(file, of)) == {"colour s-1"}
    assert planted.read_lines(file, of | {"weights": "2"}) == {}
    assert planted.read_lines(tmp_path / "none", of) == {}


@pytest.mark.parametrize("torn", ['{"of": {"model"', '{"of": {"model": "a"}', '{"of": {}}{"', "7"])
def test_a_torn_last_line_is_cut_off_and_the_next_one_is_whole(torn, tmp_path, capsys):
    file = tmp_path / "lines.jsonl"
    line = '{"of": {"seed": 1}, "kind": "colour", "sample": "s-1"}'
    file.write_text(f"{line}\n{torn}")
    assert set(planted.read_lines(file, {"seed": 1})) == {"colour s-1"}
    assert "torn" in capsys.readouterr().err
    with file.open("a") as out:
        out.write(line.replace("s-1", "s-2") + "\n")
    assert set(planted.read_lines(file, {"seed": 1})) == {"colour s-1", "colour s-2"}
    file.write_text(f"{{\n{line}\n")
    with pytest.raises(SystemExit, match="Line 1"):
        planted.read_lines(file, {"seed": 1})


def test_questions_that_no_cut_brings_to_sixteen_players_are_counted(monkeypatch):
    """With one cut instead of five, questions of other lengths are left out: as many as are found by hand."""
    model, kept = load("zoo:llava-shapes"), planted.SIXTEEN[:1]
    monkeypatch.setattr(planted, "SIXTEEN", kept)
    fits, uncut, before = [], [], []
    for sample in planted.candidates("colour", 4, 2000):
        if planted.right(model, sample):
            match = make_game(model, sample, players=kept[0], target=Target("probability"))
            if match.game.n == 16:
                fits.append(sample.id)
                before = list(uncut)
            else:
                uncut.append(sample.id)
    assert before, "some are left out before the last that is taken"
    known = {f"colour {name}": {"sample": name} for name in fits}  # nothing is left to be computed
    left_out = []
    settings = planted.Settings(exact=True)
    monkeypatch.setattr(planted, "candidates", lambda kind, n, seed, real=planted.candidates: real(kind, 4, seed))
    lines = list(planted.lines_of(model, "colour", len(fits), settings, known, uncut=left_out))
    assert [line["sample"] for line in lines] == fits
    assert left_out == before
    result = dict.fromkeys(planted.Hits.__dataclass_fields__, 1.0)
    found = planted.summary([{"hits": result, "chance": result, "seconds": 1.0}], left_out)
    assert f"| 1 ({len(before)} left out) |" in planted.table({("llava-shapes", "colour"): found})


EXACT = json.loads((BENCHMARKS / "planted.json").read_text(encoding="utf-8"))["results"]


@pytest.mark.parametrize("name", DECODERS)
def test_exact_games_find_what_was_planted(name):
    mine = {result["kind"]: result for result in EXACT if result["model"] == name}
    assert set(mine) == {"colour", "shape", "existence"}
    assert sum(result["n"] for result in mine.values()) >= 100
    for result in mine.values():
        assert result["weights"] == catalog.weights_checksum(catalog.path(name))
        assert result["shares"]["pair"] >= 0.9 > 2 * result["chance"]["pair"]


def test_the_docs_show_the_exact_games():
    shown = planted.table({(result["model"], result["kind"]): result for result in EXACT})
    assert shown in (BENCHMARKS.parent / "docs" / "zoo.md").read_text(encoding="utf-8")
