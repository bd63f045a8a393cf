"""How good the models of the zoo are on samples they never trained on.

``python -m chiasm.zoo.evaluate`` measures all models that ship and prints the table; with a name it goes into the
detail of one: by question type, by amount of masking, with confidence and calibration. ``--card`` writes the detail
into the model card and the numbers beside the weights (``accuracy.json``), from where ``--docs`` and
`chiasm.zoo.catalog.known_types` take them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from chiasm.core.errors import ChiasmError
from chiasm.zoo import catalog
from chiasm.zoo.accuracy import GRID, PER_TYPE, SEEDS, Answers, Row, Shares, amounts, masked, measure
from chiasm.zoo.table import CARD, DOCS, detail, overview, write_between

CAPTIONS: Final = "captions"
"""The data set of models that compare a picture with a text instead of answering."""
QUICK: Final = 40
"""Samples of each question type and seed when all models are measured at once: some three minutes on a core."""
_MASKED: Final = ("shapes", "digits", "prior", CAPTIONS)
"""Data sets that are measured with things hidden too; the photographs of shapes and digits would add little."""


@dataclass(frozen=True)
class Report:
    """What was measured of a model; `accuracy.json` holds it.

    Attributes:
        model: its name.
        weights: SHA-256 of the weights it was measured with.
        n: samples of each question type and seed.
        seeds: of the data.
        accuracy: data set → question type → share of right answers for each seed.
        hidden: data set → accuracy and calibration by amount of masking, on the first seed and a third of the samples.
    """

    model: str
    weights: str
    n: int
    seeds: list[int]
    accuracy: Shares
    hidden: dict[str, list[Row]]


def answers_of(folder: Path, device: str = "cpu") -> Answers:
    """How the model in a folder answers questions about pictures, loaded as anybody would load it.

    Args:
        folder: written by ``save_pretrained``.
        device: where the model goes.

    Raises:
        InvalidInput: the folder holds no model.
    """
    from chiasm.zoo import answers

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kind = str(config["architectures"][0])
    if kind.endswith("ForQuestionAnswering"):
        from chiasm.zoo import answers_fusion

        model, processor = _load_fusion(folder, kind, device)
        return partial(answers_fusion.ANSWERS[kind], model, processor)
    model, processor = answers.load(folder, device)
    return partial(answers.decoder_answers, model, processor)


def _load_fusion(folder: Path, kind: str, device: str) -> tuple[Any, Any]:
    import transformers

    model = getattr(transformers, kind).from_pretrained(folder)
    return model.to(device).eval(), transformers.AutoProcessor.from_pretrained(folder)


def _captions(
    folder: Path, kinds: Sequence[str], n: int, seed: int, hidden: tuple[float, float] = (0.0, 0.0)
) -> dict[str, float]:
    """Kind of negative → share of pairs in which the true caption wins, on n pictures."""
    from chiasm.zoo.caption_accuracy import caption_accuracy

    found = caption_accuracy(folder, n, seed, hide_image=hidden[0], hide_text=hidden[1])
    return {kind: found[kind] for kind in kinds if kind in found}


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def shares_of(folders: Mapping[str, Path], n: int, seeds: Sequence[int], device: str = "cpu") -> dict[str, Shares]:
    """Accuracy of models by data set and question type.

    Args:
        folders: name of the catalogue → where its weights lie.
        n: samples of each type and seed.
        seeds: of the data.
        device: where the models go.

    Returns:
        Name → shares, in the order of ``folders``.
    """
    asked = {name: _types(name) for name in folders}
    answering = {
        name: (answers_of(folder, device), asked[name])
        for name, folder in folders.items()
        if CAPTIONS not in asked[name]
    }
    found = measure(answering, n, seeds, _tell)
    for name, folder in folders.items():
        if CAPTIONS in asked[name]:
            _tell(f"{CAPTIONS}: {name}")
            each = [_captions(folder, asked[name][CAPTIONS], n, seed) for seed in seeds]
            found[name] = {CAPTIONS: {kind: [one[kind] for one in each] for kind in each[0]}}
    return {name: found[name] for name in folders}


def report(name: str, folder: Path, n: int = PER_TYPE, seeds: Sequence[int] = SEEDS, device: str = "cpu") -> Report:
    """Everything that is measured of one model.

    Args:
        name: in the catalogue.
        folder: where its weights lie.
        n: samples of each question type and seed.
        seeds: of the data; on the first and a third of its samples things are hidden.
        device: where the model goes.
    """
    shares: Shares = _rounded(shares_of({name: folder}, n, seeds, device)[name])  # as they are stored: tables agree
    hidden: dict[str, list[Row]] = {}
    few = _of_hidden(n)
    for data in shares:
        if data == CAPTIONS:
            kinds = _types(name)[data]
            hidden[data] = [
                Row(what, _captions(folder, kinds, few, seeds[0], (of_image, of_text)))
                for what, of_image, of_text in amounts()
            ]
        elif data in _MASKED:
            hidden[data] = masked(answers_of(folder, device), data, _types(name)[data], few, seeds[0])
    return Report(name, catalog.weights_checksum(folder), n, list(seeds), shares, hidden)


def _of_hidden(n: int) -> int:
    """Samples behind each of the nine rows with parts hidden: fewer, or they would take nine times as long."""
    return max(1, n // 3)


def _types(name: str) -> dict[str, tuple[str, ...]]:
    return catalog.ENTRIES[catalog.recipe_of(name)].types


def text_of(found: Report) -> str:
    """A report as Markdown."""
    seeds = ", ".join(map(str, found.seeds))
    each = " pictures for each model" if CAPTIONS in found.accuracy else " for each question type"
    note = (
        f"Per cent right on held-out samples, {found.n}{each} and seed of data ({seeds}): mean, and from which seed to "
        f"which."
    )
    pieces = [note, overview({found.model: found.accuracy})]
    for data, rows in found.hidden.items():
        how = (
            f"seed {found.seeds[0]}, {_of_hidden(found.n)}{each}; cells of a {GRID} × {GRID} grid filled with the "
            f"picture's mean colour, words replaced by `<mask>`"
        )
        pieces.append(f"**{data}, with parts hidden** ({how})\n\n{detail(rows)}")
    if any(row.confidence is not None for rows in found.hidden.values() for row in rows):
        pieces.append(
            'Per cent throughout. "Confidence" is the mean probability of the given answer; "calibration error" the '
            "expected one over 15 bins of equal width, all types together."
        )
    return "\n\n".join(pieces)


def write_card(found: Report, folder: Path) -> None:
    """Put a report into the model card, and its numbers into ``accuracy.json``.

    Raises:
        InvalidInput: the card has no place for it.
    """
    write_between(folder / "README.md", CARD, text_of(found))
    (folder / catalog.ACCURACY).write_text(as_json(found), encoding="utf-8")


def as_json(found: Report) -> str:
    """A report as JSON, numbers to six places."""
    return json.dumps(_rounded(asdict(found)), indent=1) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return round(float(value), 6)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def stored(root: Path = catalog.WEIGHTS) -> dict[str, Shares]:
    """What the cards of all models that ship say.

    Raises:
        ModelError: a model has not been measured, or its weights have changed since.
    """
    return {name: catalog.accuracy(name, root)["accuracy"] for name in catalog.loadable()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.evaluate", description=__doc__)
    parser.add_argument("model", nargs="?", help="a name of the catalogue; without one, the table of all that ship")
    parser.add_argument("--folder", type=Path, help="a folder of weights other than the package's own")
    how_many = f"samples of each question type and seed: {PER_TYPE} of one model, {QUICK} of all, by default"
    parser.add_argument("--n", type=int, help=how_many)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="seeds of the data")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--card", action="store_true", help="write into the model card, and accuracy.json beside it")
    parser.add_argument("--docs", type=Path, help="write the table of the numbers on all cards into this page")
    options = parser.parse_args(arguments)
    if options.n is None:
        options.n = PER_TYPE if options.model else QUICK
    if options.model is None and (options.folder or options.card):
        parser.error("--folder and --card need the name of a model")
    try:
        if options.docs:
            write_between(options.docs, DOCS, overview(stored()))
        elif options.model is None:
            _all(options)
        else:
            _one(options)
    except ChiasmError as error:
        parser.error(str(error))
    return 0


def _all(options: argparse.Namespace) -> None:
    folders = {name: catalog.path(name) for name in catalog.loadable()}
    shares = shares_of(folders, options.n, options.seeds, options.device)
    sys.stdout.write(overview(shares) + "\n")
    if options.json:
        numbers = {"n": options.n, "seeds": list(options.seeds), "models": _rounded(shares)}
        options.json.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


def _one(options: argparse.Namespace) -> None:
    names = [options.model]
    if options.folder is None and options.model in catalog.MODELS:
        names = catalog.states(options.model)
    reports = []
    for name in names:
        folder = options.folder or catalog.path(name)
        found = report(name, folder, options.n, options.seeds, options.device)
        sys.stdout.write(f"{name}\n\n{text_of(found)}\n\n")
        if options.card:
            write_card(found, folder)
        reports.append(found)
    if options.json:
        numbers = [_rounded(asdict(found)) for found in reports]
        options.json.write_text(
            json.dumps(numbers if len(numbers) > 1 else numbers[0], indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    sys.exit(main())
