"""exCLIP: which token of one part a dual encoder compares with which patch of the other, by integrated Jacobians."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.explainers.base import Floats, Found, Subject, WhiteBox
from chiasm.explainers.gradients import batches, ends, notes_of, require_finite

if TYPE_CHECKING:
    import torch

    from chiasm.models.trace import Trace

    Tensors = dict[str, torch.Tensor]

_SCALES = ("similarity", "logit")


@dataclass(frozen=True, eq=False)
class Ends:
    """The two parts of a dual encoder and the ways between their baselines and the sample.

    Attributes:
        trace: of the sample.
        read: the part that is differentiated by its pixels.
        told: the part of tokens, by whose players the pairs are computed.
        start: part → baseline.
        way: part → sample less baseline.
    """

    trace: Trace
    read: str
    told: str
    start: Tensors
    way: Tensors

    def at(self, shares: dict[str, Floats]) -> Tensors:
        """Inputs at shares of the way, ``float64[rows]`` for each part."""
        import torch

        found = {}
        for part, begin in self.start.items():
            share = torch.as_tensor(shares[part], dtype=begin.dtype, device=begin.device)
            found[part] = begin + share.reshape(-1, *[1] * begin.ndim) * self.way[part]
        return found


def jacobians(ends_: Ends, nodes: Floats, weights: Floats) -> Floats:
    """∫∫ (∂²v/∂a∂b)(a_α, b_β) dα dβ contracted with both ways, by players: ``float64[players of read, of told]``.

    v is a product of what the two towers make of a and b, so this is the product of their integrated Jacobians
    (Möller et al. 2024, eq. 5) without either being written down: a gradient by the tokens with its graph, then, for
    each player of theirs, a gradient of its share by the other input.

    Args:
        ends_: the parts.
        nodes: of the rule, in [0, 1].
        weights: of the rule.
    """
    import torch

    trace, read, told = ends_.trace, ends_.read, ends_.told
    cover = torch.as_tensor(trace.slots[told].cover)
    total = [torch.zeros_like(ends_.way[read]) for _ in cover]
    rows = [(k, m) for k in range(len(nodes)) for m in range(len(nodes))]
    for batch in batches(trace, len(rows)):
        first, second = np.array(rows[batch]).T
        run = trace.run(ends_.at({read: nodes[first], told: nodes[second]}), eager=True)
        with torch.inference_mode(mode=False), torch.enable_grad():
            (slope,) = torch.autograd.grad(run.value.sum(), run.inputs[told], create_graph=True)
            weight = torch.as_tensor(weights[first] * weights[second]).to(slope)
            by_token = ((slope * ends_.way[told]).flatten(2).sum(dim=-1) * weight[:, None]).sum(dim=0)
            for player, share in enumerate(cover.to(by_token)):
                (found,) = torch.autograd.grad((share * by_token).sum(), run.inputs[read], retain_graph=True)
                require_finite(found, read)
                total[player] += found.sum(dim=0)
        del run, slope, by_token
    return np.stack([trace.to_players(read, one * ends_.way[read]) for one in total], axis=1)


class ExClip(WhiteBox):
    """A_ij = (a − a₀)_i [∫J_g(a_α)dα]ᵀ[∫J_h(b_β)dβ] (b − b₀)_j for a score g(a)·h(b), summed over players.

    All pairs sum to v(N) − v(N_a) − v(N_b) + v(∅), the interplay of the two parts. A player's single value is half of
    the sum over its pairs: each pair is shared by its two players. What a part gives alone is in neither.

    The integral is Gauss-Legendre's, with more nodes until the pairs miss their sum by at most `tolerance` of the sum
    of their sizes; what is left is told.

    Args:
        nodes: numbers of nodes on each way, in the order in which they are tried.
        tolerance: see above.

    Raises:
        InvalidInput: no nodes.
    """

    name = "exclip"
    line = "pairs across the parts of a dual encoder, by integrated Jacobians of both towers"
    pairs = True
    source = "Möller, Tilli, Vu, Padó 2024, second-order attributions (arXiv 2408.14153), eq. 5"
    indices = ("exclip",)

    def __init__(self, nodes: tuple[int, ...] = (4, 6, 8, 12), tolerance: float = 0.05) -> None:
        """Check the numbers."""
        if not nodes or min(nodes) < 1:
            raise InvalidInput(f"exCLIP has nodes {nodes}; give at least one number of 1 or more.")
        self.nodes, self.tolerance = nodes, tolerance
        self.cost = f"from {nodes[0] ** 2} forward passes, each with 1 + (players of the text part) backward passes"

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox.find`."""
        del index, seed
        trace = subject.trace()
        found = self._ends(subject, trace)
        corners = {found.read: np.array([1.0, 1, 0, 0]), found.told: np.array([1.0, 0, 1, 0])}
        values = trace.run(found.at(corners), grad=False).value.cpu().double().numpy()
        effect = float(values @ [1, -1, -1, 1])
        for count in self.nodes:
            points, weights = np.polynomial.legendre.leggauss(count)
            block = jacobians(found, (points + 1) / 2, weights / 2)
            gap = effect - float(block.sum())
            if abs(gap) <= self.tolerance * np.abs(block).sum():
                break
        note = (
            f"{count} × {count} nodes; the interplay of the parts is {effect:.4g} along the paths, and the pairs miss "
            f"that by {gap:.2g}; single values are half of the sum over a player's pairs"
        )
        return Found(
            _single(block, found, subject),
            pair=_square(block, found, subject),
            notes=notes_of(trace, note, baseline=True),
            extra={"nodes": count, "effect": effect, "completeness_gap": gap},
        )

    def _ends(self, subject: Subject, trace: Trace) -> Ends:
        """The two parts, one of tokens.

        Raises:
            MissingCapability: the value is no product of what two towers make of two parts.
        """
        parts = [name for name, players in trace.players.parts.items() if len(players)]
        if len(parts) != 2 or any(len(one.tokens) for one in trace.read_out):
            raise MissingCapability(
                "exCLIP needs a model whose value is a product of what two towers make of two parts (a dual encoder); "
                "use gp or permutation for pairs of any model."
            )
        if trace.target.scale not in _SCALES:
            raise MissingCapability(
                f"exCLIP explains a product of two vectors; the scale {trace.target.scale!r} bends it. Use the scale "
                f"similarity or logit, or gp for pairs of any value."
            )
        tokens = [part for part in parts if part not in trace.layouts]
        if not tokens:
            raise MissingCapability("exCLIP needs a part of tokens, by which it goes; use gp for pairs of any model.")
        told = min(tokens, key=lambda part: len(trace.players[part]))
        whole, nobody = ends(subject, trace)
        way = {part: whole[part] - nobody[part] for part in whole}
        return Ends(trace, next(part for part in parts if part != told), told, nobody, way)


def _square(block: Floats, found: Ends, subject: Subject) -> Floats:
    """The block as a symmetric matrix of the explained players; pairs within a part have no value."""
    players = found.trace.players
    n = len(players)
    pair = np.zeros((n, n))
    for where in players.slices.values():
        pair[where, where] = np.nan
    read, told = players.slices[found.read], players.slices[found.told]
    pair[read, told], pair[told, read] = block, block.T
    np.fill_diagonal(pair, 0.0)
    return pair[np.ix_(subject.free, subject.free)]


def _single(block: Floats, found: Ends, subject: Subject) -> Floats:
    """Half of the sum over each player's pairs."""
    players = found.trace.players
    single = np.zeros(len(players))
    single[players.slices[found.read]] = block.sum(axis=1) / 2
    single[players.slices[found.told]] = block.sum(axis=0) / 2
    return single[subject.free]


EXCLIP = ExClip()
