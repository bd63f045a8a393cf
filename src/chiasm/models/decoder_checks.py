"""What the doctor looks at in decoder models besides the checks that every model gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chiasm.core.errors import ModelError
from chiasm.models.base import Check, check_known
from chiasm.models.decoder_plain import not_compared, plain_inputs
from chiasm.models.tokens import unknown_words

if TYPE_CHECKING:
    from chiasm.core.sample import Sample
    from chiasm.models.base import Prepared
    from chiasm.models.decoder import DecoderAdapter
    from chiasm.models.decoder_rows import State

PIXEL_TOLERANCE = 1e-5
"""Largest difference in normalised pixels that counts as equal."""


def run_checks(adapter: DecoderAdapter, sample: Sample) -> list[Check]:
    """All checks of the family on one sample."""
    prepared = adapter.prepare(sample)
    plain = plain_inputs(adapter, prepared)
    return [
        _pixels(adapter, prepared, plain["pixel_values"].numpy()),
        _prompt(prepared, plain["input_ids"][0].numpy(), not_compared(adapter)),
        _counts(prepared),
        _spelling(prepared),
        known(adapter, prepared),
        _order(prepared),
        _attentions(adapter, prepared),
    ]


def _pixels(adapter: DecoderAdapter, prepared: Prepared, theirs: np.ndarray) -> Check:
    state: State = prepared.state
    own = [
        adapter.pictures.tensors(sight, sight.seen[None], None)["pixel_values"].numpy()
        for sight in state.sights.values()
    ]
    axis = 1 if theirs.ndim == 5 else 0
    joined = np.concatenate(own, axis=axis)
    if joined.shape != theirs.shape:
        return Check("pixels", ok=False, detail=f"shape {joined.shape}, the processor's {theirs.shape}")
    gap = float(np.abs(joined - theirs).max())
    return Check("pixels", gap <= PIXEL_TOLERANCE, f"largest difference from the image processor's: {gap:.1e}")


def _prompt(prepared: Prepared, theirs: np.ndarray, reason: str) -> Check:
    if reason:
        return Check("prompt tokens", ok=None, detail=f"{reason}: not compared")
    own = prepared.state.prompt.ids
    if len(own) != len(theirs):
        return Check("prompt tokens", ok=False, detail=f"{len(own)} tokens, the processor makes {len(theirs)}")
    wrong = int((own != theirs).sum())
    return Check("prompt tokens", wrong == 0, f"{wrong} of {len(own)} tokens differ from the processor's")


def _counts(prepared: Prepared) -> Check:
    state: State = prepared.state
    wanted = int((state.prompt.ids == state.prompter.image_token_id).sum())
    try:
        made = sum(int(features[0].shape[0]) for features in state.whole().pictures)
    except ModelError as error:
        return Check("image tokens", ok=False, detail=str(error))
    return Check("image tokens", made == wanted, f"{wanted} in the prompt, {made} features from the vision side")


def _spelling(prepared: Prepared) -> Check:
    """The characters of a part that are not white space belong to its tokens, each to at least one."""
    missing = []
    state: State = prepared.state
    for name, kind in state.order:
        if kind != "text":
            continue
        text = prepared.contents[name]
        covered = np.zeros(len(text), bool)
        for start, end in state.prompt.parts[name].spans:
            covered[start:end] = True
        missing += [char for k, char in enumerate(text) if not covered[k] and not char.isspace()]
    detail = f"characters without a token: {''.join(missing[:20])!r}" if missing else "every character has a token"
    return Check("text tokens", not missing, detail)


def known(adapter: DecoderAdapter, prepared: Prepared) -> Check:
    """Which stretches of the texts the model reads as its unknown token, all alike to it."""
    state: State = prepared.state
    ids, unknown = state.prompt.ids, adapter.tokenizer.unk_token_id
    found = [unknown_words(prepared.contents[name], ids, own, unknown) for name, own in state.prompt.parts.items()]
    return check_known([word for words in found for word in words])


def _order(prepared: Prepared) -> Check:
    """Parts stand in the prompt in the order of the sample."""
    state: State = prepared.state
    images = np.flatnonzero(state.prompt.ids == state.prompter.image_token_id).tolist()
    places = {name: tokens.positions[0] for name, tokens in state.prompt.parts.items() if len(tokens.positions)}
    at = 0
    for name, sight in state.sights.items():
        places[name] = images[at]
        at += sight.tokens
    found = sorted(places, key=lambda name: places[name])
    wanted = [name for name, _ in state.order if name in places]
    if found == wanted:
        return Check("part order", ok=True, detail=" → ".join(found))
    kinds = dict(state.order)
    same = all([n for n in found if kinds[n] == k] == [n for n in wanted if kinds[n] == k] for k in ("image", "text"))
    detail = f"the model's own prompt form writes {' → '.join(found)} for {' → '.join(wanted)}"
    return Check("part order", None if same else False, detail)


def _attentions(adapter: DecoderAdapter, prepared: Prepared) -> Check:
    try:
        maps = adapter.attentions(prepared)
    except ModelError as error:
        return Check("attentions", ok=False, detail=str(error))
    heads, tokens = int(maps[0].shape[0]), int(maps[0].shape[1])
    return Check("attentions", ok=True, detail=f"{len(maps)} layers, {heads} heads, {tokens} tokens")
