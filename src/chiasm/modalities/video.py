"""The modality of video: content is ``uint8[frames, height, width, 3]``, players are stretches of frames × regions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Regions
from chiasm.modalities.base import ContentMasker, Context, Placement, TokenMasker
from chiasm.modalities.image_reading import read_image

Clip = NDArray[np.uint8]

SEGMENTERS: Final[dict[str, str]] = {
    "frames:N": "N stretches of frames (every frame without a number)",
    "grid:RxC": "R × C regions, through all frames",
    "frames:N+grid:RxC": "the regions of each stretch of frames",
}
"""Name → how a video is cut."""
MASKERS: Final[dict[str, str]] = {
    "mean": "the video's mean colour",
    "grey": "middle grey",
    "blur:R": "every frame blurred by a Gaussian with a standard deviation of R pixels (8 without a number)",
    "freeze": "the nearest frame before in which the place is present, or the first one after",
}
"""Name → what stands where a player is absent."""
_FORM: Final = re.compile(r"(?:frames(?::(\d{1,5}))?(?:\+(?=grid)|$))?(?:grid:(\d{1,3})x(\d{1,3}))?")
_GREY: Final = 128
_PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_THIRDS: Final = ("beginning", "middle", "end")


def read_clip(data: Any) -> Clip:
    """A video as its one form.

    Args:
        data: an array ``[frames, height, width]`` or ``[…, 3]``, a list of pictures of one size, a folder of pictures
            (in the order of their names), or an animated GIF, WebP or PNG; for other films take frames out first.

    Raises:
        InvalidInput: what cannot be read, with the reason.
    """
    if isinstance(data, str | Path):
        data = _of_path(Path(data).expanduser())
    if isinstance(data, np.ndarray) and data.ndim == 4 and data.dtype == np.uint8 and data.shape[-1] == 3 and data.size:
        return np.ascontiguousarray(data)
    if not isinstance(data, np.ndarray | list | tuple) or not len(data):
        raise InvalidInput(f"The video is a {type(data).__name__}; give frames [frames, height, width, 3] or pictures.")
    frames = [read_image(frame) for frame in data]
    if len({frame.shape for frame in frames}) > 1:
        raise InvalidInput(f"The frames have {len({f.shape for f in frames})} sizes; bring them to one.")
    return np.stack(frames)


def _of_path(path: Path) -> list[Any]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in _PICTURES)
        if not found:
            raise InvalidInput(f"The folder {str(path)!r} holds no pictures ({', '.join(_PICTURES)}).")
        return found
    if not path.is_file():
        raise InvalidInput(f"There is no file {str(path)!r} (looked in {Path.cwd()}); check the path.")
    from PIL import Image, ImageSequence, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            return [frame.convert("RGB") for frame in ImageSequence.Iterator(opened)]
    except (UnidentifiedImageError, OSError) as error:
        raise InvalidInput(
            f"{str(path)!r} is no animated picture that Pillow reads; take its frames out first, e.g. with ffmpeg, and "
            f"give their folder."
        ) from error


@runtime_checkable
class VideoSegmenter(Protocol):
    """An object that cuts a video."""

    def cut(self, content: Clip, context: Context) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Labels, and the owner of each pixel, ``int32[frames, height, width]``, −1 for none."""
        ...


