"""How many coalitions a second a decoder values behind a prompt of 576 patch tokens, by how much of it is reused.

python benchmarks/long_prompt.py            # a small LLaVA with 24 x 24 patches and random weights
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np


def clock() -> float:
    """Processor seconds of this process, which other work on the machine does not stretch; wall time with a GPU."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def seconds_of(values: Any, n: int, *, reuse: bool, each: int = 1, count: int = 128, repeats: int = 2) -> float:
    """Seconds of some coalitions with nothing encoded before; without reuse every coalition is encoded by itself."""
    rng, cells = np.random.default_rng(1), 9
    images = rng.random((count // each, cells)) < 0.5
    coalitions = np.concatenate([np.repeat(images, each, axis=0), rng.random((count, n - cells)) < 0.5], axis=1)
    lent, store = values.prefixes, values.state.store
    found = []
    for _ in range(repeats):
        store._kept.clear()  # noqa: SLF001
        if lent is not None:
            lent._kept.clear()  # noqa: SLF001
            lent._seen.clear()  # noqa: SLF001
        values.prefixes = lent if reuse else None
        started = clock()
        for start in range(0, count, 64):
            if not reuse and each == 1:
                store._kept.clear()  # noqa: SLF001
            values(coalitions[start : start + 64])
        found.append(clock() - started)
    values.prefixes = lent
    return min(found)


def throughput(device: str = "cpu") -> dict[int, float]:
    """Coalitions a second behind a prompt of 576 patch tokens: unshared, cached pictures, prefixes.

    Returns:
        Texts a picture → seconds of a coalition; 0 stands for unshared.
    """
    import chiasm
    from chiasm.models.games import make_game

    with tempfile.TemporaryDirectory() as folder:
        model = chiasm.load(wide_llava(Path(folder)), device=device, cache_bytes=1 << 30)
        picture = np.random.default_rng(0).integers(0, 256, (336, 336, 3), np.uint8)
        sample = chiasm.Sample(image=picture, text="what colour is the car on the left of the house ?")
        match = make_game(model, sample, players={"image": "grid:3x3"}, target=chiasm.Target(answer="blue"))
        values: Any = match.game._values  # noqa: SLF001
        values._chunks.size = 16  # noqa: SLF001 - as many rows of 600 tokens as a processor likes
        n = match.game.n
        print(
            f"prompt of {len(values.state.prompt.ids)} tokens, {values.prefixes.length} of them prefix; costs "
            f"{match.game.costs}"
        )
        whole = seconds_of(values, n, reuse=False, count=8, repeats=1) / 8
        found = {0: whole}
        print(f"  unshared                              {1 / whole:8.2f} coalitions a second", flush=True)
        for each in (1, 2, 4, 8, 16, 64):
            count = max(16, each)
            lent = seconds_of(values, n, reuse=True, each=each, count=count, repeats=1) / count
            found[each] = lent
            line = f"  {each:3d} texts a picture: prefix reuse {1 / lent:8.2f} a second, {whole / lent:5.1f} × unshared"
            if each == 4:
                cached = seconds_of(values, n, reuse=False, each=each, count=16, repeats=1) / 16
                line += f"; only the vision tower cached {1 / cached:8.2f}"
            print(line, flush=True)
    return found


def wide_llava(folder: Path) -> str:
    """A LLaVA of 24 × 24 patches with random weights: a shallow tower, a language model of four layers."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "models"))
    import tiny
    import torch
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    torch.manual_seed(0)
    tokenizer = tiny.metaspace(["<image>"], image_token="<image>")  # noqa: S106
    images = tiny.CLIPImageProcessorPil(size={"height": 336, "width": 336}, crop_size={"height": 336, "width": 336})
    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=336,
        patch_size=14,
    )
    text = tiny.llama(tokenizer)
    for name, value in (("hidden_size", 256), ("intermediate_size", 768), ("num_hidden_layers", 4)):
        setattr(text, name, value)
    text.num_attention_heads = text.num_key_value_heads = 4
    text.head_dim = 64
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=576,
        vision_feature_layer=-2,
    )
    processor = LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tiny.LLAVA_CHAT,
    )
    return tiny.save(folder, LlavaForConditionalGeneration(config), processor)


if __name__ == "__main__":
    throughput(*sys.argv[1:])
