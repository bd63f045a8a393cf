"""Specs: what is wrong with one is told, all at once, before anything is computed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from bench_models import SPEC

from chiasm.bench.grid import read_dataset, tasks
from chiasm.bench.spec import READY, BenchSpec
from chiasm.bench.validate import validate
from chiasm.core.errors import InvalidInput, UnknownName

ZOO = {
    "models": ["zoo:llava-shapes"],
    "datasets": [{"load": "shapes", "n": 2}],
    "explainers": ["chefer", "random"],
    "metrics": ["f_syn"],
    "players": "grid:2x2,words",
}


def test_names_stand_for_tables():
    spec = BenchSpec.parse(SPEC)
    assert [one.label for one in spec.explainers] == ["occlusion", "kernelshap", "random"]
    assert spec.explainers[1].budget == 40
    assert spec.engine.name == "in-process"
    assert BenchSpec.parse(spec.dump) == spec


@pytest.mark.parametrize("name", READY)
def test_ready_specs_are_read(name):
    spec = BenchSpec.read(name)
    assert spec.name == name
    assert BenchSpec.parse(yaml.safe_load(yaml.safe_dump(spec.dump))) == spec


def test_the_published_grid():
    for name in ("vlm-synergy", "vlm-synergy-zoo"):
        spec = BenchSpec.read(name)
        assert [len(spec.explainers), len(spec.models), len(spec.datasets)] == [9, 3, 3]
        eight = [
            "integrated-gradients",
            "input-gradient",
            "gradcam",
            "attn-lrp",
            "chefer",
            "rollout",
            "tam",
            "llava-cam",
        ]
        assert [one.method for one in spec.explainers] == [*eight, "random"]
    assert sum(len(task.cells) for task in tasks_of("vlm-synergy-zoo", 1)) == 9 * (1 + 9 + 2)


def tasks_of(name: str, n: int):
    spec = BenchSpec.read(name)
    few = [one.model_copy(update={"n": n}) for one in spec.datasets]
    spec = spec.model_copy(update={"datasets": few})
    return tasks(spec, {one.label: read_dataset(one) for one in few})


def test_cells_are_known_by_what_they_depend_on():
    def prints(**change):
        spec = BenchSpec.parse({**ZOO, **change})
        found = tasks(spec, {one.label: read_dataset(one) for one in spec.datasets})
        return {cell.fingerprint for task in found for cell in task.cells}

    base = prints()
    assert prints(engine="processes", name="other", cache=False, explanations=False, batch_size=3) == base
    assert prints(datasets=[{"load": "shapes", "n": 3}]) > base
    assert prints(explainers=["chefer", "random", "tam"]) > base
    assert len(base & prints(datasets=[{"load": "shapes", "n": 2, "seed": 1}])) == 0
    assert len(base & prints(players="grid:3x3,words")) == 0
    answers = 2  # what the model says does not depend on metrics
    assert len(base & prints(metrics=["f_syn", "srg"])) == answers


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"modles": []}, "no field 'modles', did you mean 'models'"),
        ({"explainers": [{"method": "chefer", "option": {}}]}, "did you mean 'options'"),
        ({"models": []}, "models: List should have at least 1"),
        ({"metrics": ["f_syn", "f_syn"]}, "'f_syn' stands there twice; give one of them another name"),
        ({"seeds": [1, 1]}, "holds one twice"),
        ({"datasets": [{"load": "shapes", "n": 0}]}, "n: Input should be greater than 0"),
        ({"scale": "logprob"}, "scale"),
    ],
)
def test_wrong_fields_are_told(change, match):
    with pytest.raises(InvalidInput, match=match):
        BenchSpec.parse({**ZOO, **change})


def test_files(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(ZOO))
    assert BenchSpec.read(tmp_path / "a.yaml").models[0].load == "zoo:llava-shapes"
    for text, match in (("a: [", "is not YAML"), ("- a", "must hold fields"), ("models: 3", "explainers is missing")):
        (tmp_path / "b.yaml").write_text(text)
        with pytest.raises(InvalidInput, match=match):
            BenchSpec.read(tmp_path / "b.yaml")
    with pytest.raises(UnknownName, match="vlm-synergy-zoo"):
        BenchSpec.read("vlm-synergi")
    with pytest.raises(InvalidInput, match="cannot be read"):
        BenchSpec.read(tmp_path / "none.yaml")


def test_a_sound_spec_has_no_problems_and_a_price():
    found = validate(BenchSpec.parse(ZOO))
    assert found.problems == []
    assert (found.samples, found.cells) == (2, 10)
    assert 8 < found.values["shapes"] <= 2 ** (4 + 12)
    assert found.bytes > 0
    assert found.lines()[-1] == "nothing is wrong"


def test_all_mistakes_are_told_at_once():
    wrong = {
        "models": ["zoo:lava-shapes", "./nowhere", "someone/some-model"],
        "datasets": ["shapez", {"load": "digits", "n": 1}],
        "explainers": [
            "cheffer",
            {"method": "integrated-gradients", "options": {"step": 3}},
            {"method": "gp", "index": "XII"},
            {"method": "rollout", "name": "oracle"},
        ],
        "metrics": ["f_sin", "agreement", "randomised_labels", {"metric": "f_syn", "options": {"stops": 2}}],
        "players": "grid:2x2,wards",
        "engine": {"name": "processes", "options": {"workers": 0}},
    }
    found = validate(BenchSpec.parse(wrong))
    told = "\n".join(found.problems)
    for part in (
        "model 'zoo:lava-shapes'",
        "there is no folder './nowhere'",
        "data set 'shapez'",
        "explainer 'cheffer': Unknown method",
        "cannot take the options step",
        "explainer 'gp'",
        "explainer 'oracle' has the name of a control",
        "metric 'f_sin': Unknown metric",
        "metric 'agreement'",
        "metric 'randomised_labels'",
        "cannot take the options stops",
        "data set 'digits': Unknown text segmenter 'wards'",
        "engine: ",
    ):
        assert part in told, told
    assert len(found.problems) == 13
    assert "hub id" in found.notes[0]


def test_models_of_python_files_are_looked_for(tmp_path):
    (tmp_path / "mine.py").write_text("def f(samples):\n    return [0.0] * len(samples)\n")
    models = [{"load": f"python:{tmp_path}/mine.py:f", "name": "mine"}, {"load": "python:nothing.py:f", "name": "none"}]
    found = validate(BenchSpec.parse({**ZOO, "models": models, "explainers": ["random"]}))
    assert ["there is no file 'nothing.py'" in problem for problem in found.problems] == [True]
    assert not any("hub id" in note for note in found.notes)


def test_measured_on_a_sample():
    found = validate(BenchSpec.parse({**ZOO, "explainers": ["random", "exclip"]}), measure=True)
    assert 0 < found.seconds["zoo:llava-shapes"] < 60
    assert len(found.problems) == 1
    assert "exclip" in found.problems[0]
    assert any(line.startswith("measured for a sample: zoo:llava-shapes") for line in found.lines())
