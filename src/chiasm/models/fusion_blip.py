"""BLIP question answering: the question's encoder looks at the picture, a decoder writes the answer.

Three stages, and each is run as seldom as it can be: the vision encoder once for each mask of the picture, the
question's encoder and the decoder once for each coalition.

The cross-attention of ``BlipTextModel`` in transformers 5.23 takes ``encoder_attention_mask`` and never uses it, so the
decoder would see padding and hidden words of the question, and a value would depend on its neighbours in the batch.
Here the decoder is given the visible positions alone, questions of one length at a time; leaving a key out is what
masking it means.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.explanation import Prediction
from chiasm.core.players import Players
from chiasm.core.target import Target
from chiasm.modalities.base import Masker
from chiasm.models import weights
from chiasm.models.base import Prepared
from chiasm.models.fusion_pair import Floats, PairAdapter
from chiasm.models.fusion_values import FusionValues, row_bytes

_SCALES = ("log_probability", "probability", "logit")
#: longest answer that the model writes by itself, in tokens
_LONGEST = 20


class BlipAdapter(PairAdapter):
    """``BlipForQuestionAnswering``: the answer is written token by token after the model's start token.

    Target scales under teacher forcing: ``log_probability`` (default): the sum over the answer's tokens, the end token
    left out; ``probability``: its exponential; ``logit``: of one token (give ``token``, or an answer of one token).
    ``against`` is another answer, scored on its own: the difference of the two on the scale.

    A hidden word is hidden from the question's encoder and from the decoder.
    """

    architectures = ("BlipForQuestionAnswering",)
    tracer = "chiasm.models.trace_fusion:BlipTrace"

    def __init__(self, name: str, model: Any, image_processor: Any, tokenizer: Any) -> None:
        """Wrap a loaded model."""
        vision, text = model.config.vision_config, model.config.text_config
        super().__init__(
            name,
            model,
            image_processor,
            tokenizer,
            patch_size=vision.patch_size,
            image_size=vision.image_size,
            max_tokens=text.max_position_embeddings,
        )
        self.family = "fusion encoder"
        self.capabilities = frozenset({"values", "answers", "logits", "gradients", "attentions", "hidden_states"})

    @classmethod
    def from_pretrained(
        cls, path: str, *, name: str, device: str | None = None, dtype: str | None = None, **options: Any
    ) -> BlipAdapter:
        """Load a checkpoint from a folder or the hub.

        Args:
            path: folder or hub id.
            name: as the user asked for it.
            device: ``"cpu"``, ``"cuda"`` …
            dtype: ``"float32"``, ``"bfloat16"`` …
            **options: ``device_map``.

        Raises:
            InvalidInput: nothing can be loaded.
            ModelError: the checkpoint is of another BLIP (captioning, retrieval) and lacks weights.
        """
        # the class by name: AutoModelForImageTextToText makes a captioning model of this checkpoint
        return cls(name, *cls.load(path, cls.architectures[0], device, dtype, options))

    def answer_ids(self, answer: str) -> list[int]:
        """The tokens of an answer, without start and end.

        Raises:
            InvalidInput: it has none, too many, or ones that the tokenizer does not know.
        """
        ids = [int(k) for k in self.tokenizer(answer, add_special_tokens=False)["input_ids"]]
        if not ids or self.tokenizer.unk_token_id in ids:
            raise InvalidInput(f"The answer {answer!r} cannot be written in the tokens of {self.name!r}; give another.")
        if len(ids) > self.max_tokens:
            raise InvalidInput(
                f"The answer has {len(ids)} tokens and {self.name!r} has positions for {self.max_tokens}."
            )
        return ids

    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """Let the model answer (greedily) and score the answer that is explained.

        Raises:
            InvalidInput: a scale or candidates that the model does not have; an answer or token that cannot be scored.
            ModelError: the model's own answer is empty.
        """
        if target.scale not in _SCALES:
            raise InvalidInput(
                f"{self.name!r} writes answers; its target scales are {', '.join(_SCALES)}, not {target.scale!r}."
            )
        if target.candidates:
            raise InvalidInput(
                f"{self.name!r} scores an answer among all texts, so candidates have no effect; leave them out (or "
                f"give one of them as 'against')."
            )
        own, complete = self.generate(prepared)
        if target.answer is None and not own:
            raise ModelError(f"{self.name!r} answers this question with nothing; give an answer to explain.")
        resolved = target if target.answer is not None else target.with_answer(own)
        answer = str(resolved.answer)
        if resolved.against == answer:
            raise InvalidInput(f"The contrast of {answer!r} with itself is always 0; give another 'against'.")
        for text in (answer, *([resolved.against] if resolved.against else [])):
            self._check_answer(text, resolved)
        chance = self._chance(prepared, own) if own else None
        explained = chance if answer == own else self._chance(prepared, answer)
        return resolved, Prediction(own, chance, explained=answer, explained_probability=explained, complete=complete)

    def _check_answer(self, answer: str, target: Target) -> None:
        ids = self.answer_ids(answer)
        if target.token is not None and not 0 <= target.token < len(ids):
            raise InvalidInput(f"The answer {answer!r} has tokens 0…{len(ids) - 1}; there is no token {target.token}.")
        if target.scale == "logit" and target.token is None and len(ids) > 1:
            pieces = self.tokenizer.convert_ids_to_tokens(ids)
            raise InvalidInput(
                f"The answer {answer!r} has {len(ids)} tokens ({', '.join(pieces)}) and a logit is of one: give "
                f"token=0…{len(ids) - 1}, or use scale 'log_probability'."
            )

    def _chance(self, prepared: Prepared, answer: str) -> float:
        import torch

        pixel_values, row = self.whole(prepared)
        target = Target(answer=answer)
        with torch.inference_mode():
            return float(np.exp(self.score(self.see(pixel_values), *self.collate([row]), target)[0]))

    def generate(self, prepared: Prepared) -> tuple[str, bool]:
        """The model's own answer to the whole sample, greedily, and whether it ended within `_LONGEST` tokens.

        The answer is ``""`` if it ends at once.
        """
        import torch

        with torch.inference_mode():
            pixel_values, row = self.whole(prepared)
            ids, attention = self.collate([row])
            written = self.model.generate(
                input_ids=ids,
                attention_mask=attention,
                pixel_values=pixel_values,
                max_new_tokens=_LONGEST,
                do_sample=False,
                num_beams=1,
            )
        text: str = self.tokenizer.decode(written[0], skip_special_tokens=True)
        return text.strip(), int(written[0, -1]) in self._ends

    def values(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> FusionValues:
        """The value function; the picture is encoded once a mask of it, texts tokenised once a text mask.

        Raises:
            MissingCapability: a masker that this tokenizer cannot carry out.
        """

        def score(seen: Any, ids: Any, attention: Any) -> Floats:
            return self.score(seen, ids, attention, target)

        return self._scored(prepared, players, maskers, score, batch_size)

    def answers(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> list[Prediction]:
        """Greedy answers to masked samples, written side by side."""
        pieces = self._scored(prepared, players, maskers, self._write, None).pieces(coalitions)
        return [prediction for piece in pieces for prediction in piece]

    def _scored(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        score: Callable[[Any, Any, Any], Any],
        batch_size: int | None,
    ) -> FusionValues:
        """Masked samples, and what is read off the model on each."""
        config = self.model.config.vision_config
        length = (config.image_size // config.patch_size) ** 2 + 1
        one = row_bytes(
            config.hidden_size, config.intermediate_size, config.num_attention_heads, length, self.dtype.itemsize
        )
        size = batch_size or weights.auto_batch_size(self.device, one)
        return FusionValues(self, prepared, players, maskers, encoder=self.see, score=score, batch_size=size)

    def see(self, pixel_values: Any) -> Any:
        """Vision encoder: ``float[b, 3, H, W]`` → ``float[b, 1 + patches, width]``."""
        return self.model.vision_model(pixel_values=pixel_values).last_hidden_state

    def score(self, seen: Any, ids: Any, attention: Any, target: Target) -> Floats:
        """Values of a resolved target.

        Args:
            seen: from `see`.
            ids: questions ``int64[b, tokens]``.
            attention: ``int64[b, tokens]``.
            target: with an answer.

        Returns:
            ``float64[b]``.
        """
        values = np.empty(len(ids), np.float64)
        for rows, shown in self._shown(seen, ids, attention):
            values[rows] = self._on_scale(lambda answer, shown=shown: self._decode(answer, shown), target)
        return values

    def _shown(self, seen: Any, ids: Any, attention: Any) -> Iterator[tuple[NDArray[np.intp], Any]]:
        """What the decoder is shown of questions: rows of one number of visible positions, ``float[rows, count, w]``.

        See the module's text: the decoder is shown no hidden position at all.
        """
        question = self.model.text_encoder(
            input_ids=ids,
            attention_mask=attention,
            encoder_hidden_states=seen,
            encoder_attention_mask=attention.new_ones(seen.shape[:2]),
        ).last_hidden_state
        kept = attention.bool()
        counts = kept.sum(dim=1)
        for count in counts.unique().tolist():
            rows = (counts == count).nonzero().flatten()
            yield rows.cpu().numpy(), question[rows][kept[rows]].reshape(len(rows), count, -1)

    def _write(self, seen: Any, ids: Any, attention: Any) -> list[Prediction]:
        """Greedy answers to questions, with their probabilities; arguments as of `score`."""
        found: list[Prediction] = [Prediction("")] * len(ids)
        for rows, shown in self._shown(seen, ids, attention):
            for row, prediction in zip(rows.tolist(), self._greedy(shown), strict=True):
                found[row] = prediction
        return found

    def _greedy(self, question: Any) -> list[Prediction]:
        """The most probable token after the most probable token, until the end token or `_LONGEST` tokens."""
        import torch

        written = self._decoder_ids([0], len(question))
        ends = torch.tensor(sorted(self._ends))
        ended = torch.zeros(len(question), dtype=torch.bool)
        for _ in range(_LONGEST):
            best = self._decoded(written, question)[:, -1].argmax(dim=-1)
            written = torch.cat([written, best[:, None]], dim=1)
            ended |= torch.isin(best.cpu(), ends)
            if ended.all():
                break
        texts = [self._until_end(row) for row in written[:, 1:].tolist()]
        chances: dict[int, float] = {}
        for text in {text for text in texts if text}:
            same = [k for k, other in enumerate(texts) if other == text]
            target = Target("probability", answer=text)
            found = self._on_scale(lambda ids, same=same: self._decode(ids, question[same]), target)
            chances |= dict(zip(same, found.tolist(), strict=True))
        return [Prediction(text, chances.get(k), complete=bool(ended[k])) for k, text in enumerate(texts)]

    def _until_end(self, ids: list[int]) -> str:
        own = list(itertools.takewhile(lambda token: token not in self._ends, ids))
        return str(self.tokenizer.decode(own, skip_special_tokens=True)).strip()

    @property
    def _ends(self) -> set[int]:
        """Tokens that end an answer."""
        text = self.model.config.text_config
        return {token for token in (text.sep_token_id, text.eos_token_id) if token is not None}

    def _decode(self, answer: list[int], question: Any) -> Any:
        """Logits ``float[b, answer tokens, words]`` under teacher forcing."""
        return self._decoded(self._decoder_ids(answer, len(question)), question)

    def _decoded(self, ids: Any, question: Any) -> Any:
        """Logits ``float[b, tokens, words]`` behind tokens of an answer ``int64[b, tokens]``, the start token first."""
        return self.model.text_decoder(
            input_ids=ids,
            encoder_hidden_states=question,
            encoder_attention_mask=question.new_ones(question.shape[:2]).long(),
            use_cache=False,
        ).logits

    def _decoder_ids(self, answer: list[int], rows: int) -> Any:
        """The start token and all of the answer but its last token, ``int64[rows, answer tokens]``."""
        import torch

        start = int(self.model.decoder_start_token_id)
        return torch.tensor([[start, *answer[:-1]]], device=self.device).expand(rows, -1)

    def _on_scale(self, logits: Any, target: Target) -> Floats:
        """From a function answer ids → logits ``[b, answer tokens, words]`` to values ``float64[b]``."""
        found = [self._one(logits, answer, target) for answer in (target.answer, target.against) if answer is not None]
        return found[0] if target.against is None else found[0] - found[1]

    def _one(self, logits: Any, answer: str, target: Target) -> Floats:
        ids = self.answer_ids(answer)
        table = logits(ids).float().cpu().double()  # some devices have no float64
        if target.scale != "logit":
            table = table.log_softmax(dim=-1)
        places = range(len(ids)) if target.token is None else [target.token]
        value: Floats = sum(table[:, k, ids[k]] for k in places).numpy()
        return np.exp(value) if target.scale == "probability" else value

    def plain_value(self, prepared: Prepared, target: Target) -> float:
        """The target from the library's whole forward pass, which keeps the decoder's logits to itself: overheard."""
        import torch

        inputs = self.plain_inputs(prepared, [prepared.contents[prepared.state.text]])
        inputs.pop("token_type_ids", None)
        heard: list[Any] = []
        handle = self.model.text_decoder.register_forward_hook(lambda *call: heard.append(call[-1].logits))

        def logits(answer: list[int]) -> Any:
            self.model(**inputs, decoder_input_ids=self._decoder_ids(answer, 1))
            return heard[-1]

        try:
            with torch.inference_mode():
                return float(self._on_scale(logits, target)[0])
        finally:
            handle.remove()
