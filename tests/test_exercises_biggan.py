"""The self-checks of the exercises on BigGAN's tricks: what they must refuse, and what they must accept.

As in `test_exercises_vae`: a check runs as it stands in its notebook, after the cells it needs, with an answer in the
place of None.
"""

import re

import numpy as np
import pytest
from test_exercises_vae import cells, needed, quiet

CHAPTER = "34_biggan"
IMPORTS = """
import numpy as np
from scipy import stats
from ganvae_lib import losses
from ganvae_lib.exercises import mark
from ganvae_lib.quiet_keras import ops
from ganvae_lib.training import value_and_gradient
"""
# label of the exercise: (what it needs, three plausible wrong answers or more, the right one in two notations or more).
CASES = {
    "ex-bgan-variance": ("variance", [1.0, 0.5, 1.41, 1.39, 0.67], [1.4, "round(half, 2)", "np.float64(half)"]),
    "ex-bgan-hinge": (None, [[6, 3], [3, 3], [4, 2], [2, 3], [3, 4], 7], [[4, 3], (4.0, 3), "np.array([4, 3])"]),
    "ex-bgan-orthogonal": ("penalty", [[0, 29_403, 66], [0, 0, 81], [0, 0, 27], [0, 0, 6], [1, 10, 3]],
                           [[0, 0, 54], (0.0, 0, 6 * 9.0), "np.array([0, 0, 54])"]),
}  # fmt: skip


def check_of(label):
    """The cell after the exercise of that label, where an answer is asked for."""
    sources = list(cells(CHAPTER).values())
    (at,) = (i for i, source in enumerate(sources) if f":label: {label}\n" in source)
    return sources[at + 1]


def namespace(function):
    """What a check needs: imports, and a function of an earlier cell."""
    names = {"__name__": "notebook"}
    quiet(IMPORTS, names)
    if function:
        (cell,) = (name for name, source in cells(CHAPTER).items() if re.search(rf"^def {function}\(", source, re.M))
        quiet(needed(CHAPTER, (cell, function)), names)
    return names


def verdict(label, answer):
    """What the check says of an answer; a text is an expression in the cell's own names."""
    code, n = re.subn(r"^yours = None.*$", f"yours = {answer if isinstance(answer, str) else '__answer'}",
                      check_of(label), flags=re.M)  # fmt: skip
    assert n == 1, f"{label} has no place for an answer"
    return quiet(code, namespace(CASES[label][0]) | {"__answer": answer}).strip().splitlines()[-1]


@pytest.mark.parametrize("label", CASES)
def test_wrong_answers_are_refused_and_right_ones_accepted(label):
    _, wrong, right = CASES[label]
    assert len(wrong) >= 3 and len(right) >= 2
    assert [answer for answer in wrong if verdict(label, answer) == "right"] == []
    assert [answer for answer in right if verdict(label, answer) != "right"] == []
    assert verdict(label, None) == "no answer yet"


def test_no_self_check_is_forgotten():
    asked = [source for source in cells(CHAPTER).values() if re.search(r"^yours = None", source, re.M)]
    assert sorted(asked) == sorted(map(check_of, CASES))


def test_the_variance_of_a_truncated_normal_by_quadrature():
    """The equation behind the first exercise, against an integral."""
    variance, t = namespace("variance")["variance"], np.linspace(-1.39, 1.39, 20_001)
    density = np.exp(-(t**2) / 2)
    assert variance(1.39) == pytest.approx(np.trapezoid(t**2 * density, t) / np.trapezoid(density, t), rel=1e-6)
