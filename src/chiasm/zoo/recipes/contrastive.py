"""What the recipes of CLIP and SigLIP share: pictures with many captions, the losses, and the phases of training.

Two things make a dual encoder of this size bind attributes to objects. Each picture comes with several captions, every
one beside its own hard negatives, so that nothing short of binding tells them apart. And heads that are thrown away
afterwards read off the picture's vector, for each colour and shape, whether it is there and where: what a linear head
can read, the vector of a text can read too, since all that the two towers share is a product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor, nn

from chiasm.zoo.data.captions import NEGATIVES
from chiasm.zoo.data.words import VOCABULARY
from chiasm.zoo.recipes.building import ENDS, PATCH, SIDE, scaled, scaled_steps
from chiasm.zoo.recipes.captioned import NAMES, TOKENS, CaptionBatches, SceneBatches, SentenceBatches
from chiasm.zoo.recipes.losses import patch_heads, tower_loss
from chiasm.zoo.recipes.training import Measures, Phase, Plan

TEXT_STEPS: Final = 200
TOWER_STEPS: Final = 400
JOINT_STEPS: Final = 1100

_POINTING: Final = ((0.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))
"""Where each of `WAYS` points: across and down."""
_PATCH_WEIGHT: Final = 0.5
_VECTOR_WEIGHT: Final = 0.5
_ABSENT_PLACE: Final = 0.02
"""Weight of the places read for what is not there: they should be near 0, or they would drown the others."""

See = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
"""Model, pixel values [b, 3, h, w] → features of patches [b, grid², width] and the picture's vector [b, projection]."""
Judge = Callable[[Tensor, dict[str, Tensor]], Tensor]
"""Logits [pictures, captions] and the batch → loss."""


@dataclass(frozen=True)
class Tools:
    """What the two recipes differ in.

    Attributes:
        processor: saved beside the model.
        see: how the model makes patch features and a vector of a picture.
        judge: `softmax_loss` or `sigmoid_loss`.
        projection: length of the vectors that are compared.
        padded: length to which every text is padded, with padding attended to; ``None`` for neither.
    """

    processor: Any
    see: See
    judge: Judge
    projection: int
    padded: int | None


