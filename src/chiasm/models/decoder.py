"""Decoder vision-language models: LLaVA, Qwen-VL (2, 2.5, 3), Idefics3, SmolVLM, InternVL, PaliGemma, BLIP-2."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Prediction
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities.base import Context, Masker
from chiasm.models import compat
from chiasm.models.base import Adapter, Check, Prepared
from chiasm.models.decoder_answers import Answerer
from chiasm.models.decoder_families import family_of, form_of, image_token_id, placeholder, placeholder_ids, reading
from chiasm.models.decoder_forward import Forward, PictureStore
from chiasm.models.decoder_prefix import prefix_bytes, prefix_memory
from chiasm.models.decoder_prompt import Prompter
from chiasm.models.decoder_rows import MaskedRows, State, masked_inputs
from chiasm.models.decoder_scoring import Ask, ask_of, check_target, plan, read
from chiasm.models.decoder_values import DecoderValues
from chiasm.models.tokens import require_fast
from chiasm.models.weights import Chunks, auto_batch_size, fingerprint, load_model, words_of


def _check_length(max_new_tokens: Any) -> None:
    """Refuse what is no length of an answer.

    Raises:
        InvalidInput: not a whole number of at least 1.
    """
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise InvalidInput(f"max_new_tokens is {max_new_tokens!r}; an answer needs a whole number of at least 1.")


class DecoderAdapter(Adapter):
    """A model that reads pictures and text and writes an answer.

    All parts of a sample, in its order, are one message of the user, written by the model's chat template (PaliGemma,
    BLIP-2 and LLaVA 1.5 without one have documented forms of their own; PaliGemma and BLIP-2 put pictures first).
    An answer is scored under teacher forcing by plain forward passes, never by sampling. A text hidden by the masker
    ``attention`` becomes padding that nothing attends to, and every other token keeps its position. If the last
    tokens of the prompt are a player's own, they still are where the answer is read off when they are hidden.

    Args:
        name: as the user asked for it.
        path: folder or hub id.
        model: from `chiasm.models.weights.load_model`.
        max_new_tokens: longest own answer.
        cache_bytes: how much memory encoded pictures may take, and as much again for what is kept of the prompt's
            beginning (on a GPU up to a quarter of the free memory, if that is more); 0 keeps neither.

    Raises:
        ModelError: a variant of a family that is not supported, or a slow tokenizer.
    """

    tracer = "chiasm.models.trace_decoder:DecoderTrace"

    def __init__(
        self, name: str, path: str, model: Any, *, max_new_tokens: int = 16, cache_bytes: int = 1 << 29
    ) -> None:
        """Load what belongs to the model."""
        super().__init__(name)
        _check_length(max_new_tokens)
        self.family = "decoder"
        self.capabilities = frozenset({"values", "answers", "logits", "gradients", "attentions", "hidden_states"})
        self.kinds = ("image", "text")
        self.default_maskers = {"image": "mean", "text": "attention"}
        self.path, self.model, self.config = path, model, model.config
        self.max_new_tokens, self.cache_bytes = max_new_tokens, cache_bytes
        self.tokenizer = compat.load_tokenizer(path)
        require_fast(self.tokenizer)
        self.image_processor = compat.load_image_processor(path)
        self.settings = compat.load_processor_settings(path)
        self.template: str | None = self.settings.get("chat_template") or self.tokenizer.chat_template
        self.kind = family_of(self.config)
        self.pictures = self.kind.pictures(reading(self.config, self.image_processor, self.tokenizer, self.settings))
        self.forward = Forward(model, self.kind, self._pad_id())
        self.answerer = Answerer(
            self.forward, self.tokenizer, max_new_tokens, placeholder_ids(self.config, self.kind, self.tokenizer)
        )

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
    ) -> DecoderAdapter:
        """Load a checkpoint.

        Args:
            path: folder written by ``save_pretrained``, or hub id.
            name: what to call it.
            device: e.g. ``"cpu"``, ``"cuda:1"``; the first GPU if there is one, by default.
            dtype: ``"float32"`` (default on a CPU), ``"bfloat16"``, ``"float16"`` or ``"auto"`` (default on a GPU).
            device_map: let accelerate spread the model over devices.
            **options: ``max_new_tokens``, ``cache_bytes``.

        Raises:
            InvalidInput: nothing to load there, or an unknown option.
            ModelError: incomplete weights, or a variant that is not supported.
        """
        _check_length(options.get("max_new_tokens", 1))
        unknown = sorted(set(options) - {"max_new_tokens", "cache_bytes"})
        if unknown:
            raise InvalidInput(f"Unknown options {unknown} for a decoder; it takes max_new_tokens and cache_bytes.")
        family_of(compat.load_config(path))  # refuse before gigabytes are read
        return cls(name, path, load_model(path, "AutoModelForImageTextToText", device, dtype, device_map), **options)

    def _pad_id(self) -> int:
        """A token that may stand where nothing is attended to: padding, or the end token."""
        text = self.config.get_text_config()
        for found in (
            self.tokenizer.pad_token_id,
            text.pad_token_id,
            self.tokenizer.eos_token_id,
            text.eos_token_id,
            0,
        ):
            first = found[0] if isinstance(found, list | tuple) and found else found
            if isinstance(first, int) and first != image_token_id(self.config):
                return first
        return 0

    @cached_property
    def _fingerprint(self) -> str:
        tokenizer = words_of(self.tokenizer.backend_tokenizer)
        processor = {k: v for k, v in self.image_processor.to_dict().items() if not k.startswith("_")}
        settings = {k: v for k, v in self.settings.items() if k not in {"chat_template", "image_processor"}}
        return fingerprint(self.model, tokenizer, processor, settings, self.template or "", self.max_new_tokens)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, configuration, tokenizer, image processor, chat template and length of own answers."""
        return self._fingerprint

    @property
    def dtype(self) -> str:
        """Number format that the model computes in, e.g. ``"float32"``."""
        return str(self.model.dtype).removeprefix("torch.")

    def prepare(self, sample: Sample) -> Prepared:
        """Fit the pictures, write and tokenise the prompt.

        Raises:
            InvalidInput: a part that cannot be read, or a prompt longer than the model has positions for.
            ModelError: the chat template or the processor does not fit the model.
        """
        contents = self.read_parts(sample)
        order = tuple((name, part.kind) for name, part in sample.parts.items())
        raw: dict[str, NDArray[np.uint8]] = {name: contents[name] for name, kind in order if kind == "image"}
        sights = {name: self.pictures.fit(content) for name, content in raw.items()}
        texts = {name: str(contents[name]) for name, kind in order if kind == "text"}
        form, special = form_of(self.config, self.tokenizer, self.template, order, texts)
        prompter = Prompter(
            self.tokenizer,
            form,
            placeholder(self.kind, self.tokenizer),
            image_token_id(self.config),
            tuple(sights.values()),
            pictures_first=self.config.model_type == "blip-2",
            special=special,
        )
        prompt = prompter(texts)
        self._check_fits(len(prompt.ids), 1)
        store = PictureStore(self.model, self.pictures, self.cache_bytes)
        contexts = {name: Context(grid=s.grid, placement=s.placement) for name, s in sights.items()}
        contexts |= {name: Context(token_spans=prompt.parts[name].spans) for name in texts}
        seen = {name: sights[name].seen if name in sights else texts[name] for name in contents}
        ordered = {name: contexts[name] for name in contents}
        return Prepared(sample, seen, ordered, State(order, raw, sights, prompter, prompt, store))

    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """The model's own answer by greedy decoding, and the target with its answer filled in.

        A given answer is tokenised as it may continue the prompt: alone or after a space, by itself or together with
        the prompt. Of these ways the one that the model finds most probable on the whole sample is explained.
        Probabilities are products over the tokens of an answer, without the end token.

        Raises:
            InvalidInput: a scale or token the target cannot have, or the model's own answer is empty.
        """
        check_target(target)
        state: State = prepared.state
        row = state.whole()
        room = self._room(len(state.prompt.ids))
        own, ids, complete = self.answerer.own(row, room)
        alternatives = self.answerer.alternatives(row, ids) if own and complete else ()
        if own:
            state.answers[own] = ids
        if target.answer is None and not own:
            raise InvalidInput("The model's own answer to this sample is empty; give an answer to explain.")
        explained = target.answer if target.answer is not None else own
        for answer in (explained, target.against):
            if answer is not None:
                self._spell(state, answer)
        resolved = target.with_answer(explained)
        self._asks(state, resolved)  # refuses tokens out of range
        own_probability = self.answerer.probability(row, ids) if own else None
        explained_probability = self.answerer.probability(row, state.answers[explained])
        return resolved, Prediction(own, own_probability, alternatives, explained, explained_probability, complete)

    def _room(self, prompt: int) -> int | None:
        """How many tokens of an answer fit behind a prompt; ``None`` without a limit."""
        most = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        return most - prompt if isinstance(most, int) else None

    def _check_fits(self, prompt: int, answer: int) -> None:
        """Refuse what is longer than the positions that the model has; models that name no limit are not checked.

        Raises:
            InvalidInput: prompt and answer are too long.
        """
        room = self._room(prompt)
        if room is None or answer <= room:
            return
        raise InvalidInput(
            f"The prompt has {prompt} tokens (pictures included) and the answer {answer}, together {prompt + answer}; "
            f"{self.name!r} has positions for {prompt + room}. Shorten the text or the answer, or give fewer pictures."
        )

    def _spell(self, state: State, answer: str) -> tuple[int, ...]:
        if answer not in state.answers:
            ways = self.answerer.ways(state.prompt.text, answer)
            self._check_fits(len(state.prompt.ids), max(len(way) for way in ways))
            state.answers[answer] = self.answerer.spell(state.whole(), ways)
        return state.answers[answer]

    def _asks(self, state: State, target: Target) -> list[Ask]:
        if target.answer is None:
            raise InvalidInput("The target has no answer yet; pass it through resolve first.")
        named = [target.answer] + ([target.against] if target.against is not None else [])
        return [ask_of(target, answer, self._spell(state, answer)) for answer in named]

    def values(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> DecoderValues:
        """The value function of a resolved target; each distinct masked picture is encoded once."""
        check_target(target)
        if batch_size is not None and batch_size < 1:
            raise InvalidInput(f"The batch size is {batch_size}; it must be at least 1.")
        asks = self._asks(prepared.state, target)
        chunks = Chunks(batch_size or self._batch_size(prepared.state, asks))
        return DecoderValues(
            self.forward,
            prepared,
            players,
            maskers,
            target=target,
            asks=asks,
            chunks=chunks,
            prefix_bytes=prefix_memory(self.model, self.cache_bytes),
        )

    def answers(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> list[Prediction]:
        """Greedy answers to masked samples; rows that have written the same so far share a pass."""
        state: State = prepared.state
        longest = Ask((0,) * self.max_new_tokens, 0, self.max_new_tokens)  # room for an answer as long as may be
        inputs = MaskedRows(self.forward, prepared, players, maskers)

        def work(piece: slice) -> list[Prediction]:
            rows = inputs(coalitions[piece])
            own = self.answerer.own_of_each(rows, self._room(max(len(row.ids) for row in rows)))
            chances: list[float | None] = [None] * len(rows)
            for ids in {ids for text, ids, _ in own if text}:
                same = [k for k, one in enumerate(own) if one[1] == ids]
                for place, chance in zip(same, self.answerer.probabilities([rows[k] for k in same], ids), strict=True):
                    chances[place] = chance
            return [Prediction(text, chance, complete=end) for (text, _, end), chance in zip(own, chances, strict=True)]

        pieces = Chunks(self._batch_size(state, [longest])).run(len(coalitions), work)
        return [prediction for piece in pieces for prediction in piece]

    def masked_inputs(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> dict[str, Any]:
        """What the model is fed of each part, for the doctor."""
        return masked_inputs(self.forward, prepared, players, maskers, coalitions)

    def _batch_size(self, state: State, asks: list[Ask]) -> int:
        """Rows whose activations and logits fit the memory; a rough upper estimate."""
        text = self.config.get_text_config()
        longest = len(state.prompt.ids) + max(len(ask.ids) for ask in asks)
        kept = max(one.keep for one in plan(asks))
        wide = max(getattr(text, "intermediate_size", 0) or 0, getattr(text, "ffn_dim", 0) or 0, 4 * text.hidden_size)
        activations = longest * (6 * text.hidden_size + 3 * wide) * 4
        lent = prefix_bytes(self.model, len(state.prompt.ids)) // 2  # a prefix serves two rows of a batch or more
        return auto_batch_size(compat.device_of(self.model), activations + kept * text.vocab_size * 4 * 3 + lent)

    def plain_value(self, prepared: Prepared, target: Target) -> float:
        """The target by the plain path: raw pictures, processor, one forward pass an answer, nothing shared.

        Where this installation cannot build the model's processor (some need torchvision), its image processor and
        tokenizer are run instead.
        """
        from chiasm.models.decoder_plain import plain_logits

        values = []
        for ask in self._asks(prepared.state, target):
            logits = plain_logits(self, prepared, ask.ids[: ask.stop - 1])
            first = logits.shape[1] - (ask.stop - ask.start)
            values.append(float(read(logits, first, ask, target.scale)[0]))
        return values[0] if len(values) == 1 else values[0] - values[1]

    def plain_caveat(self) -> str:
        """Says so where `plain_value` tokenised the prompt that the adapter wrote."""
        from chiasm.models.decoder_plain import not_compared

        reason = not_compared(self)
        return f"The prompt of both is written by Chiasm, not by the model's processor: {reason}." if reason else ""

    def attentions(self, prepared: Prepared) -> tuple[Any, ...]:
        """Attention maps of the language model on the whole sample's prompt, computed eagerly.

        Returns:
            One ``float32[heads, tokens, tokens]`` tensor a layer.

        Raises:
            ModelError: the model gives none.
        """
        return self.forward.attentions(prepared.state.whole())

    def notes(self, prepared: Prepared) -> list[str]:
        """Words of the sample that the tokenizer does not know."""
        from chiasm.models.decoder_checks import known

        line = known(self, prepared)
        return [] if line.ok else [line.detail]

    def checks(self, sample: Sample) -> list[Check]:
        """Checks of the decoder family; see ``decoder_checks``."""
        from chiasm.models.decoder_checks import run_checks

        return run_checks(self, sample)
