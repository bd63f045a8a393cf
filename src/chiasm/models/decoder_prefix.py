"""What stands before the question is read once for each masked picture: its keys and values are kept and lent.

In a causal model the states of the tokens up to the first word that may be masked depend on the picture alone. So the
vision tower and the language model run over this prefix once for each distinct mask of the picture, and each coalition
costs the pass over the rest, the question and the answer, only.

The rule (`shared_length`): the prefix is what the prompts of the full and of the empty coalition have in common at
their beginning. It is used where every image token lies in it, every layer of the language model is causal and
attends to all that came before, and the prompt is not read in both directions (PaliGemma). A row whose own
beginning differs, as a word cut out of a text can change its neighbour's tokens, is read plainly, and so is a masked
picture that only one coalition has.
"""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.models import compat
from chiasm.models.decoder_forward import Features, Forward, Row
from chiasm.models.decoder_images import Sight

#: token ids and which of them may be attended to
Text = tuple[NDArray[np.int64], NDArray[np.bool_]]
#: keys and values of one masked picture, for each layer
Prefix = list[tuple[Any, Any]]

#: what reading a row in two passes costs more than in one, in tokens: a generous figure, as on a processor two rows
#: behind a prefix of 52 tokens are faster than two whole prompts already
_ROW_TOKENS = 3
#: how many masks are remembered as seen
_MOST_SEEN = 1 << 16


def shared_length(forward: Forward, texts: Sequence[Text]) -> int:
    """How many tokens at the beginning of the prompt depend on pictures alone; 0 where the rule does not hold.

    Args:
        forward: the model.
        texts: the tokens of the full and of the empty coalition.
    """
    if forward.family.typed or not compat.causal_throughout(forward.model):
        return 0
    length = min(len(ids) for ids, _ in texts) - 1  # the last token's logits are wanted, so it is never in the prefix
    (ids, visible), *others = texts
    for other, seen in others:
        differ = (ids[:length] != other[:length]) | ~visible[:length] | ~seen[:length]
        length = int(differ.argmax()) if differ.any() else length
    pictures = np.flatnonzero(ids == forward.image_id)
    return length if len(pictures) and pictures[-1] < length else 0


