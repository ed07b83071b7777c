"""A folder of pictures as greys 0 to 255, each read as a person sees it, or refused in one line."""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np

from ..errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
NEEDED = "grey ink on black of 28×28 pixels, 8 or 16 bits, is needed"


def load_folder(path: Path) -> np.ndarray:
    """The folder's pictures in the order of their names, uint8 (N, 28, 28).

    Sixteen bits are brought to eight; a palette is read in its colours. Refused are colours that are no greys, and
    anything that is not wholly opaque: what a person sees of it depends on the page behind.

    Raises:
      DataError: no PNG, a picture in another format beside them, or a picture that is none of the above.
    """
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    other = [file for file in files if file.suffix.lower() != ".png"]
    if not files:
        raise DataError(f"{path}: no .png files in this folder")
    if other:
        raise DataError(
            f"{other[0]}: only PNGs are read; convert or move the {len(other)} other pictures of the folder"
        )
    return np.stack([_grey(file) for file in files])


def _grey(file: Path) -> np.ndarray:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is refused below
            data = file.read_bytes()
            with Image.open(BytesIO(data), formats=["PNG"]) as image:
                image.verify()  # the checksums, which are not compared when it is read
            with Image.open(BytesIO(data), formats=["PNG"]) as image:
                if image.size != (28, 28):
                    raise DataError(f"{file}: {image.size[0]}×{image.size[1]} pixels, where 28×28 is needed")
                if getattr(image, "n_frames", 1) > 1:
                    raise DataError(f"{file}: {image.n_frames} frames, where one picture is needed")
                if image.mode.startswith("I"):  # 16 bits: Pillow's convert("L") would clip them
                    deep = np.asarray(image).astype("int64")
                    if "transparency" in image.info or deep.min() < 0 or deep.max() > 65535:
                        raise DataError(f"{file}: {NEEDED}")
                    return np.rint(deep / 257).astype("uint8")
                rgba = np.asarray(image.convert("RGBA")).astype("int64")
    except (
        Image.UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError,
        OverflowError, MemoryError,
    ) as error:  # fmt: skip
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: no readable PNG ({error})") from None
    if rgba[..., 3].min() < 255:
        raise DataError(f"{file}: it is transparent in places, where {NEEDED}: flatten it on black")
    if np.ptp(rgba[..., :3], axis=-1).max() > 2:
        raise DataError(f"{file}: it is in colours, where {NEEDED}")
    return rgba[..., 0].astype("uint8")
