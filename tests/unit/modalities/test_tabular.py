"""Rows of tables: reading, players, maskers; and values that are known in closed form."""

from __future__ import annotations

import itertools
import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingCapability, UnknownName
from chiasm.core.players import PartPlayers, Spans
from chiasm.modalities.base import Context, DrawnMasker, Placement, TokenMasker
from chiasm.modalities.perturbations import perturbations
from chiasm.modalities.tabular import TABULAR, AnotherRow, Background, Conditional, Families, Groups, Marginal
from chiasm.models.doctor import examine

ROW = {"age": 31.0, "job_nurse": 1.0, "job_cook": 0.0, "city": "Oslo", "income": 5.0}
TABLE = {
    "age": [20.0, 40.0, 60.0, None],
    "job_nurse": [1, 0, 0, 1],
    "job_cook": [0, 1, 1, 0],
    "city": ["Rome", "Rome", "Oslo", None],
    "income": [1.0, 2.0, 3.0, 6.0],
    "label": [0, 1, 0, 1],
}


def cut(segmenter="columns", row=ROW):
    return TABULAR.segment("tabular", row, segmenter, Context())


def sets(players):
    owners = players.geometry.label_map
    return {
        label: [c for c, o in zip(players.content, owners, strict=True) if o == k]
        for k, label in enumerate(players.labels)
    }


def same(a, b):
    """Rows equal, missing equal to missing."""
    return list(a) == list(b) and all(
        x == y or (math.isnan(float(x)) and math.isnan(float(y))) for x, y in zip(a.values(), b.values(), strict=True)
    )


# ---- reading ---------------------------------------------------------------------------------------------------------
def test_all_forms_of_a_row(tmp_path):
    (tmp_path / "row.json").write_text(json.dumps({"a": 1, "b": "x", "c": None}))
    (tmp_path / "row.csv").write_text("\ufeffa, b,c\n1,x,\n", encoding="utf-8")
    pd.DataFrame({"a": [1], "b": ["x"], "c": [None]}).to_parquet(tmp_path / "row.parquet")
    wanted = {"a": 1.0, "b": "x", "c": math.nan}
    given = [
        {"a": np.int8(1), "b": np.str_("x"), "c": pd.NA},
        {"a": True, "b": "x", "c": float("nan")},
        pd.Series({"a": 1, "b": "x", "c": None}),
        pd.DataFrame({"a": [1], "b": ["x"], "c": [np.nan]}),
        "a=1,b=x,c=",
        str(tmp_path / "row.json"),
        tmp_path / "row.csv",
        str(tmp_path / "row.parquet"),
    ]
    for data in given:
        row = TABULAR.read(data)
        assert same(row, wanted)
        assert {type(v) for v in row.values()} == {float, str}
    own = {"a": 1.0}
    assert TABULAR.read(own) is not own


REFUSED = {
    "a list": ([1, 2], "give a table of column to value"),
    "nothing": ({}, "has no column"),
    "infinite": ({"a": math.inf}, "Column 'a' of the row is inf; give a finite number"),
    "a list in it": ({"a": [1]}, "give a number or a text"),
    "one name twice": ({1: 2, "1": 3}, "names must differ"),
    "a sentence": ("what is this", "is no row and no file"),
    "twice in a text": ("a=1,a=2", "'a' stands twice"),
    "several rows": (pd.DataFrame({"a": [1, 2]}), r"DataFrame of 2 rows; give one, e.g. table.iloc\[0\]"),
    "no file": ("nothing.json", "There is no file 'nothing.json'"),
    "no file either": ("nothing.csv", "There is no file 'nothing.csv'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_row_is_refused_in_words(name):
    data, message = REFUSED[name]
    with pytest.raises(InvalidInput, match=message):
        TABULAR.read(data)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("two.csv", "a,b\n1,2\n3,4\n", "holds 2 rows; a part is one row"),
        ("ragged.csv", "a,b\n1\n", "row 1 has 1 cells and the heading 2"),
        ("twice.csv", "a,a\n1,2\n", "'a' stands twice"),
        ("empty.csv", "", "lengths"),
        ("heading.csv", "a,b\n", "at least one row"),
        ("list.json", '[{"a": 1}, {"a": 2}]', "holds 2 rows"),
        ("bad.json", "{", "cannot be read as JSON"),
        ("bad.csv", b"a\n\xff\n", "cannot be read as a table"),
        ("bad.parquet", "x", "cannot be read as a table"),
    ],
)
def test_files_that_hold_no_row_are_refused_in_words(tmp_path, name, text, message):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidInput, match=message):
        TABULAR.read(tmp_path / name)


