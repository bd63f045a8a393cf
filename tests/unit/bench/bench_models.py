"""Models and data for tests of benchmarks: functions of words, whose scores are known or cheap."""

from __future__ import annotations

import numpy as np

import chiasm as cx

WORDS = ["red", "blue", "big", "small", "one", "two", "left", "right"]


def together(samples: list[dict[str, str]]) -> list[float]:
    """High where 'key' stands in the first part and 'lock' in the second; each other word counts a little."""
    found = []
    for sample in samples:
        words = [sample["text"].split(), sample["text2"].split()]
        pair = ("key" in words[0]) and ("lock" in words[1])
        found.append(float(pair) + 0.01 * sum(len(word) for several in words for word in several))
    return found


def breaking(samples: list[dict[str, str]]) -> list[float]:
    """The same, but it cannot do with 'break'."""
    if any("break" in sample["text"] for sample in samples):
        raise ArithmeticError("it broke")
    return together(samples)


def model(f=together, name: str = "together", fingerprint: str = "v1") -> cx.FunctionModel:
    return cx.FunctionModel(f, kinds=("text",), name=name, fingerprint=fingerprint)


def samples(n: int, *, truth: bool = True, breaks: tuple[int, ...] = (), longer: tuple[int, ...] = ()):
    """Sample k: 'key' and 'lock' among words that are drawn; some break the model, some have more words."""
    made = []
    for k in range(n):
        rng = np.random.default_rng([k, 7])
        first, second = (list(rng.choice(WORDS, 2 + 4 * (k in longer))) for _ in range(2))
        first.insert(int(rng.integers(3)), "key")
        second.insert(int(rng.integers(3)), "lock")
        if k in breaks:
            first[-1] = "break"
        texts = {"text": " ".join(first), "text2": " ".join(second)}
        spots = {
            name: [[texts[name].index(word), texts[name].index(word) + len(word)]]
            for name, word in (("text", "key"), ("text2", "lock"))
        }
        made.append(cx.Sample(**texts, id=f"s{k}", truth=spots if truth else None, tags={"type": f"t{k % 2}"}))
    return made


SPEC = {
    "name": "words",
    "models": ["together"],
    "datasets": [{"load": "mine", "n": 4}],
    "explainers": ["occlusion", {"method": "kernelshap", "budget": 40}, "random"],
    "metrics": ["f_syn", "srg", "pointing_game"],
    "players": {"text": "words", "text2": "words"},
}
