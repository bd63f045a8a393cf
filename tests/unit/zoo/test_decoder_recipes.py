"""The decoders of the zoo: packing changes nothing, training sees what the processor makes, and the doctor is content."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pytest
import torch
from PIL import Image

from chiasm import Sample, load
from chiasm.core.errors import InvalidInput
from chiasm.models.doctor import examine
from chiasm.zoo import answers
from chiasm.zoo.data.questions import KINDS
from chiasm.zoo.data.scenes import draw_scene, render
from chiasm.zoo.data.words import ASSISTANT, VOCABULARY, token_words
from chiasm.zoo.recipes import decoders, idefics, llava, qwen, training
from chiasm.zoo.recipes.packing import PackedBatches, draw_questions, pack_row, pad_rows
from chiasm.zoo.recipes.pictures import IGNORED, PictureBatches, picture_row, shrink

MODULES = {"llava": llava, "qwen": qwen, "idefics": idefics}
SMALL = {
    "llava": {"width": 32, "tower_layers": 1, "layers": 2, "heads": 2},
    "qwen": {"width": 32, "tower_width": 32, "tower_layers": 2, "layers": 2, "heads": 2},
    "idefics": {"width": 32, "tower_width": 32, "tower_layers": 2, "layers": 2, "heads": 2},
}


@dataclasses.dataclass
class Case:
    """A tiny decoder with its processor and every size of pictures that it is trained on."""

    name: str
    module: object
    model: object
    processor: object
    views: list


@pytest.fixture(scope="module", params=MODULES)
def case(request):
    torch.manual_seed(0)
    module = MODULES[request.param]
    model, processor = module.build(**SMALL[request.param]).eval(), module.processor()
    if request.param == "llava":
        views = [decoders.view_of(processor, llava.SIDE, llava.PATCH, 1)]
    elif request.param == "idefics":
        views = [decoders.view_of(processor, idefics.SIDE, idefics.PATCH, idefics.MERGE)]
    else:
        views = [view for view, _ in module.views(model, processor)]
    return Case(request.param, module, model, processor, views)


def packed_batch(view, hidden_share):
    """Two rows of five questions about one picture, as training packs them."""
    rng = np.random.default_rng(3)
    scene = draw_scene(rng)
    weights = dict.fromkeys(KINDS["shapes"], 1.0)
    prefix = [0] * 7  # replaced below
    rows = [pack_row(draw_questions(scene, "shapes", 5, weights, rng), prefix, hidden_share, rng) for _ in range(2)]
    pictures = [picture_row(scene, view.side, view.grid, 0.0, rng)] * 2
    batch = pad_rows(rows) | {name: np.stack([row[name] for row in pictures]) for name in pictures[0]}
    return view.begun(view.merged(batch), 7), render(scene)


@pytest.mark.parametrize("hidden_share", [0.0, 1.0])
def test_packed_questions_equal_separate_ones_through_the_plain_forward(case, hidden_share):
    for view in case.views:
        batch, picture = packed_batch(view, hidden_share)
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        small = Image.fromarray(shrink(picture, view.side))
        with torch.no_grad():
            packed = case.module.logits(case.model, tensors, case.module.encode(case.model, tensors))
        for r in range(2):
            for number in range(1, 6):
                chosen = (batch["segments"][r] == 0) | (batch["segments"][r] == number)
                ids = torch.from_numpy(batch["ids"][r][chosen])[None]
                inputs = dict(answers.chat_inputs(case.processor, [small], ["red"]))
                inputs = {k: v for k, v in inputs.items() if k.startswith(("pixel", "image"))}
                if case.name == "qwen":
                    inputs["mm_token_type_ids"] = (ids == case.model.config.image_token_id).int()
                if hidden_share:  # the library always gives the positions of the whole row
                    inputs["attention_mask"] = torch.from_numpy(~batch["hidden"][r][chosen])[None].long()
                    inputs["position_ids"] = torch.arange(ids.shape[1])[None]
                    if case.name == "qwen":
                        inputs["position_ids"] = case.model.model.get_rope_index(
                            ids, inputs["mm_token_type_ids"], inputs["image_grid_thw"]
                        )[0]
                with torch.no_grad():
                    alone = case.model(input_ids=ids, **inputs).logits[0, -3:-1]
                assert torch.allclose(alone, packed[r, number - 1], atol=1e-4)


def test_training_rows_are_what_the_processor_writes(case):
    text = "Is there a red star?"
    for view in case.views:
        inputs = answers.chat_inputs(case.processor, [Image.new("RGB", (view.side, view.side))], [text])
        words = [token for word in token_words(text) for token in word]
        assert inputs["input_ids"][0].tolist() == [*view.prefix, *words, VOCABULARY[ASSISTANT]]
        image = inputs["input_ids"][0] == decoders_image_id(case.model.config)
        assert image.sum() == (view.grid // view.merge) ** 2


def decoders_image_id(config):
    return config.image_token_id if hasattr(config, "image_token_id") else config.image_token_index