# ---- players ---------------------------------------------------------------------------------------------------------
def test_columns_families_and_groups():
    assert sets(cut()) == {name: [name] for name in ROW}
    family = {"age": ["age"], "job=nurse": ["job_nurse", "job_cook"], "city": ["city"], "income": ["income"]}
    assert sets(cut("families")) == sets(cut("families:job")) == sets(cut(Families(["job"]))) == family
    assert sets(cut("groups:age+income,city")) == {"age + income": ["age", "income"], "city": ["city"]}
    rest = {"age": ["age"], "rest": ["job_nurse", "job_cook", "city", "income"]}
    assert sets(cut("groups:age,rest")) == sets(cut(Groups({"age": "age"}, "player"))) == rest
    assert sets(cut({"who": ["city", "age"]})) == {"who": ["age", "city"]}
    assert cut({"who": ["age"]}).geometry.label_map.tolist() == [0, -1, -1, -1, -1]


def test_what_looks_like_a_family_and_is_none():
    """A common beginning does not do: the values must be a choice; a plain column of that name stays outside."""
    assert len(cut("families", {"mean_a": 1.0, "mean_b": 3.0})) == 2
    assert len(cut("families", {"has_dog": 1.0, "has_cat": 1.0})) == 2
    assert len(cut("families", {"job_x": 1.0})) == 1
    row = {"job": 7.0, "job_a": 0.0, "job_b": 1.0}
    assert sets(cut("families", row)) == {"job": ["job"], "job=b": ["job_a", "job_b"]}
    assert cut("families:job", {"job_a": 0.0, "job_b": 0.0}).labels == ("job",)


@pytest.mark.parametrize(
    ("segmenter", "error", "message"),
    [
        ("column", UnknownName, "Unknown tabular segmenter 'column'. Did you mean 'columns'"),
        ("columns:3", InvalidInput, "takes no argument"),
        ("families:", InvalidInput, "names no family"),
        ("families:town", InvalidInput, "There is no family 'town'"),
        ("groups:", InvalidInput, "names no groups"),
        ("groups:age,,city", InvalidInput, "names no groups"),
        ("groups:ages", UnknownName, "Unknown column 'ages'. Did you mean 'age'"),
        ("groups:age,age", InvalidInput, "stands twice in the groups"),
        ({}, InvalidInput, "There is no group"),
        ({"a": []}, InvalidInput, "Group 'a' has no column"),
        (7, InvalidInput, "7 is no segmenter of rows"),
    ],
)
def test_segmenters_that_are_none(segmenter, error, message):
    with pytest.raises(error, match=message):
        cut(segmenter)


def test_truth_covers_columns():
    players = cut("groups:age+income,city")
    none = Placement()
    assert TABULAR.overlap(players, np.array([0, 3]), none).tolist() == [0.5, 1.0]
    assert TABULAR.overlap(players, np.array([False, True, True, False, True]), none).tolist() == [0.5, 0.0]
    assert TABULAR.overlap(players, np.array([], np.int64), none).tolist() == [0.0, 0.0]
    for wrong in (np.array([5]), np.array([-1]), np.array([[0, 1]]), np.array([0.5]), np.array([True])):
        with pytest.raises(InvalidInput, match="truth"):
            TABULAR.overlap(players, wrong, none)


# ---- maskers ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def table(tmp_path):
    path = tmp_path / "train.csv"
    pd.DataFrame(TABLE).to_csv(path, index=False)
    return str(path)


def empty(masker, row=ROW):
    """What stands where every column is absent."""
    players = cut(row=row)
    (found,) = masker.apply(row, players, np.zeros((1, len(players)), bool))
    return found


