"""CLIP and SigLIP, on tiny random checkpoints: values against plain transformers code, and each known pitfall."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_dual import picture, save_clip, save_siglip

from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities import modalities
from chiasm.models.doctor import examine
from chiasm.models.dual_encoder import DualEncoderAdapter
from chiasm.models.games import make_game

torch = pytest.importorskip("torch")

TEXT = "a red cat on the left"
SAMPLE = Sample(image=picture(), text=TEXT)


def load(folder: Any) -> DualEncoderAdapter:
    return DualEncoderAdapter.from_pretrained(str(folder), name="tiny", device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DualEncoderAdapter:
    """The end token has the lowest ids but one, the configuration is right, padding is the end token."""
    return load(save_clip(tmp_path_factory.mktemp("clip")))


@pytest.fixture(scope="module")
def old_clip(tmp_path_factory: pytest.TempPathFactory) -> DualEncoderAdapter:
    """As OpenAI's: the configuration says 2, the end is the highest id, padding is the end token."""
    return load(save_clip(tmp_path_factory.mktemp("old"), legacy=True))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> DualEncoderAdapter:
    return load(save_siglip(tmp_path_factory.mktemp("siglip")))


@pytest.fixture(params=["clip", "old_clip", "siglip"])
def adapter(request: pytest.FixtureRequest) -> DualEncoderAdapter:
    return request.getfixturevalue(request.param)


def own_pixels(adapter: DualEncoderAdapter) -> Any:
    from PIL import Image

    return adapter.image_processor(images=Image.fromarray(picture()), return_tensors="pt")["pixel_values"]


def cosine(adapter: DualEncoderAdapter, ids: Any, attention: Any) -> float:
    with torch.inference_mode():
        out = adapter.model(input_ids=ids, attention_mask=attention, pixel_values=own_pixels(adapter))
    return float((out.image_embeds * out.text_embeds).sum())


@pytest.mark.parametrize("text", ["attention", "delete", "neutral"])
def test_the_doctor_finds_nothing(adapter: DualEncoderAdapter, text: str) -> None:
    checks = examine(adapter, SAMPLE, {"text": "words"}, {"text": text})
    assert [c for c in checks if c.ok is False] == []
    assert sum(c.ok is True for c in checks) >= 10


@pytest.mark.parametrize(
    "target",
    [
        Target(scale="similarity"),
        Target(scale="logit"),
        Target(scale="similarity", against="a blue dog"),
        Target(scale="logit", against="a blue dog on the right"),
    ],
)
def test_targets_equal_the_plain_path(adapter: DualEncoderAdapter, target: Target) -> None:
    made = make_game(adapter, SAMPLE, target=target)
    assert made.game.full() == pytest.approx(adapter.plain_value(made.prepared, made.target), abs=1e-4)
    assert made.target.answer == TEXT


def test_the_logit_is_the_librarys(adapter: DualEncoderAdapter) -> None:
    inputs = adapter.plain_inputs(adapter.prepare(SAMPLE), [TEXT])
    with torch.inference_mode():
        logit = float(adapter.model(**inputs).logits_per_image[0, 0])
    assert make_game(adapter, SAMPLE, target=Target(scale="logit")).game.full() == pytest.approx(logit, abs=1e-4)


def test_clip_probability_is_a_softmax_among_candidates(clip: DualEncoderAdapter) -> None:
    texts = [TEXT, "a blue dog", "the photo of two green squares"]
    made = make_game(clip, SAMPLE, target=Target(scale="probability", candidates=(TEXT, *texts[1:])))
    with torch.inference_mode():
        logits = clip.model(**clip.plain_inputs(made.prepared, texts)).logits_per_image[0]
    expected = logits.softmax(-1).tolist()
    assert made.game.full() == pytest.approx(expected[0], abs=1e-5)
    prediction = made.prediction
    assert prediction.explained == TEXT
    assert prediction.explained_probability == pytest.approx(expected[0], abs=1e-5)
    shown = dict([(prediction.answer, prediction.probability), *prediction.alternatives])
    assert [shown[text] for text in texts] == pytest.approx(expected, abs=1e-5)
    assert prediction.probability == max(shown.values())
    log = make_game(clip, SAMPLE, target=Target(scale="log_probability", candidates=tuple(texts[1:])))
    assert log.game.full() == pytest.approx(np.log(expected[0]), abs=1e-4)
    against = Target(scale="probability", candidates=tuple(texts[1:]), against=texts[2])
    assert make_game(clip, SAMPLE, target=against).game.full() == pytest.approx(expected[0] - expected[2], abs=1e-5)


