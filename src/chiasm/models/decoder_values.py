"""The value function of a decoder: coalitions of patches and words in, values of the target out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, distinct, keys
from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.game import Costs
from chiasm.core.players import PartPlayers, Players, Spans
from chiasm.core.target import Target
from chiasm.modalities.alignment import token_players
from chiasm.modalities.base import ContentMasker, Masker, TokenMasker
from chiasm.models import compat
from chiasm.models.decoder_forward import Features, Forward, PictureStore, Row, patches
from chiasm.models.decoder_images import Sight
from chiasm.models.decoder_prefix import Prefixes, shared_length
from chiasm.models.decoder_prompt import Prompt, Prompter
from chiasm.models.decoder_scoring import Ask, Pass, plan, read
from chiasm.models.pass_costs import relative, weights_in
from chiasm.models.weights import Chunks

if TYPE_CHECKING:
    from chiasm.models.base import Prepared

_names = itertools.count()


@dataclass(eq=False)
class State:
    """What the adapter keeps of a prepared sample.

    Attributes:
        order: (name, kind) of the parts.
        raw: image part → picture as given, ``uint8[h, w, 3]``.
        sights: image part → as the model sees it.
        prompter: writes and tokenises prompts.
        prompt: the prompt of the whole sample.
        store: encoded pictures.
        answers: answer → its tokens, as resolved.
    """

    order: tuple[tuple[str, str], ...]
    raw: dict[str, NDArray[np.uint8]]
    sights: dict[str, Sight]
    prompter: Prompter
    prompt: Prompt
    store: PictureStore
    answers: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def whole(self) -> Row:
        """The whole sample as one row."""
        pictures = [
            self.store.get(sight, [(name, None)], lambda _, sight=sight: sight.seen[None])[0]  # type: ignore[misc]
            for name, sight in self.sights.items()
        ]
        return Row(self.prompt.ids, np.ones(len(self.prompt.ids), bool), pictures, list(self.sights.values()))


class DecoderValues:
    """Values of coalitions, see `chiasm.models.base.Values`.

    Args:
        forward: the model.
        prepared: the sample.
        players: its players.
        maskers: part → masker.
        target: the resolved target.
        asks: the answer to score and, for a contrast, the one to take away.
        chunks: rows of one forward pass.
        prefix_bytes: how much memory the keys and values of prefixes may take; 0 for reading every prompt as a whole.

    Attributes:
        batch_size: coalitions of one call.
        prefixes: what is lent to coalitions that share their masked pictures, or ``None`` where
            `chiasm.models.decoder_prefix.shared_length` forbids it.
        costs: what values cost (`chiasm.core.game.Costs`).

    Raises:
        MissingCapability: a masker that the model cannot carry out.
        InvalidInput: players that a token masker cannot hide.
    """

    def __init__(
        self,
        forward: Forward,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        *,
        target: Target,
        asks: Sequence[Ask],
        chunks: Chunks,
        prefix_bytes: int = 0,
    ) -> None:
        """Check the maskers and plan the passes."""
        self.forward, self.players, self.target = forward, players, target
        self.state: State = prepared.state
        self.asks, self.passes = list(asks), plan(asks)
        self.batch_size, self._chunks = chunks.size, chunks
        self._name = next(_names)  # masks of one value function must not be taken for those of another
        self._images = _Images(self.state, prepared.contents, players, maskers, self._name)
        self._texts = _Texts(self.state, prepared.contents, players, maskers, forward)
        self.prefixes = self._prefixes(prefix_bytes) if prefix_bytes else None
        self.costs = self._costs()

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` → ``float64[batch]``; coalitions with the same masked pictures are read together."""
        values = np.zeros(len(coalitions), np.float64)
        alone, together = self._grouped(coalitions)
        for places, work in ((alone, self._values), (together, self._values_behind)):
            found = self._chunks.run(len(places), lambda piece: work(coalitions[places[piece]]))  # noqa: B023
            values[places] = np.concatenate([*found, np.zeros(0)])
        return values

    def _prefixes(self, most_bytes: int) -> Prefixes | None:
        ends = np.stack([np.ones(len(self.players), bool), np.zeros(len(self.players), bool)])
        texts = self._texts(self.players.split(ends), len(ends))
        length = shared_length(self.forward, texts)
        if not length:
            return None
        return Prefixes(self.forward, texts[0][0][:length], list(self.state.sights.values()), most_bytes)

    def _costs(self) -> Costs:
        """A picture costs its vision tower and, if it is the only one, its prefix; a coalition what is left to read.

        With several pictures the prefix belongs to all of them together; it is then counted with the coalitions.
        """
        model, sights = self.forward.model, self.state.sights
        language = compat.language_part(model)
        reads, sees = weights_in(language), weights_in(compat.core_model(model))
        sees -= weights_in(language)
        length = len(self.state.prompt.ids)
        cell = sum(reads * (length + len(one.suffix)) for one in self.passes)
        encode = {part: sees * patches(model, sight) for part, sight in sights.items()}
        if self.prefixes is not None and len(sights) == 1:
            shared = reads * self.prefixes.length
            (part,) = sights
            encode[part] += shared
            cell -= shared * len(self.passes)
        return relative(encode, cell)

    def _pictured(self, coalitions: Coalitions) -> Coalitions:
        """The masks of all pictures, side by side."""
        masks = self.players.split(coalitions)
        return np.concatenate([masks[part] for part in self.state.sights], axis=1)

    def _grouped(self, coalitions: Coalitions) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which rows are read as a whole, and which behind prefixes, those of one masked picture side by side."""
        places = np.arange(len(coalitions))
        if self.prefixes is None:
            return places, places[:0]
        pictured = self._pictured(coalitions)
        behind = self.prefixes.worth(keys(pictured))
        if self._texts.by_content and behind.any():  # masked contents may change the tokens before them
            texts = self._texts(self.players.split(coalitions), len(coalitions))
            behind &= np.array([self.prefixes.fits(text) for text in texts], bool)
        order = np.argsort(distinct(pictured)[1], kind="stable")
        return places[~behind], order[behind[order]]

    def rows(self, coalitions: Coalitions) -> list[Row]:
        """What the model is given for each coalition."""
        masks = self.players.split(coalitions)
        pictures = self._images(masks, len(coalitions))
        sights = list(self.state.sights.values())
        texts = self._texts(masks, len(coalitions))
        return [Row(ids, seen, shown, sights) for (ids, seen), shown in zip(texts, pictures, strict=True)]

    def _values(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """Values by plain passes over whole prompts."""
        rows = self.rows(coalitions)
        return self._read(lambda one: self.forward.logits(rows, one.suffix, one.keep))

    def _values_behind(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """Values by passes over what follows the prefixes."""
        if self.prefixes is None:
            raise ModelError("This prompt has no prefix that its coalitions share.")
        lender, masks = self.prefixes, self.players.split(coalitions)
        pictured = self._pictured(coalitions)
        first, which = distinct(pictured)

        def pictures(missing: list[int]) -> list[list[Features]]:
            some = first[missing]
            return self._images({part: masks[part][some] for part in self.state.sights}, len(some))

        lent = lender.get(keys(pictured[first]), pictures)
        texts = self._texts(masks, len(coalitions))
        return self._read(lambda one: lender.logits(lent, which.tolist(), texts, one.suffix, one.keep))

    def _read(self, logits_of: Callable[[Pass], Any]) -> NDArray[np.float64]:
        """The values of a batch from the logits of each pass."""
        values: list[Any] = [None] * len(self.asks)
        for one in self.passes:
            logits = logits_of(one)
            for k, column in one.asks:
                values[k] = read(logits, column, self.asks[k], self.target.scale).float().cpu().double().numpy()
        return np.asarray(values[0] if len(values) == 1 else values[0] - values[1], np.float64)


class _Images:
    """Encoded pictures of each coalition."""

    def __init__(
        self,
        state: State,
        contents: Mapping[str, Any],
        players: Players,
        maskers: Mapping[str, Masker],
        name: int,
    ) -> None:
        self.state, self.contents, self.players, self.name = state, contents, players, name
        self.maskers: dict[str, ContentMasker] = {}
        for part in state.sights:
            masker = maskers[part]
            if isinstance(masker, TokenMasker):
                raise MissingCapability(
                    f"The masker {masker.name!r} hides tokens and part {part!r} is a picture; use mean, grey, blur or "
                    f"another masker of pictures."
                )
            self.maskers[part] = masker

    def __call__(self, masks: Mapping[str, NDArray[np.bool_]], count: int) -> list[list[Features]]:
        columns = [self._part(part, sight, masks[part]) for part, sight in self.state.sights.items()]
        return [[column[row] for column in columns] for row in range(count)]

    def _part(self, part: str, sight: Sight, present: NDArray[np.bool_]) -> list[Features]:
        names = [
            (part, None) if mask.all() else (part, (self.name, key))
            for mask, key in zip(present, keys(present), strict=True)
        ]
        return self.state.store.get(sight, names, self._make(part, present))

    def _make(self, part: str, present: NDArray[np.bool_]) -> Callable[[list[int]], NDArray[np.uint8]]:
        def make(places: list[int]) -> NDArray[np.uint8]:
            masked = self.maskers[part].apply(self.contents[part], self.players[part], present[places])
            return stack(masked, self.contents[part].shape, self.maskers[part].name)

        return make


def stack(masked: Any, shape: tuple[int, ...], masker: str) -> NDArray[np.uint8]:
    """Masked pictures as one array.

    Raises:
        ModelError: a masker changed the size or the type of the picture.
    """
    batch = np.asarray(masked)
    if batch.dtype != np.uint8 or batch.shape[1:] != shape:
        raise ModelError(
            f"The masker {masker!r} made {batch.dtype}{list(batch.shape[1:])} of a picture uint8{list(shape)}; a "
            f"masker must keep size and type."
        )
    return batch


class _Texts:
    """Token ids and visibility of each coalition."""

    def __init__(
        self,
        state: State,
        contents: Mapping[str, Any],
        players: Players,
        maskers: Mapping[str, Masker],
        forward: Forward,
    ) -> None:
        self.state, self.contents, self.players = state, contents, players
        self.parts = [name for name, kind in state.order if kind == "text"]
        self.by_content: dict[str, ContentMasker] = {}
        self.by_token: dict[str, TokenMasker] = {}
        for part in self.parts:
            masker = maskers[part]
            if isinstance(masker, TokenMasker):
                self.by_token[part] = masker
            else:
                self.by_content[part] = masker
        self.fills = {part: self._fill(masker, forward) for part, masker in self.by_token.items()}
        owned = self.by_token.items()
        self.owners = {part: owners_of(state.prompt, part, players[part], masker.name) for part, masker in owned}

    def _fill(self, masker: TokenMasker, forward: Forward) -> int:
        """The id that stands in the place of a hidden token."""
        if masker.mode == "attention":
            return forward.pad_id
        found = self.state.prompter.tokenizer.mask_token_id
        if found is None:
            raise MissingCapability(
                f"The masker {masker.name!r} needs a mask token and this model's tokenizer has none; use attention "
                f"(the tokens are not attended to), delete, or neutral:WORD."
            )
        return int(found)

    def __call__(
        self, masks: Mapping[str, NDArray[np.bool_]], count: int
    ) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        prompts, which = self._prompts(masks, count)
        found = []
        for row in range(count):
            prompt = prompts[which[row]]
            ids, visible = prompt.ids, np.ones(len(prompt.ids), bool)
            for part, masker in self.by_token.items():
                hidden = self._hidden(prompt, part, masks[part][row])
                if len(hidden):
                    ids = ids.copy() if ids is prompt.ids else ids
                    ids[hidden] = self.fills[part]
                    visible[hidden] = masker.mode != "attention"
            found.append((ids, visible))
        return found

    def _hidden(self, prompt: Prompt, part: str, present: NDArray[np.bool_]) -> NDArray[np.int64]:
        owners = self.owners[part]
        absent = np.append(~present, np.False_)  # the last entry serves owner -1
        positions: NDArray[np.int64] = prompt.parts[part].positions[absent[owners]]
        return positions

    def _prompts(
        self, masks: Mapping[str, NDArray[np.bool_]], count: int
    ) -> tuple[list[Prompt], Sequence[int] | NDArray[np.intp]]:
        """The distinct prompts of a batch, and which one each row has."""
        if not self.by_content:
            return [self.state.prompt], [0] * count
        present = np.concatenate([masks[part] for part in self.by_content], axis=1)
        first, inverse = distinct(present)
        texts = {part: [self.contents[part]] * len(first) for part in self.parts}
        for part, masker in self.by_content.items():
            texts[part] = list(masker.apply(self.contents[part], self.players[part], masks[part][first]))
        columns = [texts[part] for part in self.parts]
        written = [dict(zip(self.parts, column, strict=True)) for column in zip(*columns, strict=True)]
        prompts = [self.state.prompter(one) for one in written]
        for prompt in prompts:
            self._check(prompt)
        return prompts, inverse

    def _check(self, prompt: Prompt) -> None:
        for part in self.owners:
            if not np.array_equal(prompt.parts[part].spans, self.state.prompt.parts[part].spans):
                raise ModelError(
                    f"The tokens of part {part!r} change when another text is masked; mask all its texts the same way."
                )


def masked_inputs(
    forward: Forward,
    prepared: Prepared,
    players: Players,
    maskers: Mapping[str, Masker],
    coalitions: Coalitions,
) -> dict[str, Any]:
    """What the model is fed of each part, for the doctor (see `chiasm.models.doctor.ShowsMaskedInputs`).

    A text whose tokens move because another text is masked by its content is left out.
    """
    state: State = prepared.state
    masks, texts = players.split(coalitions), _Texts(prepared.state, prepared.contents, players, maskers, forward)
    found: dict[str, Any] = {
        part: list(masker.apply(prepared.contents[part], players[part], masks[part]))
        for part, masker in maskers.items()
        if not isinstance(masker, TokenMasker)
    }
    if texts.by_content:
        return found
    rows = texts(masks, len(coalitions))
    for part in texts.by_token:
        tokens = state.prompt.parts[part]
        spans = np.full((len(state.prompt.ids), 2), -1, np.int64)
        spans[tokens.positions] = tokens.spans
        ids, attention = np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
        found[part] = {"ids": ids, "attention": attention, "spans": spans}
    return found


def owners_of(prompt: Prompt, part: str, players: PartPlayers, masker: str) -> NDArray[np.int32]:
    """The player of each token of a part, ``int32[tokens]``, −1 for none.

    Raises:
        InvalidInput: a player that has no token of its own and so cannot be hidden.
    """
    bounds = players.geometry.bounds if isinstance(players.geometry, Spans) else np.zeros((0, 2), np.int64)
    text = str(players.content)
    found = token_players(prompt.parts[part].spans, bounds, text)
    if found.tokenless:
        names = ", ".join(repr(players.labels[k]) for k in found.tokenless[:5])
        raise InvalidInput(
            f"The model's tokenizer gives {len(found.tokenless)} players of part {part!r} no token of their own "
            f"({names}), so the masker {masker!r} cannot hide them; use the players 'tokens', or the masker delete."
        )
    return found.owners
