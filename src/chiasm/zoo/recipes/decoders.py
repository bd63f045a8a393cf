"""What the recipes of all decoders share: their prompts, their losses, and batches for models that merge patches.

A recipe gives two functions: ``encode(model, batch)`` and ``logits(model, batch, seen)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from chiasm.zoo.answers import chat_inputs
from chiasm.zoo.data.words import ASSISTANT, VOCABULARY, token_words
from chiasm.zoo.recipes.building import ENDS, blocked
from chiasm.zoo.recipes.hiding import choose
from chiasm.zoo.recipes.losses import (
    NAMED_WEIGHT,
    PATCH_WEIGHT,
    PLACE_WEIGHT,
    named_loss,
    patch_heads,
    patch_loss,
    place_loss,
    right_answers,
    tower_loss,
)
from chiasm.zoo.recipes.packing import PackedBatches
from chiasm.zoo.recipes.pictures import IGNORED, Batch, PictureBatches, generator
from chiasm.zoo.recipes.training import Measures, Phase, Plan

_MERGED: Final = "token "
"""Prefix of the names of labels on the grid of image tokens, where that is not the grid of patches."""

_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<assistant> {% else %}<user>{% endif %}"
    "{% if message['content'] is string %}{{ ' ' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] in ['image', 'image_url'] %}PICTURE{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def chat_template(picture: str) -> str:
    """The chat template of a decoder: pictures first, then the text.

    Args:
        picture: what stands for a picture.
    """
    return _TEMPLATE.replace("PICTURE", picture)


@dataclass(frozen=True)
class Seen:
    """Encoded pictures.

    Attributes:
        patches: features of the vision tower, row by row: [pictures, patches, width].
        images: what replaces the image tokens: [pictures, tokens, width].
        layers: features of the same shape that further layers of the language model add (Qwen3-VL).
    """

    patches: Tensor
    images: Tensor
    layers: tuple[Tensor, ...] = ()


Encode = Callable[[Any, dict[str, Tensor]], Seen]
Logits = Callable[[Any, dict[str, Tensor], Seen], Tensor]


def answer_logits(
    model: Any, language: Any, batch: dict[str, Tensor], seen: Seen, first: int, **further: Any
) -> Tensor:
    """Logits [pictures, questions, 2, vocabulary] at the tokens that predict each answer and its end.

    Args:
        model: a decoder with ``lm_head``.
        language: its language model.
        batch: packed rows.
        seen: what replaces their image tokens.
        first: number of the first image token.
        **further: what else the language model takes.
    """
    embedded, last = model.get_input_embeddings()(batch["ids"]), first + seen.images.shape[1]
    states = language(
        inputs_embeds=torch.cat([embedded[:, :first], seen.images.to(embedded.dtype), embedded[:, last:]], dim=1),
        attention_mask=_packed_mask(batch["segments"], batch["hidden"]),
        position_ids=batch["positions"],
        use_cache=False,
        **further,
    ).last_hidden_state
    rows = torch.arange(len(states), device=states.device)[:, None, None]
    logits: Tensor = model.lm_head(states[rows, batch["asked"]])
    return logits


def _packed_mask(segments: Tensor, hidden: Tensor) -> Tensor:
    """Additive mask of packed rows: causal, each question with the prefix alone."""
    length = segments.shape[1]
    allowed = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
    allowed &= torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return blocked(allowed & ~hidden[:, None, :])


def llama(width: int, layers: int, heads: int, special: int = 0) -> Any:
    """The config of a Llama for the zoo's words.

    Args:
        width: size of every hidden state.
        layers: number of layers.
        heads: attention heads.
        special: further special tokens, behind those of the vocabulary.
    """
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(VOCABULARY) + special,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        **ENDS,
    )


@contextmanager
def tapped(layers: Sequence[Any]) -> Iterator[list[Tensor]]:
    """The states behind some layers of a model, in the order in which its forward pass makes them."""
    states: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(
            lambda _layer, _inputs, out: states.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in layers
    ]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True)
class Recipe:
    """A decoder and how it takes batches.

    Attributes:
        name: in the zoo.
        model: with fresh weights.
        processor: saved beside it.
        tower: the vision tower, a part of the model.
        layers: the middle layers of the language model, where naming words should know their objects.
        encode: batch → encoded pictures.
        logits: batch and encoded pictures → logits [pictures, questions, 2, vocabulary].
    """

    name: str
    model: Any
    processor: Any
    tower: Any
    layers: Sequence[Any]
    encode: Encode
    logits: Logits

    def plan(self, tower: PictureBatches | ViewBatches, joint: PackedBatches | ViewBatches) -> Plan:
        """The vision tower with patch heads first, then everything, many questions packed behind each picture.

        Args:
            tower: the batches of the first phase, which know its number of steps.
            joint: those of the second.
        """
        model = self.model
        widths = (model.config.vision_config.hidden_size, model.config.text_config.hidden_size)
        # Eager attention has a deterministic backward pass on a GPU, and at this size nothing is faster.
        model.set_attn_implementation("eager")
        heads = patch_heads(*widths)
        heads["named"] = torch.nn.ModuleList(patch_heads(widths[1]) for _ in self.layers)
        first = Phase(
            name="tower",
            steps=tower.steps,
            batches=tower,
            loss=partial(self.tower_loss, heads),
            parameters=[*self.tower.parameters(), *heads.parameters()],
            learning_rate=2e-3,
            muon=5.0,
        )
        second = Phase(
            name="joint",
            steps=joint.steps,
            batches=joint,
            loss=partial(self.joint_loss, heads),
            parameters=[*model.parameters(), *heads.parameters()],
            learning_rate=1.5e-3,
        )
        return Plan(self.name, joint.seed, model, self.processor, heads, [first, second])

    def tower_loss(self, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
        """Loss of the first phase: what each patch shows."""
        return tower_loss(heads, batch, self.encode(self.model, batch).patches)

    def joint_loss(self, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
        """Loss of the second phase: the answers, and what patches, image tokens and naming words know of objects."""
        seen = self.encode(self.model, batch)
        with tapped(self.layers) as states:
            given = self.logits(self.model, batch, seen).float()
        named, found = named_loss(heads["named"], batch, states)
        answers = F.cross_entropy(given.flatten(0, 2), batch["labels"].flatten())
        shown, measures = patch_loss(heads, batch, seen.patches)
        place = place_loss(heads["token place"], batch, seen.images, _MERGED if f"{_MERGED}place" in batch else "")
        right = given[:, :, 0].argmax(-1) == batch["labels"][:, :, 0]
        loss = answers + PATCH_WEIGHT * shown + PLACE_WEIGHT * place + NAMED_WEIGHT * named
        return loss, measures | found | right_answers(right, batch)


def _prompt_inputs(processor: Any, side: int) -> tuple[dict[str, Tensor], int]:
    """What the processor makes of a picture of that size and one word, and how many tokens come before the word.

    Training takes the beginning of its rows from here, so that it sees what the processor will write.

    Raises:
        ValueError: the prompt does not end with the question and the mark of the answer.
    """
    text = "red"
    tail = [token for word in token_words(text) for token in word] + [VOCABULARY[ASSISTANT]]
    inputs = chat_inputs(processor, [Image.new("RGB", (side, side))], [text])
    ids = inputs["input_ids"][0].tolist()
    if ids[-len(tail) :] != tail:
        raise ValueError(f"the prompt ends with {ids[-len(tail) :]} instead of {tail}")
    return inputs, len(ids) - len(tail)


@dataclass(frozen=True, eq=False)
class View:
    """One size of pictures and how its prompts begin.

    Attributes:
        side: width and height of the picture that the model sees, in pixels.
        grid: patches across and down.
        merge: patches across and down that become one image token.
        prefix: token ids before a question.
        positions: their positions: int64[tokens], or int64[3, tokens] with three axes.
        start: position of the first token of a question.
    """

    side: int
    grid: int
    merge: int
    prefix: NDArray[np.int64]
    positions: NDArray[np.int64]
    start: int

    def merged(self, batch: Batch) -> Batch:
        """The batch with labels of image tokens too.

        An image token is asked for the largest object on its visible patches, or for its own middle if there is none.
        It has no label where all of its patches are hidden.
        """
        across = self.grid // self.merge
        cells = (len(batch["colour"]), across, self.merge, across, self.merge)
        flat = (len(batch["colour"]), across**2, self.merge**2)
        shown = (batch["colour"] != IGNORED).reshape(cells).swapaxes(2, 3).reshape(flat)
        place = batch["place"].reshape(*cells, 3).swapaxes(2, 3).reshape(*flat, 3)
        radius = place[..., 2] * shown
        largest = np.take_along_axis(place, radius.argmax(-1)[..., None, None], axis=2)[:, :, 0]
        own = (np.arange(across, dtype=np.float32) + 0.5) * 2 / across - 1
        empty = np.zeros((across, across, 3), dtype=np.float32)
        empty[..., :2] = np.stack(np.meshgrid(own, own), axis=-1)
        label = np.where((radius > 0).any(-1)[..., None], largest, empty.reshape(1, -1, 3))
        ignored = np.where(shown.any(-1), 0, IGNORED)
        return batch | {f"{_MERGED}place": label.astype(np.float32), f"{_MERGED}colour": ignored}

    def begun(self, batch: Batch, old: int) -> Batch:
        """The batch with rows that begin as this model's prompts do, instead of with ``old`` other tokens."""
        count, new = len(batch["ids"]), len(self.prefix)
        heads = {"ids": self.prefix, "segments": np.zeros(new, np.int64), "hidden": np.zeros(new, bool)}
        rows = {
            name: np.concatenate([np.broadcast_to(head, (count, new)), batch[name][:, old:]], axis=1)
            for name, head in heads.items()
        }
        text = np.maximum(batch["positions"][:, old:] - old + self.start, 0)  # those of padding count for nothing
        before = np.broadcast_to(self.positions[..., None, :], (*self.positions.shape[:-1], count, new))
        text = np.broadcast_to(text, (*before.shape[:-1], text.shape[-1]))
        moved = {
            "positions": np.concatenate([before, text], axis=-1),
            "asked": batch["asked"] + new - old,
            "named_at": batch["named_at"] + np.array([0, new - old]),
        }
        return batch | rows | moved


