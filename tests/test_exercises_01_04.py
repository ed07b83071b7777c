"""The self-checks of chapters 01 to 04: each refuses three plausible wrong answers and accepts the right one twice.

The function `check` of each self-check cell is run as it stands in the notebook, after the cells that it needs.
"""

import json
import math
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = (
    "01_data",
    "01b_scores",
    "02_divergences",
    "02b_overlap",
    "03_gan_objective",
    "03b_smallest_gan",
    "04_gan",
    "04b_gan_training",
)

# Words that a cell holds which a self-check needs first: definitions, not training.
NEEDS = {
    "ex-data-smoothing": ("def nll(x, counts)",),
    "ex-div-both": ("def kl(log_p, log_q)", "def gaussian_kl("),
    "ex-div-half": ("def uniform(theta)",),
    "ex-div-median": ("def kl(log_p, log_q)", "p_data = Mixture("),
    "ex-div-control": ("def normal(m, s)",),
    "ex-div-split": ("def kl(log_p, log_q)", "def gaussian_kl("),
    "ex-obj-doubling": ("def field(theta, phi", "def play("),
    "ex-gan-flops": ("g_counts = [",),
}
SETUP = {  # what a cell makes by training or from data, in a small form
    "ex-data-range": "x_reference = np.random.default_rng(0).uniform(-1, 1, (20, 28, 28, 1))",
    "ex-data-smoothing": (
        "mnist = load_mnist().limit(4000)\nx_fit, x_floor = mnist.x_train[:3000], mnist.x_train[3000:]\n"
    ),
}
log = math.log
# label: (right answers in two notations, three wrong ones)
ANSWERS = {
    "ex-data-range": ([4, Fraction(8, 2)], [2, 0.25, 16]),
    "ex-data-uniform": ([[784 * log(256), 1889], (4347, 1889.0)], [[784 * 8, 1889], [4347, 1888], [log(256), 256]]),
    "ex-data-smoothing": ([0.1, Fraction(1, 10)], [1e-5, 1, 0.01]),
    "ex-data-floor": ([0.1, Fraction(1, 10)], [0.05, 0.15, 2 * 10 / 200**2]),
    "ex-data-limit": ([[9.2, 2400], (Fraction(92, 10), 2400.0)], [[10.4, 2400], [9.2, 4.8], [14.0, 1800]]),
    "ex-div-both": (
        [[0.5 + 0.5 * math.exp(-2), 0.5 * math.exp(2) - 1.5], [0.57, 2.19]],
        [[2.195, 0.568], [0.568, 0.568], [0.82, 3.17]],
    ),
    "ex-div-half": ([0.75 * log(4 / 3), 0.216], [0.5 * log(2), 0.75 * log(4 / 3) / log(2), 0.5]),
    "ex-div-between": (
        [[0.4328, 0.7746], (0.3 / log(2), math.sqrt(0.6))],
        [[0.7746, 0.4328], [0.208, 0.387], [0.4328, 0.6]],
    ),
    "ex-div-median": ([-1.42, np.float64(-1.425)], [-0.20, -2.0, 1.42]),
    "ex-div-control": ([14, 14.2], [10, 28, 200]),
    "ex-div-split": ([2.8, 2.77], [2.0, 3.0, 1.4]),
    "ex-obj-guess": (
        [[log(4), log(2), -log(2)], (1.3863, 0.6931, -0.6931)],
        [[log(2), log(2), log(2)], [log(4), log(2), log(2)], [2, 1, -1]],
    ),
    "ex-obj-smoothing": ([[0.9, 0.45], (Fraction(9, 10), Fraction(9, 20))], [[0.9, 0.5], [1, 0.5], [0.9, 0.9]]),
    "ex-obj-reverse": (
        [[-0.607, 0.5], (-math.exp(-0.5), Fraction(1, 2))],
        [[-1.649, 0.5], [-0.607, -0.5], [0.607, 0.5]],
    ),
    "ex-obj-doubling": ([555, 2 * log(2) / math.log1p(0.1**2 / 4)], [278, 1109, 56]),
    "ex-obj-penalty": ([1, 1.0], [0.5, 2, 4]),
    "ex-obj-nonsaturating": ([0.45, math.sqrt(0.2)], [0.2, 0.1, 0.63]),
    "ex-gan-rounds": ([[46_800, 9_300], (46800.0, 9300.0)], [[46_875, 9_375], [46_900, 9_380], [46_800, 46_800 // 5]]),
    "ex-gan-kernel": ([31, 31.0], [61, 15, 28]),
    "ex-gan-parameters": ([839_937, 839937.0], [839_872, 12_544 * 100, 833_665]),
    "ex-gan-checkerboard": ([[4, 9], (4.0, 9.0)], [[2, 3], [6, 9], [5, 5]]),
    "ex-gan-flops": ([151, 150.9], [75, 100, 37]),
    "ex-gan-effective": ([1.755, 4 / 3**0.75], [2, 0.56, 1.5]),
}


@cache
def cells(chapter):
    book = json.loads((ROOT / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in book]


def exercises(chapters=CHAPTERS):
    """(chapter, label) of each exercise with a self-check, in order."""
    found = []
    for chapter in chapters:
        label = None
        for kind, source in cells(chapter):
            if kind == "markdown" and "{exercise}" in source:
                label = source.split("{exercise}")[-1].split(":label: ")[1].split()[0]
            elif kind == "code" and "def check(yours):" in source:
                found.append((chapter, label))
    return found


def definitions(source):
    """The definitions at the head of a cell: up to its first assertion, loop or plot."""
    kept = []
    for line in source.splitlines():
        if line.startswith(("assert", "print", "for ", "if ", "fig", "ours", "start", "best_place")):
            break
        kept.append(line)
    return "\n".join(kept)


def check_of(chapter, label, needs=NEEDS):
    """The self-check's `check`, run after the chapter's imports and the cells it needs."""
    code = [source for kind, source in cells(chapter) if kind == "code"]
    scope = {}
    exec(code[1], scope)  # the imports; code[0] is the install cell
    exec(SETUP.get(label, ""), scope)
    for words in needs.get(label, ()):
        exec(definitions(next(source for source in code if words in source)), scope)
    at = next(
        i for i, (kind, source) in enumerate(cells(chapter)) if kind == "markdown" and f":label: {label}\n" in source
    )
    exec(next(source for kind, source in cells(chapter)[at:] if kind == "code"), scope)
    return scope["check"]


def asked(chapters=CHAPTERS):
    """The labels of all exercises."""
    return {
        source.split(":label: ")[1].split()[0]
        for chapter in chapters
        for kind, text in cells(chapter)
        if kind == "markdown"
        for source in text.split("{exercise}")[1:]
    }


def marks(check, answers, capsys):
    """Fails unless a check waits for an answer, takes the right ones and refuses three wrong ones."""
    assert "no answer yet" in capsys.readouterr().out
    right, wrong = answers
    for answer in right:
        assert check(answer) == "right", answer
    assert len(wrong) == 3
    for answer in wrong:
        assert check(answer).startswith("not yet"), answer


def test_every_exercise_with_a_self_check_is_here():
    assert sorted(label for _, label in exercises()) == sorted(ANSWERS)


def test_every_exercise_but_the_named_ones_has_a_self_check():
    assert asked() - set(ANSWERS) == {"ex-data-mixture"}  # an experiment with no one answer


@pytest.mark.parametrize("chapter, label", exercises())
def test_the_right_answer_is_accepted_in_two_notations_and_three_wrong_ones_are_refused(chapter, label, capsys):
    marks(check_of(chapter, label), ANSWERS[label], capsys)
