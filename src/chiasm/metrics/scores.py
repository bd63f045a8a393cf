"""Scores of several explanations of one sample: one table."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from chiasm.core.errors import InvalidInput, MissingDependency, SchemaError, UnknownName
from chiasm.core.storage import write_atomic
from chiasm.metrics.base import Score
from chiasm.metrics.controls import RANDOM

SCHEMA: Final = "chiasm.scores"
VERSION: Final = (1, 0)


@dataclass(frozen=True)
class Row:
    """One metric of one explanation.

    Attributes:
        explanation: its name.
        control: whether it is an oracle, a reversed oracle or random.
        metric: name of the metric.
        score: what was found, or ``None`` where the metric cannot judge this explanation.
        missing: why not; ``""`` where there is a score.
    """

    explanation: str
    control: bool
    metric: str
    score: Score | None
    missing: str = ""


@dataclass(frozen=True)
class Scores:
    """All metrics of all explanations of one sample.

    Attributes:
        rows: one for each explanation and metric.
        better: metric → ``"higher"``, ``"lower"`` or ``"neither"``.
        about: sample, model, target, maskers …: what the scores are of.
        requested, computed: values of the game that all metrics asked for together, and those that were computed anew.
        seconds: wall time.
        notes: choices that were made for the user.
    """

    rows: tuple[Row, ...]
    better: dict[str, str]
    about: dict[str, Any] = field(default_factory=dict)
    requested: int = 0
    computed: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def explanations(self) -> list[str]:
        """Names of the explanations, controls last."""
        return list(dict.fromkeys(row.explanation for row in self.rows))

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics."""
        return list(dict.fromkeys(row.metric for row in self.rows))

    def row(self, explanation: str, metric: str) -> Row:
        """One row.

        Raises:
            UnknownName: no such explanation or metric.
        """
        for what, name, known in (
            ("explanation", explanation, self.explanations),
            ("metric", metric, self.metrics),
        ):
            if name not in known:
                raise UnknownName(what, name, known)
        return next(row for row in self.rows if (row.explanation, row.metric) == (explanation, metric))

    def __getitem__(self, key: tuple[str, str]) -> Score:
        """``scores["gp SII", "f_syn"]``.

        Raises:
            UnknownName: no such explanation or metric.
            InvalidInput: that metric could not judge that explanation; the message says why.
        """
        found = self.row(*key)
        if found.score is None:
            raise InvalidInput(f"{found.metric!r} has no score of {found.explanation!r}: {found.missing}")
        return found.score

    def records(self) -> Iterator[dict[str, Any]]:
        """Long form: one record for each named value (``first`` marks the score itself), or for what is missing."""
        for row in self.rows:
            head = {"explanation": row.explanation, "control": row.control, "metric": row.metric}
            if row.score is None:
                yield {
                    **head,
                    "name": "",
                    "first": True,
                    "value": math.nan,
                    "error": None,
                    "values_used": 0,
                    "note": row.missing,
                }
                continue
            for k, (name, value) in enumerate(row.score.values.items()):
                yield {
                    **head,
                    "name": name,
                    "first": k == 0,
                    "value": float(value),
                    "error": row.score.error if k == 0 else None,
                    "values_used": row.score.values_used,
                    "note": "; ".join(row.score.notes),
                }

    def to_frame(self) -> Any:
        """`records` as a pandas data frame.

        Raises:
            MissingDependency: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise MissingDependency("pandas", "a data frame of scores (records() needs none)") from error
        return pandas.DataFrame(list(self.records()))

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (JSON), atomically.

        Raises:
            InvalidInput: the name does not end in ``.json``.
        """
        path = Path(path)
        if path.suffix != ".json":
            raise InvalidInput(f"Save scores under a name that ends in .json; got {path.name!r}.")
        data = {"schema": SCHEMA, "version": list(VERSION), **asdict(self)}
        write_atomic(path, json.dumps(_plain(data), indent=1, ensure_ascii=False, allow_nan=False).encode())
        return path

    @classmethod
    def load(cls, path: str | Path) -> Scores:
        """Read what `save` wrote.

        Raises:
            SchemaError: not a file of this kind, or of a newer major format.
            InvalidInput: there is no such file.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InvalidInput(f"There is no file {str(path)!r}.") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise SchemaError(f"{str(path)!r} is not a file of scores: {error}.") from error
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or data["version"][0] > VERSION[0]:
            raise SchemaError(f"{str(path)!r} holds no scores that this version reads ({SCHEMA} {VERSION[0]}).")
        rows = tuple(Row(**{**row, "score": _score(row["score"])}) for row in data["rows"])
        known = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        return cls(**{**known, "rows": rows, "notes": tuple(data["notes"])})

    @property
    def groups(self) -> dict[str, list[str]]:
        """What a table shows together: each explanation alone, the random controls as one, since each is one draw."""
        chance = [row.explanation for row in self.rows if row.control and row.explanation.startswith(RANDOM)]
        together = list(dict.fromkeys(chance))
        found = {name: [name] for name in self.explanations if name not in together}
        if together:
            found[together[0] if len(together) == 1 else f"{RANDOM}, {len(together)} draws"] = together
        return found

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows for people: an explanation a row, a metric a column, ``–`` where there is no score.

        Random controls are one row, from the least to the most that they got.
        """
        arrows = {"higher": " ↑", "lower": " ↓"}
        header = [
            "explanation",
            *(self._title(name) + arrows.get(self.better.get(name, ""), "") for name in self.metrics),
        ]
        rows = [
            [label, *(_cells([self.row(name, metric).score for name in names]) for metric in self.metrics)]
            for label, names in self.groups.items()
        ]
        return header, rows

    def details(self, metric: str) -> dict[str, list[str]]:
        """What a metric found beside its score: name → a text for each row of `table`."""
        groups = [[self.row(name, metric).score for name in names] for names in self.groups.values()]
        known = [[score.values for score in group if score is not None] for group in groups]
        names = dict.fromkeys(name for group in known for values in group for name in list(values)[1:])
        return {name: [_span([values.get(name, math.nan) for values in group]) for group in known] for name in names}

    def remarks(self) -> list[str]:
        """Why scores of the explanations (not of controls) are missing or need a caveat, each once."""
        found: dict[str, None] = {}
        for row in self.rows:
            for note in (row.missing,) if row.score is None else row.score.notes:
                if not row.control:
                    found[f"{row.metric} of {row.explanation}: {note}"] = None
        return list(found)

    def _title(self, metric: str) -> str:
        """A metric's name, and which value the table shows where the name does not say it (shares of which part?)."""
        first = next((row.score for row in self.rows if row.metric == metric and row.score is not None), None)
        return f"{metric}: {next(iter(first.values))}" if first and self.better.get(metric) == "neither" else metric

    def __str__(self) -> str:
        """The table as text."""
        header, rows = self.table()
        widths = [max(len(line[k]) for line in (header, *rows)) for k in range(len(header))]
        lines = [
            "  ".join(
                text.ljust(w) if k == 0 else text.rjust(w) for k, (text, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in (header, *rows)
        ]
        return "\n".join(lines)


def _cells(scores: list[Score | None]) -> str:
    """One score, or from the least to the most of several."""
    return _cell(scores[0]) if len(scores) == 1 else _span([math.nan if s is None else s.value for s in scores])


def _span(values: Sequence[float]) -> str:
    """From the least to the most of those that are there."""
    known = sorted(value for value in values if math.isfinite(value))
    ends = dict.fromkeys(plain(value) for value in (known[:1] + known[-1:]))
    return " … ".join(ends) or plain(math.nan)


def plain(value: float) -> str:
    """A score with three digits; ``–`` where there is none."""
    return f"{value:.3f}".replace("-", "−") if math.isfinite(value) else "–"


def _cell(score: Score | None) -> str:
    if score is None or not math.isfinite(score.value):
        return "–"
    error = f" ± {score.error:.2g}" if score.error is not None and score.error >= 5e-4 else ""
    return plain(score.value) + error


def _score(data: dict[str, Any] | None) -> Score | None:
    if data is None:
        return None
    values = {name: math.nan if value is None else value for name, value in data["values"].items()}
    return Score(values, data["error"], tuple(data["notes"]), data["values_used"])


def _plain(value: Any) -> Any:
    """JSON types; NaN becomes null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
