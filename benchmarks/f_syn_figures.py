"""Figures of the F_syn study, from its results alone. Colours: Okabe & Ito's, which colour-blind readers tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from f_syn_games import PRIOR
from f_syn_tables import (
    LOCAL,
    LOWER,
    NAMES,
    ORACLE,
    REVERSED,
    Rows,
    at_random,
    auroc,
    collapse_of,
    control,
    correlation,
    explained,
    interval,
    text_alone,
)
from scipy.stats import kendalltau

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
SHORT: Final = {"f_syn": "F_syn, published", "f_syn_signed": "F_syn, signed", "f_syn_mid": "F_syn-mid",
                "srg": "SRG", "f_syn_exact": "exact reference"}  # fmt: skip
PLAIN: Final = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 150}


def correlations(found: dict[str, Rows]) -> Any:
    """Within an item, pooled, and what random explanations reach."""
    rows = found["decoders"]
    names = ("f_syn_mid", "f_syn_signed", "f_syn")
    figure, axes = plt.subplots(figsize=(7.2, 3.1), layout="constrained")
    for place, name in enumerate(names):
        pooled, inside, (low, high) = correlation(explained(rows, name), explained(rows, "f_syn_exact"))
        chance, _, _ = correlation(at_random(rows, name), at_random(rows, "f_syn_exact"))
        axes.plot([low, high], [place, place], color=BLUE, lw=3, solid_capstyle="round")
        axes.plot(inside, place, "o", color=BLUE, ms=9, label="12 explainers, within an item" if not place else None)
        axes.plot(pooled, place + 0.17, "s", color=ORANGE, ms=7, label="12 explainers, pooled" if not place else None)
        axes.plot(chance, place - 0.17, "x", color=GREY, ms=8, mew=2,
                  label="random explanations, pooled" if not place else None)  # fmt: skip
    axes.axvline(0.92, color=GREY, lw=1, ls=":")
    axes.annotate("published: 0.92", (0.92, 2.45), xytext=(3, 0), textcoords="offset points", color=GREY, fontsize=9)
    axes.set_yticks(range(len(names)), [SHORT[name] for name in names])
    axes.set_ylim(-0.6, 2.7)
    axes.set_xlim(0.9, 1.003)
    axes.set_xlabel("Spearman correlation with the exact score")
    axes.legend(loc="upper center", bbox_to_anchor=(0.42, 1.24), ncols=3, frameon=False, fontsize=8.5,
                handletextpad=0.3, columnspacing=1.2)  # fmt: skip
    return figure


def controls(found: dict[str, Rows]) -> Any:
    """Scores of oracle, random and reversed oracle of each item."""
    rows = found["decoders"]
    names = ("f_syn", "f_syn_signed", "f_syn_mid", "srg")
    figure, panels = plt.subplots(1, len(names), figsize=(9, 3.2), sharey=True, layout="constrained")
    rng = np.random.default_rng(0)
    for panel, name in zip(panels, names, strict=True):
        best, worst, chance = control(rows, name, ORACLE), control(rows, name, REVERSED), at_random(rows, name)
        for place, (values, colour) in enumerate(((best, BLUE), (chance.mean(axis=1), GREY), (worst, ORANGE))):
            panel.plot(place + rng.uniform(-0.22, 0.22, len(values)), values, ".", color=colour, ms=4, alpha=0.6)
            panel.plot([place - 0.32, place + 0.32], [values.mean()] * 2, color="black", lw=2)
        panel.axhline(0, color=GREY, lw=0.7)
        panel.set_title(f"{SHORT[name]}\noracle over reversed: {auroc(best, worst).mean():.2f}", fontsize=9.5)
        panel.set_xticks(range(3), ["oracle", "random", "reversed\noracle"])
    panels[0].set_ylabel("score (a dot: one item; bar: mean)")
    return figure


def collapse(found: dict[str, Rows]) -> Any:
    """τ between the rankings by image and by text, and how much the text alone gives."""
    figure, panels = plt.subplots(2, 1, figsize=(7.6, 4.6), sharex=True, layout="constrained")
    places = np.arange(len(PRIOR))
    ones = [collapse_of(found, model) for model in PRIOR]
    tau = np.array([[one.tau, one.low, one.high] for one in ones])
    panels[0].vlines(places, tau[:, 1], tau[:, 2], color=BLUE, lw=3)
    panels[0].plot(places, tau[:, 0], "o", color=BLUE, ms=8)
    panels[0].axhline(0, color=GREY, lw=0.7)
    for place in np.flatnonzero(np.isnan(tau[:, 0])):
        panels[0].annotate("none: image SRG\nis 0 throughout", (place - 0.55, 0.08), fontsize=8.5)
    panels[0].set_ylim(-0.25, 1.05)
    panels[0].set_xlim(-0.7, len(PRIOR) - 0.5)
    panels[0].set_ylabel("τ: rankings by image\nand by text SRG")
    for part, colour, mark in (("image", ORANGE, "s"), ("text", GREEN, "^")):
        srg = [float(explained([r for r in found["prior"] if r["model"] == m], f"srg {part}").mean()) for m in PRIOR]
        panels[1].plot(places, srg, mark, color=colour, ms=7, label=f"mean SRG, {part}")
    panels[1].plot(places, [text_alone(found, m) for m in PRIOR], "_", color="black", ms=16, mew=2.5,
                   label="probability left without the picture")  # fmt: skip
    panels[1].set_ylabel("share, or mean SRG")
    panels[1].set_ylim(-0.08, 1.35)
    panels[1].legend(frameon=False, fontsize=8.5, loc="upper center", ncols=3, columnspacing=1)
    labels = [model.removeprefix("prior-").replace("growth-", "step ") for model in PRIOR]
    panels[1].set_xticks(places, labels, rotation=30, ha="right")
    panels[1].set_xlabel("model: from language alone (left), through a training run, to the picture alone (right)")
    return figure


def rankings(found: dict[str, Rows]) -> Any:
    """How far each metric ranks the explainers as the planted truth does."""
    rows = found["decoders"]
    planted, lines = explained(rows, "truth"), []
    for name in NAMES:
        if name in (*LOCAL, "f_syn_mid half", "f_syn_mid 4", "f_syn_mid 8"):
            continue
        values = (-1 if name in LOWER else 1) * explained(rows, name)

        def agreed(take: Any, values: Any = values) -> float:
            return float(kendalltau(values[take].mean(axis=0), planted[take].mean(axis=0)).statistic)

        lines.append((agreed(np.arange(len(planted))), *interval(agreed, len(planted)), NAMES[name]))
    lines.sort()
    figure, axes = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    for place, (tau, low, high, _) in enumerate(lines):
        axes.plot([low, high], [place, place], color=BLUE, lw=3, solid_capstyle="round")
        axes.plot(tau, place, "o", color=BLUE, ms=7)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.axvline(1, color=GREY, lw=0.8, ls=":")
    axes.set_yticks(range(len(lines)), [name for *_, name in lines])
    axes.set_xlim(-0.05, 1.02)
    axes.set_xlabel("Kendall's τ with the ranking of 12 explainers by planted truth")
    return figure


FIGURES: Final = {"correlations": correlations, "controls": controls, "collapse": collapse, "rankings": rankings}


def draw(found: dict[str, Rows], folder: Path) -> None:
    """Write every figure as ``f_syn-NAME.png``."""
    with mpl.rc_context(PLAIN):
        for name, figure in FIGURES.items():
            drawn = figure(found)
            drawn.savefig(folder / f"f_syn-{name}.png", metadata={"Software": None})
            plt.close(drawn)
