"""The self-checks of the exercises beyond the report: what they must refuse, and what they must accept.

The chapter on BigGAN's tricks has `test_exercises_biggan`. As there, a check runs as it stands in its notebook, after
the cells it needs, with an answer in the place of None.
"""

import functools
import math
import re

import numpy as np
import pytest
from scipy.integrate import trapezoid
from test_exercises_vae import cells, needed, quiet

IMPORTS = """
import numpy as np
from scipy.optimize import linear_sum_assignment
from ganvae_lib import load_mnist, losses, toy
from ganvae_lib.exercises import mark
from ganvae_lib.metrics.codes import matched_digits, mutual_information
from ganvae_lib.models import style_gan
from ganvae_lib.models.diffusion import PIXELS
from ganvae_lib.models.style_gan import path_length, straight
rng = np.random.default_rng(0)
"""
SQUARE = "np.mean(np.sum(x_test.astype(float) ** 2, axis=(1, 2, 3)))"  # the mean of ‖x‖²


def share_below_zero():
    """The share of the nats of fair coins at λ in [−8, 0) of [−8, 6], by quadrature over the noise.

    Given x = 1, α z / σ² = s + √s ε with s = e^λ, and E (x − tanh)² = 1 − E tanh.
    """
    e, levels = np.linspace(-9, 9, 4_001), np.linspace(-8, 6, 1_401)
    density, s = np.exp(-(e**2) / 2) / math.sqrt(2 * math.pi), np.exp(levels)[:, None]
    price = s[:, 0] * (1 - trapezoid(density * np.tanh(s + np.sqrt(s) * e), e, axis=1))
    return trapezoid(price[levels <= 0], levels[levels <= 0]) / trapezoid(price, levels)


