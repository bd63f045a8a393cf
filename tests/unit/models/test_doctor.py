"""The doctor finds nothing wrong with a sound adapter and the right thing with each broken one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, MissingCapability, UnknownName
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities.base import TokenMasker
from chiasm.models.base import Check
from chiasm.models.doctor import examine
from chiasm.models.function import FunctionModel

SAMPLE = Sample(image=np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8), text="one two three four")

FULL = "the full coalition is the plain forward pass"
EMPTY = "the empty coalition differs from the full one"
BATCH = "a batch gives what single coalitions give"
TWICE = "asking twice gives the same value"


def alone(part: str) -> str:
    return f"masking a player of {part!r} changes that player alone"


def reaches(part: str) -> str:
    return f"{part!r} reaches the model"


def place(part: str) -> str:
    return f"{part!r} takes its own place in the model"


def sound(samples: list) -> list[float]:
    """Sees where things are: a permuted picture or text has another value."""
    ramp = np.linspace(0.5, 1, 16)[:, None, None]
    return [
        float((s["image"] * ramp).mean()) + sum((k + 1) * len(w) for k, w in enumerate(s["text"].split()))
        for s in samples
    ]


def failed(checks: list[Check]) -> set[str]:
    return {check.name for check in checks if check.ok is False}


class Wrapped(FunctionModel):
    """A function model whose value function is spoilt."""

    def __init__(self, spoil: Callable[[Any, Any], Any], f: Any = sound) -> None:
        super().__init__(f)
        self.spoil = spoil

    def values(self, *args: Any) -> Any:
        inner = super().values(*args)
        spoil = self.spoil

        class Spoilt:
            batch_size = inner.batch_size

            def __call__(self, coalitions: np.ndarray) -> np.ndarray:
                return spoil(inner, coalitions)

        return Spoilt()


def test_a_sound_adapter_passes() -> None:
    checks = examine(FunctionModel(sound), SAMPLE)
    assert {check.name for check in checks if check.ok} == {
        FULL,
        EMPTY,
        BATCH,
        TWICE,
        *(name(part) for name in (alone, reaches, place) for part in ("image", "text")),
    }
    assert all(check.ok and check.detail.endswith(".") for check in checks)


@pytest.mark.parametrize("masker", ["blur:3", "noise:1", "grey", "zero"])
@pytest.mark.parametrize("text", ["delete", "neutral", "empty"])
def test_the_maskers_of_the_package_pass(masker: str, text: str) -> None:
    assert not failed(examine(FunctionModel(sound), SAMPLE, maskers={"image": masker, "text": text}))


def test_an_ignored_part_is_caught() -> None:
    checks = examine(FunctionModel(lambda samples: [float(len(s["text"])) for s in samples]), SAMPLE)
    assert failed(checks) == {reaches("image")}
    assert "changes nothing, to the last digit" in next(c.detail for c in checks if c.ok is False)


def test_a_constant_is_caught() -> None:
    assert EMPTY in failed(examine(FunctionModel(lambda samples: [1.0] * len(samples)), SAMPLE))


def test_a_scrambled_batch_is_caught() -> None:
    assert failed(examine(Wrapped(lambda inner, c: np.roll(inner(c), 1)), SAMPLE)) >= {BATCH}


def test_a_value_that_depends_on_its_neighbours_is_caught() -> None:
    assert BATCH in failed(examine(Wrapped(lambda inner, c: inner(c) + 0.01 * len(c)), SAMPLE))


def test_a_random_model_is_caught() -> None:
    rng = np.random.default_rng(0)
    checks = examine(FunctionModel(lambda samples: np.asarray(sound(samples)) + rng.normal(size=len(samples))), SAMPLE)
    assert TWICE in failed(checks)
    assert "dropout" in next(c.detail for c in checks if c.name == TWICE)


def test_another_model_than_the_plain_one_is_caught() -> None:
    checks = examine(Wrapped(lambda inner, c: 1.01 * inner(c)), SAMPLE)
    assert failed(checks) >= {FULL}
    assert "plain forward pass = " in next(c.detail for c in checks if c.name == FULL)


def test_swapped_parts_are_caught() -> None:
    rng = np.random.default_rng(1)
    left, right = (rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(2))
    sample = Sample(image_left=left, image_right=right)

    def f(samples: list) -> list[float]:
        return [float(s["image_left"].mean()) - 2 * float(s["image_right"].mean()) for s in samples]

    def swap(inner: Any, coalitions: np.ndarray) -> np.ndarray:
        return inner(np.roll(coalitions, coalitions.shape[1] // 2, axis=1))

    assert not failed(examine(FunctionModel(f), sample))
    assert failed(examine(Wrapped(swap, f), sample)) == {place("image_left"), place("image_right")}


def test_a_masker_that_spills_is_caught() -> None:
    class Spill:
        name = "spill"

        def apply(self, content: np.ndarray, players: Any, present: np.ndarray) -> list[np.ndarray]:
            out = []
            for row in present:
                picture = content.copy()
                picture[~np.append(row, True)[players.geometry.label_map]] = 0
                picture[0, 0] = 0 if not row.all() else picture[0, 0]
                out.append(picture)
            return out

    checks = examine(FunctionModel(sound), SAMPLE, maskers={"image": Spill()})
    assert failed(checks) == {alone("image")}
    assert "1 pixels outside it change" in next(c.detail for c in checks if c.ok is False)


def test_a_masker_that_never_leaves_the_content_alone_is_caught() -> None:
    class Always:
        name = "always"

        def apply(self, content: str, players: Any, present: np.ndarray) -> list[str]:
            return [content.upper() + "!" * int(row.sum()) for row in present]

    assert alone("text") in failed(examine(FunctionModel(sound), SAMPLE, maskers={"text": Always()}))


def test_a_model_that_raises_is_a_failed_check_and_no_crash() -> None:
    def f(samples: list) -> list[float]:
        if any(not s["text"] for s in samples):
            raise ValueError("no text")
        return sound(samples)

    checks = examine(FunctionModel(f), SAMPLE)
    assert failed(checks) >= {EMPTY, reaches("text")}
    assert "ValueError: no text" in next(c.detail for c in checks if c.name == EMPTY)


def test_a_part_without_players_does_not_apply() -> None:
    sample = Sample(image=SAMPLE["image"].data, text="")
    checks = {check.name: check.ok for check in examine(FunctionModel(sound), sample)}
    assert checks[reaches("text")] is None
    assert checks[reaches("image")] is True


def test_unusable_input_is_refused() -> None:
    with pytest.raises(UnknownName, match="txt"):
        examine(FunctionModel(sound), SAMPLE, maskers={"txt": "delete"})
    with pytest.raises(MissingCapability):
        examine(FunctionModel(sound), SAMPLE, maskers={"text": "attention"})
    with pytest.raises(InvalidInput):
        examine(FunctionModel(sound), SAMPLE, target=Target(scale="probability"))


class Tokens(FunctionModel):
    """A function model that pretends to mask tokens: one token a word, between two special ones."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__(sound, default_maskers={"text": "attention"})
        self.shift = shift

    def values(self, prepared: Any, players: Any, maskers: Any, *rest: Any) -> Any:
        from chiasm.modalities import modalities

        return super().values(prepared, players, {**maskers, "text": modalities.get("text").masker("delete")}, *rest)

    def masked_inputs(self, prepared: Any, players: Any, maskers: Any, coalitions: np.ndarray) -> dict[str, Any]:
        assert isinstance(maskers["text"], TokenMasker)
        present = players.split(coalitions)["text"]
        edge = np.ones((len(present), 1), bool)
        attention = np.roll(np.hstack([edge, present, edge]), self.shift, axis=1)
        spans = np.vstack([[[-1, -1]], players["text"].geometry.bounds, [[-1, -1]]])
        return {"text": {"ids": np.zeros(attention.shape, int), "attention": attention, "spans": spans}}


