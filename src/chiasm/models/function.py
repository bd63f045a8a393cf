"""Any Python callable as a model, and the memory of what a part becomes under each mask. No torch here."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, distinct, keys
from chiasm.core.errors import InvalidInput, MissingCapability, ModelError, UnknownName
from chiasm.core.explanation import Prediction
from chiasm.core.game import Costs
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities import modalities
from chiasm.modalities.base import ContentMasker, Context, Masker, TokenMasker
from chiasm.models.base import Adapter, Prepared

#: what one part may keep in memory under its masks
_MEMORY = 256 * 2**20
#: what the masked samples of one call of a function may take together
_CALL_MEMORY = 256 * 2**20
#: most samples in one call of a function
_LARGEST_CALL = 128


def _bytes_of(item: Any) -> int:
    if isinstance(item, Mapping):
        return 64 + sum(_bytes_of(value) for value in item.values())
    size = getattr(item, "nbytes", None)
    return int(size) if size is not None else 64 + 4 * len(item) if isinstance(item, str) else 1024


class PerMask:
    """What one part becomes under each mask, computed once a mask and remembered up to a limit.

    A coalition hides some players of every part, and a batch of coalitions repeats the masks of one part many times
    over; the costly work on a part (blurring a picture, running a tower) is done for distinct masks alone.

    Args:
        compute: masks ``bool[distinct, players of the part]`` → one item a mask.
        limit: bytes to remember; the masks used longest ago go first. A single call may hold more.

    Attributes:
        computed: number of masks that ``compute`` was called for.
    """

    def __init__(self, compute: Callable[[Coalitions], Sequence[Any] | NDArray[Any]], limit: int = _MEMORY) -> None:
        """Start with nothing remembered."""
        self._compute = compute
        self._limit = limit
        self._items: OrderedDict[bytes, Any] = OrderedDict()
        self._bytes = 0
        self.computed = 0

    def __call__(self, present: Coalitions) -> list[Any]:
        """One item for each row of ``present`` (``bool[batch, players of the part]``); equal rows share theirs."""
        first, inverse = distinct(present)
        names = keys(present[first])
        found: list[Any] = [None] * len(names)
        missing: list[int] = []
        for place, name in enumerate(names):
            if name in self._items:
                self._items.move_to_end(name)
                found[place] = self._items[name]
            else:
                missing.append(place)
        if missing:
            items = self._compute(present[first[missing]])
            if len(items) != len(missing):
                raise ModelError(
                    f"A masker gave {len(items)} results for {len(missing)} masks; it must give one a mask."
                )
            self.computed += len(missing)
            for place, item in zip(missing, items, strict=True):
                found[place] = item
                self._remember(names[place], item)
        return [found[place] for place in inverse]

    def _remember(self, name: bytes, item: Any) -> None:
        self._items[name] = item
        self._bytes += _bytes_of(item)
        while self._bytes > self._limit:
            _, old = self._items.popitem(last=False)
            self._bytes -= _bytes_of(old)


def content_masks(prepared: Prepared, players: Players, part: str, masker: Masker) -> PerMask:
    """The content of a part under each mask, by a masker that works on contents.

    Raises:
        MissingCapability: the masker works on a model's tokens; the message names what would serve.
    """
    if isinstance(masker, TokenMasker) or not isinstance(masker, ContentMasker):
        raise MissingCapability(
            f"Masker {getattr(masker, 'name', masker)!r} works on a model's own tokens, which a plain function does "
            f"not have (part {part!r}). Use a masker that changes the content, such as 'delete', 'neutral' or 'empty'."
        )
    content, own = prepared.contents[part], players[part]
    return PerMask(lambda present: masker.apply(content, own, present))


def _remembered(prepared: Prepared, players: Players, part: str, masker: Masker) -> PerMask:
    """The same, made once for a sample: a part that hides in one way is masked once for all draws of the others."""
    if prepared.state is None:
        prepared.state = {}
    # by identity, and with the things themselves, so that no identity is given away anew
    _, _, found = prepared.state.setdefault(
        (part, id(masker), id(players)), (masker, players, content_masks(prepared, players, part, masker))
    )
    memory: PerMask = found
    return memory


class FunctionModel(Adapter):
    """Any Python callable as a model.

    The function is given samples with some of their players hidden and returns one number a sample; that number is
    the only target (scale ``"value"``). What the function raises comes out untouched.

    Args:
        f: with ``batch=True`` (default) ``f(samples)``: a list of dictionaries part → content, pictures as
            ``uint8[h, w, 3]``, text as ``str``, rows of a table as dictionaries, to one finite number a sample (list,
            array or tensor); with ``batch=False`` ``f(**parts)``, one sample, to one number. Contents are copies: ``f``
            may write on them.
        kinds: the kinds of parts that it takes, each needed at least once; ``None`` for any.
        name: for tables and files; by default the function's own.
        batch: see ``f``.
        default_maskers: kind of part → masker, by name or as an object (such as a `Background` of rows); kinds left out
            get their modality's own default.
        fingerprint: a text that changes whenever the function's values may. By default a hash of the function's
            source, or of its qualified name where there is no source. That is weak: it does not see closures,
            global variables or weights, so give one if results are kept and compared.

    Raises:
        InvalidInput: ``f`` cannot be called.
        UnknownName: a kind that no modality has.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        kinds: Sequence[str] | None = None,
        *,
        name: str | None = None,
        batch: bool = True,
        default_maskers: Mapping[str, Any] | None = None,
        fingerprint: str | None = None,
    ) -> None:
        """Keep the function; it is not called yet."""
        if not callable(f):
            raise InvalidInput(f"FunctionModel needs something to call; got {f!r} of type {type(f).__name__}.")
        super().__init__(name=name or str(getattr(f, "__name__", type(f).__name__)))
        for kind in (*(kinds or ()), *(default_maskers or ())):
            if kind not in modalities:
                raise UnknownName("modality", kind, modalities)
        self.family = "function"
        self.kinds = tuple(kinds or ())
        self.default_maskers = dict(default_maskers or {})
        self.default_target = Target(scale="value")
        self._f = f
        self._any_kind = kinds is None
        self._batch = batch
        self._fingerprint = fingerprint if fingerprint is not None else _source_hash(f)

    @property
    def fingerprint(self) -> str:
        """The fingerprint given, or a weak one: a hash of the function's source or qualified name."""
        return self._fingerprint

    def prepare(self, sample: Sample) -> Prepared:
        """Read the parts at their own size.

        Raises:
            InvalidInput: a part is missing, is of a kind the function does not take, or cannot be read.
            UnknownName: a kind that no modality has.
        """
        if self._any_kind:
            contents = {name: modalities.get(part.kind).read(part.data) for name, part in sample.parts.items()}
        else:
            contents = self.read_parts(sample)
        return Prepared(sample, contents, {name: Context() for name in contents})

    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """Call the function on the whole sample; the number is the answer.

        Raises:
            InvalidInput: the target asks for anything but the function's value.
        """
        if target.scale != "value":
            raise InvalidInput(
                f"{self.name!r} is a plain function and has no {target.scale}; its only target scale is 'value'. "
                f"Return the {target.scale} from the function itself if that is what you want to explain."
            )
        for field in ("answer", "against", "token", "candidates"):
            if getattr(target, field) not in (None, ()):
                raise InvalidInput(
                    f"{self.name!r} is a plain function: it gives a number, no answers, so the target's {field} "
                    f"({getattr(target, field)!r}) has no meaning; leave it out."
                )
        return target, Prediction(answer=f"{self._plain(prepared):.6g}")

    def values(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> FunctionValues:
        """The function as a value function; each part is masked once for each distinct mask of it.

        Raises:
            MissingCapability: a masker that works on tokens.
            InvalidInput: a batch size below 1.
        """
        del target
        if batch_size is None:
            one = sum(_bytes_of(content) for content in prepared.contents.values())
            batch_size = max(1, min(_LARGEST_CALL, _CALL_MEMORY // max(one, 1)))
        elif batch_size < 1:
            raise InvalidInput(f"The batch size is {batch_size}; it must be at least 1.")
        masks = {part: _remembered(prepared, players, part, maskers[part]) for part in prepared.contents}
        return FunctionValues(self, players, masks, batch_size)

    def masked_inputs(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> dict[str, Any]:
        """What the function is given of each part, part → one content a coalition (for ``chiasm doctor``)."""
        masks = {part: content_masks(prepared, players, part, maskers[part]) for part in prepared.contents}
        present = players.split(coalitions)
        return {part: memory(present[part]) for part, memory in masks.items()}

    def plain_value(self, prepared: Prepared, target: Target) -> float:
        """The function on the contents as they were read, no masker involved."""
        del target
        return self._plain(prepared)

    def _plain(self, prepared: Prepared) -> float:
        return float(self.call([prepared.contents])[0])

    def call(self, samples: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """Call the function and check what it returns.

        Args:
            samples: part → content, for each sample.

        Returns:
            ``float64[samples]``.

        Raises:
            ModelError: not one finite number a sample.
        """
        own = [{part: _copy(content) for part, content in sample.items()} for sample in samples]
        if self._batch:
            result = _numbers(self._f(own), self.name)
            if result.shape != (len(own),):
                raise ModelError(
                    f"{self.name!r} was given {len(own)} samples and returned shape {result.shape}; it must return "
                    f"one number a sample, shape ({len(own)},). Use batch=False for a function of one sample."
                )
        else:
            single = [_numbers(self._f(**sample), self.name) for sample in own]
            for number in single:
                if number.shape != ():
                    raise ModelError(
                        f"{self.name!r} returned shape {number.shape} for one sample; it must return one number."
                    )
            result = np.array([float(number) for number in single], np.float64)
        if not np.isfinite(result).all():
            row = int(np.flatnonzero(~np.isfinite(result))[0])
            raise ModelError(
                f"{self.name!r} returned {result[row]} for sample {row} of {len(result)}; every value must be a finite "
                f"number (a logarithm of 0 or a division by 0 on a hidden part is the usual cause)."
            )
        return result


class FunctionValues:
    """A function as a value function of coalitions.

    Attributes:
        batch_size: samples in one call of the function.
        costs: one call of the function for each coalition; masking is taken to cost nothing.
    """

    costs = Costs()

    def __init__(self, model: FunctionModel, players: Players, masks: dict[str, PerMask], batch_size: int) -> None:
        """Keep what a call needs."""
        self.batch_size = batch_size
        self._model = model
        self._players = players
        self._masks = masks

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` → ``float64[batch]``."""
        values = np.empty(len(coalitions), np.float64)
        for start in range(0, len(coalitions), self.batch_size):
            batch = coalitions[start : start + self.batch_size]
            present = self._players.split(batch)
            contents = {part: memory(present[part]) for part, memory in self._masks.items()}
            samples = [{part: contents[part][row] for part in contents} for row in range(len(batch))]
            values[start : start + len(batch)] = self._model.call(samples)
        return values


def _copy(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _copy(value) for key, value in content.items()}
    return content.copy() if isinstance(content, np.ndarray | list) else content


def _numbers(result: Any, name: str) -> NDArray[np.float64]:
    """What a function returned → float64, of whatever shape."""
    if hasattr(result, "detach"):  # a torch tensor: it may carry gradients, sit on a GPU or be bfloat16
        result = result.detach().cpu().double()
    try:
        array = np.asarray(result)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; lists of tensors that carry gradients
        raise ModelError(f"{name!r} returned something that is no array of numbers: {error}.") from error
    if array.dtype.kind not in "bifu":
        shown = type(result).__name__ if array.dtype == object else f"values of type {array.dtype}"
        hint = " (is a return statement missing?)" if result is None else ""
        raise ModelError(f"{name!r} returned {shown}{hint}; it must return numbers.")
    return array.astype(np.float64)


def _source_hash(f: Callable[..., Any]) -> str:
    while isinstance(f, functools.partial):
        f = f.func
    thing: Any = f if hasattr(f, "__qualname__") else type(f)
    text = f"{getattr(thing, '__module__', '')}.{thing.__qualname__}"
    with contextlib.suppress(OSError, TypeError):  # built in, compiled, or typed at a prompt: no source
        text += "\n" + inspect.getsource(thing)
    return "function:" + hashlib.sha256(text.encode()).hexdigest()[:16]
