"""A run as a gallery: every sample has its card, its page has all explainers, means stand above."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))
from bench_models import SPEC, model, samples

from chiasm.bench.gallery import disagreement, write_run
from chiasm.bench.run import Benchmark, benchmark, open_run
from chiasm.bench.spec import BenchSpec
from chiasm.cli.main import app
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("gallery") / "run"
    benchmark(SPEC, folder, models={"together": model()}, datasets={"mine": samples(3)})
    return folder


def cards(page: Path) -> list[dict]:
    found = re.search(r'id="items">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(found[1])


def test_every_sample_has_a_card_and_a_page_with_its_scores(run, tmp_path):
    page = write_run(run, tmp_path / "gallery.html")
    asked = Benchmark.open(run).samples
    found = cards(page)
    assert [card["question"] for card in found] == list(asked["question"])
    assert [card["tags"] for card in found] == [{"type": "t0"}, {"type": "t1"}, {"type": "t0"}]
    scores = Benchmark.open(run).scores.query("sample == 's1' and explainer == 'kernelshap' and metric == 'srg'")
    behind = (tmp_path / found[1]["href"]).read_text(encoding="utf-8")
    sections = dict(re.findall(r'<section data-method="([^"]+)"(.*?)</section>', behind, re.DOTALL))
    assert set(sections) == {"occlusion", "kernelshap", "random"}
    shown = re.search(r'srg</th><td class="number">([^<]+)<', sections["kernelshap"])
    assert float(shown[1].replace("\u2212", "-")) == pytest.approx(scores["value"].item(), rel=0.06)


def test_means_stand_above_with_what_they_are_over(run, tmp_path):
    text = write_run(run, tmp_path / "gallery.html").read_text(encoding="utf-8")
    table = re.search(r"<caption[^>]*>together on mine: mean score(.*?)</table>", text, re.DOTALL)[1]
    names = re.findall(r'<th scope="row"><bdi>([^<]+)', table)
    assert set(names) == {"occlusion", "kernelshap", "random", "oracle", "reversed oracle"}


def test_only_so_many_samples_get_a_page_and_the_title_says_so(run, tmp_path):
    page = write_run(run, tmp_path / "gallery.html", pages=2)
    assert [card["href"] is None for card in cards(page)] == [False, False, True]
    assert "3 samples, 2 with a page" in page.read_text(encoding="utf-8")
    assert len(list((tmp_path / "pages").iterdir())) == 2


@pytest.fixture(scope="module")
def two_sets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two") / "run"
    spec = {**SPEC, "datasets": ["mine", "yours"]}
    benchmark(spec, folder, models={"together": model()}, datasets={"mine": samples(8), "yours": samples(6)})
    return folder


def test_some_samples_are_the_same_number_of_every_data_set(two_sets, tmp_path):
    page = write_run(two_sets, tmp_path / "gallery.html", most=5)
    assert [card["dataset"] for card in cards(page)] == ["mine"] * 3 + ["yours"] * 2
    assert "5 of 14 samples" in page.read_text(encoding="utf-8")
    assert len(cards(write_run(two_sets, tmp_path / "gallery.html", most=13))) == 13
    with pytest.raises(InvalidInput, match="0 samples shows nothing"):
        write_run(two_sets, tmp_path / "gallery.html", most=0)


def test_a_report_links_its_figures_to_the_samples_behind_them(two_sets, tmp_path):
    told = CliRunner().invoke(app, ["bench", "report", str(two_sets), "-o", str(tmp_path / "board.html"), "-q"])
    assert told.exit_code == 0, told.output
    links = re.findall(r'href="([^"]+)"', (tmp_path / "board.html").read_text(encoding="utf-8"))
    assert set(links) >= {
        "board-samples.html",
        "board-samples.html#dataset%3A=mine",
        "board-samples.html#model%3A=together&amp;dataset%3A=yours&amp;verdict%3A=wrong",
    }
    assert {card["dataset"] for card in cards(tmp_path / "board-samples.html")} == {"mine", "yours"}


def test_a_report_without_samples_links_to_none(two_sets, tmp_path):
    told = CliRunner().invoke(
        app, ["bench", "report", str(two_sets), "-o", str(tmp_path / "board.html"), "-q", "--samples", "0"]
    )
    assert told.exit_code == 0, told.output
    assert "href" not in (tmp_path / "board.html").read_text(encoding="utf-8")
    assert not (tmp_path / "board-samples.html").exists()


def test_disagreement_is_one_less_the_mean_rank_correlation_without_chance():
    players = Players.abstract({"a": 4})

    def one(*values):
        return Explanation(players, np.array(values, float), Provenance("m", "SV", versions={}, created=""))

    same, turned = one(1, 2, 3, 4), one(4, 3, 2, 1)
    assert disagreement({"x": same, "y": same, "random": turned}) == pytest.approx(0.0)
    assert disagreement({"x": same, "y": turned}) == pytest.approx(2.0)
    assert disagreement({"x": same, "y": same, "z": turned}) == pytest.approx(1 - (1 - 1 - 1) / 3)
    assert disagreement({"x": same, "random": turned}) is None


def test_refusals(run, tmp_path):
    with pytest.raises(InvalidInput, match="does not exist"):
        write_run(run, tmp_path / "nowhere" / "gallery.html")
    open_run(tmp_path / "empty", BenchSpec.parse(SPEC), [])
    with pytest.raises(InvalidInput, match="no results yet; go on: chiasm bench resume"):
        write_run(tmp_path / "empty", tmp_path / "gallery.html")
