"""Short ways for the decoder tests, and a plain path that shares no code with the package."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities import modalities

ALL = ["llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "idefics3", "smolvlm", "internvl", "paligemma", "blip-2"]
QUESTION = "what colour is the car ?"
ANSWER = "yes blue"


class Case:
    """A sample, prepared and resolved, with its value function."""

    def __init__(self, adapter: Any, picture: np.ndarray, target: Target | None = None, **options: Any) -> None:
        self.adapter = adapter
        self.sample = options.pop("sample", None) or Sample(image=picture, text=options.pop("question", QUESTION))
        self.prepared = adapter.prepare(self.sample)
        self.target, self.prediction = adapter.resolve(self.prepared, target or Target(answer=ANSWER))
        chosen = {"image": options.pop("image", "mean"), "text": options.pop("text", "attention")}
        cut = {"image": options.pop("grid", "grid:2x2"), "text": options.pop("cut", "words")}
        parts = self.sample.parts.items()
        self.players = self.prepared.players({name: cut[part.kind] for name, part in parts})
        self.maskers = {name: modalities.get(part.kind).masker(chosen[part.kind]) for name, part in parts}
        self.values = adapter.values(
            self.prepared, self.players, self.maskers, self.target, options.pop("batch_size", None)
        )
        assert not options

    @property
    def n(self) -> int:
        return len(self.players)

    def full(self) -> float:
        return float(self.values(np.ones((1, self.n), bool))[0])

    def empty(self) -> float:
        return float(self.values(np.zeros((1, self.n), bool))[0])

    @property
    def answer_ids(self) -> tuple[int, ...]:
        return self.prepared.state.answers[self.target.answer]


def random_coalitions(n: int, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, n)) < 0.5


def written_prompt(adapter: Any, question: str, images: Any) -> str:
    """The prompt of one picture and a question, expanded by hand for each family."""
    kind = adapter.config.model_type
    if kind == "llava":
        return f"USER: {'<image>' * 16}\n{question} ASSISTANT:"
    if kind.startswith("qwen"):
        count = int(images["image_grid_thw"][0].prod()) // 4
        pads = "<|image_pad|>" * count
        return f"<|im_start|>user\n<|vision_start|>{pads}<|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n"
    if kind in {"idefics3", "smolvlm"}:
        tile, fake = "<image>" * 4, "<fake_token_around_image>"
        tiles = images["pixel_values"].shape[1]
        rows = "".join(f"{fake}<row_{r}_col_1>{tile}{fake}<row_{r}_col_2>{tile}\n" for r in (1, 2))
        shown = (f"{rows}\n" if tiles == 5 else "") + f"{fake}<global-img>{tile}{fake}"
        return f"<|im_start|>User:{shown}{question}<end_of_utterance>\nAssistant:"
    if kind == "internvl":
        pads = "<IMG_CONTEXT>" * 4 * len(images["pixel_values"])
        return f"<|im_start|>user\n<img>{pads}</img>\n{question.strip()}<|im_end|>\n<|im_start|>assistant\n"
    if kind == "paligemma":
        return f"{'<image>' * 16}<s>{question}\n"
    return f"Question: {question} Answer:"


def plain_inputs(adapter: Any, picture: np.ndarray, question: str) -> dict[str, Any]:
    """Image processor and tokenizer as plain code calls them."""
    kind = adapter.config.model_type
    more = {"crop_to_patches": True} if kind == "internvl" else {}
    images = dict(adapter.image_processor(images=Image.fromarray(picture), return_tensors="pt", **more))
    images.pop("num_patches", None)
    text = written_prompt(adapter, question, images)
    ids = adapter.tokenizer(text, add_special_tokens=kind != "paligemma", return_tensors="pt")["input_ids"]
    if kind == "blip-2":
        mark = adapter.tokenizer.convert_tokens_to_ids("<image>")
        ids = torch.cat([torch.full((1, 4), mark), ids], dim=1)
    return {"input_ids": ids, **images}


def plain_logits(adapter: Any, inputs: dict[str, Any], tail: tuple[int, ...] = (), **more: Any) -> torch.Tensor:
    """One plain forward pass, ``[tokens, vocabulary]``."""
    inputs = dict(inputs)
    prompt = inputs["input_ids"]
    inputs["input_ids"] = ids = torch.cat([prompt, torch.tensor([tail], dtype=torch.long)], dim=1)
    inputs["attention_mask"] = more.pop("attention_mask", torch.ones_like(ids))
    if adapter.config.model_type.startswith("qwen"):
        inputs["mm_token_type_ids"] = (ids == adapter.config.image_token_id).int()
    if adapter.config.model_type == "paligemma":
        inputs["token_type_ids"] = torch.tensor([[0] * prompt.shape[1] + [1] * len(tail)])
    with torch.inference_mode():
        return adapter.model(**inputs, **more).logits[0].float()


def plain_score(adapter: Any, inputs: dict[str, Any], answer: tuple[int, ...], **more: Any) -> float:
    """Log-probability of an answer, token by token."""
    logits = plain_logits(adapter, inputs, answer, **more).log_softmax(-1)
    start = logits.shape[0] - len(answer) - 1
    return float(sum(logits[start + k, token] for k, token in enumerate(answer)))
