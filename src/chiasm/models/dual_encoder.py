"""Dual encoders: CLIP and SigLIP. A picture and a text each go through a tower of their own and meet in a product.

No layer sees both, so a coalition's value is the product of one picture vector and one text vector: each distinct mask
of the picture and each distinct mask of the text runs through its tower once, however many coalitions there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.explanation import Prediction
from chiasm.core.game import Costs
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities.base import Masker
from chiasm.models import compat, weights
from chiasm.models.base import Check, Prepared
from chiasm.models.function import PerMask
from chiasm.models.fusion_pair import Floats, PairAdapter, PairState, TextRow
from chiasm.models.fusion_values import log_softmax, row_bytes
from chiasm.models.pass_costs import weights_in

_KINDS = ("clip", "siglip")
#: the end token that old CLIP configurations name wrongly; the library then takes the highest id for the end
_LEGACY_END = 2
CELL = 1e-4
"""Cost of the product of two vectors, in passes of both towers: small, and not so small that billions are free."""


class DualEncoderAdapter(PairAdapter):
    """CLIP and SigLIP (also the SigLIP 2 checkpoints of fixed resolution, which are SigLIP models).

    Target scales:

    * ``similarity`` (default): cosine of the two vectors, in [−1, 1];
    * ``logit``: ``logits_per_image`` of the library: cosine · scale (+ bias for SigLIP);
    * ``probability``, ``log_probability``: CLIP: of the sample's text among it and `Target.candidates` by softmax
      (Radford et al. 2021, arXiv:2103.00020, §3.1); SigLIP: sigmoid of the pair's logit, which is what it was trained
      for (Zhai et al. 2023, arXiv:2303.15343, eq. 1), so candidates are refused.

    The answer is the sample's own text; ``against`` is another text, and the value is then the difference of the two on
    the scale. Only the sample's own text is masked, never a candidate.

    The masker "attention" hides tokens from the attention of the text tower while all positions stay. SigLIP never saw
    such masks in training (its padding is attended to, as in its normal use); it is exact, yet out of distribution.
    """

    architectures = ("CLIPModel", "SiglipModel")
    tracer = "chiasm.models.trace_dual:DualTrace"

    def __init__(self, name: str, model: Any, image_processor: Any, tokenizer: Any) -> None:
        """Wrap a loaded model."""
        config = model.config
        vision, text = config.vision_config, config.text_config
        super().__init__(
            name,
            model,
            image_processor,
            tokenizer,
            patch_size=vision.patch_size,
            image_size=vision.image_size,
            max_tokens=text.max_position_embeddings,
        )
        self.family = "dual encoder"
        self.capabilities = frozenset({"values", "logits", "gradients", "attentions", "hidden_states"})
        self.default_target = Target(scale="similarity")
        self._sigmoid = config.model_type == "siglip"
        self._end = -1 if self._sigmoid else int(text.eos_token_id)
        if self._sigmoid:
            self._pad_to = self.max_tokens
            # SigLIP pools its last position, which is padding; whether padding is attended to is the tokenizer's word
            self._pads_attended = "attention_mask" not in tokenizer.model_input_names

    @classmethod
    def from_pretrained(
        cls, path: str, *, name: str, device: str | None = None, dtype: str | None = None, **options: Any
    ) -> DualEncoderAdapter:
        """Load a checkpoint from a folder or the hub.

        Args:
            path: folder or hub id.
            name: as the user asked for it.
            device: ``"cpu"``, ``"cuda"`` …
            dtype: ``"float32"``, ``"bfloat16"`` …
            **options: ``device_map``.

        Raises:
            InvalidInput: not a CLIP or SigLIP model, or nothing can be loaded.
            ModelError: the checkpoint is incomplete.
        """
        kind = compat.load_config(path).model_type
        if kind not in _KINDS:
            raise InvalidInput(
                f"{path!r} is a model of type {kind!r}; the dual encoders known are {', '.join(_KINDS)}."
            )
        return cls(name, *cls.load(path, "AutoModel", device, dtype, options))

    def _hidden_id(self) -> int:
        """An id that stands at a hidden position and is never taken for the end of the text.

        CLIP reads its result off the first end token (or the highest id), and its padding often is the end token.
        """
        if self._sigmoid:
            return super()._hidden_id()
        end = self.tokenizer.eos_token_id
        for candidate in (self.tokenizer.pad_token_id, self.tokenizer.bos_token_id):
            if candidate is not None and candidate != end and (self._end != _LEGACY_END or candidate < end):
                return int(candidate)
        return 0 if end else 1

    def _padding_id(self) -> int:
        """CLIP takes the first of several end tokens, so padding with it can never move the end."""
        return super()._padding_id() if self._sigmoid else int(self.tokenizer.eos_token_id)

    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """Fill in the sample's own text as the answer.

        Raises:
            InvalidInput: the scale needs candidates or forbids them; an answer that is not the sample's text; a token.
        """
        text = prepared.contents[prepared.state.text]
        self._check_target(target, text)
        target = replace(target, candidates=tuple(dict.fromkeys(c for c in target.candidates if c != text)))
        others = [*target.candidates, *([target.against] if target.against else [])]
        for other in others:
            self._check_text(other)
        resolved = target.with_answer(text) if text else target
        if self._sigmoid or not target.candidates:
            chance = None
            if self._sigmoid:
                logit = float(self._logits(prepared, [text])[0])
                chance = float(np.exp(_log_sigmoid(np.array(logit))))
            return resolved, Prediction(text, chance, explained=text, explained_probability=chance)
        texts = [text, *target.candidates]
        chances = np.exp(log_softmax(self._logits(prepared, texts)))
        order = np.argsort(-chances, kind="stable")
        ranked = tuple((texts[k], float(chances[k])) for k in order)
        best, chance = ranked[0]
        return resolved, Prediction(best, chance, ranked[1:], explained=text, explained_probability=float(chances[0]))

    def _check_target(self, target: Target, text: str) -> None:
        if target.scale == "value":
            raise InvalidInput(
                f"{self.name!r} is a dual encoder; its target scales are 'similarity', 'logit', 'probability' and "
                f"'log_probability', not 'value'."
            )
        if target.token is not None:
            raise InvalidInput(f"{self.name!r} writes no answer, so there is no token {target.token}; leave it out.")
        if target.answer not in (None, text):
            raise InvalidInput(
                f"{self.name!r} compares the picture with the sample's own text {text[:80]!r}; to explain "
                f"{target.answer!r}, make it the text of the sample (and give the other texts as candidates)."
            )
        if target.against == text:
            raise InvalidInput(f"The contrast of {text!r} with itself is always 0; give another 'against'.")
        chance = target.scale in {"probability", "log_probability"}
        if target.candidates and (self._sigmoid or not chance):
            reason = "gives each pair a probability of its own" if self._sigmoid else "takes no softmax on this scale"
            raise InvalidInput(f"{self.name!r} {reason}, so candidates have no effect; leave them out.")
        if chance and not self._sigmoid:
            if not [c for c in target.candidates if c != text]:
                raise InvalidInput(
                    f"A probability of {self.name!r} is one among texts: give other texts as candidates, e.g. "
                    f"Target(scale={target.scale!r}, candidates=('a dog', 'a cat')), or use scale 'similarity'."
                )
            if target.against is not None and target.against not in target.candidates:
                raise InvalidInput(f"'against' ({target.against!r}) must be one of the candidates on this scale.")

    def values(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> DualValues:
        """The value function: each distinct mask of a part goes through its tower once.

        Raises:
            MissingCapability: a masker that this tokenizer cannot carry out.
        """
        import torch

        state: PairState = prepared.state
        size = batch_size or self._batch_size()
        chunks = weights.Chunks(size)
        images = self.encoded_pictures(prepared, players, maskers[state.image], self._encode_pictures, chunks)
        rows = self.text_rows(prepared, players, maskers[state.text])

        def encode_texts(present: Coalitions) -> list[Floats]:
            masked = rows(present)
            with torch.inference_mode():
                return [v for piece in chunks.run(len(masked), lambda k: self._encode_rows(masked[k])) for v in piece]

        return DualValues(
            self,
            players,
            target,
            names=(state.image, state.text),
            images=images,
            texts=PerMask(encode_texts),
            batch_size=size,
            costs=self.costs(prepared),
        )

    def costs(self, prepared: Prepared) -> Costs:
        """What values of a sample cost: the share of each tower in a pass of both."""
        model, state = self.model, prepared.state
        patches = (model.config.vision_config.image_size // self._patch_size) ** 2 + 1
        tokens = self._pad_to or len(self.tokens(prepared.contents[state.text]))
        work = {
            state.image: weights_in(model.vision_model) * patches,
            state.text: weights_in(model.text_model) * tokens,
        }
        return Costs({part: share * (1 - CELL) / sum(work.values()) for part, share in work.items()}, CELL)

    def _batch_size(self) -> int:
        sides = []
        for config, tokens in (
            (
                self.model.config.vision_config,
                (self.model.config.vision_config.image_size // self._patch_size) ** 2 + 1,
            ),
            (self.model.config.text_config, self.max_tokens),
        ):
            width, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
            sides.append(row_bytes(width, inner, heads, tokens, self.dtype.itemsize))
        return weights.auto_batch_size(self.device, max(sides))

    def _encode_pictures(self, pixel_values: Any) -> Floats:
        """``float[b, 3, H, W]`` → unit vectors ``float64[b, d]``."""
        return _unit(self.model.get_image_features(pixel_values=pixel_values))

    def _encode_rows(self, rows: Sequence[TextRow]) -> Floats:
        """Rows of tokens → unit vectors ``float64[rows, d]``."""
        ids, attention = self.collate(rows)
        return _unit(self.model.get_text_features(input_ids=ids, attention_mask=attention))

    def text_vectors(self, texts: Sequence[str]) -> Floats:
        """Unit vectors of texts, ``float64[texts, d]``."""
        import torch

        rows = [(ids, np.ones(len(ids), bool)) for ids in map(self.tokens, texts)]
        with torch.inference_mode():
            return self._encode_rows(rows)

    def logits_of(self, similarities: Floats) -> Floats:
        """Cosines → logits of the model."""
        logits = similarities * float(self.model.logit_scale.detach().float().exp())
        if self._sigmoid:
            logits = logits + float(self.model.logit_bias.detach().float())
        return np.asarray(logits, np.float64)

    def _logits(self, prepared: Prepared, texts: Sequence[str]) -> Floats:
        import torch

        with torch.inference_mode():
            picture = self._encode_pictures(self.whole(prepared)[0])
        return self.logits_of(self.text_vectors(texts) @ picture[0])

    def on_scale(self, own: Floats, others: Mapping[str, Floats], target: Target) -> Floats:
        """Values of a target.

        Args:
            own: cosine with the sample's own text, ``float64[batch]``.
            others: text → cosine with that text, ``float64[batch]``: the candidates and ``against``.
            target: resolved.

        Returns:
            ``float64[batch]``.
        """
        if target.scale == "similarity":
            value = dict(others) | {"": own}
        else:
            logits = {name: self.logits_of(cosine) for name, cosine in others.items()} | {"": self.logits_of(own)}
            value = logits
            if target.scale != "logit":
                if self._sigmoid:
                    value = {name: _log_sigmoid(logit) for name, logit in logits.items()}
                else:
                    table = log_softmax(np.stack([logits[name] for name in ("", *target.candidates)], axis=-1))
                    value = {name: table[..., k] for k, name in enumerate(("", *target.candidates))}
            if target.scale == "probability":
                value = {name: np.exp(log) for name, log in value.items()}
        return value[""] if target.against is None else value[""] - value[target.against]

    def plain_value(self, prepared: Prepared, target: Target) -> float:
        """The target from ``model(**processor(texts, picture))``."""
        import torch

        own = prepared.contents[prepared.state.text]
        others = dict.fromkeys([*target.candidates, *([target.against] if target.against else [])])
        with torch.inference_mode():
            output = self.model(**self.plain_inputs(prepared, [own, *others]))
        logits = output.logits_per_image[0].float().cpu().double().numpy()
        scale = float(self.model.logit_scale.detach().float().exp())
        bias = float(self.model.logit_bias.detach().float()) if self._sigmoid else 0.0
        cosines = (logits - bias) / scale
        table = {name: cosines[k : k + 1] for k, name in enumerate(others, start=1)}
        return float(self.on_scale(cosines[:1], table, target)[0])

    def checks(self, sample: Sample) -> list[Check]:
        """The end of the text, which CLIP's whole text vector is read off, is where the model looks for it."""
        name = "the end of the text is found under masks"
        if self._sigmoid:
            return [Check(name, ok=None, detail="SigLIP reads its last position, whatever stands there.")]
        prepared = self.prepare(sample)
        state: PairState = prepared.state
        if state.encoded is None or state.own is None:
            return [Check(name, ok=None, detail="The tokenizer does not tell its offsets; only contents are masked.")]
        ids = state.encoded.ids.copy()
        before = self._end_position(ids)
        ids[state.own.positions] = self._hidden_id()
        after = self._end_position(ids)
        last = len(ids) - 1
        detail = f"Position {before} of {len(ids)} tokens, {after} with every token of the text hidden."
        if before == after == last:
            return [Check(name, ok=True, detail=detail)]
        advice = (
            f" The configuration's end token is {self._end}, the tokenizer's {self.tokenizer.eos_token_id}: "
            f"the text vector is read off the wrong token. Set text_config.eos_token_id."
        )
        return [Check(name, ok=False, detail=detail + advice)]

    def _end_position(self, ids: NDArray[np.int64]) -> int:
        """Where the model reads the text's vector (``CLIPTextModel.forward`` of transformers)."""
        return int(ids.argmax()) if self._end == _LEGACY_END else int((ids == self._end).argmax())