# chapter → label of the exercise: (what its check needs, three plausible wrong answers or more, the right one in two
# notations or more). A text is an expression in the cell's own names.
CASES = {
    "28_stability": {
        "ex-stab-step": ([], [0.15, 0.3, 2.4, 0.0375], [0.6, 4 * 0.15, np.float32(0.6)]),
        "ex-stab-best": ([], [1, 4, 0.5, 0.2], [2, 2.0, np.int64(2)]),
        "ex-stab-interaction": (
            ['mean = {"r1+rate-5+batch": 1.4, "r1+rate-5": 2.92, "batch": 4.4}; base = 30.87'],
            [0.14, 2.09, 0.05, 1.52, -0.48], [0.48, 0.479, "1.4 / 2.92"],
        ),
    },
    "29_wasserstein": {
        "ex-wass-sort": ([("wass-17", "w1")], [10, 3, 2.33, 11 / 3], [3.33, 10 / 3, np.float64(3.334)]),
        "ex-wass-weak": ([], [1.1, 6, 21, 10, 0.1], [11, 11.0, 1 + 2 / 0.2]),
        "ex-wass-alpha": ([], [0.29, 28, 65.25, 16.2], [8.08, 8.1, math.sqrt(783 / 12)]),
    },
    "30_techniques": {
        "ex-tech-halves": ([], [0.5, 0.52, 15, 16 / 31], [0.48, 15 / 31, 0.484]),
        "ex-tech-logit": ([], [0.9, 0.1, 9, 1.1, -2.2], [2.2, math.log(9), 2 * math.log(3)]),
        "ex-tech-nats": ([], [0.89, 0.69, 0.25, 0.10], [0.44, math.log(2) - 0.25, 0.443]),
    },
    "31_infogan": {
        "ex-infogan-reader": ([], [2.07, 2.20, 1.53, 1.98], [1.76, 1.758, "np.log(10 * 0.9) - 0.1 * np.log(81)"]),
        "ex-infogan-pair": ([], [(2.16, 0.8), (2.3, 0.9), (1.86, 0.9), (2.16, 1), (0.9, 2.16)],
                            [(2.16, 0.9), [2.164, 0.9], "np.array([np.log(10) - 0.2 * np.log(2), 0.9])"]),
        "ex-infogan-sigma": ([("infogan-12", "c sigmas best_sigma")], [2.08, 0.88, 2.30, 0.69, -0.81],
                             [1.58, 1.577, "np.log(20) - 0.5 * np.log(2 * np.pi * np.e)"]),
    },
    "32_avb": {
        "ex-avb-quadratic": ([], [1.5, -2, -0.375, -3, 0.5], [-1.5, -3 / 2, np.float32(-1.5)]),
        "ex-avb-nwj": ([], [0.25, 0.5, 0.12, 0.38], [0.37, 0.3675, 1.25 - math.exp(-0.125)]),
        "ex-avb-sector": ([], [-1.386, 0, 0.25, 4, 0.69], [1.386, math.log(4), 2 * math.log(2)]),
    },
    "33_discogan": {
        "ex-disco-turn": ([], [9, 5, 36, 20, 1], [10, 10.0, 360 / 36]),
        "ex-disco-shuffle": ([], [1, 10, 0.08, 0.9, 0.0], [0.1, 1 / 10, np.float64(0.1)]),
        "ex-disco-weight": ([], [0.2, 39.2, 19.8, 8.9, 0.013], [6.3, 6.26, math.sqrt(39.2)]),
    },
    "35_style": {
        "ex-style-constant": ([], [3.5, 21.5, 3, 7.0, 0], [0.5, 1 / 2, np.float32(0.5)]),
        "ex-style-mixtures": ([], [(1000, 999), (1000, 720), (30, 20), (120, 110), (990, 1000), 1000],
                              [(1000, 990), [1000.0, 10**3 - 10], "np.array([1000, 990])"]),
        "ex-style-length": ([], [16, 64, 8, 31, 5.66], [32, 32.0, 2 * 16]),
    },
    "36_diffusion": {
        "ex-diff-prior": (["x_test = load_mnist().x_test[:1_000]", ("diff-05", "alpha_sigma")],
                          ["prior_kl(-8)", f"{SQUARE} / (1 + np.e**4)", f"0.5 * {SQUARE}", 0.1, 50],
                          [f"0.5 * {SQUARE} / (1 + np.e**4)", f"round(0.5 * {SQUARE} / (1 + np.e**4), 1)"]),
        "ex-diff-where": ([("diff-05", "alpha_sigma")], [0.9, 0.57, 0.53, 0.45],
                          [share_below_zero(), round(share_below_zero(), 2)]),
        "ex-diff-bits": ([], [0.89, 1.21, 700, 1010, -1.29, 0.62], [1.29, 1.288, 700 / 784 / math.log(2)]),
    },
    "37_silences": {
        "ex-sil-steps": (["from ganvae_lib.paper import DECISIONS"],
                         [(4_680, 10), (2_340, 10), (5, 2_340), (4_680, 5), 2_340], [(2_340, 5), [2_340.0, 5.0]]),
        "ex-sil-power": (["import math; from scipy import stats; f, s = 24, 0.17"],
                         [1.54, 1.42, 1.17, 0.29, 1.64], [1.33, 1.332, "np.exp(2.0639 * s * (2 / 3) ** 0.5)"]),
        "ex-sil-count": (['holds = {name: name in ("r1", "r1+rate-5", "g", "both") for name in '
                          '("plain", "beta", "weights", "g", "both", "smoothing", "two", "r1", "r1+rate-5")}'],
                         [4 / 9, 3 / 9, 3, 0.5, 5 / 8], [3 / 8, 0.375, np.float64(0.375)]),
    },
}  # fmt: skip
LABELS = [(chapter, label) for chapter, checks in CASES.items() for label in checks]
PAIRS = ("ex-infogan-pair", "ex-style-mixtures", "ex-sil-steps")


