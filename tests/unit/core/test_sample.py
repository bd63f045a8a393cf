"""Samples: parts by name, and the truth about them."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.sample import Part, Sample

MASKS = np.zeros((2, 3, 4), dtype=bool)
BOXES = [[0, 0, 1, 1], [1, 1, 2, 2]]


def test_masks_belong_to_the_rows_of_truth():
    sample = Sample(image="a.png", text="b", truth={"image": BOXES, "text": [[0, 1]]}, masks={"image": MASKS})
    assert sample.masks.keys() == {"image"}
    assert sample.masks["image"].dtype == bool
    assert sample.masks["image"].shape == (2, 3, 4)
    assert Sample(text="b").masks == {}


def test_masks_may_be_given_alone_as_lists_and_of_any_extent():
    assert Sample(audio="a.wav", masks={"audio": [[True, False]]}).masks["audio"].shape == (1, 2)


def test_no_place_has_no_masks():
    sample = Sample(image="a.png", truth={"image": np.zeros((0, 4))}, masks={"image": MASKS[:0]})
    assert sample.masks["image"].shape == (0, 3, 4)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"masks": {"imgae": MASKS}}, UnknownName, "Did you mean 'image'"),
        ({"masks": {"image": MASKS.astype(np.uint8)}}, InvalidInput, "uint8; give booleans"),
        ({"masks": {"image": MASKS[0, 0]}}, InvalidInput, r"shape \[4\]; give one mask for each place"),
        ({"masks": {"image": MASKS}, "truth": {"image": BOXES[:1]}}, InvalidInput, "2 masks and truth of shape"),
        ({"masks": {"image": MASKS}, "truth": {"image": 3.0}}, InvalidInput, r"3\.0; give a list with a row for each"),
        ({"truth": {"txt": [[0, 1]]}}, UnknownName, "'txt'"),
        ({"truth": {"image": [[0, 1, 2, 3], [4, 5]]}}, InvalidInput, r"truth of part 'image' is .*\[4, 5\].* length"),
        ({"truth": {"image": None}}, InvalidInput, "truth of part 'image' is None; give numbers"),
        ({"truth": {"text": ["star"]}}, InvalidInput, r"\['star'\]; give numbers"),
        (
            {"truth": [[0, 0, 1, 1]]},
            InvalidInput,
            r"truth of the sample is \[\[0.*give a table, e\.g\. truth=\{'image'",
        ),
        ({"masks": {"image": [[[True], [True, False]]]}}, InvalidInput, "masks of part 'image' .* differ in length"),
        ({"masks": MASKS}, InvalidInput, "masks of the sample .* give a table"),
        ({"tags": "counting"}, InvalidInput, r"tags of the sample is 'counting'; give a table, e\.g\. tags=\{'type'"),
    ],
)
def test_truth_that_cannot_be_is_refused(options, error, says):
    with pytest.raises(error, match=says):
        Sample(image="a.png", text="b", **options)


def test_kinds_come_from_names_or_parts():
    sample = Sample(image_left="a", image2="b", note=Part("text", "c"))
    assert [part.kind for part in sample.parts.values()] == ["image", "image", "text"]
    with pytest.raises(UnknownName, match="image_left"):
        sample["image"]


@pytest.mark.parametrize("parts", [{}, {"image": None}])
def test_a_sample_needs_parts(parts):
    with pytest.raises(InvalidInput):
        Sample(**parts)
