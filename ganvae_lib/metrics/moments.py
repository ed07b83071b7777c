"""Ink and its moments: slant and width of a digit, from pixels alone."""

import numpy as np

from .features import check_images


def slant(x) -> np.ndarray:
    """Slant in degrees of images (N, 28, 28, 1), positive to the right: arctan of the shear that uprights them. → (N,).

    tan = −μ₁₁ / μ₂₀ with the ink's central moments μ_pq (p of rows, counted downwards; q of columns). 0 where there
    is no height of ink.
    """
    return np.degrees(np.arctan(shear(ink(x))[0]))


def width(x) -> np.ndarray:
    """Width in pixels of images (N, 28, 28, 1) once made upright: √12 × the standard deviation across. → (N,).

    √12 σ is the width of an evenly inked bar.
    """
    return np.sqrt(12 * shear(ink(x))[1])


def ink(x) -> np.ndarray:
    """Images (N, 28, 28, 1) in [−1, 1] → ink (N, 28, 28) in [0, 1].

    Raises:
      CourseError: the images are of another shape, type or range, as `check_images` says.
    """
    if np.shape(x) == (0, 28, 28, 1):
        return np.zeros((0, 28, 28))
    return np.clip((check_images(x)[..., 0].astype(float) + 1) / 2, 0, 1)


def shear(ink) -> tuple[np.ndarray, np.ndarray]:
    """(tan of the slant, variance across once upright) of each image, from its central moments."""
    mass = np.maximum(ink.sum(axis=(1, 2)), 1e-12)
    at = np.arange(28.0)
    row, column = (np.einsum(f"nij,{i}->n", ink, at) / mass for i in "ij")
    down, right = at - row[:, None], at - column[:, None]
    m11 = np.einsum("nij,ni,nj->n", ink, down, right) / mass
    m20 = np.einsum("nij,ni->n", ink, down**2) / mass
    m02 = np.einsum("nij,nj->n", ink, right**2) / mass
    shear = m11 / np.maximum(m20, 1e-12)
    return -shear, np.maximum(m02 - shear * m11, 0)
