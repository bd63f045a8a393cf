"""Maskers of texts: what is left of a text when a player is absent."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Spans
from chiasm.modalities.base import ContentMasker, Masker, TokenMasker
from chiasm.modalities.text_clusters import is_closing, is_opening, letters_meet, needs_space

KNOWN: Final[dict[str, str]] = {
    "attention": "the tokens become padding that nothing attends to, positions stay; models with a known tokenizer "
    "prefer it to the default",
    "pad": "the same as attention",
    "mask": "the tokens become the tokenizer's mask token, if it has one",
    "delete": "the words are taken out and the gap is closed (the modality's default)",
    "neutral": "'something' stands in the place of each",
    "neutral:WORD": "WORD stands in the place of each",
    "empty": "the characters are taken out, the white space around them stays",
}
"""Name → what is left of an absent player."""

NEUTRAL: Final = "something"
"""Word of ``"neutral"`` without another."""

_GAP, _ALWAYS = -2, -1


def text_masker(spec: Any) -> Masker:
    """The masker that a word such as ``"neutral:thing"`` stands for; an object that is one already is given back.

    Raises:
        UnknownName: no masker has that name.
        InvalidInput: the name is right and its argument is not.
    """
    if isinstance(spec, TokenMasker) or (isinstance(spec, ContentMasker) and not isinstance(spec, type)):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no masker of texts; give one of {', '.join(KNOWN)}.")
    name, colon, argument = spec.strip().partition(":")
    name = name.lower()
    if name == "neutral":
        word = " ".join(argument.split()) if colon else NEUTRAL
        if not word:
            raise InvalidInput(f"{spec!r} names no word; write e.g. 'neutral:thing', or 'delete' for no word at all.")
        return Neutral(spec.strip(), word)
    if colon and name in KNOWN:
        raise InvalidInput(f"The masker {name!r} takes no argument; {spec!r} has one. Write {name!r}.")
    if name in {"attention", "pad"}:
        return TokenMasker(name, "attention")
    if name == "mask":
        return TokenMasker(name, "mask")
    if name == "delete":
        return Delete()
    if name == "empty":
        return Empty()
    raise UnknownName("text masker", spec, KNOWN)


@dataclass(frozen=True)
class _Atom:
    """A stretch of the text that stays or goes as one.

    Attributes:
        text: its characters.
        owner: the player, ``_ALWAYS`` for characters of no player, ``_GAP`` for white space of no player.
    """

    text: str
    owner: int


def _stretches(text: str, first: int, last: int) -> list[_Atom]:
    """Atoms of a part of the text that no player owns."""
    cuts = [first, *(i for i in range(first + 1, last) if text[i].isspace() != text[i - 1].isspace()), last]
    return [_Atom(text[a:b], _GAP if text[a].isspace() else _ALWAYS) for a, b in pairwise(cuts) if a < b]


def _atoms(text: str, players: PartPlayers) -> list[_Atom]:
    """The text cut into atoms, in order; together they are the text."""
    if not isinstance(players.geometry, Spans):
        raise InvalidInput(
            f"The players of part {players.part!r} are no stretches of a text, so they cannot be masked."
        )
    atoms: list[_Atom] = []
    end = 0
    bounds = players.geometry.bounds
    for player in np.argsort(bounds[:, 0], kind="stable").tolist() if len(bounds) else []:
        start, stop = (int(v) for v in bounds[player])
        if start < end or stop > len(text):
            raise InvalidInput(
                f"Player {players.labels[player]!r} stands at {(start, stop)}: outside the text or another."
            )
        atoms += [*_stretches(text, end, start), _Atom(text[start:stop], player)]
        end = stop
    return [*atoms, *_stretches(text, end, len(text))]


def _rows(players: PartPlayers, present: NDArray[np.bool_]) -> list[list[bool]]:
    present = np.asarray(present, bool)
    if present.ndim != 2 or present.shape[1] != len(players):
        raise InvalidInput(f"present has shape {present.shape}; it must be (batch, {len(players)}).")
    rows: list[list[bool]] = present.tolist()
    return rows


@dataclass(frozen=True)
class Delete:
    """Absent players are cut out and the gap is closed.

    Of the white space around a hole one stretch stays (the first, or the one with most line breaks), and none where
    the hole touches a bracket that opens or a mark that closes: ``"is it red?"`` becomes ``"is it?"``. At the ends of
    the text none is left over; a text that nothing is left of is ``""``. Where two stretches would fuse into a new word
    (``"un" + "able"``) one space is put between them, except next to Han and kana. White space away from holes stays
    as it is.
    """

    name: Literal["delete"] = "delete"

    def apply(self, content: str, players: PartPlayers, present: NDArray[np.bool_]) -> list[str]:
        """The text for each coalition.

        Args:
            content: the text.
            players: players with `Spans` on it.
            present: ``bool[batch, players]``.

        Returns:
            A list of ``batch`` texts.

        Raises:
            InvalidInput: players, text and coalitions do not fit together.
        """
        atoms = _atoms(content, players)
        return [content if all(row) else _without(atoms, row) for row in _rows(players, present)]


def _without(atoms: list[_Atom], present: list[bool]) -> str:
    kept: list[str] = []
    between: list[str | None] = []  # since the last kept atom: white space, and None for each player cut out
    leading = atoms[0].text if atoms[0].owner == _GAP else ""
    for atom in atoms:
        if atom.owner == _GAP:
            between.append(atom.text)
        elif atom.owner != _ALWAYS and not present[atom.owner]:
            between.append(None)
        else:
            kept += [_joint(kept[-1], between, atom.text) if kept else leading, atom.text]
            between = []
    if kept and atoms[-1].owner == _GAP:
        kept.append(atoms[-1].text)
    return "".join(kept)


def _joint(left: str, between: list[str | None], right: str) -> str:
    """What stands between two kept stretches."""
    gaps = [gap for gap in between if gap is not None]
    if len(gaps) == len(between):
        return "".join(gaps)
    if not gaps:
        return " " if needs_space(left, right) else ""
    # "(red car)" without red is "(car)", "is it red?" is "is it?": the bracket and the mark touched the hole.
    if (between[0] is None and is_opening(left[-1])) or (between[-1] is None and is_closing(right[0])):
        return ""
    return max(gaps, key=lambda gap: gap.count("\n"))


@dataclass(frozen=True)
class Neutral:
    """Each absent player is replaced by a word that says nothing; a space keeps it off letters that it would touch.

    Attributes:
        name: the masker as it was asked for.
        word: the word.
    """

    name: str = "neutral"
    word: str = NEUTRAL

    def apply(self, content: str, players: PartPlayers, present: NDArray[np.bool_]) -> list[str]:
        """The text for each coalition; shapes and errors as in `Delete.apply`."""
        atoms = _atoms(content, players)
        return [content if all(row) else self._replace(atoms, row) for row in _rows(players, present)]

    def _replace(self, atoms: list[_Atom], present: list[bool]) -> str:
        out: list[str] = []
        touched = False  # whether the last piece is a replacement
        for atom in atoms:
            absent = atom.owner >= 0 and not present[atom.owner]
            piece = self.word if absent else atom.text
            if out and (absent or touched) and letters_meet(out[-1], piece):
                out.append(" ")
            out.append(piece)
            touched = absent
        return "".join(out)


@dataclass(frozen=True)
class Empty:
    """The characters of absent players are removed and everything else stays, the spaces around them too."""

    name: Literal["empty"] = "empty"

    def apply(self, content: str, players: PartPlayers, present: NDArray[np.bool_]) -> list[str]:
        """The text for each coalition; shapes and errors as in `Delete.apply`."""
        atoms = _atoms(content, players)
        return [
            "".join(atom.text for atom in atoms if atom.owner < 0 or row[atom.owner]) for row in _rows(players, present)
        ]
