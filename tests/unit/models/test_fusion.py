"""ViLT and BLIP question answering on tiny random checkpoints, against plain transformers code, with each pitfall."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_dual import picture
from tiny_fusion import ANSWERS, WORD_PIECES, save_blip, save_vilt

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities import modalities
from chiasm.models.doctor import examine
from chiasm.models.fusion import BlipAdapter, ViltAdapter
from chiasm.models.games import make_game

torch = pytest.importorskip("torch")

TEXT = "what is left of the red square ?"
SAMPLE = Sample(image=picture(), text=TEXT)
PLAYERS = {"image": "grid:2x2", "text": "words"}


@pytest.fixture(scope="module")
def vilt(tmp_path_factory: pytest.TempPathFactory) -> ViltAdapter:
    return ViltAdapter.from_pretrained(str(save_vilt(tmp_path_factory.mktemp("vilt"))), name="vilt", device="cpu")


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> BlipAdapter:
    return BlipAdapter.from_pretrained(str(save_blip(tmp_path_factory.mktemp("blip"))), name="blip", device="cpu")


@pytest.fixture(params=["vilt", "blip"])
def adapter(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def game(adapter: Any, target: Target | None = None, text: str = "attention") -> Any:
    return make_game(adapter, SAMPLE, players=PLAYERS, maskers={"text": text}, target=target).game


def without(*hidden: int) -> np.ndarray:
    """One coalition of 4 areas and 8 words with some players hidden."""
    coalition = np.ones((1, 12), bool)
    coalition[0, list(hidden)] = False
    return coalition


@pytest.mark.parametrize("text", ["attention", "mask", "delete", "neutral"])
def test_the_doctor_finds_nothing(adapter: Any, text: str) -> None:
    checks = examine(adapter, SAMPLE, {"text": "tokens", "image": "grid:model"}, {"text": text})
    assert [c for c in checks if c.ok is False] == []
    assert sum(c.ok is True for c in checks) >= 10


@pytest.mark.parametrize("scale", ["log_probability", "probability", "logit"])
@pytest.mark.parametrize("against", [None, "no"])
def test_targets_equal_the_plain_path(adapter: Any, scale: Any, against: str | None) -> None:
    made = make_game(adapter, SAMPLE, target=Target(scale=scale, answer="blue", against=against))
    assert made.game.full() == pytest.approx(adapter.plain_value(made.prepared, made.target), abs=1e-4)


def test_a_picture_and_a_text_are_worked_on_once_a_mask(adapter: Any) -> None:
    made = make_game(adapter, SAMPLE, players=PLAYERS)
    maskers = {kind: modalities.get(kind).masker(adapter.default_maskers[kind]) for kind in ("image", "text")}
    values = adapter.values(made.prepared, made.game.all_players, maskers, made.target, 16)
    coalitions = np.random.default_rng(0).random((64, 12)) < 0.5
    coalitions[:, 6:] = True
    values(coalitions)
    assert values.images.computed <= 16
    assert values.texts.computed <= 4
    assert values.batch_size == 16


def test_only_a_tower_of_its_own_is_counted_with_the_picture(vilt: ViltAdapter, blip: BlipAdapter) -> None:
    assert game(vilt).costs.encode == {"image": 0.0}
    assert game(vilt).costs.cell == 1.0
    costs = game(blip).costs
    assert 0.05 < costs.encode["image"] < 0.95
    assert costs.encode["image"] + costs.cell == pytest.approx(1)


@pytest.mark.parametrize("text", ["attention", "delete"])
def test_values_do_not_depend_on_the_batch(adapter: Any, text: str) -> None:
    coalitions = np.random.default_rng(0).random((24, 12)) < 0.5
    together = game(adapter, Target(answer="blue"), text)(coalitions)
    alone = [game(adapter, Target(answer="blue"), text)(row)[0] for row in coalitions]
    assert together == pytest.approx(alone, abs=1e-4)


def test_mask_tokens_stand_for_hidden_words(adapter: Any) -> None:
    masked = TEXT.replace("red", "[MASK]")
    target = Target(answer="blue")
    made = make_game(adapter, SAMPLE, target=target)
    inputs = adapter.plain_inputs(made.prepared, [masked])
    assert WORD_PIECES.index("[MASK]") in inputs["input_ids"][0]
    made.prepared.contents["text"] = masked
    plain = adapter.plain_value(made.prepared, made.target)
    assert game(adapter, target, "mask")(without(4 + 5))[0] == pytest.approx(plain, abs=1e-4)


def test_long_texts_and_special_tokens_are_refused(adapter: Any) -> None:
    with pytest.raises(InvalidInput, match="positions for 20"):
        adapter.prepare(Sample(image=picture(), text="red " * 30))
    with pytest.raises(InvalidInput, match=r"special token '\[SEP\]'"):
        adapter.prepare(Sample(image=picture(), text="red [SEP] cat"))


# ViLT


def test_vilt_hidden_words_leave_positions_in_place(vilt: ViltAdapter) -> None:
    inputs = vilt.plain_inputs(vilt.prepare(SAMPLE), [TEXT])
    inputs["attention_mask"][0, 1 + 5] = 0  # "red", after the class token
    with torch.inference_mode():
        expected = vilt.model(**inputs).logits.log_softmax(-1)[0, ANSWERS.index("blue")]
    assert game(vilt, Target(answer="blue"))(without(4 + 5))[0] == pytest.approx(float(expected), abs=1e-4)


def test_vilt_patches_are_never_shuffled(vilt: ViltAdapter) -> None:
    prepared = vilt.prepare(SAMPLE)
    first = torch.stack(vilt.attentions(prepared)).numpy()
    torch.manual_seed(123)
    assert np.array_equal(first, torch.stack(vilt.attentions(prepared)).numpy())
    assert first.shape == (2, 2, 10 + 1 + 20, 10 + 1 + 20)
    assert first.sum(axis=-1) == pytest.approx(1.0, abs=1e-5)
    # patch k of the picture is token 11 + k: darkening it changes the keys of that token alone in the first layer
    own = vilt.image_embeds(vilt.pixel_values(prepared.contents["image"][None]))
    dark = prepared.contents["image"].copy()
    dark[8:16, 16:24] = 0  # row 1, column 2 of 4 x 5
    other = vilt.image_embeds(vilt.pixel_values(dark[None]))
    changed = (own != other).any(dim=-1)[0]
    assert changed.nonzero().flatten().tolist() == [1 + 5 + 2]


def test_vilt_embeddings_equal_the_librarys_up_to_order(vilt: ViltAdapter) -> None:
    prepared = vilt.prepare(SAMPLE)
    pixels = vilt.pixel_values(prepared.contents["image"][None])
    own = vilt.image_embeds(pixels)[0]
    with torch.inference_mode():
        theirs, _, (index, _) = vilt.model.vilt.embeddings.visual_embed(
            pixels, torch.ones(1, *pixels.shape[-2:], dtype=torch.long), -1
        )
    order = index[0, :, 0] * 5 + index[0, :, 1]
    assert torch.allclose(own[1:][order], theirs[0, 1:], atol=1e-5)
    assert torch.allclose(own[0], theirs[0, 0], atol=1e-6)


def test_vilt_takes_any_shape_of_picture(vilt: ViltAdapter) -> None:
    for size, grid in (((40, 90), (3, 6)), ((90, 40), (6, 3)), ((32, 32), (4, 4))):
        prepared = vilt.prepare(Sample(image=picture(*size), text=TEXT))
        assert prepared.contexts["image"].grid == grid
        made = make_game(vilt, Sample(image=picture(*size), text=TEXT))
        assert made.game.full() == pytest.approx(vilt.plain_value(made.prepared, made.target), abs=1e-4)


def test_vilt_labels(vilt: ViltAdapter) -> None:
    assert make_game(vilt, SAMPLE, target=Target(answer=" red")).target.answer == "Red"
    with pytest.raises(InvalidInput, match=r"chooses among 6 answers.*Close ones: Red"):
        make_game(vilt, SAMPLE, target=Target(answer="redd"))
    with pytest.raises(InvalidInput, match="Some are: yes, no"):
        make_game(vilt, SAMPLE, target=Target(answer="xxxxxx"))
    with pytest.raises(InvalidInput, match="always 0"):
        make_game(vilt, SAMPLE, target=Target(answer="red", against="RED"))


def test_vilt_prediction(vilt: ViltAdapter) -> None:
    made = make_game(vilt, SAMPLE, target=Target(scale="probability"))
    with torch.inference_mode():
        chances = vilt.model(**vilt.plain_inputs(made.prepared, [TEXT])).logits[0].softmax(-1)
    prediction = made.prediction
    assert prediction.answer == made.target.answer == ANSWERS[int(chances.argmax())]
    assert prediction.probability == prediction.explained_probability == pytest.approx(float(chances.max()), abs=1e-5)
    assert len(prediction.alternatives) == 5
    assert [p for _, p in prediction.alternatives] == pytest.approx(sorted(chances.tolist())[-2::-1], abs=1e-5)
    assert made.game.full() == pytest.approx(prediction.probability, abs=1e-5)


@pytest.mark.parametrize(
    "target", [Target(scale="similarity"), Target(scale="value"), Target(token=0), Target(candidates=("yes",))]
)
def test_vilt_targets_that_do_not_fit(vilt: ViltAdapter, target: Target) -> None:
    with pytest.raises(InvalidInput, match=r"classifier of answers|labels whole"):
        make_game(vilt, SAMPLE, target=target)


def test_a_vilt_that_draws_some_of_the_patches_is_refused(tmp_path: Any) -> None:
    adapter = ViltAdapter.from_pretrained(str(save_vilt(tmp_path, max_image_length=12)), name="v", device="cpu")
    with pytest.raises(ModelError, match="looks at 12 of the 20 patches"):
        adapter.prepare(SAMPLE)


# BLIP


def test_blip_loads_the_right_class(blip: BlipAdapter) -> None:
    assert type(blip.model).__name__ == "BlipForQuestionAnswering"


def test_a_captioning_blip_is_refused(blip: BlipAdapter, tmp_path: Any) -> None:
    from transformers import BlipForConditionalGeneration

    BlipForConditionalGeneration(blip.model.config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="lacks"):
        BlipAdapter.from_pretrained(str(tmp_path), name="caption", device="cpu")


def test_blip_log_probability_is_the_librarys_loss(blip: BlipAdapter) -> None:
    answer = "blue dog on the left"
    made = make_game(blip, SAMPLE, target=Target(answer=answer))
    ids = blip.answer_ids(answer)
    inputs = blip.plain_inputs(made.prepared, [TEXT])
    labels = torch.tensor([[blip.model.decoder_start_token_id, *ids]])
    with torch.inference_mode():
        loss = blip.model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            pixel_values=inputs["pixel_values"],
            labels=labels,
        ).loss
    assert blip.model.text_decoder.label_smoothing == 0
    assert made.game.full() == pytest.approx(-float(loss) * len(ids), abs=1e-4)
    tokens = [make_game(blip, SAMPLE, target=Target(answer=answer, token=k)).game.full() for k in range(len(ids))]
    assert sum(tokens) == pytest.approx(made.game.full(), abs=1e-4)
    chance = make_game(blip, SAMPLE, target=Target(scale="probability", answer=answer)).game.full()
    assert chance == pytest.approx(np.exp(made.game.full()), rel=1e-4)
    assert made.prediction.explained_probability == pytest.approx(chance, rel=1e-4)


def test_blip_answers_as_generate_does(blip: BlipAdapter) -> None:
    made = make_game(blip, SAMPLE)
    inputs = blip.plain_inputs(made.prepared, [TEXT])
    inputs.pop("token_type_ids", None)
    written = blip.model.generate(**inputs, max_new_tokens=20)
    assert written[0, 0] == WORD_PIECES.index("[DEC]")
    assert made.target.answer == blip.tokenizer.decode(written[0], skip_special_tokens=True)
    assert made.prediction.answer == made.prediction.explained == made.target.answer
    assert made.game.full() == pytest.approx(np.log(made.prediction.probability), abs=1e-4)


def test_blip_says_whether_its_answer_was_cut(blip: BlipAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    written = blip.model.generate(
        **{k: v for k, v in blip.plain_inputs(blip.prepare(SAMPLE), [TEXT]).items() if k != "token_type_ids"},
        max_new_tokens=20,
    )
    ended = int(written[0, -1]) == WORD_PIECES.index("[SEP]")
    assert make_game(blip, SAMPLE).prediction.complete is ended
    monkeypatch.setattr("chiasm.models.fusion_blip._LONGEST", 1)
    assert make_game(blip, SAMPLE, target=Target(answer="blue")).prediction.complete is False


def test_words_unknown_to_the_tokenizer_are_named(adapter: Any) -> None:
    (known,) = [c for c in adapter.checks(SAMPLE) if c.name == "known words"]
    assert known.ok is True
    (unknown,) = [c for c in adapter.checks(Sample(image=picture(), text="red zebra")) if c.name == "known words"]
    assert unknown.ok is None
    assert "'zebra'" in unknown.detail


def test_blip_hides_words_from_the_decoder_too(blip: BlipAdapter) -> None:
    """The library's cross-attention ignores its mask, so a batch padded in the plain way is not to be trusted."""
    short, target = TEXT.replace(" red", ""), Target(answer="blue dog")
    made = make_game(blip, Sample(image=picture(), text=short), target=target)
    expected = blip.plain_value(made.prepared, made.target)
    coalitions = np.vstack([without(), without(4 + 5), ~without()])  # of three lengths
    assert game(blip, target, "delete")(coalitions)[1] == pytest.approx(expected, abs=1e-4)
    prepared, row = blip.prepare(SAMPLE), np.ones(10, bool)
    row[6] = False
    pixels = blip.pixel_values(prepared.contents["image"][None])
    ids, attention = blip.collate([(prepared.state.encoded.ids, row)])
    with torch.inference_mode():
        seen = blip.see(pixels)
        value = blip.score(seen, ids, attention, target)[0]
        ids[0, 6] = WORD_PIECES.index("dog")  # whatever stands at a hidden position is seen by nobody
        assert blip.score(seen, ids, attention, target)[0] == pytest.approx(value, abs=1e-5)
    assert game(blip, target)(without(4 + 5))[0] == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(scale="similarity"), "writes answers"),
        (Target(candidates=("yes",)), "candidates have no effect"),
        (Target(answer="blue dog", token=2), "there is no token 2"),
        (Target(answer="blue dog", against="cat", token=1), "there is no token 1"),
        (Target(scale="logit", answer="blue dog"), r"2 tokens \(blue, dog\)"),
        (Target(answer="zebra"), "cannot be written"),
        (Target(answer="red " * 40), "positions for 20"),
    ],
)
def test_blip_targets_that_do_not_fit(blip: BlipAdapter, target: Target, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_game(blip, SAMPLE, target=target)


def test_blip_logit_of_one_token(blip: BlipAdapter) -> None:
    two = Target(scale="logit", answer="blue dog", token=0)
    one = Target(scale="logit", answer="blue")
    assert make_game(blip, SAMPLE, target=two).game.full() == pytest.approx(
        make_game(blip, SAMPLE, target=one).game.full(), abs=1e-5
    )


def test_a_word_without_a_token_is_refused(vilt: ViltAdapter) -> None:
    """A tokenizer that drops characters leaves a player that no mask of tokens can hide."""
    sample = Sample(image=picture(), text="red \u200b\u0001 cat")
    from chiasm.modalities.text import CharSpans

    players = {"text": CharSpans([(0, 3), (4, 6), (7, 10)])}
    with pytest.raises(InvalidInput, match="has no token of its own"):
        make_game(vilt, sample, players=players)
    assert np.isfinite(make_game(vilt, sample, players=players, maskers={"text": "delete"}).game.empty())


def test_tokens_are_players_and_special_ones_are_not(vilt: ViltAdapter) -> None:
    prepared = vilt.prepare(Sample(image=picture(), text="two cats , left"))
    spans = prepared.contexts["text"].token_spans
    assert ["two cats , left"[a:b] for a, b in spans] == ["two", "cat", "s", ",", "left"]
    made = make_game(vilt, prepared.sample, players={"text": "words", "image": "grid:1x1"})
    shown = vilt.masked_inputs(
        made.prepared,
        made.game.all_players,
        {"image": None, "text": modalities.get("text").masker("mask")},
        np.eye(5, dtype=bool)[1:],
    )["text"]
    assert (shown["ids"] == WORD_PIECES.index("[MASK]")).sum(axis=1).tolist() == [4, 3, 4, 4]  # "cats" has two tokens
    assert shown["attention"].all()