def test_siglip_probability_is_a_sigmoid_of_the_pair(siglip: DualEncoderAdapter) -> None:
    made = make_game(siglip, SAMPLE, target=Target(scale="probability"))
    with torch.inference_mode():
        logits = siglip.model(**siglip.plain_inputs(made.prepared, [TEXT])).logits_per_image
    assert made.game.full() == pytest.approx(float(logits.sigmoid()), abs=1e-5)
    assert made.prediction.probability == pytest.approx(float(logits.sigmoid()), abs=1e-5)


@pytest.mark.parametrize("extra", [{}, {"legacy": True}, {"legacy": True, "pad": "<pad>"}, {"pad": "<pad>"}])
def test_a_hidden_token_is_never_taken_for_the_end(extra: dict, tmp_path: Any) -> None:
    """CLIP's padding is its end token, and it reads its vector off the first end token (or the highest id)."""
    adapter = load(save_clip(tmp_path, **extra))
    made = make_game(adapter, SAMPLE)
    prepared = made.prepared
    shown = adapter.masked_inputs(
        prepared,
        made.game.all_players,
        {"image": None, "text": modalities.get("text").masker("attention")},
        one_hidden(),
    )["text"]
    ids, attention = torch.from_numpy(shown["ids"]), torch.from_numpy(shown["attention"]).long()
    original = torch.from_numpy(np.stack([prepared.state.encoded.ids] * len(ids)))
    for row in range(len(ids)):
        # what stands at a hidden position is of no account, so the original ids with holes must give the same
        expected = cosine(adapter, original[[row]], attention[[row]])
        assert cosine(adapter, ids[[row]], attention[[row]]) == pytest.approx(expected, abs=1e-6)
        assert made.game(one_hidden()[[row]])[0] == pytest.approx(expected, abs=1e-5)


def one_hidden(players: int = 6, images: int = 16) -> np.ndarray:
    coalitions = np.ones((players, images + players), bool)
    coalitions[np.arange(players), images + np.arange(players)] = False
    return coalitions


def test_holes_in_the_attention_mask_do_not_depend_on_the_kernel(clip: DualEncoderAdapter) -> None:
    from chiasm.models.compat import eager_attention

    coalitions = np.random.default_rng(0).random((6, 22)) < 0.5
    fused = make_game(clip, SAMPLE).game(coalitions)
    with eager_attention(clip.model):
        assert make_game(clip, SAMPLE).game(coalitions) == pytest.approx(fused, abs=1e-5)


def test_siglip_attends_to_its_padding_as_in_normal_use(siglip: DualEncoderAdapter, tmp_path: Any) -> None:
    ids = siglip.tokenizer([TEXT], padding="max_length", return_tensors="pt")["input_ids"]
    assert ids.shape == (1, 16)
    full = make_game(siglip, SAMPLE).game.full()
    assert full == pytest.approx(cosine(siglip, ids, None), abs=1e-5)
    attention = torch.ones_like(ids)
    attention[0, 1] = 0  # "red"
    assert make_game(siglip, SAMPLE).game(one_hidden()[[1]])[0] == pytest.approx(
        cosine(siglip, ids, attention), abs=1e-5
    )
    other = load(save_siglip(tmp_path, mask_padding=True))  # a tokenizer that masks padding is taken at its word
    inputs = other.tokenizer([TEXT], padding="max_length", return_tensors="pt")
    assert int(inputs["attention_mask"].sum()) < 16
    expected = cosine(other, inputs["input_ids"], inputs["attention_mask"])
    assert make_game(other, SAMPLE).game.full() == pytest.approx(expected, abs=1e-5)
    assert abs(expected - full) > 1e-3


