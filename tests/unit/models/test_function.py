"""FunctionModel: any callable as a model."""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, MissingCapability, ModelError, UnknownName
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models.function import FunctionModel, PerMask
from chiasm.models.games import make_game

PICTURE = np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3)
SAMPLE = Sample(image=PICTURE, text="one two three")


def count(samples: list) -> list[float]:
    return [float(s["image"].mean()) + 10.0 * len(s["text"].split()) for s in samples]


def values_of(model: FunctionModel, sample: Sample = SAMPLE, **options: object) -> object:
    return make_game(model, sample, players={"image": "grid:2x2"} if "image" in sample.parts else None, **options).game


def test_values_are_the_functions_own() -> None:
    game = values_of(FunctionModel(count), maskers={"image": "zero", "text": "delete"})
    assert game.full() == pytest.approx(PICTURE.mean() + 30)
    assert game.empty() == 0.0
    coalition = np.ones((1, 7), bool)
    coalition[0, [0, 5]] = False  # the upper left quarter and "two"
    hidden = PICTURE.copy()
    hidden[:6, :6] = 0
    assert game(coalition)[0] == pytest.approx(hidden.mean() + 20)


def test_a_coalition_costs_one_call() -> None:
    costs = values_of(FunctionModel(count)).costs
    assert (dict(costs.encode), costs.cell) == ({}, 1.0)


def test_what_the_function_is_given() -> None:
    seen: list = []

    def f(samples: list) -> np.ndarray:
        seen.extend(samples)
        return np.zeros(len(samples), np.float32)

    values_of(FunctionModel(f)).full()
    assert set(seen[0]) == {"image", "text"}
    assert seen[0]["image"].dtype == np.uint8
    assert seen[0]["image"].shape == (12, 12, 3)
    assert seen[0]["text"] == "one two three"


def test_each_part_mask_is_made_once() -> None:
    made: list[int] = []

    class Spy:
        name = "spy"

        def apply(self, content: str, players: object, present: np.ndarray) -> list[str]:
            made.append(len(present))
            return [" ".join("x" * bool(p) for p in row) for row in present]

    model = FunctionModel(lambda samples: [len(s["text"]) + s["image"].mean() for s in samples])
    game = values_of(model, maskers={"text": Spy()})
    rng = np.random.default_rng(0)
    game(rng.random((200, 7)) < 0.5)
    game(rng.random((200, 7)) < 0.5)
    assert sum(made) == 8  # 2**3 masks of the text, whatever the number of coalitions


def test_a_function_may_write_on_its_input() -> None:
    def f(samples: list) -> list[float]:
        result = [float(s["image"].mean()) for s in samples]
        for s in samples:
            s["image"][:] = 0
        return result

    game = values_of(FunctionModel(f))
    assert game.full() == game.full() == pytest.approx(PICTURE.mean())
    coalition = np.ones((2, 7), bool)
    coalition[:, 4] = False  # the same picture twice, from memory
    coalition[1, 5] = False
    assert game(coalition) == pytest.approx([PICTURE.mean()] * 2)


