"""Do positions of the picture say the answer? ``python benchmarks/answer_at_positions.py llava-shapes qwen-shapes``.

TAM and MSEA+ARC read the answer token's logit off every position of the picture. Prints, for each layer, how often a
token on the deciding object has a larger logit than one beside it (area under the ROC curve, mean over questions that
the model answers right; chance .5), and the same of a linear probe on the last states, trained on half of the questions
and read on the others: whether the states hold where the object is at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
import torch
from explainers import subject_of
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

import chiasm as cx

Floats = NDArray[np.float64]
TYPES = ("colour", "shape", "size")
#: share of a token's area that the object must cover
COVERED = 0.1


def area(scores: Floats, inside: NDArray[np.bool_]) -> float:
    """Area under the ROC curve."""
    return float((scores[inside][:, None] > scores[~inside][None]).mean())


def on_object(sample: cx.Sample, tokens: int) -> NDArray[np.bool_]:
    """Which tokens of a square picture lie on the deciding object, ``bool[tokens]``."""
    side = round(tokens**0.5)
    mask = Image.fromarray(sample.masks["image"].any(axis=0).astype(np.uint8) * 255)
    return np.asarray(mask.resize((side, side), Image.Resampling.BOX)).ravel() > 255 * COVERED


def measured(name: str, n: int, seed: int) -> tuple[Floats, list[Floats], list[NDArray[np.bool_]]]:
    """Areas ``[questions, layers]`` of the logit, the last states and which tokens are on the object."""
    model, areas, states, inside = cx.load(f"zoo:{name}"), [], [], []
    for sample in cx.dataset("shapes", 20 * n, seed=seed, types=list(TYPES)):
        subject = subject_of(model, sample, "grid:3x3")
        if subject.prediction is None or subject.prediction.answer != sample.answer:
            continue
        trace = subject.trace()
        positions, token = trace.slots["image"].positions.tolist(), int(trace.read_out[0].tokens[0])
        here = on_object(sample, len(positions))
        if here.all() or not here.any():
            continue
        with torch.no_grad():
            layers = [state[0, positions] for state in trace.run(hidden=True, grad=False).hidden["language"]]
            areas.append([area(trace.head(state)[:, token].double().numpy(), here) for state in layers])
        states.append(layers[-1].double().numpy())
        inside.append(here)
        if len(areas) == n:
            break
    return np.array(areas), states, inside


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="decoders of the zoo")
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--seed", type=int, default=500)
    options = parser.parse_args(arguments)
    for name in options.models:
        areas, states, inside = measured(name, options.n, options.seed)
        half = len(states) // 2
        probe = LogisticRegression(max_iter=500, C=0.1)
        probe.fit(np.concatenate(states[:half]), np.concatenate(inside[:half]))
        held_out = [area(probe.decision_function(x), y) for x, y in zip(states[half:], inside[half:], strict=True)]
        told = " ".join(f"{mean:.2f}" for mean in areas.mean(axis=0))
        print(f"{name}, {len(areas)} questions: logit of the answer after layer 0 … {areas.shape[1] - 1}: {told};")
        print(
            f"  linear probe on the last states, {len(held_out)} other questions: {np.mean(held_out):.2f}", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
