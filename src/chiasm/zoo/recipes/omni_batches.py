"""Batches for `omni-chimes`: pictures and sounds, each pair with several questions packed behind it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.modalities.audio_reading import RATE
from chiasm.zoo.data import chimes
from chiasm.zoo.data.scenes import SIDE as SCENE
from chiasm.zoo.recipes.hiding import draw_cells
from chiasm.zoo.recipes.omni_parts import BINS, BINS_OUT, MERGE, PATCH, SIDE, Parts
from chiasm.zoo.recipes.pictures import Batch

_POOL: Final = 6000
"""Pictures, and sounds, that training draws from; every one meets every other."""
_HEARINGS: Final = 3
"""Ways in which each sound is heard: whole, and with stretches hidden."""
_HIDDEN: Final = {"image": 0.35, "text": 0.15}
"""How often cells of a picture, and words of a question, are hidden."""
_SEGMENTS: Final = 8


@dataclass
class ChimeBatches:
    """Pictures and sounds with several questions behind each pair, as `chiasm.zoo.data.chimes` asks them.

    The labels of masked inputs stay as they are, so that the model learns what is likely given what is left.

    Attributes:
        own: what encodes.
        seed: of the data.
        steps: length of the phase.
        pairs: pictures and sounds in a batch.
        questions: questions for each pair.
    """

    own: Parts
    seed: int
    steps: int
    pairs: int = 24
    questions: int = 4
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def _pool(self) -> list[chimes.Chime]:
        rng = np.random.default_rng([self.seed, 0xC0])
        return [chimes.draw(rng, same=bool(rng.random() < 0.5)) for _ in range(_POOL)]

    @cached_property
    def _pictures(self) -> NDArray[np.uint8]:
        small = [Image.fromarray(one.picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in self._pool]
        return np.stack([np.asarray(one) for one in small])

    @cached_property
    def _sounds(self) -> NDArray[np.float32]:
        """Log-mel features ``float32[pool, hearings, bins, frames]``."""
        rng = np.random.default_rng([self.seed, 0xC1])
        waves = []
        for one in self._pool:
            whole = chimes.sound(one, rng)
            waves.append(whole)
            for _ in range(_HEARINGS - 1):
                kept = rng.random(_SEGMENTS) < (0.0 if rng.random() < 0.2 else rng.random())
                waves.append(whole * np.repeat(kept, len(whole) // _SEGMENTS))
        extract = self.own.feature_extractor
        found = [
            extract(waves[k : k + 500], sampling_rate=RATE, return_tensors="np")["input_features"]
            for k in range(0, len(waves), 500)
        ]
        return np.concatenate(found).reshape(_POOL, _HEARINGS, BINS, -1).astype(np.float32)

    @cached_property
    def _by_beeps(self) -> list[NDArray[np.intp]]:
        counts = np.array([len(one.starts) for one in self._pool])
        return [np.flatnonzero(counts == k + 1) for k in range(len(chimes.NUMBERS))]

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = np.random.default_rng([self.seed, 0xC2, step])
        seen = rng.integers(_POOL, size=self.pairs)
        rows: dict[str, list[Any]] = {name: [] for name in ("ids", "segments", "positions", "asked", "labels", "kinds")}
        heard = []
        for picture in seen:
            shapes = len(self._pool[picture].items)
            same = rng.random() < 0.5
            others = [k for k in range(1, len(chimes.NUMBERS) + 1) if k != shapes]
            beeps = shapes if same else others[int(rng.integers(len(others)))]
            heard.append(int(rng.choice(self._by_beeps[beeps - 1])))
            for name, values in self._row(picture, heard[-1], rng, same=same).items():
                rows[name].append(values)
        turns = rng.integers(8, size=self.pairs)
        ways = np.where(rng.random(self.pairs) < 0.5, 0, rng.integers(_HEARINGS, size=self.pairs))
        length = max(len(ids) for ids in rows["ids"])
        padded = {
            name: np.array([np.pad(values, (0, length - len(values)), constant_values=fill) for values in rows[name]])
            for name, fill in (("ids", 0), ("segments", -1), ("positions", 0))
        }
        return padded | {
            "pixels": np.stack(
                [self._hidden(_turned(self._pictures[k], turn), rng) for k, turn in zip(seen, turns, strict=True)]
            ),
            "features": self._sounds[heard, ways],
            "asked": np.array(rows["asked"]),
            "labels": np.array(rows["labels"]),
            "kinds": np.array(rows["kinds"]),
            "shapes at": np.stack(
                [_turned(self._shapes_at(self._pool[k]), turn).ravel() for k, turn in zip(seen, turns, strict=True)]
            ),
            "beeps at": np.stack([self._beeps_at(self._pool[k]) for k in heard]),
        }

    def _shapes_at(self, one: chimes.Chime) -> NDArray[np.float32]:
        """Which image tokens hold the middle of a shape, ``float32[rows, columns]``."""
        across = SIDE // PATCH // MERGE
        found = np.zeros((across, across), np.float32)
        for item in one.items:
            found[int(item.y * across / SCENE), int(item.x * across / SCENE)] = 1
        return found

    def _beeps_at(self, one: chimes.Chime) -> NDArray[np.float32]:
        """Which sound tokens hold the middle of a beep, ``float32[tokens]``."""
        found = np.zeros(BINS_OUT, np.float32)
        found[[int((start + chimes.BEEP / 2) / chimes.SECONDS * BINS_OUT) for start in one.starts]] = 1
        return found

    def _hidden(self, picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        if rng.random() >= _HIDDEN["image"]:
            return picture
        mean = picture.reshape(-1, 3).mean(0) if rng.random() < 0.7 else np.full(3, 128)
        return np.where(draw_cells(rng, SIDE)[..., None], picture, mean.round().astype(np.uint8))

    def _row(self, picture: int, heard: int, rng: np.random.Generator, *, same: bool) -> dict[str, NDArray[np.int64]]:
        """Questions behind the prefix: token ids, the number of the question, positions behind the prefix."""
        one, other = self._pool[picture], self._pool[heard]
        both = chimes.Chime(one.items, other.pitch, other.hertz, other.starts, one.field)
        kinds = [kind for kind in chimes.KINDS if kind != "either" or same]
        weights = np.array([2.0 if kind == "same" else 1.0 for kind in kinds])
        words = self.own.tokenizer
        ids: list[int] = []
        segments: list[int] = []
        positions: list[int] = []
        asked, labels = [], []
        chosen = rng.choice(kinds, self.questions, p=weights / weights.sum()).tolist()
        for number, kind in enumerate(chosen, start=1):
            phrases = chimes.PHRASES[kind]
            question = self._tokens(phrases[int(rng.integers(len(phrases)))])
            if rng.random() < _HIDDEN["text"]:
                question = [token for token in question if rng.random() < 0.6]
            answer = words.convert_tokens_to_ids(both.answer(kind))
            tokens = [*question, words.convert_tokens_to_ids("<assistant>"), answer]
            asked.append([len(ids) + len(tokens) - 2, len(ids) + len(tokens) - 1])
            labels.append([answer, words.eos_token_id])
            ids += tokens
            segments += [number] * len(tokens)
            positions += range(len(tokens))
        named = {"ids": ids, "segments": segments, "positions": positions, "asked": asked, "labels": labels}
        named["kinds"] = [chimes.KINDS.index(kind) for kind in chosen]
        return {name: np.array(values, np.int64) for name, values in named.items()}

    def _tokens(self, text: str) -> list[int]:
        if text not in self._made:
            self._made[text] = self.own.tokenizer(text, add_special_tokens=False)["input_ids"]
        found: list[int] = self._made[text]
        return found


def _turned(array: NDArray[Any], turn: int) -> NDArray[Any]:
    """One of eight ways to lay a square, turned and perhaps mirrored; else pictures would be learned by heart."""
    turned = np.rot90(array, turn % 4)
    return turned[:, ::-1] if turn >= 4 else turned
