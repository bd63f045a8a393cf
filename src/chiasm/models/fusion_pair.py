"""What the adapters of encoders share: exactly one picture and one text, each fitted, masked and fed on its own.

Dual encoders (`chiasm.models.dual_encoder`) and fusion encoders (`chiasm.models.fusion_vilt`,
`chiasm.models.fusion_blip`) differ in what they do with the two; how a picture becomes pixel values and a text becomes
rows of tokens under a mask is one thing and stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.players import PartPlayers, Players, Spans
from chiasm.core.sample import Sample
from chiasm.modalities.alignment import token_players
from chiasm.modalities.base import ContentMasker, Context, Masker, TokenMasker
from chiasm.models import compat, weights
from chiasm.models.base import Adapter, Check, Prepared, check_known
from chiasm.models.function import PerMask
from chiasm.models.pixels import fit, patch_grid, pixels
from chiasm.models.tokens import Encoded, PartTokens, encode, tokens_within, unknown_words

Floats = NDArray[np.float64]

#: one text under one mask: ids ``int64[tokens]``, attention ``bool[tokens]``
TextRow = tuple[NDArray[np.int64], NDArray[np.bool_]]


@dataclass(eq=False)
class PairState:
    """What an adapter of a picture and a text keeps of a sample.

    Attributes:
        image, text: names of the two parts.
        picture: the picture as given, ``uint8[h, w, 3]``, for the plain path.
        encoded: the whole text in tokens, special ones included, without padding; ``None`` if the tokenizer cannot
            say which characters a token stands for.
        own: the tokens that stand for characters of the text, with those characters.
    """

    image: str
    text: str
    picture: NDArray[np.uint8]
    encoded: Encoded | None
    own: PartTokens | None


class PairAdapter(Adapter):
    """Base of the adapters that take exactly one picture and one text.

    Args:
        name: as the user asked for it.
        model: the model, in evaluation mode.
        image_processor: the model's own, the Pillow version.
        tokenizer: the model's own.
        patch_size: side of the model's patches in pixels.
        image_size: side of the square that the model needs, or ``None`` if it takes any size.
        max_tokens: the longest text that the model has positions for.

    Attributes:
        architectures: the classes of transformers that the adapter runs.
    """

    architectures: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        model: Any,
        image_processor: Any,
        tokenizer: Any,
        *,
        patch_size: int,
        image_size: int | None,
        max_tokens: int,
    ) -> None:
        """Keep the pieces."""
        super().__init__(name=name)
        self.kinds = ("image", "text")
        self.model = model
        self.image_processor = image_processor
        self.tokenizer = tokenizer
        self.max_tokens = min(max_tokens, int(tokenizer.model_max_length))
        self.default_maskers = {"image": "mean", "text": "attention" if tokenizer.is_fast else "delete"}
        self._patch_size = patch_size
        self._image_size = image_size
        self._pad_to: int | None = None  # texts are padded to the longest of a batch, or always to this length
        self._pads_attended = False
        self._fingerprint: str | None = None

    @staticmethod
    def load(path: str, auto_class: str, device: str | None, dtype: str | None, options: dict[str, Any]) -> Any:
        """The model and what feeds it.

        Returns:
            model, image processor, tokenizer.

        Raises:
            InvalidInput: nothing can be loaded from the path, or an option is unknown.
            ModelError: the checkpoint is incomplete.
        """
        unknown = sorted(set(options) - {"device_map"})
        if unknown:
            raise InvalidInput(f"Unknown option {unknown[0]!r} for this model; it takes device, dtype, device_map.")
        model = weights.load_model(path, auto_class, device, dtype, options.get("device_map"))
        return model, compat.load_image_processor(path), compat.load_tokenizer(path)

    @property
    def fingerprint(self) -> str:
        """Hash of weights, configuration, image processor and tokenizer."""
        if self._fingerprint is None:
            backend = getattr(self.tokenizer, "backend_tokenizer", None)
            words = weights.words_of(backend) if backend is not None else sorted(self.tokenizer.get_vocab().items())
            self._fingerprint = weights.fingerprint(self.model, self.image_processor.to_dict(), words)
        return self._fingerprint

    @property
    def device(self) -> Any:
        """Where inputs go."""
        return compat.device_of(self.model)

    @property
    def dtype(self) -> Any:
        """The number format of the weights."""
        return self.model.dtype

    def prepare(self, sample: Sample) -> Prepared:
        """Read and fit the picture, read and tokenise the text.

        Raises:
            InvalidInput: not one picture and one text, or a text longer than the model has positions for.
            ModelError: the processor and the model do not fit together.
        """
        raw = self.read_parts(sample)
        names = {kind: [name for name, part in sample.parts.items() if part.kind == kind] for kind in self.kinds}
        for kind, found in names.items():
            if len(found) > 1:
                raise InvalidInput(
                    f"{self.name!r} ({self.family}) takes one part of kind {kind!r}; the sample has {len(found)}: "
                    f"{', '.join(found)}. Use a decoder model for several."
                )
        (image,), (text,) = names["image"], names["text"]
        fitted = fit(self.image_processor, raw[image])
        side = self._image_size
        if side is not None and fitted.seen.shape[:2] != (side, side):
            raise ModelError(
                f"The image processor of {self.name!r} makes pictures of {fitted.seen.shape[:2]} pixels and the model "
                f"needs ({side}, {side}); save the processor with size and crop_size of {side}."
            )
        encoded = own = None
        if self.tokenizer.is_fast:
            encoded = encode(self.tokenizer, raw[text])
            own = tokens_within(encoded, 0, len(raw[text]))
        self._check_text(raw[text])
        contents = {name: fitted.seen if name == image else raw[name] for name in sample.parts}
        contexts = {
            image: Context(grid=patch_grid(fitted.seen, self._patch_size), placement=fitted.placement),
            text: Context(token_spans=None if own is None else own.spans),
        }
        state = PairState(image, text, raw[image], encoded, own)
        return Prepared(sample, contents, {name: contexts[name] for name in sample.parts}, state)

    def tokens(self, text: str, what: str = "The text") -> NDArray[np.int64]:
        """Ids of a text with special tokens, not padded, ``int64[tokens]``; ``what`` begins the error's sentence.

        Raises:
            InvalidInput: the text is too long.
        """
        ids = np.asarray(self.tokenizer(text, verbose=False)["input_ids"], np.int64)
        if len(ids) > self.max_tokens:
            raise InvalidInput(
                f"{what} has {len(ids)} tokens and {self.name!r} has positions for {self.max_tokens} (start and end "
                f"token included). It would be cut off unseen, so shorten it by {len(ids) - self.max_tokens} tokens."
            )
        return ids

    def _check_text(self, text: str) -> None:
        """Refuse a text that is too long, or that spells the tokens by which the model finds a text's ends."""
        self.tokens(text)
        bare = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        special = {self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.sep_token_id}
        special |= {self.tokenizer.cls_token_id, self.tokenizer.pad_token_id}
        found = sorted((special - {None}) & set(bare))
        if found:
            token = self.tokenizer.convert_ids_to_tokens(found[0])
            raise InvalidInput(
                f"The text {text[:80]!r} holds the special token {token!r}, which tells the model where a text ends or "
                f"begins (or stands for characters it does not know); take it out of the text."
            )

    def text_rows(self, prepared: Prepared, players: Players, masker: Masker) -> Callable[[Coalitions], list[TextRow]]:
        """A function from masks ``bool[masks, players of the text]`` to one row of tokens a mask.

        Raises:
            MissingCapability: the masker needs what the tokenizer lacks; the message names what would serve.
            InvalidInput: a player has no token, or the masked text is too long.
        """
        state: PairState = prepared.state
        own, text = players[state.text], prepared.contents[state.text]
        if isinstance(masker, ContentMasker):
            hide: ContentMasker = masker
            what = f"The text as masked by {masker.name!r}"

            def retokenised(present: Coalitions) -> list[TextRow]:
                found = [self.tokens(masked, what) for masked in hide.apply(text, own, present)]
                return [(ids, np.ones(len(ids), bool)) for ids in found]

            retokenised(np.zeros((1, len(own)), bool))  # a text that masking makes too long is refused now, not midway
            return retokenised
        if state.encoded is None:
            raise MissingCapability(
                f"Masker {masker.name!r} needs to know which characters a token stands for, and "
                f"{type(self.tokenizer).__name__} of {self.name!r} cannot say. Use 'delete', 'neutral' or 'empty'."
            )
        if masker.mode == "mask" and self.tokenizer.mask_token_id is None:
            raise MissingCapability(
                f"Masker {masker.name!r} needs a mask token, and the tokenizer of {self.name!r} has none. "
                f"Use 'attention', 'delete', 'neutral' or 'empty'."
            )
        owner = self._owners(state, own, text)

        def rows(present: Coalitions) -> list[TextRow]:
            return [self._token_row(state, masker, np.append(row, True)[owner]) for row in present]

        return rows

    def _owners(self, state: PairState, own: PartPlayers, text: str) -> NDArray[np.intp]:
        """For each position of the row the player that owns it; −1 (so the last of an appended list) for none."""
        if not isinstance(own.geometry, Spans):
            raise InvalidInput(f"The players of part {own.part!r} are no stretches of its text; cut it into words.")
        if state.encoded is None or state.own is None:
            return np.zeros(0, np.intp)
        found = token_players(state.own.spans, own.geometry.bounds, text)
        if found.tokenless:
            raise InvalidInput(
                f"Player {own.labels[found.tokenless[0]]!r} of part {own.part!r} has no token of its own in "
                f"{self.name!r} (dropped, or part of a token of another player), so it cannot be hidden by tokens. "
                f"Use the masker 'delete', or cut the text into 'tokens'."
            )
        owner = np.full(len(state.encoded.ids), -1, np.intp)
        owner[state.own.positions] = found.owners
        return owner

    def _token_row(self, state: PairState, masker: TokenMasker, keep: NDArray[np.bool_]) -> TextRow:
        ids = state.encoded.ids if state.encoded is not None else np.zeros(0, np.int64)
        if masker.mode == "mask":
            return np.where(keep, ids, self.tokenizer.mask_token_id), np.ones(len(ids), bool)
        return np.where(keep, ids, self._hidden_id()), keep

    def _hidden_id(self) -> int:
        """The id at a position that is not attended to."""
        return int(self.tokenizer.pad_token_id)

    def _padding_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def collate(self, rows: Sequence[TextRow]) -> tuple[Any, Any]:
        """Rows of tokens → ids and attention as tensors ``int64[batch, longest]``, padded on the right."""
        import torch

        longest = self._pad_to or max(len(ids) for ids, _ in rows)
        ids = np.full((len(rows), longest), self._padding_id(), np.int64)
        attention = np.full((len(rows), longest), self._pads_attended, np.int64)
        for k, (own, attended) in enumerate(rows):
            ids[k, : len(own)] = own
            attention[k, : len(own)] = attended
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(attention).to(self.device)

    def picture_rows(self, prepared: Prepared, players: Players, masker: Masker) -> Callable[[Coalitions], Any]:
        """A function from masks ``bool[masks, players of the picture]`` to ``float[masks, 3, H, W]``.

        Raises:
            MissingCapability: the masker works on tokens.
        """
        state: PairState = prepared.state
        if not isinstance(masker, ContentMasker):
            raise MissingCapability(
                f"Masker {masker.name!r} works on tokens of a text; a picture takes 'mean', 'grey', 'zero', 'blur' …"
            )
        own, content = players[state.image], prepared.contents[state.image]
        return lambda present: self.pixel_values(masker.apply(content, own, present))

    def pixel_values(self, pictures: Any) -> Any:
        """Fitted pictures ``uint8[b, H, W, 3]`` → ``float[b, 3, H, W]`` in the model's number format."""
        return pixels(self.image_processor, np.asarray(pictures), self.device).to(self.dtype)

    def encoded_pictures(
        self,
        prepared: Prepared,
        players: Players,
        masker: Masker,
        encoder: Callable[[Any], Any],
        chunks: weights.Chunks,
    ) -> PerMask:
        """Each distinct mask of the picture through an encoder once; items are rows of what the encoder gives."""
        import torch

        pictures = self.picture_rows(prepared, players, masker)

        def compute(present: Coalitions) -> list[Any]:
            with torch.inference_mode():
                pieces = chunks.run(len(present), lambda rows: encoder(pictures(present[rows])))
            return [row for piece in pieces for row in piece]

        return PerMask(compute)

    def masked_inputs(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> dict[str, Any]:
        """What the model is fed of the text part (see `chiasm.models.doctor.ShowsMaskedInputs`)."""
        state: PairState = prepared.state
        masker = maskers[state.text]
        if not isinstance(masker, TokenMasker) or state.encoded is None:
            return {}
        rows = self.text_rows(prepared, players, masker)(players.split(coalitions)[state.text])
        spans = np.full((len(state.encoded.ids), 2), -1, np.int64)
        if state.own is not None:
            spans[state.own.positions] = state.own.spans
        return {
            state.text: {
                "ids": np.stack([ids for ids, _ in rows]),
                "attention": np.stack([attention for _, attention in rows]),
                "spans": spans,
            }
        }

    def notes(self, prepared: Prepared) -> list[str]:
        """Words of the sample that the tokenizer does not know."""
        return [line.detail for line in self._known(prepared) if not line.ok]

    def checks(self, sample: Sample) -> list[Check]:
        """Words that the tokenizer does not know."""
        return self._known(self.prepare(sample))

    def _known(self, prepared: Prepared) -> list[Check]:
        state: PairState = prepared.state
        if state.encoded is None or state.own is None:
            return []
        text = prepared.contents[state.text]
        return [check_known(unknown_words(text, state.encoded.ids, state.own, self.tokenizer.unk_token_id))]

    def whole(self, prepared: Prepared) -> tuple[Any, TextRow]:
        """The unmasked picture as ``float[1, 3, H, W]`` and the unmasked text as a row."""
        state: PairState = prepared.state
        ids = self.tokens(prepared.contents[state.text])
        return self.pixel_values(prepared.contents[state.image][None]), (ids, np.ones(len(ids), bool))

    def plain_inputs(self, prepared: Prepared, texts: Sequence[str]) -> dict[str, Any]:
        """Picture as given and texts by the model's own processor and tokenizer, for the plain path."""
        from PIL import Image

        state: PairState = prepared.state
        image = self.image_processor(images=Image.fromarray(state.picture), return_tensors="pt")
        padding: Any = "max_length" if self._pad_to else len(texts) > 1
        tokens = self.tokenizer(list(texts), padding=padding, max_length=self._pad_to, return_tensors="pt")
        inputs = {**tokens, **image}
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        inputs["pixel_values"] = inputs["pixel_values"].to(self.dtype)
        return inputs