def test_what_stands_for_absent_columns(table, tmp_path):
    (tmp_path / "row.json").write_text(json.dumps(ROW | {"age": 9, "more": 1}))
    nothing = {"age": 0.0, "job_nurse": 0.0, "job_cook": 0.0, "city": "", "income": 0.0}
    mean = {"age": 40.0, "job_nurse": 0.5, "job_cook": 0.5, "city": "Rome", "income": 3.0}
    assert empty(TABULAR.masker("zero")) == nothing
    assert same(empty(TABULAR.masker("missing")), {name: v if v == "" else math.nan for name, v in nothing.items()})
    assert empty(TABULAR.masker("constant:-1.5"))["age"] == -1.5
    assert empty(TABULAR.masker(f"row:{tmp_path / 'row.json'}")) == ROW | {"age": 9.0}
    assert empty(TABULAR.masker(AnotherRow(ROW | {"city": "Rome"}))) == ROW | {"city": "Rome"}
    assert empty(TABULAR.masker(f"mean:{table}")) == mean
    assert empty(TABULAR.masker(f"median:{table}")) == mean | {"income": 2.5}


def test_masked_rows_keep_what_is_present_and_what_no_player_owns(table):
    players = cut("groups:age+income,city")
    present = np.array(list(itertools.product([False, True], repeat=2)))
    for masker in (TABULAR.masker(f"mean:{table}"), TABULAR.masker(f"marginal:2:{table}").draw(1)):
        base = empty(masker)
        for (numbers, city), row in zip(present, masker.apply(ROW, players, present), strict=True):
            wanted = dict(ROW)
            if not numbers:
                wanted |= {"age": base["age"], "income": base["income"]}
            if not city:
                wanted["city"] = base["city"]
            assert same(row, wanted)


def test_a_marginal_background_draws_rows_by_seed_without_repeats():
    background = Background(TABLE)
    every = background.marginal(rows=100)
    assert isinstance(every, DrawnMasker)
    assert every.draws == 4
    assert sorted(empty(every.draw(k))["income"] for k in range(4)) == [1.0, 2.0, 3.0, 6.0]
    two = [empty(background.marginal(2, seed=s).draw(k))["income"] for s in range(20) for k in (0, 1)]
    assert set(two) == {1.0, 2.0, 3.0, 6.0}
    assert empty(background.marginal(2, seed=3).draw(0)) == empty(background.marginal(2, seed=3))
    assert empty(TABULAR.masker(background).draw(0)) == empty(background.marginal().draw(0))


def test_neighbours_are_nearest_in_the_present_columns_alone():
    background = Background({"x": [0.0, 1.0, 2.0, 10.0], "c": ["a", "b", "a", "b"], "y": [1.0, 2.0, 3.0, 4.0]})
    row = {"x": 1.9, "c": "b", "y": 0.0}
    masker = background.conditional(2)

    def find(*keep):
        """Rows counted from 1, which is their y."""
        return (1 + masker.nearest(row, np.array(keep, bool))).tolist()

    assert find(1, 0, 0) == [3, 2]
    assert find(1, 1, 0) == [2, 3]  # 0.9 apart in x is less than the other text
    assert set(find(0, 1, 0)) == {2, 4}
    assert find(0, 0, 1) == [1, 2]
    assert masker.nearest({"x": math.nan, "c": math.nan, "y": 0.0}, np.array([True, True, False])).shape == (2,)
    players = TABULAR.segment("t", row, "columns", Context())
    (masked,) = masker.draw(1).apply(row, players, np.array([[True, False, False]]))
    assert masked == {"x": 1.9, "c": "b", "y": 2.0}


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("means", UnknownName, "Unknown tabular masker 'means'"),
        ("zero:1", InvalidInput, "takes no argument"),
        ("constant:", InvalidInput, "names no finite number"),
        ("constant:inf", InvalidInput, "names no finite number"),
        ("mean", InvalidInput, r"names no file; write 'mean:PATH', or pass Background\(table\)"),
        ("mean:no.csv", InvalidInput, "There is no file 'no.csv'"),
        ("marginal:5:", InvalidInput, "There is no file"),
        ("marginal:0:train.txt", InvalidInput, "There is no file"),
        (TokenMasker("mask", "mask"), InvalidInput, "hides tokens of a text"),
        (3, InvalidInput, "3 is no masker of rows"),
    ],
)
def test_maskers_that_are_none(spec, error, message):
    with pytest.raises(error, match=message):
        TABULAR.masker(spec)


