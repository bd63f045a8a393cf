"""What a decoder is given of masked samples: encoded pictures, and prompts with hidden tokens."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, distinct, keys
from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.players import PartPlayers, Players, Spans
from chiasm.modalities.alignment import token_players
from chiasm.modalities.base import ContentMasker, Masker, TokenMasker
from chiasm.models.decoder_forward import Features, Forward, PictureStore, Row
from chiasm.models.decoder_images import Sight
from chiasm.models.decoder_prompt import Prompt, Prompter

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


class MaskedRows:
    """What the model is given for each coalition.

    Args:
        forward: the model.
        prepared: the sample.
        players: its players.
        maskers: part → masker.

    Raises:
        MissingCapability: a masker that the model cannot carry out.
        InvalidInput: players that a token masker cannot hide.
    """

    def __init__(self, forward: Forward, prepared: Prepared, players: Players, maskers: Mapping[str, Masker]) -> None:
        """Check the maskers."""
        self.players, self.sights = players, list(prepared.state.sights.values())
        name = next(_names)  # masks of one sample must not be taken for those of another
        self.images = _Images(prepared.state, prepared.contents, players, maskers, name)
        self.texts = _Texts(prepared.state, prepared.contents, players, maskers, forward)

    def __call__(self, coalitions: Coalitions) -> list[Row]:
        """``bool[batch, players]`` → one row for each."""
        masks = self.players.split(coalitions)
        pictures = self.images(masks, len(coalitions))
        texts = self.texts(masks, len(coalitions))
        return [Row(ids, seen, shown, self.sights) for (ids, seen), shown in zip(texts, pictures, strict=True)]


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
