"""Input×Gradient: the first-order share of each number of the input."""

from __future__ import annotations

from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.gradients import notes_of, slopes, to_players


class InputGradient(WhiteBox):
    """Sum over a player of x ⊙ ∂v/∂x (Shrikumar, Greenside, Shcherbina, Kundaje 2016, eq. 1).

    Its baseline is the zero of the input as the model takes it: the mean colour of the processor's normalisation, the
    zero vector of a token, not the game's baseline. Where v is linear without an intercept the values sum to v(N).
    """

    name = "input-gradient"
    line = "input times gradient, summed over the player"
    cost = "1 forward and 1 backward pass"
    source = "Shrikumar et al. 2016, Not just a black box (arXiv 1605.01713), eq. 1"
    indices = ("input-gradient",)

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox.find`."""
        del index, seed
        trace = subject.trace()
        inputs = trace.inputs(subject.whole)
        _, slope = slopes(trace, inputs)
        return Found(
            to_players(subject, trace, {part: tensor * slope[part][0] for part, tensor in inputs.items()}),
            notes=notes_of(trace, "against the zero of the model's own input, not the game's baseline"),
        )


INPUT_GRADIENT = InputGradient()
