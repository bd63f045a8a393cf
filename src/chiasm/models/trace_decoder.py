"""The insides of decoder models: pictures through their tower, texts by embeddings, both merged by the model itself.

The streams are ``language`` (all tokens of the prompt and of the answer before the last scored one) and, of each
picture, ``vision:PART`` (with ``queries:PART`` between the two in BLIP-2, of which attention maps are recorded and
hidden states are not).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import MissingCapability, ModelError
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities.base import ContentMasker, Masker, TokenMasker
from chiasm.models import compat
from chiasm.models.decoder_forward import Row
from chiasm.models.decoder_images import QwenImages, Sight
from chiasm.models.decoder_rows import State, stack
from chiasm.models.decoder_scoring import plan, read
from chiasm.models.fusion_values import row_bytes
from chiasm.models.trace import ReadOut, Slots, Tower, Trace
from chiasm.models.trace_pictures import arguments, bare, layout_of, merged, moved, resized, token_grid
from chiasm.models.trace_record import Recorder, embedded, layers_of, states_of, step_by_step
from chiasm.models.trace_texts import character_cover, hidden_rows
from chiasm.models.weights import auto_batch_size

if TYPE_CHECKING:
    from chiasm.models.base import Prepared
    from chiasm.models.decoder import DecoderAdapter

LANGUAGE, VISION, QUERIES = "language", "vision", "queries"
_TOWERS = ("vision_tower", "visual", "vision_model")
_LAST_NORMS = ("norm", "final_layer_norm", "ln_f")


class DecoderTrace(Trace):
    """See `chiasm.models.trace.Trace`.

    Raises:
        MissingCapability: a masker that the model cannot carry out.
    """

    def __init__(
        self,
        adapter: DecoderAdapter,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
    ) -> None:
        """Find out where everything stands."""
        super().__init__(prepared, players, maskers, target)
        self.adapter, self.model = adapter, adapter.model
        self.state: State = prepared.state
        self.asks = adapter._asks(self.state, target)  # noqa: SLF001 - one family
        self.passes = plan(self.asks)
        self.texts = [name for name, kind in self.state.order if kind == "text"]
        self.embedding = self.model.get_input_embeddings()
        self.language, self.vision = compat.language_part(self.model), vision_part(self.model)
        self._check_maskers()
        self._place_texts()
        self._place_pictures()
        self._place_answers()
        self.batch_size = auto_batch_size(compat.device_of(self.model), self._row_bytes(), on_cpu=8)

    def _check_maskers(self) -> None:
        for part in self.state.sights:
            if not isinstance(self.maskers[part], ContentMasker) or isinstance(self.maskers[part], TokenMasker):
                raise MissingCapability(
                    f"The masker {self.maskers[part].name!r} hides tokens and part {part!r} is a picture; use mean, "
                    f"grey, blur or another masker of pictures."
                )

    def _place_texts(self) -> None:
        for part in self.texts:
            tokens = self.state.prompt.parts[part]
            cover = character_cover(tokens.spans, self.players[part])
            self.slots[part] = Slots(LANGUAGE, tokens.positions, cover)
        nobody = self.players.split(np.zeros((1, len(self.players)), bool))
        exact = self._ids(nobody)[1]
        self.stand_ins = frozenset(part for part in self.texts if part not in exact)
        for part in sorted(self.stand_ins):
            self.notes.append(
                f"Hidden tokens of part {part!r} are stood in for by the padding token's embedding, which the model "
                f"attends to; the masker {self.maskers[part].name!r} of the game cannot be a point in that space."
            )

    def _place_pictures(self) -> None:
        image_at = np.flatnonzero(self.state.prompt.ids == self.state.prompter.image_token_id)
        start = 0
        for part, sight in self.state.sights.items():
            whole = self._pixels(part, None)
            layout = layout_of(self.adapter.pictures, sight, self.players[part], whole.shape)
            self.layouts[part] = layout
            positions = image_at[start : start + sight.tokens]
            start += sight.tokens
            cover = np.zeros((len(self.players[part]), sight.tokens))
            grid = token_grid(sight, len(layout.boxes))
            if grid is not None and self.model.config.model_type != "blip-2":
                found = layout.cover(grid)
                cover[:, sight.tokens - found.shape[1] :] = found  # a class token comes first
            else:
                self.notes.append(
                    f"The image tokens of part {part!r} lie nowhere in the picture, so none of their relevance goes to "
                    f"its players; the tower's streams do."
                )
            self.slots[part] = Slots(LANGUAGE, positions, cover)
            tower = self._tower(part, sight)
            if tower is not None:
                self.towers[part] = tower
        self.slots = {part: self.slots[part] for part, _ in self.state.order}

    def _tower(self, part: str, sight: Sight) -> Tower | None:
        """How patches become image tokens, where that is a matter of place alone."""
        layout, config = self.layouts[part], self.model.config.vision_config
        side = config.patch_size[0] if isinstance(config.patch_size, list | tuple) else config.patch_size
        patches = (layout.sides[0] // side, layout.sides[1] // side)
        tiles = len(layout.boxes)
        qwen = isinstance(self.adapter.pictures, QwenImages)
        names = [name for name, _ in self.vision.named_parameters()]
        classes = int(any(name.endswith(("class_embedding", "cls_token")) for name in names))
        stream = f"{VISION}:{part}"
        if self.model.config.model_type == "qwen2_5_vl":
            self.notes.append(f"The tower of part {part!r} orders its patches by windows; only its tokens are placed.")
            return None
        if self.model.config.model_type == "qwen3_vl":
            self.notes.append(
                f"Features of middle layers of the tower of part {part!r} enter the first layers of the language model "
                f"as well, a way that no attention map shows."
            )
        at = np.arange(patches[0] * patches[1] + classes)[classes:]
        positions = (np.arange(tiles)[:, None] * (len(at) + classes) + at).ravel()
        cover = layout.cover(patches)
        if self.model.config.model_type == "blip-2":
            return Tower(f"{QUERIES}:{part}", np.eye(sight.tokens), Slots(stream, positions, cover))
        grid = token_grid(sight, tiles)
        if grid is None:
            return None
        merge, order = merged(patches, grid, tiles, self.adapter.pictures.processor.merge_size if qwen else None)
        wide = np.zeros((sight.tokens, tiles * (len(at) + classes)))
        extra = sight.tokens - len(merge)  # a class token that is kept
        wide[extra:, positions] = merge
        wide[:extra, :extra] = np.eye(extra)
        return Tower(stream, wide, Slots(stream, positions, cover[:, order]))

    def _place_answers(self) -> None:
        last = len(self.state.prompt.ids) - 1
        for k, ask in enumerate(self.asks):
            which = next(i for i, one in enumerate(self.passes) if k in dict(one.asks))
            positions = last + np.arange(ask.start, ask.stop)
            tokens = np.array(ask.ids[ask.start : ask.stop], np.int64)
            self.read_out.append(ReadOut(self._stream(which), positions, tokens, -1 if k else 1))

    def _stream(self, which: int) -> str:
        """The name of the language stream in one of the passes; the answer's own has no ending."""
        if len(self.passes) == 1 or 0 in dict(self.passes[which].asks):
            return LANGUAGE
        return f"{LANGUAGE}:against"

    def _row_bytes(self) -> int:
        """Memory of one row with all that the backward pass needs."""
        size = self.model.dtype.itemsize
        tokens = len(self.state.prompt.ids) + max(len(one.suffix) for one in self.passes)
        total = stack_bytes(self.model.config.get_text_config(), tokens, size) * len(self.passes)
        for tower in self.towers.values():
            total += stack_bytes(self.model.config.vision_config, tower.slots.cover.shape[1], size)
        return total

    def _make(self, present: Mapping[str, NDArray[np.bool_]] | None) -> dict[str, Any]:
        """See `Trace`."""
        import torch

        found = {part: self._pixels(part, present) for part in self.state.sights}
        ids = self.state.prompt.ids if present is None else self._ids(present)[0]
        weight = self.embedding.weight
        wide = torch.float64 if self.model.dtype == torch.float64 else torch.float32
        for part in self.texts:
            own = torch.from_numpy(ids[self.slots[part].positions]).to(weight.device)
            found[part] = self.embedding(own).to(wide)
        return {part: found[part].to(wide) for part, _ in self.state.order}

    def _pixels(self, part: str, present: Mapping[str, NDArray[np.bool_]] | None) -> Any:
        content, masker = self.prepared.contents[part], self.maskers[part]
        batch = content[None]
        if present is not None and isinstance(masker, ContentMasker):
            masked = masker.apply(content, self.players[part], present[part])
            batch = stack(masked, content.shape, masker.name)
        path = self.adapter.pictures
        return bare(path, path.tensors(self.state.sights[part], batch, compat.device_of(self.model)))

    def _ids(self, present: Mapping[str, NDArray[np.bool_]]) -> tuple[NDArray[np.int64], set[str]]:
        """Ids of a coalition at the whole prompt's positions, and the parts for which they are the game's."""
        state, ids = self.state, self.state.prompt.ids.copy()
        texts = {part: self.prepared.contents[part] for part in self.texts}
        by_content = {p: m for p in self.texts if not isinstance(m := self.maskers[p], TokenMasker)}
        for part, masker in by_content.items():
            texts[part] = masker.apply(texts[part], self.players[part], present[part])[0]
        written = state.prompter(texts) if by_content else state.prompt
        exact = set()
        for part in self.texts:
            where = self.slots[part].positions
            chosen = self.maskers[part]
            if part in by_content and part not in self.stand_ins and written.ids.shape == ids.shape:
                own = np.isin(np.arange(len(ids)), np.concatenate([self.slots[p].positions for p in by_content]))
                if np.array_equal(written.ids[~own], state.prompt.ids[~own]):
                    ids[where] = written.ids[where]
                    exact.add(part)
                    continue
            fill = self.adapter.forward.pad_id
            if isinstance(chosen, TokenMasker) and chosen.mode == "mask":
                fill = require_mask(state.prompter.tokenizer.mask_token_id, chosen.name)
                exact.add(part)
            hidden = hidden_rows(state.prompt.parts[part].spans, self.players[part], present[part][0])
            ids[where[hidden]] = fill
            if not hidden.any():
                exact.add(part)
        return ids, exact

    @contextmanager
    def _listening(self, recorder: Recorder) -> Iterator[None]:
        """See `Trace`."""
        recorder.assign(self.language.modules(), LANGUAGE)
        recorder.assign(self.vision.modules(), VISION)
        between = getattr(self.model, "qformer", None)
        if between is not None:
            for name, module in between.named_modules():
                recorder.assign([module], QUERIES, VISION if "crossattention" in name else QUERIES)
        with ExitStack() as all_of_them:
            all_of_them.enter_context(step_by_step(self.model, recorder))
            for stream, module in ((LANGUAGE, self.language), (VISION, self.vision)):
                layers = layers_of(module, depth_of(module.config)) if recorder.hidden else []
                all_of_them.enter_context(states_of(stream, layers, recorder))
            yield

    def _forward(self, inputs: Mapping[str, Any], recorder: Recorder) -> Any:
        """See `Trace`."""
        import torch

        encoded = [self._encode(part, inputs[part], recorder) for part in self.state.sights]
        rows = len(next(iter(inputs.values())))
        ids, visible = self.state.prompt.ids, np.ones(len(self.state.prompt.ids), bool)
        sights = list(self.state.sights.values())
        batch = [Row(ids, visible, [features[k] for features in encoded], sights) for k in range(rows)]
        where = np.concatenate([self.slots[part].positions for part in self.texts])
        embeddings = torch.cat([inputs[part] for part in self.texts], dim=1)
        values: list[Any] = [None] * len(self.asks)
        for which, one in enumerate(self.passes):
            recorder.names = {LANGUAGE: self._stream(which)}
            shape = (rows, len(ids) + len(one.suffix))
            with embedded(self.embedding, where, embeddings, shape):
                arguments_of = self.adapter.forward.inputs(batch, one.suffix)
                logits = self.model(**arguments_of, logits_to_keep=one.keep, use_cache=False).logits
            logits = logits if logits.dtype == torch.float64 else logits.float()
            for k, column in one.asks:
                values[k] = read(logits, column, self.asks[k], self.target.scale)
        return values[0] if len(values) == 1 else values[0] - values[1]

    def _encode(self, part: str, pixels: Any, recorder: Recorder) -> list[tuple[Any, ...]]:
        recorder.names = {name: f"{name}:{part}" for name in (VISION, QUERIES)}
        sight = self.state.sights[part]
        layers = compat.encode_images(self.model, arguments(self.adapter.pictures, sight, pixels), len(pixels))
        if layers[0].shape[1] != sight.tokens:
            raise ModelError(f"The tower makes {layers[0].shape[1]} features of {part!r} for {sight.tokens} tokens.")
        return [tuple(layer[k] for layer in layers) for k in range(len(pixels))]

    def rescaled(self, scale: float) -> DecoderTrace:
        """See `Trace`."""
        before, seen = self.prepared.sample, self.prepared.contents
        parts: dict[str, Any] = {
            name: replace(part, data=resized(seen[name], scale)) if name in self.state.sights else part
            for name, part in before.parts.items()
        }
        prepared = self.adapter.prepare(Sample(**parts))
        places = [
            moved(own, prepared.contents[name]) if name in self.state.sights else own
            for name, own in self.players.parts.items()
        ]
        return DecoderTrace(self.adapter, prepared, Players(places), self.maskers, self.target)

    def head(self, hidden: Any) -> Any:
        """Logits of hidden states of the language stream, ``Tensor[…, width]`` → ``Tensor[…, vocabulary]``."""
        import torch

        with torch.inference_mode(mode=False):
            state = hidden.to(self.model.dtype)
            for module in last_modules(self.language):
                state = module(state)
            language = self.language if self.model.config.model_type == "blip-2" else self.model
            logits = language.get_output_embeddings()(state)
        return logits if logits.dtype == torch.float64 else logits.float()