@dataclass(frozen=True)
class Blocks:
    """Stretches of frames × regions of a grid.

    Attributes:
        stretches: how many stretches of frames; ``None``: every frame.
        rows, columns: of the grid.
    """

    stretches: int | None = 1
    rows: int = 1
    columns: int = 1

    def cut(self, content: Clip, context: Context) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """See `VideoSegmenter`.

        Raises:
            InvalidInput: more stretches than frames, or more regions than pixels.
        """
        del context
        sizes = content.shape[:3]
        counts = (sizes[0] if self.stretches is None else self.stretches, self.rows, self.columns)
        if any(count > size for count, size in zip(counts, sizes, strict=True)):
            raise InvalidInput(f"A video of {sizes} frames × pixels has no {counts} blocks; ask for fewer.")
        each = [np.arange(size) * count // size for size, count in zip(sizes, counts, strict=True)]
        when, down, across = (np.asarray(places, np.int64) for places in each)
        rows, columns = counts[1:]
        label_map = np.asarray((when[:, None, None] * rows + down[:, None]) * columns + across, np.int32)
        edges = [np.flatnonzero(when == k)[[0, -1]].tolist() for k in range(counts[0])]
        times = ["" if len(edges) == 1 else f"frame {a}" if a == b else f"frames {a}–{b}" for a, b in edges]
        places = ["" if rows * columns == 1 else f"r{r}c{c}" for r in range(1, rows + 1) for c in range(1, columns + 1)]
        labels = tuple(f"{time} {place}".strip() or "all" for time in times for place in places)
        return labels, label_map


def video_segmenter(spec: Any) -> VideoSegmenter:
    """The segmenter that a word such as ``"frames:4+grid:2x2"`` stands for; an object that is one is given back.

    Raises:
        UnknownName: no segmenter has that name.
        InvalidInput: its argument cannot be used.
    """
    if isinstance(spec, VideoSegmenter) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no way to cut a video; give one of {', '.join(SEGMENTERS)}.")
    found = _FORM.fullmatch(spec.strip())
    if found is None or not spec.strip().startswith(("frames", "grid")):
        raise UnknownName("way to cut a video", spec, SEGMENTERS)
    numbers = [None if number is None else int(number) for number in found.groups()]
    if 0 in numbers:
        raise InvalidInput(f"{spec!r} has a 0; count from 1.")
    stretches = numbers[0] if spec.strip().startswith("frames") else 1
    return Blocks(stretches, numbers[1] or 1, numbers[2] or 1)


@dataclass(frozen=True, eq=False)
class Fill:
    """A masker that puts other pixels where players are absent.

    Attributes:
        name: the masker as it was asked for.
        fill: the video and which pixels are shown (``bool[frames, height, width]``) → pixels for the others.
    """

    name: str
    fill: Callable[[Clip, NDArray[np.bool_]], Clip]

    def apply(self, content: Clip, players: PartPlayers, present: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """See `chiasm.modalities.base.ContentMasker`.

        Raises:
            InvalidInput: players, content and coalitions do not fit together.
        """
        where = players.geometry
        if not isinstance(where, Regions) or where.label_map.shape != content.shape[:3]:
            raise InvalidInput(f"The players of part {players.part!r} are not cut on a video of {content.shape[:3]}.")
        present = np.asarray(present, bool)
        if present.ndim != 2 or present.shape[1] != len(players):
            raise InvalidInput(f"present has shape {present.shape}; it must be (batch, {len(players)}).")
        shown = np.concatenate([present, np.ones((len(present), 1), bool)], axis=1)[:, where.label_map]
        return np.stack(
            [content if one.all() else np.where(one[..., None], content, self.fill(content, one)) for one in shown]
        )


def _constant(content: Clip, shown: NDArray[np.bool_], *, level: int | None) -> Clip:
    del shown
    colour = content.reshape(-1, 3).mean(axis=0).round() if level is None else np.full(3, level)
    return np.broadcast_to(colour.astype(np.uint8), content.shape)


def _blurred(content: Clip, shown: NDArray[np.bool_], *, radius: float) -> Clip:
    del shown
    from PIL import Image, ImageFilter

    blur = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in content])


def _frozen(content: Clip, shown: NDArray[np.bool_]) -> Clip:
    """For each place the last frame in which it is shown, the first such frame before any; grey where there is none."""
    count = len(content)
    last = np.maximum.accumulate(np.where(shown, np.arange(count)[:, None, None], -1), axis=0)
    first = np.where(shown.any(axis=0), shown.argmax(axis=0), -1)
    source = np.where(last >= 0, last, first)
    rows, columns = np.arange(content.shape[1])[None, :, None], np.arange(content.shape[2])[None, None]
    found = content[np.maximum(source, 0), rows, columns]
    return np.where((source >= 0)[..., None], found, np.uint8(_GREY))


def video_masker(spec: Any) -> ContentMasker:
    """The masker that a word such as ``"freeze"`` stands for; an object that is one already is given back.

    Raises:
        UnknownName: no masker has that name.
        InvalidInput: the name is right and its argument is not, or the masker is one of tokens.
    """
    if isinstance(spec, TokenMasker):
        raise InvalidInput(f"The masker {spec.name!r} hides tokens of a text; a video takes {', '.join(MASKERS)}.")
    if isinstance(spec, ContentMasker) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no masker of videos; give one of {', '.join(MASKERS)}.")
    spec = spec.strip()
    name, colon, argument = spec.partition(":")
    plain: dict[str, Callable[[Clip, NDArray[np.bool_]], Clip]] = {
        "mean": partial(_constant, level=None),
        "grey": partial(_constant, level=_GREY),
        "freeze": _frozen,
    }
    if name in plain and not colon:
        return Fill(spec, plain[name])
    if name == "blur":
        try:
            radius = float(argument) if colon else 8.0
        except ValueError:
            radius = 0.0
        if not 0 < radius < 1e4:
            raise InvalidInput(f"{spec!r}: {argument!r} is no radius in pixels.")
        return Fill(spec, partial(_blurred, radius=radius))
    if name in plain:
        raise InvalidInput(f"The masker {name!r} takes no argument; {spec!r} has one.")
    raise UnknownName("video masker", spec, MASKERS)


