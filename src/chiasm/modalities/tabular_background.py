"""Other rows as what stands for absent columns: their means, rows drawn from them, the rows most alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.content import digest
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers
from chiasm.modalities.elements import shown
from chiasm.modalities.tabular_reading import Row, Table, read_table

#: rows that a value is averaged over, unless said otherwise
ROWS: Final = 32
_STREAM: Final = 0x74616273
_REMEMBERED: Final = 4096


@dataclass(frozen=True, eq=False)
class Background:
    """Rows that stand for columns that are absent: training data, usually.

    It is itself a masker, that of `marginal`; `mean` and `conditional` give others.

    Attributes:
        table: a pandas DataFrame, column → values, rows as mappings, or a file (``.csv``, ``.json``, ``.parquet``);
            read at once, and then column → ``float64[rows]`` or texts ``str[rows]``. It may have more columns than the
            rows that are explained.
        name: how it stands in the provenance: the path, or the size and a hash of the values.

    Raises:
        InvalidInput: the table cannot be read or has no row.
    """

    table: Any
    name: str = ""

    def __post_init__(self) -> None:
        """Read the table."""
        table = read_table(self.table)
        shown_as = self.table if isinstance(self.table, str) else None
        object.__setattr__(self, "table", table)
        size = f"{len(self)}x{len(table)}"
        object.__setattr__(self, "name", self.name or shown_as or f"{size}-{self.fingerprint[:8]}")

    def __len__(self) -> int:
        """Number of rows."""
        return len(next(iter(self.table.values())))

    def __repr__(self) -> str:
        """The name instead of the values."""
        return f"Background({self.name!r})"

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the values."""
        return digest(self.table)

    def row(self, k: int, like: Row) -> Row:
        """Row ``k``, of the columns of another row; see `columns`."""
        return {name: column[k].item() for name, column in self.columns(like).items()}

    def columns(self, like: Row) -> Table:
        """The columns that a row has, in its order.

        Raises:
            UnknownName: a column that the background lacks.
            InvalidInput: a column of texts where the row has a number, or the other way round.
        """
        found: Table = {}
        for name, value in like.items():
            if name not in self.table:
                raise UnknownName("column of the background", name, self.table)
            column = self.table[name]
            if (column.dtype.kind == "f") == isinstance(value, str):
                has, given = ("numbers", "a text") if column.dtype.kind == "f" else ("texts", "a number")
                if value == value:  # noqa: PLR0124 - a missing value (NaN) suits either
                    raise InvalidInput(
                        f"Column {name!r} of the background has {has} and the row has {given}: {value!r}."
                    )
            found[name] = column
        return found

    def averages(self, like: Row, *, median: bool = False) -> Row:
        """A row of means (or medians) of numbers and of the commonest texts; what is missing does not count."""
        return {name: _average(column, median=median) for name, column in self.columns(like).items()}

    def marginal(self, rows: int = ROWS, seed: int = 0) -> Marginal:
        """A masker: absent columns are those of rows drawn at random; see `Marginal`."""
        return Marginal(self, rows, seed)

    def conditional(self, rows: int = ROWS, seed: int = 0) -> Conditional:
        """A masker: absent columns are those of the rows most alike in the present ones; see `Conditional`."""
        return Conditional(self, rows, seed)


def _average(column: NDArray[Any], *, median: bool) -> float | str:
    if column.dtype.kind != "f":
        texts, counts = np.unique(column[column != ""] if (column != "").any() else column, return_counts=True)
        return str(texts[counts.argmax()])
    known = column[~np.isnan(column)]
    if not known.size:
        return float("nan")
    return float(np.median(known) if median else known.mean())


def replaced(content: Row, fills: list[Row], keep: NDArray[np.bool_]) -> list[Row]:
    """The content with some columns from other rows: ``keep`` is ``bool[batch, columns]``, a fill for each."""
    return [
        content.copy() if row.all() else {n: content[n] if k else fill[n] for n, k in zip(content, row, strict=True)}
        for row, fill in zip(keep, fills, strict=True)
    ]