def test_token_masks_are_checked_where_the_adapter_shows_them() -> None:
    assert not failed(examine(Tokens(), SAMPLE))
    checks = examine(Tokens(shift=1), SAMPLE)
    assert failed(checks) == {alone("text")}
    assert "outside it change" in next(c.detail for c in checks if c.ok is False)


def test_token_masks_that_are_not_shown_are_left_open() -> None:
    class Hidden(Tokens):
        def masked_inputs(self, *args: Any) -> dict[str, Any]:
            return {}

    checks = {check.name: check.ok for check in examine(Hidden(), SAMPLE)}
    assert checks[alone("text")] is None


def test_the_adapters_own_checks_are_included() -> None:
    class Own(FunctionModel):
        def checks(self, sample: Sample) -> list[Check]:
            raise RuntimeError("ill")

    assert failed(examine(Own(sound), SAMPLE)) == {"checks of the family 'function'"}


def test_answers_spelled_for_one_sample_are_handed_to_the_other() -> None:
    """Decoders spell an answer as suits a sample; the check of places must compare the same tokens."""

    class Remembering(dict[Any, Any]):
        """What functions remember, and answers as decoders keep them."""

        def __init__(self) -> None:
            super().__init__()
            self.answers: dict[str, int] = {}

    class Spelling(FunctionModel):
        def prepare(self, sample: Sample) -> Any:
            prepared = super().prepare(sample)
            prepared.state = Remembering()
            return prepared

        def resolve(self, prepared: Any, target: Target) -> Any:
            prepared.state.answers["a"] = 0
            return super().resolve(prepared, target)

        def plain_value(self, prepared: Any, target: Target) -> float:
            return super().plain_value(prepared, target) + prepared.state.answers.get("a", 1)

    assert not failed(examine(Spelling(sound), SAMPLE))