@dataclass(frozen=True)
class ViewBatches:
    """`PictureBatches` or `PackedBatches` of one view a batch, drawn at random, with labels for merged patches.

    Attributes:
        views: each a view and how often it is drawn, relative to the others.
        seed: seed of training.
        steps: length of the phase.
        packed: whether there are questions.
        pictures: pictures in a batch.
        questions: questions for each picture.
    """

    views: tuple[tuple[View, float], ...]
    seed: int
    steps: int
    packed: bool
    pictures: int = 24
    questions: int = 12

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = generator(self.seed, 2 + self.packed, step)
        view = choose(rng, dict(self.views))
        if not self.packed:
            return PictureBatches(view.side, view.grid, self.seed, self.steps, self.pictures)(step)
        batches = PackedBatches(view.side, view.grid, self.seed, self.steps, self.pictures, self.questions)
        return view.begun(view.merged(batches(step)), 1 + view.grid**2)


def view_of(processor: Any, side: int, patch: int, merge: int, place: Callable[[Any], Tensor] | None = None) -> View:
    """The view of pictures of one size.

    Args:
        processor: the model's.
        side: width and height that the model sees, in pixels; the processor must leave such a picture as it is.
        patch: width and height of a patch, in pixels.
        merge: patches across and down that become one image token.
        place: inputs → positions int64[3, 1, tokens]; 0, 1, 2 … by default.
    """
    inputs, count = _prompt_inputs(processor, side)
    ids = inputs["input_ids"][0].numpy()
    positions = np.arange(len(ids)) if place is None else place(inputs)[:, 0].numpy()
    start = int(positions[..., count].max())
    return View(side, side // patch, merge, ids[:count], positions[..., :count], start)