def test_backgrounds_that_do_not_fit():
    with pytest.raises(UnknownName, match="Unknown column of the background 'age'"):
        empty(Background({"x": [1.0]}).marginal())
    with pytest.raises(InvalidInput, match=r"Column 'age' of the background has texts and the row has a number: 31\.0"):
        empty(Background(TABLE | {"age": ["a"] * 4}).marginal())
    with pytest.raises(UnknownName, match=r"Unknown column of the masker 'row:.*': 'job_nurse'"):
        empty(TABULAR.masker({"age": 1}))
    for rows in (0, 1.5, True):
        with pytest.raises(InvalidInput, match="give a whole number of at least 1"):
            Background(TABLE).marginal(rows)
    with pytest.raises(InvalidInput, match="The seed is -1"):
        Background(TABLE).conditional(1, seed=-1)
    with pytest.raises(InvalidInput, match="Row 2 of the table has the columns b"):
        Background([{"a": 1}, {"b": 2}])
    with pytest.raises(InvalidInput, match="lengths"):
        Background({"a": [1], "b": [1, 2]})
    for scalar in (3, "abc"):
        with pytest.raises(InvalidInput, match=r"Column 'a' of the table is .*; give a value for each row"):
            Background({"a": scalar})
    with pytest.raises(InvalidInput, match="'a' of the table has an infinite value"):
        Background({"a": np.array([1.0, np.inf])})
    with pytest.raises(InvalidInput, match="The table is a int"):
        Background(3)
    with pytest.raises(InvalidInput, match="are no sets of columns"):
        TABULAR.masker("zero").apply(
            ROW, PartPlayers("p", "tabular", ("a",), Spans(np.array([[0, 1]]))), np.zeros((1, 1), bool)
        )


