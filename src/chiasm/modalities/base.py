"""What a modality is: how a part is read, cut into players, and shown with some players absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chiasm.core.players import PartPlayers


@dataclass(frozen=True)
class Placement:
    """Where the content that a model sees lies in the content that the user gave: seen = raw · scale + offset.

    Attributes:
        scale: (x, y) factors.
        offset: (x, y) in pixels of the seen picture; negative where the model crops.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Context:
    """What a model's adapter tells a modality about one part; every field may be unknown.

    Attributes:
        grid: (rows, columns) of the model's own patches on the picture it sees, for ``grid:model``.
        token_spans: ``int64[tokens, 2]``: characters of each token of the text as the model's tokenizer cuts it,
            special and template tokens left out, for ``tokens``, and so that no token reaches over two words.
        placement: how the seen picture lies in the raw one.
    """

    grid: tuple[int, int] | None = None
    token_spans: NDArray[np.int64] | None = None
    placement: Placement = Placement()


@runtime_checkable
class ContentMasker(Protocol):
    """A masker that changes the content itself, so that any model can be given the result.

    Attributes:
        name: the masker as it was asked for, e.g. ``"blur:8"``; stands in the provenance.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - said above; a property, so that frozen dataclasses serve

    def apply(self, content: Any, players: PartPlayers, present: NDArray[np.bool_]) -> Sequence[Any] | NDArray[Any]:
        """The content once for each row of ``present`` (``bool[batch, players]``), absent players hidden.

        An all-present row gives the content back unchanged.
        """
        ...


@runtime_checkable
class DrawnMasker(ContentMasker, Protocol):
    """A masker that shows absent players in several ways; a value is the mean of the model's outputs over them.

    So it takes an expectation over a background, such as rows of a table, instead of one baseline. Where several parts
    have such maskers, draw k of one goes with draw k of the others. ``apply`` is the first draw: methods that look
    inside a model, and ``chiasm doctor``, are shown that.

    Attributes:
        draws: how many ways, at least 1; a model is asked as many times for every coalition.
    """

    @property
    def draws(self) -> int: ...  # noqa: D102 - said above

    def draw(self, k: int) -> ContentMasker:
        """The masker of draw ``k``, 0 ≤ k < ``draws``."""
        ...


@dataclass(frozen=True)
class TokenMasker:
    """A masker that works on the model's own tokens: only an adapter with a tokenizer can carry it out.

    Attributes:
        name: the masker as it was asked for.
        mode: ``"attention"``: the tokens become padding and are not attended to, positions stay;
            ``"mask"``: the tokens become the tokenizer's mask token.
    """

    name: str
    mode: Literal["attention", "mask"]


Masker = ContentMasker | TokenMasker


class Modality(Protocol):
    """One kind of part.

    Attributes:
        kind: its name, e.g. ``"image"``.
        default_segmenter: the players that are used when none are asked for.
        default_masker: a masker that suits any model.

    A modality may also have ``segmenters`` and ``maskers``, mappings from each name to one line on what it does; the
    command ``chiasm list`` shows them. And it may have ``sorts(players, lexicon) -> list[str]``: what sort of unit each
    player is (a colour word, the upper left), so that audits can say which sorts matter; see `sorts_of`.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102 - said above; properties, so that frozen dataclasses serve
    @property
    def default_segmenter(self) -> str: ...  # noqa: D102
    @property
    def default_masker(self) -> str: ...  # noqa: D102

    def read(self, data: Any) -> Any:
        """What the user gave → content in the modality's one form; refused input raises ``InvalidInput``."""
        ...

    def segment(self, part: str, content: Any, segmenter: Any, context: Context) -> PartPlayers:
        """Cut a content (as the model sees it) into players."""
        ...

    def masker(self, spec: Any) -> Masker:
        """The masker that a word such as ``"blur:8"`` (or a masker object) stands for."""
        ...

    def overlap(self, players: PartPlayers, truth: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
        """For each player, the share of its own extent that the planted truth covers, ``float64[players]`` in [0, 1].

        ``truth`` is in the geometry of the raw content (`Sample.truth`); ``placement`` maps it to what the model saw.
        """
        ...


def sorts_of(modality: Modality, players: PartPlayers, lexicon: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """What sort of unit each player is.

    Args:
        modality: of the players.
        players: of one part.
        lexicon: a user's own sorts → their words, for modalities that have words.

    Returns:
        A name for each; the label of the player itself where the modality knows no sorts.
    """
    own = getattr(modality, "sorts", None)
    return list(players.labels) if own is None else list(own(players, lexicon))
