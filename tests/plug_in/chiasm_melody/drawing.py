"""Notes on five lines, each tinted by its player's value."""

from markupsafe import Markup


def draw(part, marks):
    lines = Markup("").join(
        Markup('<path d="M0 {0}H{1}" stroke="gray"/>').format(y, 40 * len(part.content)) for y in range(30, 80, 10)
    )
    notes = Markup("").join(
        Markup(
            '<ellipse cx="{}" cy="{}" rx="13" ry="9" stroke="gray" class="{}" data-part="{}" data-index="{}" '
            'data-value="{}" fill="rgb{}" fill-opacity="{}"><title>{}</title></ellipse>'
        ).format(
            40 * k + 20,
            150 - 2 * pitch,
            "" if mark.known else "unknown",
            mark.part,
            mark.index,
            mark.value,
            mark.fill,
            mark.opacity,
            mark.hint,
        )
        for k, (pitch, owner) in enumerate(zip(part.content.tolist(), part.geometry.label_map.tolist(), strict=True))
        if owner >= 0
        for mark in [marks[owner]]
    )
    return Markup('<svg viewBox="0 0 {} 120" width="100%" style="max-height:220px">{}{}</svg>').format(
        40 * len(part.content), lines, notes
    )
