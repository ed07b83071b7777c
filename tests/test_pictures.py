"""A folder of pictures is read as a person sees it, or refused in one line."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ganvae_lib.data import to_uint8
from ganvae_lib.errors import DataError
from ganvae_lib.metrics import load_images


def test_pictures_are_read_as_a_person_sees_them(tmp_path):
    grey = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8)
    palette = Image.fromarray(255 - grey, "P")  # entry i is the grey 255 − i
    palette.putpalette([255 - i for i in range(256) for _ in range(3)])
    pictures = {
        "a.png": Image.fromarray(grey.astype("uint16") * 257),
        "b.PNG": palette,
        "c.png": Image.fromarray(grey).convert("LA"),
        "d.png": Image.fromarray(grey).convert("RGBA"),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name, format="PNG")
    np.testing.assert_array_equal(to_uint8(load_images(tmp_path)), np.stack([grey] * 4))
    Image.fromarray(grey > 99).save(tmp_path / "e.png")  # one bit
    np.testing.assert_array_equal(to_uint8(load_images(tmp_path))[4], (grey > 99) * np.uint8(255))


def ink_in_alpha():
    x = np.zeros((28, 28, 4), "uint8")
    x[5:20, 10:14, 3] = 255
    return Image.fromarray(x)


@pytest.mark.parametrize(
    ("picture", "name", "message"),
    [
        (ink_in_alpha(), "a.png", "transparent"),
        (Image.new("RGB", (28, 28), (200, 20, 20)), "a.png", "in colours"),
        (Image.new("L", (28, 28)), "a.jpg", "only PNGs"),
        (Image.new("L", (28, 28)), "a.tif", "only PNGs"),
    ],
)
def test_pictures_that_are_something_else_are_refused(tmp_path, picture, name, message):
    Image.new("L", (28, 28), 9).save(tmp_path / "0.png")
    picture.save(tmp_path / name)
    with pytest.raises(DataError, match=message) as raised:
        load_images(tmp_path)
    assert name in str(raised.value) and "\n" not in str(raised.value)


def test_a_vast_picture_is_refused_by_its_header(tmp_path):
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match="a.png: no readable PNG"):
        load_images(tmp_path)


def test_changed_bytes_of_a_picture_are_seen(tmp_path):
    grey = np.random.default_rng(1).integers(0, 256, (28, 28), dtype=np.uint8) // 64 * 64
    path = tmp_path / "0.png"
    Image.fromarray(grey).save(path)
    data = path.read_bytes()
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 4
        path.write_bytes(changed)
        try:
            found = to_uint8(load_images(tmp_path))
        except DataError:
            continue
        np.testing.assert_array_equal(found, grey[None], err_msg=f"byte {at}")


@pytest.mark.parametrize("kind", ["JPEG", "BMP"])
def test_another_format_under_the_name_of_a_png_is_refused(kind, tmp_path):
    Image.fromarray(np.zeros((28, 28), "uint8")).save(tmp_path / "0.png", kind)
    with pytest.raises(DataError, match="no readable PNG"):
        load_images(tmp_path)