@dataclass(frozen=True)
class VideoModality:
    """Videos as frames × regions: mean, grey, blur, frozen frames."""

    kind: str = "video"
    default_segmenter: str = "frames:8"
    default_masker: str = "mean"

    @property
    def segmenters(self) -> dict[str, str]:
        """Name of each way to cut → what it does, in a line."""
        return dict(SEGMENTERS)

    @property
    def maskers(self) -> dict[str, str]:
        """Name of each masker → what it does, in a line."""
        return dict(MASKERS)

    def read(self, data: Any) -> Clip:
        """Frames, a folder of pictures or an animated picture → ``uint8[frames, height, width, 3]``.

        Raises:
            InvalidInput: what cannot be read, with the reason.
        """
        return read_clip(data)

    def segment(self, part: str, content: Clip, segmenter: Any, context: Context) -> PartPlayers:
        """Cut a video into players.

        Args:
            part: name of the part.
            content: ``uint8[frames, height, width, 3]``.
            segmenter: ``"frames:8"``, ``"grid:4x4"``, ``"frames:4+grid:2x2"``, or an object with ``cut``.
            context: what the model's adapter knows of the part.

        Raises:
            UnknownName: no such segmenter.
            InvalidInput: the segmenter does not fit the video.
        """
        if segmenter == self.default_segmenter and len(content) < 8:
            segmenter = "frames"
        labels, label_map = video_segmenter(segmenter).cut(content, context)
        return PartPlayers(part, self.kind, labels, Regions(label_map), content)

    def masker(self, spec: Any) -> ContentMasker:
        """The masker for a name of `maskers`, or an object that is one.

        Raises:
            UnknownName: no such masker.
            InvalidInput: its argument cannot be used.
        """
        return video_masker(spec)

    def sorts(self, players: PartPlayers, lexicon: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """In which third of the video the middle of each player lies."""
        del lexicon  # has words alone
        where = players.geometry
        if not isinstance(where, Regions):
            return list(players.labels)
        middles = [np.nonzero(where.label_map == k)[0].mean() / len(where.label_map) for k in range(len(players))]
        return [_THIRDS[min(2, int(3 * middle))] for middle in middles]

    def overlap(self, players: PartPlayers, truth: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
        """The share of each player's own pixels that the truth covers.

        Args:
            players: of a video.
            truth: boxes in time and space ``int[k, 6]`` (first frame, frame after the last, x0, y0, x1, y1), or a mask
                ``bool[frames, height, width]``.
            placement: of pictures alone.

        Returns:
            ``float64[players]`` in [0, 1].

        Raises:
            InvalidInput: truth of another form, or outside of the video.
        """
        del placement
        if not isinstance(players.geometry, Regions):
            raise InvalidInput(f"The players of part {players.part!r} are no parts of a video.")
        label_map, truth = players.geometry.label_map, np.asarray(truth)
        hit = np.zeros(label_map.shape, bool)
        if truth.dtype == np.bool_ and truth.shape == label_map.shape:
            hit = truth
        elif truth.size == 0 or (truth.ndim == 2 and truth.shape[1] == 6 and np.issubdtype(truth.dtype, np.integer)):
            for start, stop, x0, y0, x1, y1 in truth.reshape(-1, 6).tolist():
                frames, high, wide = label_map.shape
                if not (0 <= start <= stop <= frames and 0 <= y0 <= y1 <= high and 0 <= x0 <= x1 <= wide):
                    raise InvalidInput(
                        f"The truth {truth.tolist()} does not lie in a video of {frames} frames of {wide} × {high}."
                    )
                hit[start:stop, y0:y1, x0:x1] = True
        else:
            raise InvalidInput(
                f"The truth of a video is {truth.dtype}{list(truth.shape)}; give boxes int[k, 6] (first frame, frame "
                f"after the last, x0, y0, x1, y1) or a mask bool{list(label_map.shape)}."
            )
        owned = label_map >= 0
        size = np.bincount(label_map[owned], minlength=len(players))
        inside = np.bincount(label_map[owned & hit], minlength=len(players))
        return np.asarray(inside / np.maximum(size, 1), np.float64)


VIDEO: Final = VideoModality()