def test_one_sample_at_a_time() -> None:
    def single(image: np.ndarray, text: str) -> float:
        return float(image.mean()) + len(text)

    game = values_of(FunctionModel(single, batch=False))
    assert game.full() == pytest.approx(PICTURE.mean() + 13)
    with pytest.raises(ModelError, match=r"shape \(2,\) for one sample"):
        values_of(FunctionModel(lambda image, text: [1, 2], batch=False)).full()


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    model = FunctionModel(lambda samples: torch.ones(len(samples), requires_grad=True, dtype=torch.bfloat16))
    assert values_of(model).full() == 1.0


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "is a return statement missing"),
        (3.0, r"shape \(\)"),
        ([[1.0], [2.0]], "shape"),
        (["yes"], "must return numbers"),
        ([[1.0], [2.0, 3.0]], "no array of numbers"),
        ([float("nan")], "finite"),
        ([float("inf")], "finite"),
    ],
)
def test_wrong_results_are_refused_in_words(result: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        values_of(FunctionModel(lambda samples: result, name="mine"))


def test_errors_of_the_function_come_out_untouched() -> None:
    class Mine(Exception):
        pass

    def f(samples: list) -> list[float]:
        raise Mine

    with pytest.raises(Mine):
        values_of(FunctionModel(f))


@pytest.mark.parametrize(
    "target",
    [
        Target(scale="probability"),
        Target(),
        Target(scale="value", answer="yes"),
        Target(scale="value", token=0),
        Target(scale="value", candidates=("a",)),
        Target(scale="value", against="no"),
    ],
)
def test_only_its_value_is_a_target(target: Target) -> None:
    with pytest.raises(InvalidInput, match="plain function"):
        values_of(FunctionModel(count), target=target)


@pytest.mark.parametrize("masker", ["attention", "mask"])
def test_token_maskers_are_refused(masker: str) -> None:
    with pytest.raises(MissingCapability, match="'delete', 'neutral' or 'empty'"):
        values_of(FunctionModel(count), maskers={"text": masker})


def test_kinds() -> None:
    assert values_of(FunctionModel(lambda s: [1.0] * len(s)), Sample(text="a b")).full() == 1.0
    with pytest.raises(UnknownName, match="smell"):
        FunctionModel(count).prepare(Sample(smell=1))
    with pytest.raises(UnknownName, match="smell"):
        FunctionModel(count, kinds=["smell"])
    with pytest.raises(InvalidInput, match="needs a part of kind 'image'"):
        FunctionModel(count, kinds=["image", "text"]).prepare(Sample(text="a"))
    with pytest.raises(InvalidInput, match="something to call"):
        FunctionModel(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="batch size"):
        values_of(FunctionModel(count), batch_size=0)


def test_default_maskers_and_name() -> None:
    model = FunctionModel(count, default_maskers={"text": "neutral"})
    assert model.name == "count"
    assert make_game(model, SAMPLE).maskers == {"image": "mean", "text": "neutral"}
    assert FunctionModel(count, name="mine").name == "mine"


def test_batches_stay_within_the_batch_size() -> None:
    sizes: list[int] = []

    def f(samples: list) -> list[float]:
        sizes.append(len(samples))
        return count(samples)

    model = FunctionModel(f)
    prepared = model.prepare(SAMPLE)
    players = prepared.players({"image": "grid:2x2"})
    maskers = make_game(model, SAMPLE, players={"image": "grid:2x2"})
    sizes.clear()
    from chiasm.modalities import modalities

    chosen = {"image": modalities.get("image").masker("zero"), "text": modalities.get("text").masker("delete")}
    values = model.values(prepared, players, chosen, maskers.target, 3)
    assert len(values(np.ones((8, 7), bool))) == 8
    assert sizes == [3, 3, 2]
    assert len(values(np.ones((0, 7), bool))) == 0


def test_fingerprint() -> None:
    def other(samples: list) -> list[float]:
        return [0.0 for _ in samples]

    assert FunctionModel(count).fingerprint == FunctionModel(count).fingerprint != FunctionModel(other).fingerprint
    assert FunctionModel(functools.partial(count)).fingerprint == FunctionModel(count).fingerprint
    assert FunctionModel(len).fingerprint.startswith("function:")  # built in: no source
    assert FunctionModel(count, fingerprint="v2").fingerprint == "v2"


def test_memory_is_bounded_and_forgets_the_oldest() -> None:
    memory = PerMask(lambda present: [np.zeros(100, np.uint8) for _ in present], limit=250)
    a, b, c = np.eye(3, dtype=bool)[:, None, :]
    for mask in (a, b, a, c, a):
        memory(mask)
    assert memory.computed == 3  # a was used when c pushed b out
    memory(b)
    assert memory.computed == 4
    assert len(memory(np.concatenate([a, b, c, a]))) == 4  # one call may hold more than the limit


def test_a_masker_that_loses_rows_is_caught() -> None:
    with pytest.raises(ModelError, match="one a mask"):
        PerMask(lambda present: [])(np.ones((2, 3), bool))


def test_function_models_need_no_torch() -> None:
    code = "import sys, chiasm.models.function as f, chiasm.models.doctor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