def require_mask(found: int | None, masker: str) -> int:
    """The mask token's id.

    Raises:
        MissingCapability: there is none.
    """
    if found is None:
        raise MissingCapability(
            f"The masker {masker!r} needs a mask token and this model's tokenizer has none; use attention, or "
            f"neutral:WORD."
        )
    return int(found)


def vision_part(model: Any) -> Any:
    """The module of a decoder model that reads pictures (belongs in ``compat``)."""
    core = compat.core_model(model)
    return next(getattr(core, name) for name in _TOWERS if hasattr(core, name))


def last_modules(language: Any) -> list[Any]:
    """What follows the last layer of a language model before its output layer (belongs in ``compat``).

    Raises:
        MissingCapability: nothing known.
    """
    for module in language.modules():
        norms = [getattr(module, name) for name in _LAST_NORMS if getattr(module, name, None) is not None]
        if norms and hasattr(module, "layers"):
            project = getattr(module, "project_out", None)
            return [norms[0], *([project] if project is not None else [])]
    raise MissingCapability(
        f"{type(language).__name__} has no last norm that is known, so positions cannot be read through its output "
        f"layer; use a method that needs gradients or attentions."
    )


def depth_of(config: Any) -> int:
    """How many layers a stack has."""
    text = config.get_text_config()
    return first_number(text, "num_hidden_layers", "depth")


def first_number(config: Any, *names: str, otherwise: int = 1) -> int:
    """The first of these settings that a configuration has."""
    found = (getattr(config, name, None) for name in names)
    return next((int(value) for value in found if isinstance(value, int)), otherwise)


def stack_bytes(config: Any, tokens: int, size: int) -> int:
    """Memory of one row of a stack of layers with all that its backward pass needs; generous."""
    width = first_number(config, "hidden_size", "embed_dim", otherwise=1024)
    inner = first_number(config, "intermediate_size", "ffn_dim", otherwise=4 * width)
    heads = first_number(config, "num_attention_heads", "num_heads", otherwise=16)
    return depth_of(config) * row_bytes(width, inner, heads, tokens, size)
