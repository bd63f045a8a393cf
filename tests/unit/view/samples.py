"""Explanations to look at, made by hand: a drawn picture of shapes, the words of a question, and odd cases."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image, ImageDraw

from chiasm.core.explanation import Explanation, Prediction
from chiasm.core.players import PartPlayers, Players, Regions, Spans
from chiasm.core.provenance import Provenance

QUESTION = "What colour is the circle left of the square?"
HOSTILE = '<script>alert("x")</script>&"\'><img src=x onerror=alert(1)> $x_1$ {{ 7*7 }}'


def drawing(side: int = 336) -> np.ndarray:
    """Shapes on a soft background."""
    y, x = np.mgrid[0:side, 0:side] / side
    ground = np.stack([225 - 30 * y, 222 - 20 * x, 205 + 25 * y], -1).astype(np.uint8)
    picture = Image.fromarray(ground)
    pen = ImageDraw.Draw(picture)
    s = side / 336
    pen.ellipse([35 * s, 105 * s, 125 * s, 195 * s], fill=(205, 45, 45))
    pen.rectangle([185 * s, 110 * s, 265 * s, 190 * s], fill=(40, 90, 190))
    pen.polygon([(230 * s, 310 * s), (310 * s, 310 * s), (270 * s, 235 * s)], fill=(40, 150, 70))
    pen.ellipse([200 * s, 20 * s, 250 * s, 70 * s], fill=(240, 200, 60))
    return np.asarray(picture)


def grid(height: int, width: int, rows: int, columns: int) -> np.ndarray:
    """A label map of rows × columns patches."""
    row = np.arange(height) * rows // height
    column = np.arange(width) * columns // width
    return (row[:, None] * columns + column[None, :]).astype(np.int32)


def picture_part(rows: int = 4, columns: int = 4, side: int = 336, name: str = "image") -> PartPlayers:
    """The drawing, cut into a grid."""
    labels = tuple(f"patch {r + 1},{c + 1}" for r in range(rows) for c in range(columns))
    return PartPlayers(name, "image", labels, Regions(grid(side, side, rows, columns)), drawing(side))


def text_part(text: str = QUESTION, name: str = "text") -> PartPlayers:
    """A text, cut into words."""
    spans = [match.span() for match in re.finditer(r"[^\W_]+", text)]
    labels = tuple(text[a:b] for a, b in spans)
    return PartPlayers(name, "text", labels, Spans(np.array(spans, np.int64).reshape(-1, 2)), text)


def provenance(**changes: object) -> Provenance:
    """A full record."""
    fields: dict[str, object] = {
        "method": "permutation",
        "index": "SII",
        "target": "log-probability of 'red'",
        "target_spec": {"scale": "log_probability", "answer": "red", "against": None},
        "model": "zoo:llava-shapes",
        "adapter": "decoder",
        "fingerprint": "b1946ac92492d2347c6235b4d2611184",
        "segmenters": {"image": "grid:4x4", "text": "words"},
        "maskers": {"image": "blur:8", "text": "attention"},
        "budget": 1024,
        "requested": 2210,
        "cached": 1187,
        "computed": 1023,
        "seed": 0,
        "seconds": 12.4,
        "versions": {"python": "3.11.9", "chiasm": "0.1.0", "numpy": "2.4.6"},
        "created": "2026-01-05T10:20:30+00:00",
    }
    return Provenance(**{**fields, **changes})  # type: ignore[arg-type]


def shapes(**changes: object) -> Explanation:
    """A question about a drawing: patches 5 and 9 (the red circle) work with “colour”, “circle” and “left”."""
    rng = np.random.default_rng(3)
    parts = [picture_part(), text_part()]
    players = Players(parts)
    n = len(players)
    single = rng.normal(0, 0.06, n)
    single[[4, 5, 8, 6]] = [0.83, 0.41, 0.36, -0.38]
    single[[17, 20, 21]] = [0.52, 0.61, 0.18]
    pair = rng.normal(0, 0.025, (n, n))
    pair[4, 20], pair[5, 20], pair[8, 20], pair[6, 20] = 0.74, 0.33, 0.21, -0.29
    pair[4, 17], pair[8, 17] = 0.47, 0.19
    pair[4, 21], pair[6, 21], pair[6, 24] = 0.25, -0.22, -0.35
    pair = np.triu(pair, 1)
    pair += pair.T
    fields: dict[str, object] = {
        "players": players,
        "single": single,
        "single_errors": np.abs(rng.normal(0.02, 0.005, n)),
        "pair": pair,
        "pair_errors": np.abs(rng.normal(0.04, 0.01, (n, n))),
        "part_values": {(): -3.61, ("image",): -2.52, ("text",): -1.94, ("image", "text"): -0.021},
        "prediction": Prediction("red", 0.979, (("blue", 0.014), ("yellow", 0.004), ("green", 0.0008)), "red", 0.979),
        "provenance": provenance(),
    }
    return Explanation(**{**fields, **changes})  # type: ignore[arg-type]


def of_parts(parts: list[PartPlayers], *, seed: int = 0, pairs: bool = True, **changes: object) -> Explanation:
    """Random values for any parts."""
    players = Players(parts)
    n = len(players)
    rng = np.random.default_rng(seed)
    pair = rng.normal(0, 0.1, (n, n))
    pair = pair + pair.T
    np.fill_diagonal(pair, 0)
    fields: dict[str, object] = {
        "players": players,
        "single": rng.normal(0, 1, n),
        "pair": pair if pairs else None,
        "provenance": provenance(),
    }
    return Explanation(**{**fields, **changes})  # type: ignore[arg-type]


def abstract(sizes: dict[str, int], **changes: object) -> Explanation:
    """A plain game."""
    plain = Provenance("exact", "SII", versions={}, created="2026-01-05T10:20:30+00:00")
    return of_parts(list(Players.abstract(sizes).parts.values()), provenance=plain, **changes)


def _superpixels(side: int = 160, count: int = 40) -> np.ndarray:
    rng = np.random.default_rng(1)
    seeds = rng.uniform(0, side, (count, 2))
    y, x = np.mgrid[0:side, 0:side]
    distance = (y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2
    labels = distance.argmin(-1).astype(np.int32)
    labels[: side // 8] = -1
    return labels


def odd() -> dict[str, Explanation]:
    """Everything that a view must survive, by name."""
    rng = np.random.default_rng(0)
    found = {
        "one player": abstract({"a": 1}),
        "one part": abstract({"a": 6}, part_values={(): 0.0, ("a",): 2.5}),
        "two parts": abstract({"a": 10, "b": 6}, part_values={(): 0, ("a",): 1.0, ("b",): 2.0, ("a", "b"): 2.2}),
        "three parts": abstract(
            {"left": 3, "right": 4, "sound": 2},
            part_values={
                (): 0.5,
                ("left",): 1.0,
                ("right",): 0.2,
                ("sound",): 0.5,
                ("left", "right"): 2.5,
                ("left", "sound"): 1.0,
                ("right", "sound"): 0.1,
                ("left", "right", "sound"): 2.0,
            },
        ),
        "200 players": of_parts([picture_part(10, 16), text_part(" ".join(f"word{i}" for i in range(40)))]),
        "no pairs": shapes(
            pair=None, pair_errors=None, part_values={}, provenance=provenance(method="occlusion", index="occlusion")
        ),
        "no errors": shapes(single_errors=None, pair_errors=None),
        "no prediction": shapes(prediction=None),
        "no probability": shapes(prediction=Prediction("red")),
        "another answer": shapes(prediction=Prediction("red", 0.9, (), "blue", 0.02)),
        "zeros": shapes(
            single=np.zeros(25),
            pair=np.zeros((25, 25)),
            part_values={(): 0.0, ("image",): 0.0, ("text",): 0.0, ("image", "text"): 0.0},
        ),
        "long text": of_parts([picture_part(2, 2), text_part(" ".join(f"w{i}" for i in range(2000)))], pairs=False),
        "long labels": of_parts(
            [PartPlayers("a" * 90, "a", ("long" * 100, "b " * 300)), PartPlayers("b", "b", ("x" * 500,))]
        ),
        "unicode": of_parts(
            [picture_part(2, 2), text_part("ما لون الدائرة؟ 😀 e\u0301té 圆圈是什么颜色 👩‍👩‍👧 naïve")],
            prediction=Prediction("أحمر 😀", 0.5),
        ),
        "hostile": of_parts(
            [
                PartPlayers(HOSTILE, HOSTILE, (HOSTILE, "b"), Spans(np.array([[0, 20], [20, 40]])), HOSTILE),
                picture_part(2, 2),
            ],
            prediction=Prediction(HOSTILE, 0.5, ((HOSTILE, 0.2),), HOSTILE + "2", 0.1),
            provenance=provenance(
                target=HOSTILE, notes=[HOSTILE], maskers={HOSTILE: HOSTILE}, model=HOSTILE, method=HOSTILE
            ),
        ),
        "superpixels": of_parts(
            [
                PartPlayers(
                    "scene", "image", tuple(f"area {i}" for i in range(40)), Regions(_superpixels()), drawing(160)
                ),
                text_part("where is it"),
            ]
        ),
        "tiny picture": of_parts(
            [
                PartPlayers(
                    "image",
                    "image",
                    ("a", "b", "c", "d"),
                    Regions(grid(2, 2, 2, 2)),
                    rng.integers(0, 255, (2, 2, 3)).astype(np.uint8),
                ),
                text_part("a pixel"),
            ]
        ),
        "huge picture": of_parts(
            [
                PartPlayers(
                    "image",
                    "image",
                    tuple("abcdef"),
                    Regions(grid(1500, 2600, 2, 3)),
                    np.full((1500, 2600, 3), 90, np.uint8),
                )
            ]
        ),
        "no content": of_parts(
            [
                PartPlayers("image", "image", ("a", "b"), Regions(grid(30, 60, 1, 2))),
                PartPlayers("text", "text", ("x", "y"), Spans(np.array([[0, 1], [1, 2]]))),
            ]
        ),
        "two pictures": of_parts(
            [picture_part(2, 2), picture_part(3, 3, name="image2"), text_part("Which is bigger?")]
        ),
        "fixed part": of_parts(
            [picture_part(3, 3), text_part().subset([])], provenance=provenance(fixed={"text": True})
        ),
        "overlapping spans": of_parts(
            [
                PartPlayers(
                    "text",
                    "text",
                    ("ab", "b", "bc", "away"),
                    Spans(np.array([[0, 2], [1, 2], [1, 3], [90, 99]])),
                    "abcd",
                )
            ]
        ),
        "very small": abstract({"a": 3, "b": 2}, single=np.array([1e-9, -2e-9, 0, 3e-10, 1e-12])),
        "very large": abstract({"a": 2, "b": 2}, single=np.array([1e9, -2e8, 3.0, 0])),
    }
    holes = shapes()
    holes.single[3] = holes.single[18] = np.nan
    holes.pair[2, :] = holes.pair[:, 2] = np.nan  # type: ignore[index]
    found["holes"] = holes
    nothing = shapes()
    nothing.single[:] = np.nan
    nothing.pair[:] = np.nan  # type: ignore[index]
    found["nothing known"] = nothing
    return found
