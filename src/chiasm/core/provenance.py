"""Where an explanation comes from: everything needed to say what its numbers mean and to make them again."""

from __future__ import annotations

import datetime as dt
import platform
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

#: packages whose versions can change the numbers
_PACKAGES = ("chiasm", "numpy", "scipy", "torch", "transformers", "tokenizers", "pillow", "scikit-image", "shapiq")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change the numbers, as far as they are installed."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    """Looked up once: it takes milliseconds, and what is imported does not change while a program runs."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


@dataclass
class Provenance:
    """The estimand and the circumstances of an explanation.

    Attributes:
        method: name of the explainer or estimator.
        index: abbreviation of the index.
        target: the target in words.
        target_spec: the target's fields.
        model: name or path of the model.
        adapter: family of the adapter.
        fingerprint: hash of the model's weights and settings.
        segmenters: part → how it was cut into players.
        maskers: part → baseline.
        fixed: players held present or absent, as text.
        budget: distinct values that were allowed.
        requested, cached, computed: values asked for, answered from memory, computed.
        passes: what the computed ones cost, in plain forward passes of the model (`chiasm.core.game.Costs`).
        seed: seed of the estimator.
        seconds: wall time.
        notes: choices that were made for the user, in words.
        signed: whether the sign of a value tells what raises the target from what lowers it; where it does not, a
            larger value means more important and zero means nothing.
        extra: further figures that the method gives, as JSON types, e.g. ``{"r2": 0.93}`` of LIME.
        versions: see `installed_versions`.
        created: ISO time, UTC.
    """

    method: str
    index: str
    target: str = "the function's value"
    target_spec: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    adapter: str | None = None
    fingerprint: str | None = None
    segmenters: dict[str, str] = field(default_factory=dict)
    maskers: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, bool] = field(default_factory=dict)
    budget: int | None = None
    requested: int = 0
    cached: int = 0
    computed: int = 0
    passes: float = 0.0
    seed: int | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    signed: bool = True
    extra: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=installed_versions)
    created: str = field(default_factory=_now)

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Provenance:
        """The inverse of `to_dict`; fields that a newer writer added are dropped."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})
