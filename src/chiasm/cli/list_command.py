"""``chiasm list``: what there is to choose from."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated

import typer

from chiasm.core.errors import InvalidInput, UnknownName

Row = dict[str, str]


class What(StrEnum):
    """Things that can be listed."""

    models = "models"
    explainers = "explainers"
    estimators = "estimators"
    indices = "indices"
    segmenters = "segmenters"
    maskers = "maskers"
    views = "views"
    datasets = "datasets"
    metrics = "metrics"


def list_things(
    what: Annotated[str | None, typer.Argument(help=f"What to list: {', '.join(What)}.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects.")] = False,
) -> None:
    """List models, explainers, estimators, indices, segmenters, maskers, views, data sets or metrics."""
    names = [one.value for one in What]
    if what is None:
        raise InvalidInput(f"Say what to list: chiasm list {'|'.join(names)}.")
    if what not in names:
        raise UnknownName("thing to list", what, names)
    thing = What(what)
    rows = _LISTS[thing]()
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    rows = [_IN_TWO[thing](row) for row in rows] if thing in _IN_TWO else rows
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe, stdout

    def _shown(text: str) -> Text:
        return Text("\n".join(safe(line) for line in text.splitlines()))

    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "name", style="bold" if column == "name" else "")
    for row in rows:
        table.add_row(*(_shown(row.get(column, "")) for column in columns))
    stdout().print(table)


def _models() -> list[Row]:
    from chiasm.models.hub import models
    from chiasm.zoo.catalog import MODELS

    shipped = [{"name": f"zoo:{name}", "family": "ships with Chiasm", "summary": line} for name, line in MODELS.items()]
    types = [
        {"name": name, "family": entry.info.get("family", ""), "summary": entry.summary}
        for name, entry in models.entries().items()
    ]
    return shipped + types


def _estimators() -> list[Row]:
    from chiasm.estimators import estimators

    return [{"name": name, "summary": entry.summary, **entry.info} for name, entry in estimators.entries().items()]


def _explainers() -> list[Row]:
    from chiasm.explainers.methods import find_explainer, names

    rows = []
    for name in names():
        one = find_explainer(name)
        rows.append(
            {
                "name": name,
                "summary": one.line,
                "kind": one.kind,
                "needs": ", ".join(one.needs) or "nothing",
                "cost": one.cost,
                "gives": ", ".join(
                    ["pairs"] * one.pairs + ["signed values" if one.signed else "values without a sign"]
                ),
                "indices": ", ".join(one.indices),
                "source": one.source,
            }
        )
    return rows


def _explainer_in_two(row: Row) -> Row:
    """An explainer in two columns: as many as it has are too narrow in a terminal."""
    told = f"{row['kind']}; needs {row['needs']}; {row['cost']}; {row['gives']}; {row['indices']}"
    return {"name": row["name"], "summary": f"{row['summary']}\n{told}{'; ' * bool(row['source'])}{row['source']}"}


def _indices() -> list[Row]:
    from chiasm.core.indices import index, index_names

    return [
        {
            "name": name,
            "summary": "weighted Banzhaf index, 0 < p < 1, e.g. WBII:0.3" if ":" in name else index(name).summary,
        }
        for name in index_names()
    ]


def _views() -> list[Row]:
    from chiasm.core.registry import views

    return [{"name": name, "summary": entry.summary} for name, entry in views.entries().items()]


def _datasets() -> list[Row]:
    from chiasm.zoo import datasets
    from chiasm.zoo.data.contents import templates

    rows = []
    for name, entry in datasets.entries().items():
        phrases = templates(name)
        distinct = {phrase for several in phrases.values() for phrase in several}
        rows.append(
            {
                "name": name,
                "summary": entry.summary,
                "types": ", ".join(phrases),
                "phrasings": str(len(distinct)) if distinct else "",
            }
        )
    from chiasm.zoo.data.cards import CARDS

    for card in CARDS.values():  # of benchmarks
        about = f"{card.hub} ({card.licence}): {card.note}" if card.note else f"{card.hub} ({card.licence})"
        rows.append({"name": card.name, "summary": f"chiasm bench: {about}", "types": "", "phrasings": ""})
    return rows


def _metrics() -> list[Row]:
    from chiasm.metrics import DEFAULT, metrics

    rows = []
    for name in metrics:
        about = metrics.get(name).about
        rows.append(
            {
                "name": name,
                "summary": about.line + (" (default)" if name in DEFAULT else ""),
                "judges": {"single": "single players", "pairs": "pairs", "both": "both"}[about.judges],
                "better": about.better,
                "range": about.range,
                "values": about.cost,
                "needs": ", ".join(need for need in about.needs if need != "game"),
                "source": about.source,
            }
        )
    return rows


def _in_two(row: Row) -> Row:
    """A metric in two columns: as many as it has are too narrow in a terminal."""
    better = "describes, does not judge" if row["better"] == "neither" else f"{row['better']} is better"
    needs = f"; needs {row['needs']}" if row["needs"] else ""
    told = f"{row['judges']}; {row['range']}, {better}; values: {row['values']}{needs}; {row['source']}"
    return {"name": row["name"], "summary": f"{row['summary']}\n{told}"}


def _of_modalities(what: str, default: str) -> list[Row]:
    from chiasm.modalities import modalities

    rows = []
    for kind, entry in modalities.entries().items():
        modality = modalities.get(kind)
        known = getattr(modality, what, None)
        lines = dict(known) if isinstance(known, Mapping) else dict.fromkeys(_names_beside(entry.target, what), "")
        preset = getattr(modality, default)
        names = (
            lines
            if any(preset.partition(":")[0] == name.partition(":")[0] for name in lines)
            else {preset: "", **lines}
        )
        rows += [
            {
                "name": name,
                "kind": kind,
                "summary": _with_default(line, preset, what) if name in (preset, _form(preset, lines)) else line,
            }
            for name, line in names.items()
        ]
    return rows


def _with_default(line: str, preset: str, what: str) -> str:
    """What a name means, and that it is taken where none is given (a model may prefer another masker)."""
    if "default" in line:
        return line
    words = f"default: {preset}" + (", where the model prefers no other" if what == "maskers" else "")
    return f"{line} ({words})" if line else words


def _form(preset: str, names: Mapping[str, str]) -> str:
    """The form that a default such as ``grid:4x4`` has among names such as ``grid:RxC``."""
    return next((name for name in names if name.partition(":")[0] == preset.partition(":")[0]), preset)


def _names_beside(target: object, what: str) -> tuple[str, ...]:
    """``KNOWN`` of the module ``…_segmenters`` or ``…_maskers`` beside a modality, if it has one."""
    if not isinstance(target, str):
        target = f"{type(target).__module__}:"
    module = f"{target.partition(':')[0]}_{what}"
    if importlib.util.find_spec(module) is None:
        return ()
    return tuple(getattr(importlib.import_module(module), "KNOWN", ()))


_LISTS: dict[What, Callable[[], list[Row]]] = {
    What.models: _models,
    What.explainers: _explainers,
    What.estimators: _estimators,
    What.indices: _indices,
    What.segmenters: lambda: _of_modalities("segmenters", "default_segmenter"),
    What.maskers: lambda: _of_modalities("maskers", "default_masker"),
    What.views: _views,
    What.datasets: _datasets,
    What.metrics: _metrics,
}
#: lists whose rows are told in two columns in a terminal
_IN_TWO: dict[What, Callable[[Row], Row]] = {What.metrics: _in_two, What.explainers: _explainer_in_two}
