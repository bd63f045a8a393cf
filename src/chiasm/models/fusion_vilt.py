"""ViLT question answering: patches and words go through one encoder together, and a classifier reads its result.

The library's forward pass draws patches by ``torch.multinomial`` at every call: the answer is the same up to rounding,
the order of the patches is not, so attention maps of two calls differ; and its pixel mask may only cut off the right
and the bottom. Here the patch embeddings are built in order and given as ``image_embeds``, one mask entry a patch.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.explanation import Prediction
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities.base import Masker
from chiasm.models import compat, weights
from chiasm.models.base import Check, Prepared
from chiasm.models.fusion_pair import Floats, PairAdapter, PairState
from chiasm.models.fusion_values import FusionValues, log_softmax, row_bytes

_SCALES = ("log_probability", "probability", "logit")
_ALTERNATIVES = 5


class ViltAdapter(PairAdapter):
    """``ViltForQuestionAnswering``: the answer is one of the labels of the classifier.

    Target scales: ``log_probability`` (default) and ``probability`` by softmax over all labels, ``logit``. The model
    was trained with a sigmoid for each label (binary cross-entropy, Kim et al. 2021, arXiv:2102.03334), so its softmax
    is a ranking of labels rather than a calibrated probability; take ``logit`` for the quantity that it was trained on.
    ``against`` is another label: the difference of the two on the scale.

    ``attentions`` gives the attention maps, always in the same order of tokens and patches.
    """

    architectures = ("ViltForQuestionAnswering",)
    tracer = "chiasm.models.trace_fusion:ViltTrace"

    def __init__(self, name: str, model: Any, image_processor: Any, tokenizer: Any) -> None:
        """Wrap a loaded model."""
        config = model.config
        super().__init__(
            name,
            model,
            image_processor,
            tokenizer,
            patch_size=config.patch_size,
            image_size=None,
            max_tokens=config.max_position_embeddings,
        )
        self.family = "fusion encoder"
        self.capabilities = frozenset({"values", "answers", "logits", "gradients", "attentions", "hidden_states"})
        self.labels = [str(config.id2label[k]) for k in range(config.num_labels)]

    @classmethod
    def from_pretrained(
        cls, path: str, *, name: str, device: str | None = None, dtype: str | None = None, **options: Any
    ) -> ViltAdapter:
        """Load a checkpoint from a folder or the hub.

        Args:
            path: folder or hub id.
            name: as the user asked for it.
            device: ``"cpu"``, ``"cuda"`` …
            dtype: ``"float32"``, ``"bfloat16"`` …
            **options: ``device_map``.

        Raises:
            InvalidInput: nothing can be loaded.
            ModelError: the checkpoint has no classifier for answers.
        """
        return cls(name, *cls.load(path, cls.architectures[0], device, dtype, options))

    def prepare(self, sample: Sample) -> Prepared:
        """As `PairAdapter.prepare`, for pictures all of whose patches the model looks at.

        Raises:
            InvalidInput: not one picture and one text, or a text that is too long.
            ModelError: the model looks at a random part of the patches only.
        """
        prepared = super().prepare(sample)
        height, width = prepared.contents[prepared.state.image].shape[:2]
        patches = (height // self._patch_size) * (width // self._patch_size)
        most = self.model.config.max_image_length
        if isinstance(most, int) and 0 <= most < patches:
            raise ModelError(
                f"{self.name!r} looks at {most} of the {patches} patches of this picture, drawn anew at every call, "
                f"so no value of it could be repeated. Set max_image_length to -1 in its config.json, or make the "
                f"picture smaller in its image processor."
            )
        return prepared

    def label(self, answer: str) -> int:
        """The class of an answer, by its exact spelling or else whatever the case.

        Raises:
            InvalidInput: no such label; the message names close ones.
        """
        if answer in self.labels:
            return self.labels.index(answer)
        folded = [label.strip().casefold() for label in self.labels]
        wanted = answer.strip().casefold()
        if wanted in folded:
            return folded.index(wanted)
        close = [self.labels[folded.index(name)] for name in difflib.get_close_matches(wanted, folded, n=5, cutoff=0.5)]
        raise InvalidInput(
            f"{self.name!r} chooses among {len(self.labels)} answers and {answer!r} is none of them. "
            + (f"Close ones: {', '.join(close)}." if close else f"Some are: {', '.join(self.labels[:8])}.")
        )

    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """Classify the whole sample; the best label stands for an answer left open.

        Raises:
            InvalidInput: a scale, token or candidates that a classifier does not have; an answer that is no label.
        """
        if target.scale not in _SCALES:
            raise InvalidInput(
                f"{self.name!r} is a classifier of answers; its target scales are {', '.join(_SCALES)}, "
                f"not {target.scale!r}."
            )
        if target.token is not None or target.candidates:
            raise InvalidInput(
                f"{self.name!r} chooses one of its own labels whole; leave the target's token and candidates out."
            )
        pixel_values, row = self.whole(prepared)
        import torch

        with torch.inference_mode():
            logits = self._classify(self.image_embeds(pixel_values), *self.collate([row]))[0]
        chances = np.exp(log_softmax(logits))
        order = np.argsort(-logits, kind="stable")
        own = int(order[0])
        chosen = own if target.answer is None else self.label(target.answer)
        if target.against is not None and self.label(target.against) == chosen:
            raise InvalidInput(
                f"The contrast of {self.labels[chosen]!r} with itself is always 0; give another 'against'."
            )
        ranked = tuple((self.labels[k], float(chances[k])) for k in order[1 : 1 + _ALTERNATIVES])
        prediction = Prediction(
            self.labels[own], float(chances[own]), ranked, self.labels[chosen], float(chances[chosen])
        )
        return target.with_answer(self.labels[chosen]), prediction

    def values(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> FusionValues:
        """The value function; patch embeddings are computed once a picture mask, texts tokenised once a text mask.

        Raises:
            MissingCapability: a masker that this tokenizer cannot carry out.
        """

        def score(embeds: Any, ids: Any, attention: Any) -> Floats:
            return self.on_scale(self._classify(embeds, ids, attention), target)

        return self._scored(prepared, players, maskers, score, batch_size)

    def answers(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> list[Prediction]:
        """The best label of each masked sample."""
        found = self._scored(prepared, players, maskers, self._classify, None).pieces(coalitions)
        chances = np.exp(log_softmax(np.concatenate([*found, np.zeros((0, len(self.labels)))])))
        return [Prediction(self.labels[int(row.argmax())], float(row.max())) for row in chances]

    def _scored(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        score: Callable[[Any, Any, Any], Any],
        batch_size: int | None,
    ) -> FusionValues:
        """Masked samples, and what is read off the model on each."""
        state: PairState = prepared.state
        height, width = prepared.contents[state.image].shape[:2]
        config = self.model.config
        length = self.max_tokens + 1 + (height // self._patch_size) * (width // self._patch_size)
        one = row_bytes(
            config.hidden_size, config.intermediate_size, config.num_attention_heads, length, self.dtype.itemsize
        )
        size = batch_size or weights.auto_batch_size(self.device, one)
        return FusionValues(self, prepared, players, maskers, encoder=self.image_embeds, score=score, batch_size=size)

    def image_embeds(self, pixel_values: Any) -> Any:
        """Patch embeddings in reading order with the image's class token first.

        The library's ``ViltEmbeddings.visual_embed`` without the draw (its position embeddings are stretched to the
        picture's patches in the same way); the embedding of the modality is added in the forward pass.

        Args:
            pixel_values: ``float[b, 3, H, W]``, no padding.

        Returns:
            ``float[b, 1 + patches, width]``.
        """
        import torch

        own = self.model.vilt.embeddings
        patches = own.patch_embeddings(pixel_values)
        rows, columns = patches.shape[-2:]
        side = self.model.config.image_size // self.model.config.patch_size
        positions = own.position_embeddings
        grid = positions[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        grid = torch.nn.functional.interpolate(grid, size=(rows, columns), mode="bilinear", align_corners=True)
        body = patches.flatten(2).transpose(1, 2) + grid.flatten(2).transpose(1, 2)
        first = (own.cls_token + positions[:, :1]).expand(len(body), -1, -1)
        return torch.cat([first, body], dim=1)

    def _forward(self, embeds: Any, ids: Any, attention: Any, **options: Any) -> Any:
        mask = attention.new_ones(embeds.shape[:2])
        return self.model(input_ids=ids, attention_mask=attention, image_embeds=embeds, pixel_mask=mask, **options)

    def _classify(self, embeds: Any, ids: Any, attention: Any) -> Floats:
        logits: Floats = self._forward(embeds, ids, attention).logits.float().cpu().double().numpy()
        return logits

    def on_scale(self, logits: Floats, target: Target) -> Floats:
        """``float64[batch, labels]`` → values ``float64[batch]`` of a resolved target."""
        table = logits if target.scale == "logit" else log_softmax(logits)
        if target.scale == "probability":
            table = np.exp(table)
        if target.answer is None:
            raise InvalidInput("The target has no answer yet; call resolve first.")
        own = table[:, self.label(target.answer)]
        return own if target.against is None else own - table[:, self.label(target.against)]

    def attentions(self, prepared: Prepared) -> tuple[Any, ...]:
        """Attention maps of the whole sample.

        Tokens are, in order: the text's with start and end token, the image's class token, the patches row by row.

        Returns:
            One ``float32[heads, tokens, tokens]`` tensor a layer; rows attend to columns.
        """
        import torch

        pixel_values, row = self.whole(prepared)
        with torch.inference_mode(), compat.eager_attention(self.model):
            output = self._forward(self.image_embeds(pixel_values), *self.collate([row]), output_attentions=True)
        return tuple(layer[0].float().cpu() for layer in output.attentions)

    def plain_value(self, prepared: Prepared, target: Target) -> float:
        """The target from ``model(**processor(picture, text))``, the draw of patches included."""
        import torch

        with torch.inference_mode():
            output = self.model(**self.plain_inputs(prepared, [prepared.contents[prepared.state.text]]))
        return float(self.on_scale(output.logits.float().cpu().double().numpy(), target)[0])

    def checks(self, sample: Sample) -> list[Check]:
        """Words that are unknown, and attention maps, which the library's own forward pass shuffles at each call."""
        prepared = self.prepare(sample)
        first, second = self.attentions(prepared), self.attentions(prepared)
        ids = self.tokens(prepared.contents[prepared.state.text])
        height, width = prepared.contents[prepared.state.image].shape[:2]
        tokens = len(ids) + 1 + (height // self._patch_size) * (width // self._patch_size)
        worst = max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))
        found = int(first[0].shape[-1])
        return [
            *super().checks(sample),
            Check(
                "attention maps keep the order of the patches",
                ok=worst <= 1e-5,
                detail=f"Largest difference between two calls {worst:.2g}.",
            ),
            Check(
                "there is one token a patch",
                ok=found == tokens,
                detail=f"{found} tokens in the model; {len(ids)} of the text + 1 + patches = {tokens}.",
            ),
        ]
