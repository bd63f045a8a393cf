"""A real Ray cluster on this machine: several worker processes, of which some are killed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from works import TABLES, Squares, tasks

from chiasm.core.errors import InvalidInput
from chiasm.runs.carry_out import carry_out
from chiasm.runs.engines import InProcess, engine
from chiasm.runs.store import Store

ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    """One cluster with room for two workers, which find the works of the tests."""
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}},
    )
    yield
    ray.shutdown()


def test_the_same_numbers_though_workers_are_killed(cluster, tmp_path):
    """A cell kills its worker, and kills the next one too: it has failed, those that were with it have not."""
    here = Store(tmp_path / "here", TABLES)
    carry_out(here, Squares(fails=(3, 9)), tasks(24, groups=2, together=4), InProcess())
    there = Store(tmp_path / "there", TABLES)
    work = Squares(fails=(3,), kills={9: 99}, folder=tmp_path)
    tally = carry_out(there, work, tasks(24, groups=2, together=4), engine("ray", workers=2, retries=1))
    assert (tally.done, tally.failed, tally.left) == (24, 2, 0)
    a, b = here.table("squares"), there.table("squares")
    assert a.drop(columns="error").equals(b.drop(columns="error"))
    errors = dict(zip(b["x"], b["error"], strict=True))
    assert errors[9].startswith("EngineError: the actor that computed it died")
    cells = there.query("SELECT CAST(key->>'x' AS INT) AS x, attempts, worker FROM cells").set_index("x")
    assert cells.loc[[0, 8, 9, 10, 11], "attempts"].tolist() == [1, 2, 2, 2, 2]
    assert cells["worker"].nunique() >= 3  # the two that were there first, and one that came for a dead one
    assert len(list(tmp_path.glob("killed-*"))) == 2


def test_wrong_numbers_are_refused():
    with pytest.raises(InvalidInput, match="nothing below 0"):
        engine("ray", cpus=-1)
