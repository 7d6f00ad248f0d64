import io

import numpy as np
import pytest
from PIL import Image

from saliency_callbacks.sinks.disk.png import encode_png


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (12, 20), (224, 224)])
def test_every_pixel_comes_back(size):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(picture))) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_a_view_is_encoded_as_what_it_shows(picture):
    view = picture[::-2, 3:9]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(view)))), view)


def test_it_is_compressed_at_the_fastest_level():
    picture = np.full((64, 64, 3), 200, dtype=np.uint8)
    encoded = encode_png(picture)
    assert len(encoded) < picture.nbytes / 10
    # The second byte of a zlib stream tells its level: 0x01 is the fastest, 0x9c the default.
    start = encoded.index(b"IDAT") + 4
    assert encoded[start : start + 2] == b"\x78\x01"
