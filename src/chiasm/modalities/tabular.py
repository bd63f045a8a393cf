"""The modality of rows of tables: content is column → number or text, players are columns or groups of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.players import PartPlayers, Regions
from chiasm.modalities import tabular_maskers, tabular_segmenters
from chiasm.modalities.base import ContentMasker, Context, Placement
from chiasm.modalities.elements import covered
from chiasm.modalities.tabular_background import Background, Conditional, Marginal
from chiasm.modalities.tabular_maskers import AnotherRow, Fill, tabular_masker
from chiasm.modalities.tabular_reading import Row, read_row
from chiasm.modalities.tabular_segmenters import Columns, Families, Groups, tabular_segmenter

__all__ = [
    "TABULAR",
    "AnotherRow",
    "Background",
    "Columns",
    "Conditional",
    "Families",
    "Fill",
    "Groups",
    "Marginal",
    "TabularModality",
]


@dataclass(frozen=True)
class TabularModality:
    """Rows of tables: columns, one-hot families, groups; constants, means, marginal and conditional backgrounds.

    Players are sets of columns: their geometry is `Regions` with a ``label_map`` ``int32[columns]``.
    """

    kind: str = "tabular"
    default_segmenter: str = "columns"
    default_masker: str = "zero"

    @property
    def segmenters(self) -> dict[str, str]:
        """Name of each way to cut → what it does, in a line."""
        return dict(tabular_segmenters.KNOWN)

    @property
    def maskers(self) -> dict[str, str]:
        """Name of each masker → what it does, in a line."""
        return dict(tabular_maskers.KNOWN)

    def read(self, data: Any) -> Row:
        """A mapping, pandas Series, file or text → column → number or text; see `tabular_reading.read_row`.

        Raises:
            InvalidInput: what cannot be read, with the reason.
        """
        return read_row(data)

    def segment(self, part: str, content: Row, segmenter: Any, context: Context) -> PartPlayers:
        """Cut a row into players.

        Args:
            part: name of the part.
            content: column → value.
            segmenter: ``"columns"``, ``"families"``, ``"groups:age+income,rest"``, a mapping of label to columns,
                `Groups`, `Families`, or an object with ``cut``.
            context: what the model's adapter knows of the part.

        Raises:
            UnknownName: no such segmenter or column.
            InvalidInput: the segmenter does not fit the row.
        """
        labels, label_map = tabular_segmenter(segmenter).cut(content, context)
        return PartPlayers(part, self.kind, labels, Regions(label_map), content)

    def masker(self, spec: Any) -> ContentMasker:
        """The masker for a name of `maskers`, an `AnotherRow`, a `Background` or an object that is one.

        Raises:
            UnknownName: no such masker.
            InvalidInput: its argument cannot be used.
        """
        return tabular_masker(spec)

    def overlap(self, players: PartPlayers, truth: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
        """The share of each player's own columns that the truth names.

        Args:
            players: players with one-dimensional `Regions`.
            truth: places of columns ``int[k]``, counted from 0, or a mask ``bool[columns]``.
            placement: of pictures alone.

        Returns:
            ``float64[players]`` in [0, 1].

        Raises:
            InvalidInput: truth of another form, or outside of the row.
        """
        del placement
        count = len(players.content) if players.content is not None else players.geometry.label_map.size  # type: ignore[union-attr]
        return covered(players, truth, count, "columns")


TABULAR: Final = TabularModality()