def test_each_mask_of_a_part_goes_through_its_tower_once(clip: DualEncoderAdapter) -> None:
    prepared = clip.prepare(SAMPLE)
    target, _ = clip.resolve(prepared, clip.default_target)
    players = prepared.players({"image": "grid:2x2", "text": "words"})
    maskers = {kind: modalities.get(kind).masker(clip.default_maskers[kind]) for kind in ("image", "text")}
    values = clip.values(prepared, players, maskers, target, 32)
    coalitions = (np.arange(1024)[:, None] >> np.arange(10) & 1).astype(bool)
    for start in range(0, 1024, 128):
        values(coalitions[start : start + 128])
    assert (values.images.computed, values.texts.computed) == (16, 64)
    assert values.batch_size == 32


def test_a_part_costs_its_tower_and_a_coalition_next_to_nothing(adapter: DualEncoderAdapter) -> None:
    costs = make_game(adapter, SAMPLE).game.costs
    assert set(costs.encode) == {"image", "text"}
    assert sum(costs.encode.values()) + costs.cell == pytest.approx(1)
    assert costs.cell < 1e-3
    longer = make_game(adapter, Sample(image=picture(), text=f"{TEXT} of a dog")).game.costs
    shares = longer.encode["text"] / costs.encode["text"], longer.encode["image"] / costs.encode["image"]
    if adapter.model.config.model_type == "siglip":  # always padded to one length
        assert shares == pytest.approx((1, 1))
    else:
        assert shares[0] > 1 > shares[1]


def test_a_text_that_would_be_cut_off_is_refused(adapter: DualEncoderAdapter) -> None:
    long = "left " * 30
    with pytest.raises(InvalidInput, match=r"positions for (64|16)"):
        adapter.prepare(Sample(image=picture(), text=long))
    with pytest.raises(InvalidInput, match="cut off unseen"):
        make_game(adapter, SAMPLE, target=Target(scale="similarity", against=long))
    words = Sample(image=picture(), text="red cat on the left , ? " + "a " * 3)
    with pytest.raises(InvalidInput, match=r"as masked by 'neutral.*cut off unseen"):
        make_game(adapter, words, maskers={"text": "neutral:something, something and something"})


def test_a_text_that_spells_the_end_token_is_refused(clip: DualEncoderAdapter) -> None:
    with pytest.raises(InvalidInput, match="holds the special token"):
        clip.prepare(Sample(image=picture(), text="a <|endoftext|> cat"))


