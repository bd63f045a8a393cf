"""What a model answers to masked samples is what it answers when it is given the masked sample as its sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from decoder_help import ALL, Case, random_coalitions
from tiny_dual import picture as small_picture
from tiny_fusion import save_blip, save_vilt

from chiasm.core.errors import MissingCapability
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models.function import FunctionModel
from chiasm.models.fusion import BlipAdapter, ViltAdapter

TEXT = "what is left of the red square ?"
FUSION: dict[str, tuple[Callable[..., Any], Any]] = {"vilt": (save_vilt, ViltAdapter), "blip": (save_blip, BlipAdapter)}


def check(adapter: Any, case: Case) -> None:
    """Ask about coalitions, and again about each masked sample."""
    coalitions = np.vstack([np.ones((1, case.n), bool), random_coalitions(case.n, 7)])
    found = adapter.answers(case.prepared, case.players, case.maskers, coalitions)
    masks = case.players.split(coalitions)
    contents = {
        name: list(masker.apply(case.prepared.contents[name], case.players[name], masks[name]))
        for name, masker in case.maskers.items()
    }
    assert (found[0].answer, found[0].complete) == (case.prediction.answer, case.prediction.complete)
    for k, one in enumerate(found):
        again = adapter.prepare(Sample(**{name: content[k] for name, content in contents.items()}))
        _, expected = adapter.resolve(again, Target(answer=case.target.answer))
        assert (one.answer, one.complete) == (expected.answer, expected.complete)
        assert one.probability == (
            None if expected.probability is None else pytest.approx(expected.probability, rel=1e-4)
        )


@pytest.mark.parametrize("name", ALL)
def test_decoders(name: str, adapter: Callable[..., Any], picture: np.ndarray) -> None:
    model = adapter(name)
    seen = model.prepare(Sample(image=picture, text=TEXT)).contents["image"]  # a size that is not changed again
    check(model, Case(model, seen, text="delete"))


@pytest.mark.parametrize("name", FUSION)
def test_fusion_encoders(name: str, tmp_path: Any) -> None:
    save, kind = FUSION[name]
    model = kind.from_pretrained(str(save(tmp_path)), name=name, device="cpu")
    own = "yes" if name == "vilt" else None
    case = Case(model, small_picture(), Target(answer=own), question=TEXT, text="delete")
    check(model, case)


def test_answers_differ_by_what_is_seen_and_come_in_their_order(adapter: Callable[..., Any], picture: Any) -> None:
    model = adapter("llava")
    case = Case(model, picture)
    coalitions = random_coalitions(case.n, 40)
    together = model.answers(case.prepared, case.players, case.maskers, coalitions)
    assert len({one.answer for one in together}) > 1
    alone = [model.answers(case.prepared, case.players, case.maskers, row[None])[0] for row in coalitions]
    assert [one.answer for one in together] == [one.answer for one in alone]
    assert model.answers(case.prepared, case.players, case.maskers, coalitions[:0]) == []


def test_a_model_without_answers_says_so() -> None:
    model = FunctionModel(lambda **parts: len(parts["text"]))
    prepared = model.prepare(Sample(text="one two"))
    players = prepared.players({})
    with pytest.raises(MissingCapability, match="no answers of its own"):
        model.answers(prepared, players, {}, np.ones((1, 2), bool))
