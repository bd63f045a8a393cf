"""What a model adapter is: it runs a model on masked samples and returns values of a target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.explanation import Prediction
from chiasm.core.players import PartPlayers, Players
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities import modalities
from chiasm.modalities.base import Context, Masker

if TYPE_CHECKING:
    from chiasm.models.trace import Trace


@dataclass(eq=False)
class Prepared:
    """A sample as one model sees it.

    Attributes:
        sample: the sample as given.
        contents: part → content in the form and at the resolution that the model works on; players and masks live
            there, so that no baseline bleeds over a player's edge when the model resizes.
        contexts: part → what the adapter tells the modality.
        state: whatever the adapter wants to keep (token ids, sizes …).
    """

    sample: Sample
    contents: dict[str, Any]
    contexts: dict[str, Context]
    state: Any = None

    def players(self, segmenters: Mapping[str, Any]) -> Players:
        """Cut every part into players; parts that are not named get their modality's default."""
        return Players([self._segment(name, segmenters.get(name)) for name in self.contents])

    def _segment(self, name: str, segmenter: Any) -> PartPlayers:
        modality = modalities.get(self.sample[name].kind)
        chosen = modality.default_segmenter if segmenter is None else segmenter
        return modality.segment(name, self.contents[name], chosen, self.contexts[name])