def check_of(chapter, label):
    """The cell after the exercise of that label, where an answer is asked for."""
    sources = list(cells(chapter).values())
    (at,) = (i for i, source in enumerate(sources) if f":label: {label}\n" in source)
    return sources[at + 1]


@functools.cache
def prepared(chapter, label):
    """The names that a check needs."""
    names = {"__name__": "notebook"}
    quiet(IMPORTS, names)
    for need in CASES[chapter][label][0]:
        quiet(needed(chapter, need), names)
    return names


def verdict(chapter, label, answer):
    """What the check says of an answer."""
    code, n = re.subn(r"^yours = None.*$", "yours = __answer", check_of(chapter, label), flags=re.M)
    assert n == 1, f"{label} has no place for an answer"
    names = dict(prepared(chapter, label))
    if isinstance(answer, str) and not answer.startswith("'"):
        code = code.replace("yours = __answer", f"yours = {answer}")
    return quiet(code, names | {"__answer": answer}).strip().splitlines()[-1]


@pytest.mark.parametrize(("chapter", "label"), LABELS)
def test_wrong_answers_are_refused_and_right_ones_accepted(chapter, label):
    _, wrong, right = CASES[chapter][label]
    assert len(wrong) >= 3 and len(right) >= 2
    assert [answer for answer in wrong if verdict(chapter, label, answer) == "right"] == []
    assert [answer for answer in right if verdict(chapter, label, answer) != "right"] == []
    assert verdict(chapter, label, None) == "no answer yet"


@pytest.mark.parametrize(("chapter", "label"), LABELS)
def test_what_is_no_number_is_told_so(chapter, label):
    """Not raised, and not taken for nothing."""
    for answer in ("'about 2'", [1.0], (1, 2, 3), {}, True):
        asked = "a list of 2 numbers" if label in PAIRS else "a number"
        assert verdict(chapter, label, answer).startswith(f"{asked} is asked for; got"), answer
    wrong = [math.nan, math.nan] if label in PAIRS else math.nan
    assert verdict(chapter, label, wrong).startswith("not yet")


@pytest.mark.parametrize("chapter", CASES)
def test_no_self_check_is_forgotten(chapter):
    asked = [source for source in cells(chapter).values() if re.search(r"^yours = None", source, re.M)]
    assert sorted(asked) == sorted(check_of(chapter, label) for label in CASES[chapter])


# The one exercise that asks for a function.
TABLE = "def kinder(table):\n    return "
PURITIES = {
    f"{TABLE}table.max(axis=1).sum() / table.sum()": "right",
    f"{TABLE}float(sum(max(row) for row in table) / np.sum(table))": "right",
    f"{TABLE}one_to_one(table)": "not yet",
    f"{TABLE}table.max(axis=0).sum() / table.sum()": "not yet",
    f"{TABLE}table.max(axis=1).mean() / table.sum()": "not yet",
    f"{TABLE}table.max(axis=1).sum()": "not yet",
    f"{TABLE}table.trace() / table.sum()": "not yet",
    f"{TABLE}float('nan')": "not yet",
    f"{TABLE}None": "no answer yet",
    f"{TABLE}table.max(axis=1) / table.sum()": "a number is asked for",
    f"{TABLE}'most'": "a number is asked for",
}


@pytest.mark.parametrize("function", PURITIES)
def test_of_the_kinder_purity_the_function_is_marked(function):
    code = check_of("31_infogan", "ex-infogan-many").replace("def kinder(table): ...", function)
    assert function in code
    names = {"__name__": "notebook"}
    quiet(IMPORTS, names)
    assert quiet(code, names).startswith(PURITIES[function])


def test_a_mistake_in_the_readers_own_function_is_not_hidden():
    code = check_of("31_infogan", "ex-infogan-many").replace("def kinder(table): ...", f"{TABLE}len(table, 1)")
    names = {"__name__": "notebook"}
    quiet(IMPORTS, names)
    with pytest.raises(TypeError, match="one argument"):
        quiet(code, names)
