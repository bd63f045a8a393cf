"""How much of the time of a game is the model? A game against a bare loop of the same batched forward passes.

    python benchmarks/game_overhead.py [--coalitions 1024] [--players grid:7x7,words] [--rounds 5]

Both run the same coalitions of the same zoo sample in the same batches on the same threads, in turn in one process. The
bare loop gets its tensors ready-made (pictures masked and normalised, words hidden) and only calls the model, pictures
and all, and takes the log-softmax of the answer; the game starts from coalitions. Prints values a second of each, and
their ratio in each round and its median (goal: at least 0.8). The largest difference of the values is printed too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
import torch

from chiasm.models.games import ModelGame, make_game
from chiasm.models.hub import load
from chiasm.zoo import dataset


def ready_made(match: ModelGame, values: Any, coalitions: np.ndarray) -> list[dict[str, Any]]:
    """The model's plain inputs of each batch, as the processor would give them."""
    batches = []
    ((part, sight),) = match.prepared.state.sights.items()
    suffix, keep = values.passes[0].suffix, values.passes[0].keep
    for k in range(0, len(coalitions), values.batch_size):
        batch = coalitions[k : k + values.batch_size]
        inputs = values.forward.inputs(values.rows(batch), suffix)
        del inputs["mm_encoder_outputs"]
        present = match.game.all_players.split(batch)[part]
        masker = values._images.maskers[part]  # noqa: SLF001 - the benchmark looks inside
        pictures = masker.apply(match.prepared.contents[part], match.game.all_players[part], present)
        inputs.update(match.prepared.state.store.path.tensors(sight, pictures, torch.device("cpu")))
        batches.append({**inputs, "logits_to_keep": keep, "use_cache": False})
    return batches


def bare(model: Any, batches: list[dict[str, Any]], token: int) -> np.ndarray:
    """Log-probability of the answer's first token, by plain forward passes."""
    found = []
    with torch.inference_mode():
        for batch in batches:
            logits = model(**batch).logits[:, -1].float()
            found.append(logits.log_softmax(-1)[:, token])
    return torch.cat(found).double().numpy()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coalitions", type=int, default=1024)
    parser.add_argument("--players", default="grid:7x7,words")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    adapter = load("zoo:llava-shapes")
    sample = dataset("shapes", 1, 7)[0]
    rng = np.random.default_rng(0)
    match = make_game(adapter, sample, players=options.players)
    token = adapter.tokenizer.convert_tokens_to_ids(match.target.answer)
    coalitions = rng.random((options.coalitions, match.game.n)) < rng.random((options.coalitions, 1))
    coalitions = np.unique(coalitions, axis=0)
    values = match.game._values  # noqa: SLF001 - the benchmark looks inside
    batches = ready_made(match, values, coalitions)
    ratios = []
    print(
        f"{len(coalitions)} distinct coalitions of {match.game.players}, batches of {values.batch_size}, "
        f"{torch.get_num_threads()} threads"
    )
    for number in range(-1, options.rounds):  # the first round warms up
        game = make_game(adapter, sample, players=options.players).game  # nothing remembered from the round before
        began = time.perf_counter()
        plain = bare(adapter.model, batches, token)
        middle = time.perf_counter()
        played = game(coalitions)
        ended = time.perf_counter()
        if number < 0:
            print(f"largest difference of the values: {np.abs(plain - played).max():.2e} (one round to warm up)")
            continue
        rates = len(coalitions) / (middle - began), len(coalitions) / (ended - middle)
        ratios.append(rates[1] / rates[0])
        print(f"round {number + 1}: bare {rates[0]:.0f} values/s, game {rates[1]:.0f} values/s, ratio {ratios[-1]:.2f}")
    print(f"ratio, median of {len(ratios)} rounds: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