class Values(Protocol):
    """A value function made by an adapter."""

    #: largest batch of coalitions that fits into memory at once
    batch_size: int

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` (all parts side by side) → ``float64[batch]``."""
        ...


@dataclass(frozen=True)
class Check:
    """One line of ``chiasm doctor``.

    Attributes:
        name: what was checked.
        ok: whether it held; ``None`` where it does not apply to this model.
        detail: the measured figures, in words.
    """

    name: str
    ok: bool | None
    detail: str


def check_known(unknown: list[str]) -> Check:
    """The line of ``chiasm doctor`` on words that a tokenizer does not know."""
    if not unknown:
        return Check("known words", ok=True, detail="the tokenizer knows every word")
    shown = ", ".join(repr(text) for text in unknown[:10])
    return Check("known words", ok=None, detail=f"unknown to the tokenizer, and all alike to the model: {shown}")


@dataclass
class Adapter(ABC):
    """Base of all model adapters. An adapter owns the processor, the chat template and the image-token map.

    Attributes:
        name: as the user asked for it.
        family: ``"dual encoder"``, ``"fusion encoder"``, ``"decoder"``, ``"function"`` …
        capabilities: what methods may rely on: ``values`` always; ``answers`` (to masked samples, see `answers`);
            ``logits``, ``gradients``, ``attentions``, ``hidden_states`` (the last three through `trace`).
        kinds: the kinds of parts that it takes.
        default_maskers: kind of part → masker that suits the model best.
        default_target: the target when none is asked for.
        tracer: ``"module:Class"`` of the family's `chiasm.models.trace.Trace`; ``""`` where the insides are closed.
        own_memory: whether it remembers on its own what it was asked, so that its values need no cache beside.
    """

    tracer: ClassVar[str] = ""
    own_memory: ClassVar[bool] = False
    name: str
    family: str = field(default="", init=False)
    capabilities: frozenset[str] = field(default=frozenset({"values"}), init=False)
    kinds: tuple[str, ...] = field(default=(), init=False)
    default_maskers: dict[str, Any] = field(default_factory=dict, init=False)
    default_target: Target = field(default_factory=Target, init=False)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of everything in the model that can change a value (weights, configuration, processor)."""

    @abstractmethod
    def prepare(self, sample: Sample) -> Prepared:
        """Read the parts and bring them to the form the model works on.

        Raises:
            InvalidInput: a part is missing, is of a kind the model does not take, or cannot be read.
        """

    @abstractmethod
    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """Run the model on the whole sample; fill in the answer that the target leaves open.

        Raises:
            InvalidInput: the target does not fit the model (an answer it cannot give, a scale it does not have).
        """

    @abstractmethod
    def values(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> Values:
        """The value function of a resolved target.

        Args:
            prepared: from `prepare`.
            players: from ``prepared.players``.
            maskers: part → masker.
            target: from `resolve`.
            batch_size: largest batch, or ``None`` for one that fits the memory.

        Raises:
            MissingCapability: a masker that the model cannot carry out; the message names what would serve.
        """

    def answers(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> list[Prediction]:
        """What the model answers to each masked sample, by itself, with the probability of that answer.

        Args:
            prepared: from `prepare`.
            players: from ``prepared.players``.
            maskers: part → masker.
            coalitions: ``bool[batch, players]``, all parts side by side.

        Returns:
            One for each coalition: ``answer``, ``probability`` and ``complete``. The whole coalition's is that of
            `resolve`. The answer is ``""`` where the model has nothing to say.

        Raises:
            MissingCapability: the model writes no answers, or a masker cannot be carried out.
        """
        del prepared, players, maskers, coalitions
        raise MissingCapability(
            f"{self.name!r} ({self.family}) gives numbers and no answers of its own, so what it answers to a masked "
            f"sample cannot be told."
        )

    def trace(self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], target: Target) -> Trace:
        """The model's insides on a sample: differentiable inputs, attention maps, hidden states.

        Args:
            prepared: from `prepare`.
            players: from ``prepared.players``.
            maskers: part → masker; they make the inputs of a coalition.
            target: from `resolve`.

        Raises:
            MissingCapability: the model has no insides that can be looked into, or a masker cannot be carried out.
        """
        if not self.tracer:
            raise MissingCapability(
                f"{self.name!r} ({self.family}) gives values alone: no gradients, attentions or hidden states. Use a "
                f"method that needs values only (shapley, occlusion, lime …), or load the model from its weights."
            )
        module, _, name = self.tracer.partition(":")
        found: Trace = getattr(import_module(module), name)(self, prepared, players, maskers, target)
        return found

    def checks(self, sample: Sample) -> list[Check]:
        """Checks of this family beyond those that ``chiasm doctor`` runs on every model."""
        del sample
        return []

    def notes(self, prepared: Prepared) -> list[str]:
        """What a reader of an explanation of this sample must know, one sentence each; stands in the provenance."""
        del prepared
        return []

    def plain_value(self, prepared: Prepared, target: Target) -> float | None:
        """The target on the whole sample by the model's plain documented path (processor → forward), with none of
        the adapter's own shortcuts; ``None`` where there is no other path. The doctor compares it with v(N).
        """
        del prepared, target
        return None

    def plain_caveat(self) -> str:
        """What `plain_value` could not take from the model's own code, in words; ``""`` where it took everything."""
        return ""

    def require(self, *capabilities: str, by: str) -> None:
        """Refuse a method that needs what the model cannot give.

        Raises:
            MissingCapability: names what is missing.
        """
        missing = [c for c in capabilities if c not in self.capabilities]
        if missing:
            raise MissingCapability(
                f"{by} needs {', '.join(missing)}, which {self.name!r} ({self.family}) does not offer; "
                f"it offers {', '.join(sorted(self.capabilities))}."
            )

    def read_parts(self, sample: Sample) -> dict[str, Any]:
        """Read every part by its modality, after checking that the model takes its kind.

        Raises:
            InvalidInput: a kind that the model does not take, or a needed kind that is missing.
        """
        for name, part in sample.parts.items():
            if part.kind not in self.kinds:
                raise InvalidInput(
                    f"Part {name!r} is of kind {part.kind!r}; "
                    f"{self.name!r} ({self.family}) takes {', '.join(self.kinds)}."
                )
        for kind in self.kinds:
            if all(part.kind != kind for part in sample.parts.values()):
                raise InvalidInput(f"{self.name!r} ({self.family}) needs a part of kind {kind!r}; the sample has none.")
        return {name: modalities.get(part.kind).read(part.data) for name, part in sample.parts.items()}