def towers(width: int, vision_layers: int, text_layers: int, heads: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the configs of both models say of their text tower and of their vision tower."""
    shared = {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": heads}
    text = {
        "vocab_size": len(VOCABULARY),
        "num_hidden_layers": text_layers,
        "max_position_embeddings": TOKENS,
        # CLIP reads the text's vector at the end token. An id of 2 would make the library look for the highest id.
        **ENDS,
    }
    vision = {"num_hidden_layers": vision_layers, "image_size": SIDE, "patch_size": PATCH}
    return shared | text, shared | vision


def throw_away_heads(width: int, projection: int) -> Any:
    """Heads that only training needs: on patches (`losses.patch_heads`), and on the picture's vector.

    Args:
        width: of the vision tower.
        projection: of the picture's vector.
    """
    heads = patch_heads(width)
    heads["there"] = nn.Linear(projection, len(NAMES))
    heads["where"] = nn.Linear(projection, 2 * len(NAMES))
    return heads


def _picture_loss(heads: Any, batch: dict[str, Tensor], patches: Tensor, vector: Tensor) -> tuple[Tensor, Measures]:
    """What patches show, and what a linear head reads off the picture's vector: what is there, and where.

    Args:
        heads: of `throw_away_heads`.
        batch: with the arrays of `scene_row`.
        patches: features of the patches, [b, grid², width].
        vector: the picture's vector, [b, projection]; it is read at unit length, as it is compared.
    """
    loss, measures = tower_loss(heads, batch, patches)
    read, known, error = _vector_loss(heads, vector, batch["there"], batch["where"])
    clean = ~batch["masked"]
    measures["there"] = ((known & clean).sum(), clean.sum())
    seen = batch["there"] * clean[:, None]
    measures["where error"] = ((error * seen).sum(), seen.sum())
    return _PATCH_WEIGHT * loss + _VECTOR_WEIGHT * read, measures


def _vector_loss(heads: Any, vectors: Tensor, there: Tensor, where: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the heads read off vectors, against what they should.

    Args:
        heads: of `throw_away_heads`.
        vectors: of pictures or of texts, [b, projection]; read at unit length, as they are compared.
        there: which of `NAMES` they speak of, float[b, 30].
        where: numbers that go with each of those, float[b, 30, 2].

    Returns:
        The loss; bool[b], whether all of ``there`` is read rightly; the mean squared error of ``where``, [b, 30].
    """
    unit = F.normalize(vectors.float(), dim=-1) * vectors.shape[-1] ** 0.5
    logits = heads["there"](unit).float()
    presence = F.binary_cross_entropy_with_logits(logits, there, reduction="none").sum(-1).mean()
    error = (heads["where"](unit).float().unflatten(-1, (-1, 2)) - where).square().mean(-1)
    place = (error * (there + _ABSENT_PLACE * (1 - there))).sum() / there.sum()
    return presence + 4 * place, ((logits > 0) == (there > 0)).all(-1), error.detach()


def text_loss(heads: Any, batch: dict[str, Tensor], vectors: Tensor) -> tuple[Tensor, Measures]:
    """What the same heads read off a text's vector: which objects it names, and which way it says they lie.

    "A left of b" should read as a pointing left (-1 across) and b right (1): then the product with the vector of a
    picture, off which the places are read, grows with the distance from a to b. Without this loss the words of
    relations wait until both objects are bound and located.
    """
    rows = torch.arange(len(vectors), device=vectors.device)
    there = torch.zeros(len(vectors), len(NAMES), device=vectors.device)
    there[rows, batch["first"]] = there[rows, batch["second"]] = 1.0
    pointing = torch.tensor(_POINTING, device=vectors.device)[batch["way"]]
    where = torch.zeros(*there.shape, 2, device=vectors.device)
    where[rows, batch["first"]] = pointing
    where[rows, batch["second"]] -= pointing
    whole = batch["whole"]
    loss, known, error = _vector_loss(heads, vectors[whole], there[whole], where[whole])
    speaks = there[whole] * (batch["way"][whole] > 0)[:, None]
    return loss, {"named": (known.sum(), whole.sum()), "pointing error": ((error * speaks).sum(), speaks.sum())}


def text_vectors(model: Any, batch: dict[str, Tensor]) -> Tensor:
    """Vectors of the captions, float[captions, projection]."""
    found = model.get_text_features(input_ids=batch["ids"], attention_mask=batch["attended"].long())
    return found.pooler_output.float()


def similarities(pictures: Tensor, texts: Tensor) -> Tensor:
    """Cosines float32[pictures, captions]; half precision would blur the small differences that relations make."""
    with torch.autocast(pictures.device.type, enabled=False):
        return F.normalize(pictures.float(), dim=-1) @ F.normalize(texts.float(), dim=-1).T


def softmax_loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """CLIP's loss: the true caption among those that are false of its picture, its own negatives once more alone.

    Args:
        logits: [pictures, captions].
        batch: with the arrays of `CaptionBatches`. Captions of other pictures count where they are false of this one.
    """
    asked = (batch["kind"] == 0).nonzero()[:, 0]
    owner, everything = batch["owner"][asked], torch.arange(logits.shape[1], device=logits.device)
    itself = asked[:, None] == everything
    wrong = (batch["truth"][owner] == 0) & (batch["code"][asked][:, None] != batch["code"])
    own = batch["true"][asked][:, None] == batch["true"]
    rows, blocked = logits[owner], torch.finfo(logits.dtype).min
    among_all = F.cross_entropy(rows.masked_fill(~(wrong | itself), blocked), asked)
    among_own = F.cross_entropy(rows.masked_fill(~(wrong & own | itself), blocked), asked)
    # And the other way round: the picture among those of which the caption is false.
    pictures = torch.arange(logits.shape[0], device=logits.device)
    fitting = (batch["truth"][:, asked].T == 0) | (pictures == owner[:, None])
    back = F.cross_entropy(logits[:, asked].T.masked_fill(~fitting, blocked), owner)
    return among_own + 0.5 * (among_all + back)


def sigmoid_loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """SigLIP's loss: of each pair alone whether it is true; true and false pairs weigh the same.

    Args:
        logits: [pictures, captions].
        batch: with the arrays of `CaptionBatches`. A picture's own captions weigh twice as much as those of others.
    """
    truth = batch["truth"]
    pairs = F.binary_cross_entropy_with_logits(logits, truth.clamp(min=0).float(), reduction="none")
    own = torch.arange(logits.shape[0], device=logits.device)[:, None] == batch["owner"]
    # A negative whose hidden words leave it equal to its true caption tells nothing.
    alike = own & (batch["kind"] > 0) & (batch["code"] == batch["code"][batch["true"]])
    loss = torch.zeros((), device=logits.device)
    for chosen, weight in ((own & ~alike, 1.0), (~own, 0.5)):
        for label in (0, 1):
            part = (chosen & (truth == label)).float()
            loss = loss + weight * (pairs * part).sum() / part.sum().clamp(min=1)
    return loss


def right_choices(logits: Tensor, batch: dict[str, Tensor]) -> Measures:
    """How often the true caption beats each kind of negative where nothing is hidden, and where something is."""
    captions = torch.arange(logits.shape[1], device=logits.device)
    score = logits[batch["owner"], captions]
    beaten = score < score[batch["true"]]
    clean = batch["whole"] & batch["whole"][batch["true"]] & ~batch["masked"][batch["owner"]]
    measures: Measures = {}
    for number, kind in enumerate(NEGATIVES, start=1):
        chosen = clean & (batch["kind"] == number)
        measures[kind] = ((beaten & chosen).sum(), chosen.sum())
    hidden = ~clean & (batch["kind"] > 0)
    measures["masked"] = ((beaten & hidden).sum(), hidden.sum())
    return measures


def _text_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    return text_loss(heads, batch, text_vectors(model, batch))


def _tower_loss(model: Any, heads: Any, see: See, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    return _picture_loss(heads, batch, *see(model, scaled(batch["pixels"])))


def _joint_loss(model: Any, heads: Any, tools: Tools, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    patches, vectors = tools.see(model, scaled(batch["pixels"]))
    texts = text_vectors(model, batch)
    logits = similarities(vectors, texts) * model.logit_scale.exp().clamp(max=100)
    bias = getattr(model, "logit_bias", None)
    logits = logits if bias is None else logits + bias
    shown, measures = _picture_loss(heads, batch, patches, vectors)
    said, more = text_loss(heads, batch, texts)
    kept = {name: measures[name] for name in ("patch form", "there", "where error")}
    loss = tools.judge(logits, batch) + 0.5 * (shown + _VECTOR_WEIGHT * said)
    return loss, kept | more | right_choices(logits.detach(), batch)


def build_plan(name: str, seed: int, steps_scale: float, model: Any, tools: Tools) -> Plan:
    """The recipe of both models: each tower alone with throw-away heads, then both.

    Args:
        name: of the model in the zoo.
        seed: of weights and data.
        steps_scale: multiplies the number of steps of each phase.
        model: with fresh weights.
        tools: what goes with it.
    """
    # Eager attention has a deterministic backward pass on a GPU, and at this size nothing is faster.
    model.set_attn_implementation("eager")
    heads = throw_away_heads(model.config.vision_config.hidden_size, tools.projection)
    text_steps, tower_steps, joint_steps = scaled_steps(steps_scale, TEXT_STEPS, TOWER_STEPS, JOINT_STEPS)
    reading = [p for n, p in model.named_parameters() if n.startswith(("text_model", "text_projection"))]
    seeing = [p for n, p in model.named_parameters() if n.startswith(("vision_model", "visual_projection"))]
    text = Phase(
        name="text",
        steps=text_steps,
        batches=SentenceBatches(seed, tools.padded),
        loss=partial(_text_loss, model, heads),
        parameters=[*reading, *heads["there"].parameters(), *heads["where"].parameters()],
        learning_rate=1.5e-3,
        muon=5.0,  # at 2, SigLIP reads half of the sentences right after 200 steps; at 5, all
    )
    tower = Phase(
        name="tower",
        steps=tower_steps,
        batches=SceneBatches(seed, tower_steps),
        loss=partial(_tower_loss, model, heads, tools.see),
        parameters=[*seeing, *heads.parameters()],
        learning_rate=2e-3,
        muon=5.0,
    )
    joint = Phase(
        name="joint",
        steps=joint_steps,
        batches=CaptionBatches(seed, joint_steps, tools.padded),
        loss=partial(_joint_loss, model, heads, tools),
        parameters=[*model.parameters(), *heads.parameters()],
        learning_rate=1.5e-3,
        muon=3.0,
    )
    return Plan(name, seed, model, tools.processor, heads, [text, tower, joint])