def test_mask_tokens_and_slow_tokenizers(clip: DualEncoderAdapter) -> None:
    with pytest.raises(MissingCapability, match=r"no mask token|'attention', 'delete'"):
        _ = make_game(clip, SAMPLE, maskers={"text": "mask"}).game.full()

    class Slow:
        is_fast = False

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return clip.tokenizer(*args, **kwargs)

        def __getattr__(self, name: str) -> Any:
            return getattr(clip.tokenizer, name)

    slow = DualEncoderAdapter("slow", clip.model, clip.image_processor, Slow())
    assert slow.default_maskers["text"] == "delete"
    assert make_game(slow, SAMPLE).game.full() == pytest.approx(make_game(clip, SAMPLE).game.full(), abs=1e-6)
    assert [c for c in examine(slow, SAMPLE) if c.ok is False] == []
    with pytest.raises(MissingCapability, match="'delete', 'neutral' or 'empty'"):
        make_game(slow, SAMPLE, maskers={"text": "attention"})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target(scale="value"), "'similarity', 'logit'"),
        (Target(scale="similarity", token=0), "token 0"),
        (Target(scale="similarity", answer="a dog"), "make it the text of the sample"),
        (Target(scale="similarity", against=TEXT), "always 0"),
        (Target(scale="similarity", candidates=("a dog",)), "candidates have no effect"),
    ],
)
def test_targets_that_do_not_fit_are_refused(adapter: DualEncoderAdapter, target: Target, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_game(adapter, SAMPLE, target=target)


def test_candidates_belong_to_clip_alone(clip: DualEncoderAdapter, siglip: DualEncoderAdapter) -> None:
    with pytest.raises(InvalidInput, match="give other texts as candidates"):
        make_game(clip, SAMPLE, target=Target(scale="probability"))
    with pytest.raises(InvalidInput, match="must be one of the candidates"):
        make_game(clip, SAMPLE, target=Target(scale="probability", candidates=("a dog",), against="a cat"))
    with pytest.raises(InvalidInput, match="a probability of its own"):
        make_game(siglip, SAMPLE, target=Target(scale="probability", candidates=("a dog",)))


def test_samples_that_do_not_fit_are_refused(clip: DualEncoderAdapter) -> None:
    with pytest.raises(InvalidInput, match="the sample has 2: image_left, image_right"):
        clip.prepare(Sample(image_left=picture(), image_right=picture(), text="a"))
    with pytest.raises(InvalidInput, match="needs a part of kind 'text'"):
        clip.prepare(Sample(image=picture()))


def test_parts_keep_the_order_and_names_of_the_sample(clip: DualEncoderAdapter) -> None:
    made = make_game(clip, Sample(text_query=TEXT, image_shot=picture()))
    assert list(made.game.all_players.parts) == ["text_query", "image_shot"]
    assert made.game.full() == pytest.approx(make_game(clip, SAMPLE).game.full(), abs=1e-6)


def test_contexts(clip: DualEncoderAdapter, siglip: DualEncoderAdapter) -> None:
    prepared = clip.prepare(SAMPLE)
    assert prepared.contents["image"].shape == (32, 32, 3)
    assert prepared.contexts["image"].grid == (4, 4)
    assert prepared.contexts["image"].placement.offset[0] < 0  # the crop
    spans = siglip.prepare(SAMPLE).contexts["text"].token_spans
    assert [TEXT[a:b] for a, b in spans] == TEXT.split()  # the end token is no player
    assert len(siglip.prepare(SAMPLE).players({"text": "tokens", "image": "grid:model"})) == 16 + 6


def test_a_wrong_end_token_in_the_configuration_is_found(tmp_path: Any) -> None:
    adapter = load(save_clip(tmp_path))
    adapter._end = adapter.model.text_model.eos_token_id = 7
    check = adapter.checks(SAMPLE)[0]
    assert check.ok is False
    assert "Set text_config.eos_token_id" in check.detail


def test_a_processor_of_another_size_is_refused(tmp_path: Any) -> None:
    adapter = load(save_clip(tmp_path, crop=False))
    adapter.image_processor.size = {"height": 64, "width": 64}
    with pytest.raises(ModelError, match=r"\(64, 64\) pixels and the model needs \(32, 32\)"):
        adapter.prepare(SAMPLE)


def test_other_models_and_options_are_refused(tmp_path: Any, clip: DualEncoderAdapter) -> None:
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(InvalidInput, match=r"type 'bert'.*clip, siglip"):
        load(tmp_path)
    with pytest.raises(InvalidInput, match="Unknown option 'colour'"):
        DualEncoderAdapter.load(str(tmp_path), "AutoModel", None, None, {"colour": 1})


def test_the_fingerprint_follows_the_weights(clip: DualEncoderAdapter, old_clip: DualEncoderAdapter) -> None:
    assert clip.fingerprint == DualEncoderAdapter("b", clip.model, clip.image_processor, clip.tokenizer).fingerprint
    assert clip.fingerprint != old_clip.fingerprint


def test_half_precision_runs(tmp_path: Any) -> None:
    adapter = DualEncoderAdapter.from_pretrained(str(save_clip(tmp_path)), name="half", device="cpu", dtype="bfloat16")
    assert [c for c in examine(adapter, SAMPLE) if c.ok is False] == []