class Prefixes:
    """Keys and values of prefixes: each computed once, those used longest ago forgotten when they take too many bytes.

    Args:
        forward: the model.
        ids: ``int64[length]``, the tokens of the prefix.
        sights: the pictures in it.
        most_bytes: how much to remember.

    Attributes:
        computed: how many prefixes were run through the language model so far.
    """

    def __init__(self, forward: Forward, ids: NDArray[np.int64], sights: Sequence[Sight], most_bytes: int) -> None:
        """Start empty."""
        self.forward, self.ids, self.sights, self.most_bytes = forward, ids, list(sights), most_bytes
        self.computed = 0
        self._kept: OrderedDict[Hashable, Prefix] = OrderedDict()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._bytes = 0

    @property
    def length(self) -> int:
        """Tokens of the prefix."""
        return len(self.ids)

    def fits(self, text: Text) -> bool:
        """Whether a prompt begins with the prefix, nothing hidden, and goes on behind it."""
        ids, visible = text
        n = self.length
        return len(ids) > n and bool(np.array_equal(ids[:n], self.ids) and visible[:n].all())

    def worth(self, keys: Sequence[Hashable]) -> NDArray[np.bool_]:
        """For each row of a call, whether it should be read behind a prefix.

        A prefix is used where it is there. It is made where the rows of this call that share it save more tokens than
        two passes cost; a single row's only where an earlier call had the same mask, which tells that masks come back.

        Args:
            keys: the mask of each row.
        """
        counts = Counter(keys)
        gain = self.length - _ROW_TOKENS
        use = {
            key: gain > 0 and (key in self._kept or key in self._seen or count * gain > self.length)
            for key, count in counts.items()
        }
        self._seen.update(dict.fromkeys(counts))
        while len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return np.array([use[key] for key in keys], bool)

    def get(self, keys: Sequence[Hashable], pictures: Callable[[list[int]], list[list[Features]]]) -> list[Prefix]:
        """Prefixes of masks.

        Args:
            keys: one a mask, all different.
            pictures: positions in ``keys`` → the encoded pictures of those masks.
        """
        found = {k: self._kept[key] for k, key in enumerate(keys) if key in self._kept}
        for k in found:
            self._kept.move_to_end(keys[k])
        missing = [k for k in range(len(keys)) if k not in found]
        if missing:
            made = self._compute(pictures(missing))
            found.update(zip(missing, made, strict=True))
            for k in missing:
                self._remember(keys[k], found[k])
        return [found[k] for k in range(len(keys))]

    def _compute(self, pictures: list[list[Features]]) -> list[Prefix]:
        import torch

        rows = [Row(self.ids, np.ones(self.length, bool), shown, self.sights) for shown in pictures]
        with torch.inference_mode():
            layers = compat.keys_and_values(self.forward.model, self.forward.inputs(rows, ()))
        self.computed += len(rows)
        if len(rows) == 1:
            return [[(keys[0], values[0]) for keys, values in layers]]
        # copies: a view would keep the whole batch in memory after its neighbours are forgotten
        return [[(keys[k].clone(), values[k].clone()) for keys, values in layers] for k in range(len(rows))]

    def _remember(self, key: Hashable, prefix: Prefix) -> None:
        self._kept[key] = prefix
        self._bytes += _size(prefix)
        while self._bytes > self.most_bytes and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _size(dropped)

    def logits(
        self, prefixes: Sequence[Prefix], which: Sequence[int], texts: Sequence[Text], suffix: Sequence[int], keep: int
    ) -> Any:
        """Logits after the last tokens of rows behind their prefixes, as `Forward.logits` gives them.

        Args:
            prefixes: those of the batch.
            which: the prefix of each row.
            texts: the whole prompt of each row.
            suffix: tokens appended to every row.
            keep: how many of the last positions to compute.

        Returns:
            ``float32[rows, keep, vocabulary]``.
        """
        import torch

        borders = [0, *(np.flatnonzero(np.diff(which)) + 1).tolist(), len(which)]
        runs = [(a, b, which[a]) for a, b in itertools.pairwise(borders)]
        with torch.inference_mode():
            outputs = compat.continuation(self.forward.model)(
                **self._inputs(texts, suffix),
                past_key_values=compat.lent_prefix(prefixes, runs),
                use_cache=True,
                logits_to_keep=keep,
            )
            return outputs.logits.float()

    def _inputs(self, texts: Sequence[Text], suffix: Sequence[int]) -> dict[str, Any]:
        """Arguments for what follows the prefix, padded between the two so that all rows end at the same column."""
        import torch

        n, tail = self.length, np.asarray(suffix, np.int64)
        longest = max(len(ids) for ids, _ in texts)
        ids = np.full((len(texts), longest - n + len(tail)), self.forward.pad_id, np.int64)
        visible = np.zeros((len(texts), longest + len(tail)), np.int64)
        visible[:, :n] = 1
        positions = []
        for k, (own, seen) in enumerate(texts):
            gap = longest - len(own)
            ids[k, gap : longest - n], visible[k, n + gap : longest] = own[n:], seen[n:]
            place = self.forward.row_positions(Row(own, seen, (), self.sights), tail)[..., n:]
            positions.append(torch.nn.functional.pad(place, (gap, 0), value=self.forward.family.first_position))
        ids[:, longest - n :], visible[:, longest:] = tail, 1
        device = compat.device_of(self.forward.model)
        return {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(visible).to(device),
            "position_ids": torch.stack(positions, dim=-2).to(device),
        }


def prefix_bytes(model: Any, tokens: int) -> int:
    """About how many bytes the keys and values of some tokens take."""
    text = model.config.get_text_config()
    heads = text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // heads
    kept = getattr(text, "num_key_value_heads", None) or heads
    return int(2 * text.num_hidden_layers * kept * width * tokens * (model.dtype.itemsize))


def prefix_memory(model: Any, cache_bytes: int) -> int:
    """How many bytes prefixes may take: as asked for, and on a GPU a quarter of what is free if that is more."""
    import torch

    device = compat.device_of(model)
    if device.type != "cuda" or not cache_bytes:
        return cache_bytes
    free, _ = torch.cuda.mem_get_info(device)
    return max(cache_bytes, int(free) // 4)


def _size(prefix: Prefix) -> int:
    return sum(tensor.numel() * tensor.element_size() for layer in prefix for tensor in layer)
