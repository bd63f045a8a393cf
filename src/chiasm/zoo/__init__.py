"""Small trained models that ship with the package, and the data sets with planted truth they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chiasm.core.errors import UnknownName

if TYPE_CHECKING:
    from chiasm.core.sample import Sample

DATASETS = {"shapes": "scenes of coloured shapes; colour, shape, existence and counting questions"}
"""Names of the data sets, with a line on each."""


def dataset(name: str, n: int = 200, seed: int = 0, types: Sequence[str] | None = None) -> list[Sample]:
    """The first samples of a data set with planted truth.

    Args:
        name: a name of `DATASETS`.
        n: how many samples.
        seed: seed of the data set.
        types: question types to draw from; all if ``None``.

    Raises:
        UnknownName: there is no such data set, or no such type.
        InvalidInput: ``n`` or ``seed`` is negative, or ``types`` is empty.
    """
    if name not in DATASETS:
        raise UnknownName("data set", name, DATASETS)
    from chiasm.zoo import shapes  # Pillow takes a moment to import, and nobody needs it to list names

    return shapes.samples(n, seed, types)
