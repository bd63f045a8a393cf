"""The picture path: fitted pictures, their place in the raw one, and the tensors made of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from chiasm.core.errors import ModelError
from chiasm.models.pixels import affine, fit, patch_grid, pixels

CROP = {"height": 32, "width": 32}
PROCESSORS = {
    "clip": CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=CROP),
    "clip, crop smaller": CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size=CROP),
    "clip, crop larger": CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size={"height": 33, "width": 33}),
    "clip, no crop": CLIPImageProcessorPil(size={"height": 32, "width": 48}, do_center_crop=False),
    "no resize": CLIPImageProcessorPil(do_resize=False, crop_size=CROP),
    "padded to a square": LlavaImageProcessorPil(size={"shortest_edge": 32}, crop_size=CROP, do_pad=True),
    "siglip": SiglipImageProcessorPil(size=CROP),
    "blip": BlipImageProcessorPil(size=CROP),
    "no normalisation": SiglipImageProcessorPil(size=CROP, do_normalize=False),
    "no rescaling": SiglipImageProcessorPil(
        size=CROP, do_rescale=False, image_mean=[100, 110, 120], image_std=[50, 60, 70]
    ),
}
SHAPES = [(45, 63), (63, 45), (64, 64), (90, 35), (20, 21), (1, 1)]


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_tensors_equal_the_processors_own(name, shape):
    processor = PROCESSORS[name]
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    fitted = fit(processor, picture)
    theirs = processor(images=Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
    own = pixels(processor, np.stack([fitted.seen, fitted.seen[::-1]]))
    assert fitted.seen.dtype == np.uint8
    assert own.shape == (2, *theirs.shape)
    assert np.abs(own[0].numpy() - theirs).max() <= (1e-5 if processor.do_rescale else 1e-4)
    assert np.array_equal(own[1].numpy(), own[0].numpy()[:, ::-1])


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("shape", [(120, 200), (200, 120), (150, 150)])
def test_placement_maps_raw_coordinates_to_seen_ones(name, shape):
    """On a ramp of coordinates every seen pixel tells where it came from."""
    height, width = shape
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0] = np.arange(width)[None, :]
    ramp[..., 1] = np.arange(height)[:, None]
    ramp[..., 2] = 200
    fitted = fit(PROCESSORS[name], ramp)
    (sx, sy), (ox, oy) = fitted.placement.scale, fitted.placement.offset
    y, x = np.mgrid[: fitted.seen.shape[0], : fitted.seen.shape[1]]
    raw_x, raw_y = (x + 0.5 - ox) / sx - 0.5, (y + 0.5 - oy) / sy - 0.5
    margin = 4 / min(sx, sy)  # away from edges, where filters and padding play in
    inside = (raw_x > margin) & (raw_x < width - margin) & (raw_y > margin) & (raw_y < height - margin)
    assert inside.sum() > 50
    assert np.abs(fitted.seen[..., 0] - raw_x)[inside].max() < 1.5
    assert np.abs(fitted.seen[..., 1] - raw_y)[inside].max() < 1.5


def test_rescaling_and_normalisation_are_one_step():
    factor, shift = affine(PROCESSORS["siglip"])
    np.testing.assert_allclose(factor * 255 + shift, 1, atol=1e-6)
    np.testing.assert_allclose(shift, -1, atol=1e-6)


def test_a_processor_that_does_more_is_refused():
    class Sharpener(SiglipImageProcessorPil):
        def normalize(self, image, mean, std, **kwargs):
            return super().normalize(image**2, mean, std, **kwargs)

    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    with pytest.raises(ModelError, match="besides resizing"):
        fit(Sharpener(size=CROP), picture)


def test_patch_grids():
    seen = np.zeros((32, 48, 3), np.uint8)
    assert patch_grid(seen, 16) == (2, 3)
    assert patch_grid(seen, 14) is None


def test_the_image_processor_itself_is_not_changed():
    processor = PROCESSORS["clip"]
    fit(processor, np.zeros((40, 50, 3), np.uint8))
    assert "resize" not in vars(processor)