def _checked_rows(rows: int, seed: int) -> None:
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
        raise InvalidInput(f"{rows!r} rows of the background were asked for; give a whole number of at least 1.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InvalidInput(f"The seed is {seed!r}; give a whole number from 0.")


def _told(what: str, masker: Marginal | Conditional) -> str:
    """How a masker stands in the provenance: a seed is said where it is not 0."""
    name = f"{what}:{masker.rows}:{masker.background.name}"
    return f"{name} (seed {masker.seed})" if masker.seed else name


@dataclass(frozen=True, eq=False)
class Marginal:
    """Absent columns are those of rows drawn from a background; a value is the model's mean output over them.

    This is the marginal (interventional) expectation E[f(x_S, X_rest)]: it asks what the model does, and shows it rows
    that may never occur. The rows are drawn once, by seed and without replacement, and are the same for every
    coalition, so the game is not noisy; the model is asked once for each. Source: Janzing, Minorics & Bloebaum 2020,
    "Feature relevance quantification in explainable AI: a causal problem".

    Attributes:
        background: where rows come from.
        rows: how many; all of a background that has no more.
        seed: of the draw.
        name: how it stands in the provenance.

    Raises:
        InvalidInput: no row, or no seed from 0.
    """

    background: Background
    rows: int = ROWS
    seed: int = 0
    name: str = ""

    def __post_init__(self) -> None:
        """Draw the rows' numbers."""
        _checked_rows(self.rows, self.seed)
        object.__setattr__(self, "name", self.name or _told("marginal", self))

    @property
    def draws(self) -> int:
        """How many rows."""
        return min(self.rows, len(self.background))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Which rows, ``int64[draws]``."""
        order = np.random.default_rng((_STREAM, self.seed)).permutation(len(self.background))
        return np.asarray(order[: self.draws], np.int64)

    def draw(self, k: int) -> MarginalDraw:
        """Absent columns are those of the k-th row drawn."""
        return MarginalDraw(self, k)

    def apply(self, content: Row, players: PartPlayers, present: NDArray[np.bool_]) -> list[Row]:
        """As `MarginalDraw.apply` of the first draw."""
        return self.draw(0).apply(content, players, present)


@dataclass(frozen=True, eq=False)
class MarginalDraw:
    """One draw of `Marginal`.

    Attributes:
        of: what it is a draw of.
        k: which one.
    """

    of: Marginal
    k: int

    @property
    def name(self) -> str:
        """The name of the whole."""
        return self.of.name

    def apply(self, content: Row, players: PartPlayers, present: NDArray[np.bool_]) -> list[Row]:
        """The row for each coalition.

        Args:
            content: column → value.
            players: players with one-dimensional `Regions` on its columns.
            present: ``bool[batch, players]``.

        Raises:
            InvalidInput: players, row and coalitions do not fit together, or row and background do not.
            UnknownName: a column that the background lacks.
        """
        keep = shown(players, present, len(content), "columns")
        fill = self.of.background.row(int(self.of.places[self.k]), content)
        return replaced(content, [fill] * len(keep), keep)


@dataclass(frozen=True, eq=False)
class Conditional:
    """Absent columns are those of the background's rows that are most alike in the present columns.

    A value is the model's mean output over the k nearest rows, x_S kept: an estimate of the conditional (observational)
    expectation E[f(X) | X_S = x_S] by nearest neighbours. The model is shown rows that hang together, so a column that
    it does not use may have a value, because it tells of one that it does. Numbers are as far apart as their difference
    in standard deviations of the background, texts 0 or 1, a missing value 1 from any other; distances add up in
    squares. Rows equally far stand in an order drawn by seed, so with nothing present the rows are drawn at random.
    Source: Aas, Jullum & Løland 2021, "Explaining individual predictions when features are dependent", by weights that
    are equal and hard instead of a kernel.

    Attributes:
        background: where rows come from. Columns that are rare in it make neighbours that are far.
        rows: how many neighbours: more are less noisy and less near.
        seed: of the order of rows that are equally far.
        name: how it stands in the provenance.

    Raises:
        InvalidInput: no row, or no seed from 0.
    """

    background: Background
    rows: int = ROWS
    seed: int = 0
    name: str = ""
    _found: dict[bytes, NDArray[np.int64]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the numbers."""
        _checked_rows(self.rows, self.seed)
        object.__setattr__(self, "name", self.name or _told("conditional", self))

    @property
    def draws(self) -> int:
        """How many neighbours."""
        return min(self.rows, len(self.background))

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.random.default_rng((_STREAM, self.seed)).permutation(len(self.background))

    def draw(self, k: int) -> ConditionalDraw:
        """Absent columns are those of the k-th nearest row."""
        return ConditionalDraw(self, k)

    def apply(self, content: Row, players: PartPlayers, present: NDArray[np.bool_]) -> list[Row]:
        """As `ConditionalDraw.apply` of the nearest row."""
        return self.draw(0).apply(content, players, present)

    def nearest(self, content: Row, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows nearest to a row in the columns kept (``bool[columns]``), nearest first, ``int64[draws]``."""
        key = digest([list(content), list(content.values()), keep]).encode()
        found = self._found.get(key)
        if found is None:
            columns = self.background.columns(content)
            kept: Mapping[str, NDArray[Any]] = {n: columns[n] for n, k in zip(content, keep, strict=True) if k}
            far = np.zeros(len(self.background))
            for name, column in kept.items():
                far += _distances(column, content[name])
            found = self._order[np.argsort(far[self._order], kind="stable")[: self.draws]]
            while len(self._found) >= _REMEMBERED:
                self._found.pop(next(iter(self._found)))
            self._found[key] = found
        return found


def _distances(column: NDArray[Any], value: float | str) -> NDArray[np.float64]:
    """Squared distances of a column's values from a value, ``float64[rows]``."""
    if isinstance(value, str):
        return np.asarray(column != value, np.float64)
    if column.dtype.kind != "f":  # the value is missing, in a column of texts
        return np.asarray(column != "", np.float64)
    unit = float(np.nanstd(column)) if not np.isnan(column).all() else 0.0
    gap = ((column - value) / (unit or 1.0)) ** 2
    missing = np.isnan(column) != np.isnan(value)
    return np.where(missing, 1.0, np.nan_to_num(gap))


@dataclass(frozen=True, eq=False)
class ConditionalDraw:
    """One draw of `Conditional`.

    Attributes:
        of: what it is a draw of.
        k: which neighbour.
    """

    of: Conditional
    k: int

    @property
    def name(self) -> str:
        """The name of the whole."""
        return self.of.name

    def apply(self, content: Row, players: PartPlayers, present: NDArray[np.bool_]) -> list[Row]:
        """The row for each coalition; shapes and errors as in `MarginalDraw.apply`."""
        keep = shown(players, present, len(content), "columns")
        places = [int(self.of.nearest(content, row)[self.k]) for row in keep]
        return replaced(content, [self.of.background.row(place, content) for place in places], keep)
