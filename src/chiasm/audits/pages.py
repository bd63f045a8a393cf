"""Pages of the samples behind an audit's findings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chiasm.audits.record import Plan
from chiasm.audits.run import Audit
from chiasm.core.registry import views
from chiasm.core.sample import Sample
from chiasm.explainers.explain import explain
from chiasm.models.base import Adapter

#: values of an explanation where the audit itself asked for none
VALUES = 256
Progress = Callable[[int, int | None, str], Any]


def telling(audit: Audit, most: int) -> list[str]:
    """Names of samples that findings name, the first of every finding first, without repetition."""
    rounds: Iterator[Any] = itertools.zip_longest(*(finding.samples for finding in audit.findings))
    names = dict.fromkeys(name for one in rounds for name in one if name is not None)
    return list(names)[:most]


def write_pages(
    audit: Audit,
    model: Adapter | str,
    samples: Sequence[Sample],
    plan: Plan,
    folder: str | Path,
    *,
    most: int,
    options: Mapping[str, Any] | None = None,
    progress: Progress = lambda _done, _total, _what: None,
) -> dict[str, str]:
    """Explain the samples behind the findings, each on a page.

    Args:
        audit: what was found.
        model: the first model of the audit, or what `chiasm.load` takes.
        samples: the audited samples.
        plan: how they were audited; the explanation takes its budget, or `VALUES`.
        folder: where the pages go; it is made if it is not there.
        most: how many.
        options: arguments of `chiasm.load`.
        progress: called before each sample.

    Returns:
        Name of a sample → address of its page, relative to the folder that the folder lies in.

    Raises:
        ChiasmError: the model cannot be loaded, or a sample cannot be explained.
    """
    folder = Path(folder)
    wanted = telling(audit, most)
    by_name = {sample.id or f"#{place}": sample for place, sample in enumerate(samples)}
    if not wanted:
        return {}
    if isinstance(model, str):
        from chiasm.models.hub import load

        model = load(model, **(options or {}))
    folder.mkdir(exist_ok=True)
    found: dict[str, str] = {}
    for done, name in enumerate(wanted):
        progress(done, len(wanted), "explaining samples behind the findings")
        explanation = explain(
            model,
            by_name[name],
            method=plan.method,
            players=plan.players,
            maskers=plan.maskers,
            target=plan.target(model),
            budget=plan.budget or VALUES,
            seed=plan.seed,
        )
        page = views.get("html")(explanation, folder / f"{name.replace('/', '_').replace('#', 'number-')}.html")
        found[name] = f"{folder.name}/{Path(page).name}"
    return found