class DualValues:
    """The value function of a dual encoder.

    Attributes:
        batch_size: masks in one call of a tower, and coalitions in one call.
        images, texts: memories of the two towers.
        costs: each part costs its tower, a coalition next to nothing (`CELL`).
    """

    def __init__(
        self,
        adapter: DualEncoderAdapter,
        players: Players,
        target: Target,
        *,
        names: tuple[str, str],
        images: PerMask,
        texts: PerMask,
        batch_size: int,
        costs: Costs,
    ) -> None:
        """Encode the texts that are never masked."""
        self.batch_size = batch_size
        self.images = images
        self.texts = texts
        self._adapter = adapter
        self._players = players
        self._names = names
        self._target = target
        self._others = dict.fromkeys([*target.candidates, *([target.against] if target.against else [])])
        self._vectors = adapter.text_vectors(list(self._others)) if self._others else np.zeros((0, 0))
        self.costs = costs

    def __call__(self, coalitions: Coalitions) -> Floats:
        """``bool[batch, players]`` → ``float64[batch]``."""
        present = self._players.split(coalitions)
        pictures = np.stack(self.images(present[self._names[0]]))
        texts = np.stack(self.texts(present[self._names[1]]))
        others = {name: pictures @ vector for name, vector in zip(self._others, self._vectors, strict=True)}
        return self._adapter.on_scale((pictures * texts).sum(axis=1), others, self._target)


def _unit(features: Any) -> Floats:
    """What a tower gives → unit vectors."""
    vectors = getattr(features, "pooler_output", features)  # before transformers 5 the tensor itself
    unit = vectors / vectors.norm(p=2, dim=-1, keepdim=True)
    found: Floats = unit.float().cpu().double().numpy()
    if not np.isfinite(found).all():
        raise ModelError(
            "A tower gave a vector that is not finite; a model in half precision may overflow: load it with "
            "dtype='float32'."
        )
    return found


def _log_sigmoid(logits: Floats) -> Floats:
    return np.asarray(-np.logaddexp(0.0, -logits), np.float64)
