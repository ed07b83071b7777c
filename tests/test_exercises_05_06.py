"""The self-checks of chapters 05 and 06, by the tests of chapters 01 to 04."""

import math
from fractions import Fraction

import pytest
import test_exercises_01_04 as pattern

CHAPTERS = ("05_gan_failures", "05b_gan_failures_ring", "06_gan_failures_digits")
NEEDS = {"ex-gfail-replay": ("def h_both(",)}
# label: (right answers in two notations, three wrong ones)
ANSWERS = {
    "ex-gfail-age": ([[1, 9], (Fraction(1), 9.0)], [[2, 10], [0.5, 0.9], [9, 1]]),
    "ex-gring-floor": (
        [[2.2, 0.33], (math.log(9), 0.325)],
        [[0.9, 0.33], [2.2, 0.0], [2.2, 0.11]],
    ),
    "ex-gfail-overlap": ([5.15, 2 * 2.5758], [2.58, 4.65, 5.2]),
    "ex-gfail-replay": ([7, 7.0], [8, 1, 6]),
    "ex-gfail-one": (
        [[2.303, 0.526, 0.091], (math.log(10), 0.5256, Fraction(1, 11))],
        [
            [math.log(10), math.log(2), 0.1],
            [math.log(10), 0.526, 0.1],
            [math.inf, 0.526, 1 / 11],
        ],
    ),
    "ex-gfail-batch": ([1 - 8**-4, 0.99976], [1 - 1 / 8, 8**-4, 1 - 8**-3]),
    "ex-gdig-total": (
        [[0.787, 0.932], (0.3 * 0.99 + 0.7 * 0.7, 0.932)],
        [[0.845, 0.845], [0.932, 0.787], [0.79, 0.9]],
    ),
}


def test_every_exercise_with_a_self_check_is_here():
    assert sorted(label for _, label in pattern.exercises(CHAPTERS)) == sorted(ANSWERS)


def test_every_exercise_but_the_named_ones_has_a_self_check():
    # experiments with no one answer
    assert pattern.asked(CHAPTERS) - set(ANSWERS) == {"ex-gdig-provoke", "ex-gring-replay"}


@pytest.mark.parametrize("chapter, label", pattern.exercises(CHAPTERS))
def test_the_right_answer_is_accepted_in_two_notations_and_three_wrong_ones_are_refused(chapter, label, capsys):
    pattern.marks(pattern.check_of(chapter, label, NEEDS), ANSWERS[label], capsys)
