"""How good the models of the zoo are on samples they never trained on.

``python -m chiasm.zoo.evaluate`` measures all models that ship and prints the table; with a name it goes into the
detail of one: by question type, by amount of masking, with confidence and calibration. ``--card`` writes the detail
into the model card and the numbers beside the weights (``accuracy.json``), from where ``--docs`` and
`chiasm.zoo.catalog.known_types` take them. ``--chance`` measures the level of chance alone, which takes no model, and
puts it into the cards and numbers that are there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from chiasm.core.errors import ChiasmError, InvalidInput, ModelError
from chiasm.zoo import catalog, prior_report
from chiasm.zoo.accuracy import (
    BINS,
    GRID,
    NOTHING_HIDDEN,
    PER_TYPE,
    SEEDS,
    Answers,
    Judged,
    Report,
    Row,
    Shares,
    Truths,
    commonest,
    draw,
    judge,
    masked,
    rounded,
    row,
    shares,
)
from chiasm.zoo.chime_accuracy import CHIMES, measured
from chiasm.zoo.table import CARD, DOCS, between, cell, detail, markdown, overview, write_between

CAPTIONS: Final = "captions"
"""The data set of models that compare a picture with a text instead of answering."""
QUICK: Final = 40
"""Samples of each question type and seed when all models are measured at once: some three minutes on a core."""
_MASKED: Final = ("shapes", "digits", "prior")
"""Data sets that are measured with things hidden too; the photographs of shapes and digits would add little."""
_BY_TYPE: Final = ("prior",)
"""Data sets whose types are calibrated one by one: a shortcut is certain of all, and wrong on one of them."""


def answers_of(folder: Path, device: str = "cpu") -> Answers:
    """How the model in a folder answers questions about pictures, loaded as anybody would load it.

    Args:
        folder: written by ``save_pretrained``.
        device: where the model goes.

    Raises:
        ModelError: the folder holds no model, or one of an unknown class.
    """
    from chiasm.zoo import answers

    kind = _architecture(folder)
    if kind.endswith("ForQuestionAnswering"):
        from chiasm.zoo import answers_fusion

        if kind not in answers_fusion.ANSWERS:
            raise ModelError(f"{folder} holds a {kind}, and answers are read off {', '.join(answers_fusion.ANSWERS)}.")
        return partial(answers_fusion.ANSWERS[kind], *_load_fusion(folder, kind, device))
    return partial(answers.decoder_answers, *answers.load(folder, device))


def _architecture(folder: Path) -> str:
    """Class of the model in a folder."""
    for file in ("config.json", "model.safetensors"):
        if not (folder / file).is_file():
            raise ModelError(f"{folder} holds no model: there is no {file}. Give a folder that a training wrote.")
    names = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures")
    if not names:
        raise ModelError(f"{folder / 'config.json'} names no architecture. Give a folder that a training wrote.")
    return str(names[0])


def _load_fusion(folder: Path, kind: str, device: str) -> tuple[Any, Any]:
    import transformers

    model = getattr(transformers, kind).from_pretrained(folder)
    return model.to(device).eval(), transformers.AutoProcessor.from_pretrained(folder)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def chance_of(name: str, n: int, seeds: Sequence[int]) -> Shares:
    """What is right without a model on the samples that one is measured on: `commonest`, or one of two captions.

    Args:
        name: in the catalogue; models of the same types have the same chance.
        n: samples of each type and seed.
        seeds: of the data.

    Raises:
        UnknownName: there is no such model.
        InvalidInput: ``n`` is below 1.
    """
    types = _types(name)
    truths: Truths = {}
    for data, kinds in types.items():
        for kind in kinds if data != CAPTIONS else ():
            _tell(f"{data}: {kind}, by chance")
            drawn = [draw(data, kind, n, seed) for seed in seeds]
            truths.setdefault(data, {})[kind] = [[sample.answer for sample in samples] for samples in drawn]
    return _with_captions(commonest(truths), types, seeds)


def _with_captions(chance: Shares, types: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> Shares:
    if CAPTIONS not in types:
        return chance
    from chiasm.zoo import caption_accuracy

    return chance | {CAPTIONS: caption_accuracy.by_chance(types[CAPTIONS], seeds)}


def shares_of(
    folders: Mapping[str, Path], n: int, seeds: Sequence[int], device: str = "cpu", truths: Truths | None = None
) -> dict[str, Shares]:
    """Accuracy of models by data set and question type; each model is loaded once.

    Args:
        folders: name of the catalogue → where its weights lie.
        n: samples of each type and seed.
        seeds: of the data.
        device: where the models go.
        truths: takes the right answers, as for `judge`.

    Returns:
        Name → shares, in the order of ``folders``.

    Raises:
        ModelError: a folder holds no model.
    """
    asked = {name: _types(name) for name in folders}
    answering = {
        name: (answers_of(folder, device), asked[name])
        for name, folder in folders.items()
        if not {CAPTIONS, CHIMES} & set(asked[name])
    }
    found = {name: shares(judged) for name, judged in judge(answering, n, seeds, _tell, truths).items()}
    for name, folder in folders.items():
        if CHIMES in asked[name]:
            _tell(f"{CHIMES}: {name}")
            found[name] = measured(folder, asked[name][CHIMES], n, seeds, device=device, truths=truths)
        if CAPTIONS in asked[name]:
            from chiasm.zoo import caption_accuracy

            _tell(f"{CAPTIONS}: {name}")
            loaded = caption_accuracy.load(folder, device)
            each = [caption_accuracy.caption_accuracy(loaded, n, seed) for seed in seeds]
            kinds = [kind for kind in asked[name][CAPTIONS] if all(kind in one for one in each)]
            found[name] = {CAPTIONS: {kind: [one[kind] for one in each] for kind in kinds}}
    return {name: found[name] for name in folders}


def report(name: str, folder: Path, n: int = PER_TYPE, seeds: Sequence[int] = SEEDS, device: str = "cpu") -> Report:
    """Everything that is measured of one model, which is loaded once; numbers to six places.

    Args:
        name: in the catalogue.
        folder: where its weights lie.
        n: samples of each question type and seed.
        seeds: of the data.
        device: where the model goes.

    Raises:
        ModelError: the folder holds no model.
    """
    types = _types(name)
    few = {data: _of_hidden(data, n, len(kinds)) for data, kinds in types.items() if data in (*_MASKED, CAPTIONS)}
    removal: dict[str, list[float]] = {}
    truths: Truths = {}
    _architecture(folder)
    if CAPTIONS in types:
        from chiasm.zoo import caption_accuracy

        loaded = caption_accuracy.load(folder, device)
        whole, rows = caption_accuracy.caption_rows(loaded, types[CAPTIONS], n, seeds)
        accuracy, hidden = {CAPTIONS: whole}, {CAPTIONS: rows}
    elif CHIMES in types:
        accuracy, hidden = measured(folder, types[CHIMES], n, seeds, device=device, truths=truths), {}
    else:
        answers = answers_of(folder, device)
        judged = judge({name: (answers, types)}, n, seeds, _tell, truths)[name]
        accuracy, hidden = shares(judged), _hidden_rows(answers, judged, few, seeds)
        if "prior" in types:
            removal = prior_report.removal(prior_report.answerer(answers), n, seeds)
    chance = _with_captions(commonest(truths), types, seeds)
    found = Report(name, catalog.weights_checksum(folder), n, list(seeds), accuracy, hidden, few, removal, chance)
    return Report.from_json(found.as_json())  # rounded as they are stored: tables agree


def _hidden_rows(
    answers: Answers, judged: Judged, few: Mapping[str, int], seeds: Sequence[int]
) -> dict[str, list[Row]]:
    """Data set → one row for each amount of masking; the first is of all answers to whole samples."""
    rows: dict[str, list[Row]] = {}
    for data, n in few.items():
        _tell(f"{data}: parts hidden")
        found = {NOTHING_HIDDEN: judged[data]} | masked(answers, data, list(judged[data]), n, seeds)
        rows[data] = [row(what, of, by_type=data in _BY_TYPE) for what, of in found.items()]
    return rows


def _of_hidden(data: str, n: int, types: int) -> int:
    """Samples of each type and seed behind rows with parts hidden: fewer of slow models, for eight rows take long."""
    return n if data == CAPTIONS else max(1, n // types)


def _types(name: str) -> dict[str, tuple[str, ...]]:
    return catalog.ENTRIES[catalog.recipe_of(name)].types


def text_of(found: Report) -> str:
    """A report as Markdown."""
    seeds = ", ".join(map(str, found.seeds))
    each = " pictures for each" if CAPTIONS in found.accuracy else " for each question type and"
    note = (
        f"Per cent right on held-out samples, {found.n}{each} seed of data ({seeds}): mean, and from which "
        "seed to which."
    )
    if found.chance:
        of = "one of two captions" if CAPTIONS in found.accuracy else "always the commonest answer to that type"
        note += f' "Chance": {of}.'
    table = overview({found.model: found.accuracy}, found.chance)
    pieces = [f"SHA-256 of `model.safetensors`: `{found.weights}`.", note, table]
    for data, rows in found.hidden.items():
        fewer = found.hidden_n[data] != found.n
        how = (
            "the same samples; "
            if not fewer
            else f"the same seeds, {found.hidden_n[data]}{each} seed, {found.n} where nothing is hidden; "
        ) + f"cells of a {GRID} × {GRID} grid filled with the picture's mean colour, words replaced by `<mask>`"
        pieces.append(f"**{data}, with parts hidden** ({how})\n\n{detail(rows, found.chance.get(data))}")
    if found.hidden:
        pieces.append(_legend(found))
    if found.removal:
        lines = [[way, cell(several)] for way, several in found.removal.items()]
        how = f"the same seeds, {found.n} questions each whose answer language predicts; of the right answers"
        pieces += [f"**prior, with the picture removed** ({how})", markdown(["removed by", "changed"], lines)]
        if found.model in prior_report.TWINS:
            pieces.append(prior_report.NOTE)
    return "\n\n".join(pieces)


def _legend(found: Report) -> str:
    of = "the softmax over the two captions" if CAPTIONS in found.accuracy else "the model"
    ties = " Captions that hidden words make equal are half right, and no part of the calibration."
    types = "each type by itself" if any(data in _BY_TYPE for data in found.hidden) else "all types together"
    return (
        f'Per cent throughout. "Confidence" is the mean probability that {of} gives to what it chose; "calibration '
        f'error" the expected one over {BINS} bins of equal width, {types}; "floor" the error that chance alone makes: '
        f"the mean for a perfectly calibrated model of the same confidences and number of answers, by simulation."
    ) + (ties if CAPTIONS in found.accuracy else "")


def write_card(found: Report, folder: Path) -> None:
    """Put a report into the model card, and its numbers into ``accuracy.json``.

    Raises:
        InvalidInput: the card has no place for it.
    """
    write_between(folder / "README.md", CARD, text_of(found))
    (folder / catalog.ACCURACY).write_text(found.as_json(), encoding="utf-8")


def read_report(name: str, folder: Path) -> Report:
    """The report beside a model's weights.

    Raises:
        ModelError: there is none, it is damaged, or the weights have changed since.
    """
    file = folder / catalog.ACCURACY
    found = catalog.read_accuracy(name, folder)
    try:
        return Report.from_json(json.dumps(found))
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{file} is no report of this version: {error}. {catalog.again(name)}") from error


def stored_table(root: Path = catalog.WEIGHTS) -> str:
    """What the cards of all models that ship say, as `overview`; chance by data set is that of the first model.

    Raises:
        ModelError: a model has not been measured, or its weights have changed since.
    """
    reports = [read_report(name, catalog.folder_of(name, root)) for name in catalog.loadable()]
    chance: Shares = {}
    for found in reports:
        chance = found.chance | chance
    return overview({found.model: found.accuracy for found in reports}, chance)


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
    parser.add_argument(
        "--chance", action="store_true", help="measure chance alone: of the model, or of all, into cards that are there"
    )
    parser.add_argument("--docs", type=Path, help="write the table of the numbers on all cards into this page")
    options = parser.parse_args(arguments)
    if options.n is None:
        options.n = PER_TYPE if options.model else QUICK
    if options.model is None and (options.folder or options.card):
        parser.error("--folder and --card need the name of a model")
    try:
        if options.json and not options.json.absolute().parent.is_dir():
            raise InvalidInput(f"There is no folder {options.json.parent} for --json; make it first.")
        if options.docs:
            write_between(options.docs, DOCS, stored_table())
        elif options.chance:
            _chance(options)
        elif options.model is None:
            _all(options)
        else:
            _one(options)
    except ChiasmError as error:
        parser.error(str(error))
    return 0


def _all(options: argparse.Namespace) -> None:
    folders = {name: catalog.path(name) for name in catalog.loadable()}
    truths: Truths = {}
    found = shares_of(folders, options.n, options.seeds, options.device, truths)
    types = {data: kinds for name in folders for data, kinds in _types(name).items()}
    chance = _with_captions(commonest(truths), types, options.seeds)
    sys.stdout.write(overview(found, chance) + "\n")
    if options.json:
        numbers = {"n": options.n, "seeds": list(options.seeds), "models": found, "chance": chance}
        _write_json(options.json, rounded(numbers))


def _folders(options: argparse.Namespace) -> dict[str, Path]:
    """Name → folder of what is meant: one model, the states of one run, or all."""
    if options.folder is not None:
        return {options.model: options.folder}
    names = catalog.loadable() if options.model is None else catalog.states(options.model)
    return {name: catalog.path(name) for name in names}


def _chance(options: argparse.Namespace) -> None:
    """Put the chance of the samples that models were measured on into their cards and numbers."""
    reports = {folder: read_report(name, folder) for name, folder in _folders(options).items()}
    known: dict[str, Shares] = {}
    for folder, found in reports.items():
        same = json.dumps([_types(found.model), found.n, found.seeds])
        if same not in known:
            known[same] = chance_of(found.model, found.n, found.seeds)
        write_card(Report.from_json(replace(found, chance=known[same]).as_json()), folder)
        sys.stdout.write(f"{found.model}: chance written\n")


def _one(options: argparse.Namespace) -> None:
    folders = _folders(options)
    if options.card:
        for folder in folders.values():
            between(folder / "README.md", CARD)  # before minutes of measuring
    reports = []
    for name, folder in folders.items():
        found = report(name, folder, options.n, options.seeds, options.device)
        sys.stdout.write(f"{name}\n\n{text_of(found)}\n\n")
        if options.card:
            write_card(found, folder)
        reports.append(json.loads(found.as_json()))
    if options.json:
        _write_json(options.json, reports if len(reports) > 1 else reports[0])


def _write_json(file: Path, numbers: Any) -> None:
    file.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
