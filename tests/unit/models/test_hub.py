"""Loading models by name, and what is said when that cannot be done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from chiasm.core.errors import InvalidInput, ModelError, UnknownName
from chiasm.models import hub, weights
from chiasm.models.decoder import DecoderAdapter


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder("llava"), tmp_path / "m")
    return tmp_path / "m"


def edit(path, **changes):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | changes))


def test_a_folder_is_loaded_by_its_model_type(folder):
    model = hub.load(folder("llava"), device="cpu")
    assert isinstance(model, DecoderAdapter)
    assert model.name == folder("llava")
    assert model.family == "decoder"
    assert not model.model.training
    assert {"values", "answers", "logits", "gradients", "attentions", "hidden_states"} == model.capabilities


def test_every_decoder_family_is_registered():
    from chiasm.models.decoder_families import FAMILIES

    assert set(FAMILIES) == {name for name, e in hub.models.entries().items() if e.info["family"] == "decoder"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "is empty"),
        ("./nowhere", "no folder"),
        ("/nowhere/at/all", "no folder"),
        ("no-such/model-anywhere", "hub"),
    ],
)
def test_names_that_lead_nowhere_are_refused_with_words(name, words):
    with pytest.raises(InvalidInput, match=words):
        hub.load(name)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"no config\.json"):
        hub.load(tmp_path)


def test_unknown_zoo_models_are_named():
    with pytest.raises(UnknownName, match="zoo model"):
        hub.load("zoo:no-such-model")


def test_types_without_an_adapter_are_listed_with_the_remedy(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(InvalidInput, match=r"'gpt2'.*llava.*FunctionModel"):
        hub.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "of_tomorrow"}))
    with pytest.raises(InvalidInput, match="FunctionModel"):
        hub.load(tmp_path)


def test_missing_weights_are_never_random(copy):
    tensors = load_file(copy / "model.safetensors")
    name = next(name for name in tensors if "q_proj" in name)
    del tensors[name]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="lacks 1 weights"):
        hub.load(copy, device="cpu")


@pytest.mark.parametrize("share", [0, 0.5])
def test_weights_that_are_cut_off_are_named(copy, share):
    raw = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(ModelError, match=r"model\.safetensors.*damaged.*again"):
        hub.load(copy, device="cpu")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("text", ["", "{", '{"version": '])
def test_broken_tokenizers_are_named(copy, name, text):
    (copy / name).write_text(text)
    with pytest.raises(ModelError, match=rf"{name}.*again"):
        hub.load(copy, device="cpu")


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"version": "1.0", "added_tokens": [], "model": {"type": "Of tomorrow"}}']
)
def test_tokenizers_of_another_form_are_refused(copy, text):
    (copy / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=r"tokenizer\.json.*save_pretrained"):
        hub.load(copy, device="cpu")


@pytest.mark.parametrize(
    "text", ["{% if", "{{ raise_exception('only one turn') }}", "{{ nothing.at.all }}", "{{ 1 / 0 }}"]
)
def test_broken_chat_templates_are_named(copy, picture, text):
    from chiasm.core.sample import Sample

    (copy / "chat_template.jinja").write_text(text)
    model = hub.load(copy, device="cpu")
    with pytest.raises(ModelError, match=r"chat_template\.jinja.*original model"):
        model.prepare(Sample(image=picture, text="what is it ?"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dtype": "float8"}, "bfloat16"),
        ({"device": "quantum"}, "Unknown device"),
        ({"colour": "blue"}, "colour.*max_new_tokens"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"max_new_tokens": 2.5}, "2.5.*whole number"),
        ({"max_new_tokens": "8"}, "'8'.*whole number"),
        ({"max_new_tokens": True}, "True.*whole number"),
        ({"device": "cpu", "device_map": "auto"}, "not both"),
    ],
)
def test_wrong_options_are_refused_with_words(folder, options, words):
    with pytest.raises(InvalidInput, match=words):
        hub.load(folder("llava"), **options)


def test_a_gpu_that_is_not_there_is_refused(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidInput, match="no usable GPU"):
        hub.load(folder("llava"), device="cuda")


def test_half_precision_gives_close_values(folder, picture):
    from decoder_help import Case

    for kind in ("llava", "qwen3_vl", "idefics3", "blip-2"):
        full = Case(hub.load(folder(kind), device="cpu"), picture).full()
        half = Case(hub.load(folder(kind), device="cpu", dtype="bfloat16"), picture)
        assert half.adapter.model.dtype == torch.bfloat16
        assert abs(half.full() - full) < 0.5
        assert abs(half.full() - half.adapter.plain_value(half.prepared, half.target)) < 0.3


def test_the_fingerprint_speaks_of_content(copy, tmp_path):
    one = hub.load(copy, device="cpu").fingerprint
    moved = shutil.copytree(copy, tmp_path / "elsewhere")
    assert hub.load(moved, device="cpu").fingerprint == one
    tensors = load_file(copy / "model.safetensors")
    name = next(name for name in tensors if "q_proj" in name)
    tensors[name][0, 0] += 0.25
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    assert hub.load(copy, device="cpu").fingerprint != one
    template = moved / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert hub.load(moved, device="cpu").fingerprint != one


def test_large_tensors_are_sampled_from_end_to_end():
    class Big(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.zeros(3_000_000), requires_grad=False)
            self.config = type("C", (), {"to_dict": staticmethod(dict)})()

    model = Big()
    before = weights.fingerprint(model)
    assert weights.fingerprint(model) == before
    model.w[-1] = 1
    after = weights.fingerprint(model)
    assert after != before
    model.w += 1
    assert weights.fingerprint(model) not in {before, after}
    assert len(before) == 32


def test_pieces_shrink_when_memory_runs_out():
    seen = []

    def work(piece: slice):
        size = piece.stop - piece.start
        if size > 3:
            raise torch.cuda.OutOfMemoryError
        seen.append((piece.start, piece.stop))
        return size

    chunks = weights.Chunks(16)
    assert sum(chunks.run(10, work)) == 10
    assert [a for a, _ in seen[1:]] == [b for _, b in seen[:-1]]
    assert chunks.size <= 3


def test_a_single_row_that_does_not_fit_is_an_error():
    def work(_):
        raise torch.cuda.OutOfMemoryError

    with pytest.raises(ModelError, match="single row"):
        weights.Chunks(4).run(2, work)


def test_other_errors_are_not_taken_for_memory():
    def work(_):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        weights.Chunks(4).run(2, work)


def test_batch_sizes_on_the_processor():
    cpu = torch.device("cpu")
    assert weights.auto_batch_size(cpu, 1 << 10) == 64
    assert weights.auto_batch_size(cpu, 1 << 40) == 1


def test_asking_for_the_registry_imports_no_torch():
    code = "import sys, chiasm.models.hub as h; list(h.models); assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True)
