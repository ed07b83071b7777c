"""How an answer to an exercise is marked."""

import math
from fractions import Fraction

import numpy as np
import pytest

from ganvae_lib.exercises import mark


@pytest.mark.parametrize("yours", [4, 4.0, np.float32(4), np.int64(4), Fraction(8, 2)])
def test_a_number_is_right_in_every_notation(yours):
    assert mark(yours, 4) == "right"


@pytest.mark.parametrize("yours", [3.999, 4.001, -4, 0.25, math.inf, math.nan])
def test_another_number_is_not(yours):
    assert mark(yours, 4) == "not yet"


def test_the_tolerance_is_absolute_and_no_wider_than_asked_for():
    assert mark(0.693, math.log(2), within=5e-4) == "right" and mark(0.694, math.log(2), within=5e-4) == "not yet"
    assert mark(1e6, 784, within=1) == "not yet" and mark(0, 0.0, within=0) == "right"


def test_nothing_and_no_number_are_answered():
    assert mark(None, 4) == "no answer yet" and mark([None, None], [1, 2]) == "no answer yet"
    for wrong in ("4", "log 4", True, [4]):
        assert "number is asked for" in mark(wrong, 4)
    for wrong in (4, [4], "45", (1, 2, 3)):
        assert "list of 2" in mark(wrong, [4, 5])


def test_of_a_list_each_entry_is_marked():
    assert mark([1, 2], [1, 2]) == mark((1.0, 2.0), [1, 2]) == mark(np.array([1, 2]), [1, 2]) == "right"
    assert mark([2, 1], [1, 2]) == "not yet" and mark([1, None], [1, 2]) == "not yet: right, no answer yet"
