"""Numbers from outside, checked once: whoever computes with them need not ask again."""

import math
from typing import Any

import numpy as np

from .errors import CourseError


def real_numbers(x: Any, what: str, largest: float = math.inf, error: type[CourseError] = CourseError) -> np.ndarray:
    """`x` as a float64 array of any shape; below a finite `largest`, none of its numbers is NaN or greater in size.

    Raises:
      error: `x` is no array of real numbers (text, complex numbers, lists of unequal lengths), has masked entries, or
        is beyond `largest`.
    """
    if np.ma.is_masked(x):
        raise error(f"{what} has masked entries: leave them out")
    try:
        x = np.asarray(x)
        if x.dtype.kind not in "fiub":
            raise ValueError
        x = x.astype(np.float64, copy=False)
    except (ValueError, TypeError):
        raise error(f"{what} must be an array of real numbers") from None
    if largest < math.inf and not (np.abs(x) <= largest).all():
        raise error(f"{what} must be finite and at most {largest:g} in size")
    return x
