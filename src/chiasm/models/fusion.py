"""Fusion encoders: models of one picture and one question in which both meet inside the encoder."""

from __future__ import annotations

from chiasm.models.fusion_blip import BlipAdapter
from chiasm.models.fusion_vilt import ViltAdapter

__all__ = ["BlipAdapter", "ViltAdapter"]