def test_backgrounds_are_told_by_their_content(table):
    frame, rows = pd.DataFrame(TABLE), [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
    nullable = frame.convert_dtypes()  # pandas' own types, where a missing value is NA
    made = [Background(table), Background(frame), Background(TABLE), Background(rows), Background(nullable)]
    assert len({one.fingerprint for one in made}) == 1
    assert Background(TABLE | {"age": [1, 2, 3, 4]}).fingerprint != made[0].fingerprint
    assert (made[0].name, made[2].name) == (table, f"4x6-{made[0].fingerprint[:8]}")
    again = pickle.loads(pickle.dumps(made[0].conditional(2)))  # noqa: S301 - our own
    assert empty(again) == empty(made[0].conditional(2))


# ---- known values ----------------------------------------------------------------------------------------------------
COEFFICIENTS = {"a": 2.0, "b": -1.0, "c": 0.5}


def linear(samples):
    return [sum(weight * s["tabular"][name] for name, weight in COEFFICIENTS.items()) for s in samples]


def shapley(f, row, masker, **more):
    return cx.explain(
        cx.FunctionModel(f), cx.Sample(tabular=row), maskers={"tabular": masker}, method="exact", index="SII", **more
    )


def test_a_linear_model_under_a_marginal_background_is_coefficient_times_distance_from_the_mean():
    """φ_i = w_i (x_i − mean of column i), whatever the columns' dependence."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=60)
    table = {name: shared + rng.normal(size=60) for name in COEFFICIENTS}
    row = {"a": 1.0, "b": 2.0, "c": -3.0}
    wanted = [weight * (row[name] - table[name].mean()) for name, weight in COEFFICIENTS.items()]
    for masker in (Background(table).marginal(rows=60), TABULAR.masker(AnotherRow(Background(table).averages(row)))):
        e = shapley(linear, row, masker)
        np.testing.assert_allclose(e.single, wanted, atol=1e-9)
        assert e.full - e.empty == pytest.approx(sum(wanted))
    assert e.provenance.computed == 8


def test_products_under_a_marginal_background_are_expectations_and_not_values_at_the_mean():
    """f = x₁ x₂: v(∅) = mean of the products, v({1}) = x₁ · mean of column 2; at the mean it would be their product."""
    table = {"a": [0.0, 2.0], "b": [1.0, 5.0]}
    product = lambda samples: [s["tabular"]["a"] * s["tabular"]["b"] for s in samples]  # noqa: E731
    e = shapley(product, {"a": 3.0, "b": 4.0}, Background(table).marginal())
    assert (e.empty, e.full) == (5.0, 12.0)
    v1, v2 = 3.0 * 3.0, 4.0 * 1.0
    wanted = [((v1 - 5) + (12 - v2)) / 2, ((v2 - 5) + (12 - v1)) / 2]
    np.testing.assert_allclose(e.single, wanted, atol=1e-12)


def test_neighbours_of_a_correlated_gaussian_give_its_conditional_expectation():
    """f = x₁ with corr(x₁, x₂) = ρ: E[f | x₂] = ρ x₂, so the unused x₂ gets φ₂ = ρ x₂ / 2; a marginal one gives 0."""
    rho, x = 0.9, (1.0, 1.5)
    rng = np.random.default_rng(1)
    first = rng.normal(size=20_000)
    second = rho * first + math.sqrt(1 - rho**2) * rng.normal(size=20_000)
    background = Background({"one": first, "two": second})
    row = {"one": x[0], "two": x[1]}
    use_one = lambda samples: [s["tabular"]["one"] for s in samples]  # noqa: E731
    e = shapley(use_one, row, background.conditional(400, seed=2))
    wanted = np.array([x[0] - rho * x[1] / 2, rho * x[1] / 2])  # v(∅) = 0, v(1) = v(12) = x₁, v(2) = ρ x₂
    # 400 of 20,000 neighbours: standard errors of 1/√400 at ∅ and √(1 − ρ²)/√400 at {2}
    np.testing.assert_allclose(e.single, wanted, atol=0.08)
    np.testing.assert_allclose(shapley(use_one, row, background.marginal(400)).single[1], 0.0, atol=1e-12)


def test_a_family_hidden_as_one_and_column_by_column():
    """A model that reads the whole family sees half a person where its columns go one by one; as one it does not."""
    seen = []

    def read(samples):
        seen.extend(s["tabular"]["job_nurse"] + s["tabular"]["job_cook"] for s in samples)
        return [s["tabular"]["income"] for s in samples]

    shapley(read, ROW, Background(TABLE).marginal(), players="families")
    assert set(seen) == {1.0}
    shapley(read, ROW, Background(TABLE).marginal())
    assert set(seen) == {0.0, 1.0, 2.0}


def test_a_row_beside_a_text_by_name_and_on_file(table, tmp_path):
    def price(samples):
        return [s["tabular"]["income"] * ("double" in s["text"]) + s["tabular"]["age"] for s in samples]

    model = cx.FunctionModel(price, ["tabular", "text"], fingerprint="price 1")
    sample = cx.Sample(tabular="age=31,income=5", text="double it")
    e = cx.explain(
        model, sample, players="tabular=columns,text=words", maskers=f"tabular=mean:{table},text=delete", method="exact"
    )
    assert e.interactions["tabular", "text"] == pytest.approx(np.array([[0, 0], [2.0, 0]]))
    assert e.provenance.maskers == {"tabular": f"mean:{table}", "text": "delete"}
    back = cx.Explanation.load(e.save(tmp_path / "e.json"))
    assert back.players["tabular"].content == {"age": 31.0, "income": 5.0}


def test_draws_of_two_parts_go_together_and_must_be_as_many():
    background = Background({"x": [0.0, 1.0, 5.0]})
    f = lambda samples: [s["tabular"]["x"] * s["tabular_b"]["x"] for s in samples]  # noqa: E731
    sample = cx.Sample(tabular={"x": 2.0}, tabular_b={"x": 3.0})
    both = {"tabular": background.marginal(), "tabular_b": background.marginal()}
    e = cx.explain(cx.FunctionModel(f), sample, maskers=both, method="exact")
    assert e.empty == pytest.approx((0 + 1 + 25) / 3)  # the same row for both, not the product of means
    one = {"tabular": background.marginal(), "tabular_b": background.marginal(1)}
    assert cx.explain(cx.FunctionModel(f), sample, maskers=one, method="exact").part_values[
        "tabular",
    ] == pytest.approx(2.0 * background.row(int(one["tabular_b"].places[0]), {"x": 0.0})["x"])
    uneven = {"tabular": background.marginal(3), "tabular_b": background.marginal(2)}
    with pytest.raises(InvalidInput, match="'tabular' has 3, 'tabular_b' has 2 draws; give all as many"):
        cx.explain(cx.FunctionModel(f), sample, maskers=uneven, method="exact")


def test_costs_count_every_draw_and_a_function_may_write_on_its_rows():
    def rude(samples):
        for s in samples:
            s["tabular"]["age"] += 1000.0
        return [s["tabular"]["age"] for s in samples]

    e = shapley(rude, ROW, Background(TABLE | {"age": [1.0, 2.0, 3.0, 4.0]}).marginal())
    assert (e.full, e.empty) == (1031.0, 1002.5)
    assert e.provenance.passes == 4 * e.provenance.computed


def test_the_doctor_finds_a_masker_of_rows_that_changes_more():
    model = cx.FunctionModel(lambda samples: [s["tabular"]["age"] for s in samples], name="age")
    sample = cx.Sample(tabular=ROW)
    assert all(check.ok is not False for check in examine(model, sample, maskers={"tabular": Background(TABLE)}))

    class Wrong:
        name = "wrong"

        def apply(self, content, players, present):
            return [content if row.all() else content | {"age": 0.0, "city": ""} for row in present]

    assert any(
        "city outside it change" in c.detail
        for c in examine(model, sample, maskers={"tabular": Wrong()})
        if c.ok is False
    )
    with pytest.raises(MissingCapability):
        cx.explain(model, sample, method="chefer")


def test_explanations_of_a_model_with_a_background_of_its_own_can_be_scored_from_their_file(tmp_path):
    background = Background(TABLE | {"age": [1.0, 2.0, 3.0, 4.0]})
    f = lambda samples: [s["tabular"]["age"] * s["tabular"]["income"] for s in samples]  # noqa: E731
    model = cx.FunctionModel(f, ["tabular"], default_maskers={"tabular": background.conditional(2)})
    sample = cx.Sample(tabular=ROW)
    e = cx.Explanation.load(cx.explain(model, sample, method="exact").save(tmp_path / "e.json"))
    found = cx.evaluate(model, sample, e, metrics=["insertion"])
    wanted = cx.evaluate(model, sample, e, metrics=["insertion"], maskers={"tabular": background.conditional(2)})
    assert [row.score.value for row in found.rows] == [row.score.value for row in wanted.rows]
    with pytest.raises(InvalidInput, match="a background that was given as an object"):
        cx.evaluate(cx.FunctionModel(f), sample, e, metrics=["insertion"])


def test_other_parts_are_masked_once_for_all_draws():
    masked = []

    class Counting:
        name = "counting"

        def apply(self, content, players, present):
            masked.append(len(present))
            return [content if row.all() else "" for row in present]

    model = cx.FunctionModel(lambda samples: [s["tabular"]["income"] * len(s["text"]) for s in samples])
    sample = cx.Sample(tabular=ROW, text="one two")
    both = {"tabular": Background(TABLE), "text": Counting()}
    cx.explain(model, sample, maskers=both, players={"text": "sentences"}, method="exact")
    assert sum(masked) == 2


def test_small_changes_of_a_row_keep_its_choices():
    changed = perturbations("tabular")["jitter"](ROW, np.random.default_rng(0), 1.0)
    assert {name for name in ROW if changed[name] != ROW[name]} == {"age", "income"}
    assert changed["age"] == pytest.approx(31, rel=0.05)


def test_kinds_of_maskers_are_seen_through_their_protocols():
    background = Background(TABLE)
    assert background.conditional(5, seed=3).name == f"conditional:5:{background.name} (seed 3)"
    assert isinstance(background.marginal(), Marginal)
    assert isinstance(background.conditional(), Conditional)
    assert repr(background) == f"Background({background.name!r})"


def test_trees_under_a_marginal_background_have_the_values_of_a_peer():
    """The interventional values of ``shap`` on scikit-learn's diabetes data, with the same rows as background."""
    from shap import TreeExplainer
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import GradientBoostingRegressor

    data = load_diabetes(as_frame=True, scaled=False).data.iloc[:, :7]
    target = load_diabetes().target
    trees = GradientBoostingRegressor(n_estimators=20, max_depth=3, random_state=0).fit(data.to_numpy(), target)
    table, row = data.iloc[:25], data.iloc[40]

    def predict(samples):
        return trees.predict(np.array([list(s["tabular"].values()) for s in samples]))

    e = shapley(predict, row, Background(table).marginal(rows=25))
    peer = TreeExplainer(trees, table.to_numpy(), feature_perturbation="interventional")
    np.testing.assert_allclose(e.single, peer.shap_values(row.to_numpy()[None])[0], atol=1e-6)
