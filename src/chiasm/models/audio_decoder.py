"""Models that hear and write: Qwen2-Audio (sound and text) and Qwen2.5-Omni (pictures, sounds and text)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.explanation import Prediction
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities.base import Context, Masker
from chiasm.models import compat
from chiasm.models.audio_forward import FAMILIES, Family, Forward, Medium, Row, encode_sounds, listen
from chiasm.models.audio_values import AudioDecoderValues
from chiasm.models.base import Adapter, Prepared
from chiasm.models.decoder_answers import Answerer
from chiasm.models.decoder_images import QwenImages, Reading, Sight
from chiasm.models.decoder_prompt import chat_form
from chiasm.models.decoder_scoring import Ask, ask_of, check_target, read
from chiasm.models.function import PerMask, content_masks
from chiasm.models.tokens import require_fast
from chiasm.models.weights import Chunks, auto_batch_size, fingerprint, load_model, words_of


@dataclass(eq=False)
class State:
    """What the adapter keeps of a prepared sample.

    Attributes:
        order: (name, kind) of the parts.
        sights: image part → as the model sees it.
        answers: answer → its tokens, as resolved.
    """

    order: tuple[tuple[str, str], ...]
    sights: dict[str, Sight]
    answers: dict[str, tuple[int, ...]] = field(default_factory=dict)


class AudioDecoderAdapter(Adapter):
    """A model that hears sounds (and sees pictures), reads text and writes an answer.

    All parts of a sample, in its order, are one message of the user, written by the model's chat template. An answer is
    scored under teacher forcing by plain forward passes. Every part is hidden by changing its content: words are
    deleted or replaced and the prompt is tokenised anew; each distinct masked picture and sound is encoded once.

    Args:
        name: as the user asked for it.
        path: folder or hub id.
        model: from `chiasm.models.weights.load_model`.
        max_new_tokens: longest own answer.

    Raises:
        ModelError: no chat template, or a slow tokenizer.
    """

    def __init__(self, name: str, path: str, model: Any, *, max_new_tokens: int = 16) -> None:
        """Load what belongs to the model."""
        super().__init__(name)
        self.family = "decoder with audio"
        self.capabilities = frozenset({"values", "answers", "logits"})
        self.path, self.model, self.config = path, model, model.config
        self.kind: Family = FAMILIES[self.config.model_type]
        self.kinds = self.kind.kinds
        self.default_maskers = {"image": "mean", "audio": "silence", "text": "delete"}
        self.max_new_tokens = max_new_tokens
        self.tokenizer = compat.load_tokenizer(path)
        require_fast(self.tokenizer)
        self.extractor = compat.load_feature_extractor(path)
        self.settings = compat.load_processor_settings(path)
        self.template: str | None = self.settings.get("chat_template") or self.tokenizer.chat_template
        if self.template is None:
            raise ModelError(
                f"{name!r} has no chat template, so its prompts cannot be written; add chat_template.jinja."
            )
        self.marks = {"audio": self._mark(self.kind.audio_token)}
        self.pictures: QwenImages | None = None
        if "image" in self.kinds:
            self.marks["image"] = self._mark(self.kind.image_token)
            processor = compat.load_image_processor(path)
            reading = Reading(self.config, processor, self.tokenizer, self.settings, self.marks["image"])
            self.pictures = QwenImages(reading)
        self.places = [int(self.tokenizer.convert_tokens_to_ids(mark)) for mark in self.marks.values()]
        pad = self.tokenizer.pad_token_id
        self.forward = Forward(model, self.kind, self.tokenizer.eos_token_id if pad is None else pad, self.places)
        self.answerer = Answerer(self.forward, self.tokenizer, max_new_tokens, self.places)  # type: ignore[arg-type]

    def _mark(self, token: tuple[str, str]) -> str:
        return str(getattr(self.tokenizer, token[0], None) or token[1])

    @classmethod
    def from_pretrained(
        cls,
        path: str,
        *,
        name: str,
        device: str | None = None,
        dtype: str | None = None,
        device_map: str | Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AudioDecoderAdapter:
        """Load a checkpoint; of Qwen2.5-Omni the part that thinks, not the one that talks.

        Args:
            path: folder written by ``save_pretrained``, or hub id.
            name: what to call it.
            device: e.g. ``"cpu"``, ``"cuda:1"``; the first GPU if there is one, by default.
            dtype: ``"float32"`` (default on a CPU), ``"bfloat16"``, ``"float16"`` or ``"auto"`` (default on a GPU).
            device_map: let accelerate spread the model over devices.
            **options: ``max_new_tokens``.

        Raises:
            InvalidInput: nothing to load there, or an unknown option.
            ModelError: incomplete weights.
        """
        unknown = sorted(set(options) - {"max_new_tokens"})
        if unknown:
            raise InvalidInput(f"Unknown options {unknown} for a decoder with audio; it takes max_new_tokens.")
        most = options.get("max_new_tokens", 16)
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise InvalidInput(f"max_new_tokens is {most!r}; an answer needs a whole number of at least 1.")
        loader = FAMILIES[compat.load_config(path).model_type].loader
        return cls(name, path, load_model(path, loader, device, dtype, device_map), **options)

    @cached_property
    def _fingerprint(self) -> str:
        extractor = {k: v for k, v in self.extractor.to_dict().items() if not k.startswith("_") and k != "mel_filters"}
        pictures = {} if self.pictures is None else self.pictures.processor.to_dict()
        seen = {k: v for k, v in pictures.items() if not k.startswith("_")}
        words = words_of(self.tokenizer.backend_tokenizer)
        return fingerprint(self.model, words, extractor, seen, self.template or "", self.max_new_tokens)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, configuration, tokenizer, extractors, chat template and length of own answers."""
        return self._fingerprint

    @property
    def dtype(self) -> str:
        """Number format that the model computes in, e.g. ``"float32"``."""
        return str(self.model.dtype).removeprefix("torch.")

    def read_parts(self, sample: Sample) -> dict[str, Any]:
        """Read every part; a text is needed, and a sound or a picture."""
        from chiasm.modalities import modalities

        kinds = [part.kind for part in sample.parts.values()]
        for name, part in sample.parts.items():
            if part.kind not in self.kinds:
                raise InvalidInput(
                    f"Part {name!r} is of kind {part.kind!r}; {self.name!r} ({self.family}) takes "
                    f"{', '.join(self.kinds)}."
                )
        if "text" not in kinds or len(set(kinds)) < 2:
            others = " or ".join(kind for kind in self.kinds if kind != "text")
            raise InvalidInput(
                f"{self.name!r} ({self.family}) needs a text and beside it {others}; got {', '.join(kinds)}."
            )
        return {name: modalities.get(part.kind).read(part.data) for name, part in sample.parts.items()}

    def prepare(self, sample: Sample) -> Prepared:
        """Read the parts; pictures come to the size that the model sees.

        Raises:
            InvalidInput: a part that cannot be read, a missing one, or a text that holds a placeholder.
        """
        contents = self.read_parts(sample)
        order = tuple((name, part.kind) for name, part in sample.parts.items())
        sights: dict[str, Sight] = {}
        contexts = {name: Context() for name in contents}
        for name, kind in order:
            if kind == "image" and self.pictures is not None:
                sights[name] = self.pictures.fit(contents[name])
                contents[name] = sights[name].seen
                contexts[name] = Context(grid=sights[name].grid, placement=sights[name].placement)
            if kind == "audio":
                listen(self.extractor, [contents[name]])  # refuses what is too long
            if kind == "text" and (held := [mark for mark in self.marks.values() if mark in contents[name]]):
                raise InvalidInput(f"Part {name!r} holds {held[0]!r}, which stands for another part; remove it.")
        return Prepared(sample, contents, contexts, State(order, sights))

    def media(self, prepared: Prepared, part: str, contents: Any) -> list[Medium]:
        """Masked pictures or sounds of one part, encoded."""
        import torch

        state: State = prepared.state
        if part in state.sights and self.pictures is not None:
            sight, batch = state.sights[part], np.asarray(contents)
            tensors = self.pictures.tensors(sight, batch, compat.device_of(self.model))
            with torch.inference_mode():
                features = compat.encode_images(self.model, tensors, len(batch))[0]
            if sight.thw is None:
                raise ModelError(f"The picture {part!r} has no grid of patches.")
            return [Medium(one, sight.thw) for one in features]
        return encode_sounds(self.model, self.config.model_type, self.extractor, list(contents))

    def row(self, prepared: Prepared, texts: Mapping[str, str], media: Mapping[str, Medium]) -> Row:
        """One input of the model.

        Raises:
            ModelError: the chat template does not write one placeholder for each picture and sound.
        """
        state: State = prepared.state
        written = chat_form(self.tokenizer, self.template or "", state.order)(texts)
        seen = [medium for name, kind in state.order if kind != "text" for medium in [media[name]]]
        for kind, mark in self.marks.items():
            counts = [len(media[name].features) for name, of in state.order if of == kind]
            pieces = written.split(mark)
            if len(pieces) != len(counts) + 1:
                raise ModelError(
                    f"The chat template writes {len(pieces) - 1} placeholders {mark!r} for {len(counts)} parts of kind "
                    f"{kind!r}; use the template of the original model."
                )
            written = pieces[0] + "".join(mark * count + piece for count, piece in zip(counts, pieces[1:], strict=True))
        ids = self.tokenizer(written, add_special_tokens=False)["input_ids"]
        return Row(np.array(ids, np.int64), seen)

    def whole(self, prepared: Prepared) -> Row:
        """The whole sample as one row."""
        state: State = prepared.state
        kinds = dict(state.order)
        texts = {name: str(content) for name, content in prepared.contents.items() if kinds[name] == "text"}
        media = {
            name: self.media(prepared, name, np.asarray(content)[None])[0]
            for name, content in prepared.contents.items()
            if kinds[name] != "text"
        }
        return self.row(prepared, texts, media)

    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """The model's own answer by greedy decoding, and the target with its answer filled in.

        Raises:
            InvalidInput: a scale or token the target cannot have, or the model's own answer is empty.
        """
        check_target(target)
        state, row = prepared.state, self.whole(prepared)
        own, ids, complete = self.answerer.own(row)  # type: ignore[arg-type]
        alternatives = self.answerer.alternatives(row, ids) if own and complete else ()  # type: ignore[arg-type]
        if own:
            state.answers[own] = ids
        if target.answer is None and not own:
            raise InvalidInput("The model's own answer to this sample is empty; give an answer to explain.")
        explained = target.answer if target.answer is not None else own
        for answer in (explained, target.against):
            if answer is not None and answer not in state.answers:
                ways = self.answerer.ways(self.tokenizer.decode(row.ids[-8:].tolist()), answer)
                state.answers[answer] = self.answerer.spell(row, ways)  # type: ignore[arg-type]
        resolved = target.with_answer(explained)
        self._asks(state, resolved)  # refuses tokens out of range
        own_probability = self.answerer.probability(row, ids) if own else None  # type: ignore[arg-type]
        chance = self.answerer.probability(row, state.answers[explained])  # type: ignore[arg-type]
        return resolved, Prediction(own, own_probability, alternatives, explained, chance, complete)

    def _asks(self, state: State, target: Target) -> list[Ask]:
        if target.answer is None:
            raise InvalidInput("The target has no answer yet; pass it through resolve first.")
        named = [target.answer] + ([target.against] if target.against is not None else [])
        return [ask_of(target, answer, state.answers[answer]) for answer in named]

    def rows_of(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker]
    ) -> Callable[[Coalitions], list[Row]]:
        """Coalitions → rows; what a part becomes under a mask is computed once.

        Raises:
            MissingCapability: a masker that works on tokens.
        """
        state: State = prepared.state
        masks = {part: content_masks(prepared, players, part, maskers[part]) for part, _ in state.order}
        encoded = {
            part: PerMask(lambda present, part=part: self.media(prepared, part, masks[part](present)))  # type: ignore[misc]
            for part, kind in state.order
            if kind != "text"
        }

        def rows(coalitions: Coalitions) -> list[Row]:
            present = players.split(coalitions)
            columns = {part: (encoded.get(part) or masks[part])(present[part]) for part, _ in state.order}
            return [
                self.row(
                    prepared,
                    {part: columns[part][k] for part, kind in state.order if kind == "text"},
                    {part: columns[part][k] for part in encoded},
                )
                for k in range(len(coalitions))
            ]

        return rows

    def values(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> AudioDecoderValues:
        """The value function of a resolved target.

        Raises:
            MissingCapability: a masker that works on tokens.
            InvalidInput: a batch size below 1.
        """
        check_target(target)
        if batch_size is not None and batch_size < 1:
            raise InvalidInput(f"The batch size is {batch_size}; it must be at least 1.")
        asks = self._asks(prepared.state, target)
        rows = self.rows_of(prepared, players, maskers)
        return AudioDecoderValues(
            self.forward, rows, target, asks, Chunks(batch_size or self._batch_size(prepared, asks))
        )

    def _batch_size(self, prepared: Prepared, asks: Sequence[Ask]) -> int:
        """Rows whose activations and logits fit the memory; a rough upper estimate."""
        text = self.config.get_text_config()
        tokens = len(self.whole(prepared).ids) + max(len(ask.ids) for ask in asks)
        activations = tokens * (6 * text.hidden_size + 3 * text.intermediate_size) * 4
        return auto_batch_size(compat.device_of(self.model), activations + text.vocab_size * 4 * 3 * tokens)

    def answers(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> list[Prediction]:
        """Greedy answers to masked samples, with their probabilities; see `Adapter.answers`."""
        make = self.rows_of(prepared, players, maskers)

        def work(piece: slice) -> list[Prediction]:
            rows = make(coalitions[piece])
            own = self.answerer.own_of_each(rows)  # type: ignore[arg-type]
            chances = [self.answerer.probability(row, one[1]) for row, one in zip(rows, own, strict=True)]  # type: ignore[arg-type]
            return [Prediction(text, chance, complete=end) for (text, _, end), chance in zip(own, chances, strict=True)]

        pieces = Chunks(self._batch_size(prepared, [Ask((0,) * self.max_new_tokens, 0, 1)])).run(len(coalitions), work)
        return [prediction for piece in pieces for prediction in piece]

    def masked_inputs(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> dict[str, Any]:
        """What each part becomes, part → one content a coalition (for ``chiasm doctor``)."""
        present = players.split(coalitions)
        return {
            part: content_masks(prepared, players, part, maskers[part])(present[part]) for part in prepared.contents
        }

    def plain_value(self, prepared: Prepared, target: Target) -> float:
        """The target by the model's own forward pass on raw pixels and frames, which places features and positions."""
        import torch

        state, row = prepared.state, self.whole(prepared)
        kinds = dict(state.order)
        given: dict[str, Any] = {}
        for name, sight in state.sights.items():
            if self.pictures is not None:
                made = self.pictures.tensors(sight, prepared.contents[name][None], compat.device_of(self.model))
                given = {k: torch.cat([given[k], v]) if k in given else v for k, v in made.items()}
        sounds = [prepared.contents[name] for name, kind in kinds.items() if kind == "audio"]
        if sounds:
            given["input_features"], given["feature_attention_mask"] = listen(self.extractor, sounds)
        values = []
        for ask in self._asks(state, target):
            ids = torch.tensor([[*row.ids.tolist(), *ask.ids[: ask.stop - 1]]], device=compat.device_of(self.model))
            with torch.inference_mode():
                logits = self.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **given).logits
            first = logits.shape[1] - (ask.stop - ask.start)
            values.append(float(read(logits.float(), first, ask, target.scale)[0]))
        return values[0] if len(values) == 1 else values[0] - values[1]
