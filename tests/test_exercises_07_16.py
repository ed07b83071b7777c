"""The self-checks of the exercises in chapters 07 to 16: what they must refuse, and what they must accept.

A check runs as it stands in its notebook, after the cells it needs, with an answer in the place of None.
"""

import ast
import contextlib
import functools
import io
import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
# cell → (what it needs, three plausible wrong answers or more, the right one in two notations or more). A need is a
# cell, or a cell and the names that are taken of it, or a line of code that stands for what takes too long.
FOUND = """
live = {(10, 0): {"error": 0.116}, (50, 0): {"error": 0.08}}
pca_error = {d: 0.3 * 0.94**d for d in range(1, 101)}
"""
SCORED = """
draw = np.random.default_rng(0)
y_test = np.repeat(np.arange(10), 40)
amount = draw.uniform(50, 150, 400)
scores = {d: {"VAE: reconstruction": amount + draw.normal(0, 30, 400) + 20 * (y_test == d),
              "VAE: squared error": amount * draw.uniform(0.5, 1.5, 400) + 40 * (y_test == d)} for d in (1, 2)}
"""
WIDTHS = """
draw = np.random.default_rng(0)
widths = {"real test digits": draw.normal(1.8, 0.1, 500), "VAE of the report": draw.normal(2.1, 0.1, 500)}
"""
ERROR = """(lambda s: auroc(s[np.flatnonzero(y_test != 1)[1::2]], s[y_test == 1]))"""
OVER_INK = f"""{ERROR}(scores[1]["VAE: squared error"] / amount)"""
CASES = {
    "07_elbo": {
        "elbo-29": (["elbo-02"], [4.0, 0.69, 2.5], [2, 4 / 2, np.float64(2)]),
        "elbo-34": (["elbo-02", ("elbo-29", "self_check")], [0.86, 0.5, 1.0, 1.2],
                    [0.93, math.sqrt(1 - math.exp(-2)), -0.93]),
        "elbo-44": (["elbo-02", ("elbo-29", "self_check")], [8.1e5, 8.1e6, 9_000], [8.1e7, 81_000_000]),
    },
    "07b_bound_draws": {
        "elbo-39": (["draws-02", ("elbo-19", "log_likelihood")], [0, 1, -2], [-1, -1.0, -2 / 2]),
        "draws-07": (["draws-02", ("elbo-39", "self_check")], [0.45, 0.93, 1.0, 0.25], [0.5, 1 / 2]),
        "elbo-49": (
            ["draws-02", ("elbo-39", "self_check"), ("draws-04", "W b s P S best_encoder x_toy log_p m candidates"),
             ("elbo-22", "moment wide")],
            [0.48, 0.62, 0.31, 0.0], [0.24, 0.242],
        ),
    },
    "08_em_and_pca": {
        "em-09": (["em-02"], [(0.67, 4, 2), (0.67, 1.33, 3.33), (1, 3, 1), 0.67],
                  [(0.67, 3.33, 1.33), [2 / 3, 10 / 3, 4 / 3]]),
        "em-14": (["em-02", ("em-09", "self_check top")], [0.118, 0.0, 0.294], [0.059, 0.5 * math.log(9 / 8)]),
        "em-19": (["em-02", ("em-09", "self_check top"), ("em-14", "turned_gap")], [(4, 2), (3, 3), (1, 1), (2, 4)],
                  [(4, 4), [2.0, 2.0]]),
    },
    "09_vae": {
        "vae-54": (["vae-02"], [6176, 6144, 770], [6160, 6160.0, 8 * (2 * 257 + 256)]),
        "vae-59": (["vae-02", ("vae-54", "self_check")], [784, 3136, 31.36, 0.1, 1e6],
                   [313.6, 4 * 784 / 10, np.float32(313.6)]),
    },
    "09b_vae_training": {
        "vae-64": (["vae-81"], [0.05, 0.2, 10], [0.1, 1 / 10]),
        "vae-86": (["vae-81", ("vae-64", "self_check")], [0.01, 0.0025, 0.02, 0.16], [0.04, 4 / 100]),
    },
    "10_vae_failures": {
        "vfail-43": (["vfail-02", "vfail-03", ("vfail-16", "t_mean t_test blind")], [207.0, -543.4, -0.264, -46.0],
                     ["-round(blind)", "-blind"]),
        "vfail-49": (["vfail-02", "vfail-03", ("vfail-43", "self_check")], [20.5, 82, 10.2],
                     ["2 * eigenvalues[0]", "round(2 * eigenvalues[0])"]),
        "vfail-73": (["vfail-02", ("vfail-43", "self_check")], [(75, 128), (92, 120), (128, 92), 92],
                     [(92, 128), [92.0, 128.0]]),
    },
    "10b_blur_holes": {
        "vfail-54": (["vfail-78"], [6.9, 10.0, 17.0], [13.1, 20 - math.log(1000)]),
        "vfail-59": (["vfail-78", ("vfail-54", "self_check"), ("vfail-23", "greys")], [-0.4, 0.0, -0.38], [-1, -1.0]),
    },
    "11_metrics": {
        "metrics-66": (["metrics-02", "metrics-04"], [(2, 1), (4, 2), (1, 1), 4], [(4, 1), [4.0, 1.0]]),
        "metrics-71": (["metrics-02", ("metrics-26", "certain"), ("metrics-66", "self_check")], [10, 5.5, 1.79],
                       [6, 6.0]),
        "metrics-76": (["metrics-02", ("metrics-17", "bias_constant"), ("metrics-66", "self_check")],
                       [(2_208, 2_102_272), (640, 20_480), (21_022_720, 22_080), 22_080],
                       [(22_080, 21_022_720), [2.208e4, 2.1022720e7]]),
    },
    "12_coverage": {
        "cover-66": (["cover-02"], [(1, 0.97), (0.875, 1), (3, 0.875), (1, 0.75)], [(1, 0.875), [1.0, 7 / 8]]),
    },
    "14_design": {
        "design-76": (["design-02", FOUND], [(10, 50), (22, 16), (15, 21)], [(16, 22), [16, 22.0]]),
        "design-87": (["design-02", ("design-76", "self_check")], [1, 3, 10], [2, 2.0]),
    },
    "14b_cost": {
        "design-66": (["cost-02", ("design-07b", "counts count parameters")],
                      [(6272, 770), (768, 6272), (770, 12_544)], [(770, 6272), [770.0, 6272.0]]),
        "design-71": (["cost-02", ("design-07b", "counts count parameters operations"),
                       ("design-13", "step_operations"), ("design-66", "self_check")], [0.35, 0.8, 0.55],
                      [0.45, 0.4498]),
        "design-82": (["cost-02", ("design-66", "self_check")], [15, 8, 32], [16, 16.0]),
    },
    "15_latent": {
        "lat-44": (["lat-02"], [0.5, 1.0, 1.41], [0.71, 1 / math.sqrt(2), 0.7]),
    },
    "15b_directions": {
        "lat-50": (["dir-02"], [0.6, 0.64, 1.0], [0.8, 4 / 5]),
    },
    "16_gan_or_vae": {
        "decide-63": (["decide-02"], [3, 6, 1.8], [5, 5.0, 3 * 2 / 1.2]),
        "decide-79": (["decide-02", ("decide-63", "self_check"), WIDTHS], [0.5, 0.02, 0.9], [0.98, 0.98125]),
    },
    "16b_anomalies": {
        "decide-67": (["anom-02"], [0.1, 0.5, -0.1], [0.9, 9 / 10]),
        "decide-71": (["anom-02", ("decide-67", "self_check")], [0.8, 0.95, 0.01], [0.139, 0.008 / 0.0575]),
        "decide-75": (["anom-02", ("decide-44", "auroc"), ("decide-67", "self_check")], [0.047, 0.001, 0.09],
                      [0.03, 0.031]),
        "decide-83": (["anom-02", ("decide-44", "auroc"), ("decide-67", "self_check"), SCORED],
                      [f"1 - {OVER_INK}", f"{ERROR}(scores[1]['VAE: squared error'])",
                       f"{ERROR}(scores[1]['VAE: reconstruction'])"], [OVER_INK, f"round({OVER_INK}, 2)"]),
    },
}  # fmt: skip


@functools.cache
def cells(chapter):
    return {cell.id: cell.source for cell in nbformat.read(CHAPTERS / f"{chapter}.ipynb", as_version=4).cells}


def assigned(statement):
    """The names that a statement defines."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def needed(chapter, need):
    """The code of one need."""
    if isinstance(need, str):
        return cells(chapter).get(need, need)
    cell, names = need
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Assign)
    kept = [
        s for s in ast.parse(cells(chapter)[cell]).body if isinstance(s, kinds) and assigned(s) & set(names.split())
    ]
    assert set(names.split()) <= set().union(*map(assigned, kept)), f"{cell} does not define {names}"
    return "\n".join(map(ast.unparse, kept))


def quiet(code, namespace):
    """Run code; → what it printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "cell", "exec"), namespace)
    return said.getvalue()


@functools.cache
def prepared(chapter, cell):
    """The names that the check of a cell needs."""
    namespace = {"__name__": "notebook"}
    for need in CASES[chapter][cell][0]:
        quiet(needed(chapter, need), namespace)
    return namespace


def verdict(chapter, cell, answer):
    """Whether the check of a cell calls the answer right. A text is an expression in the cell's own names."""
    code, n = re.subn(r"^(yours|answer) = None.*$", r"\1 = __answer", cells(chapter)[cell], flags=re.M)
    assert n == 1, f"{cell} has no place for an answer"
    namespace = dict(prepared(chapter, cell))
    if isinstance(answer, str):
        at = code.index("yours = ")
        code = code[:at] + f"yours = {answer}\n" + code[code.index("\n", at) + 1 :]
    said = quiet(code, namespace | {"__answer": answer}).strip().splitlines()[-1]
    assert said.endswith("right"), said
    return not said.endswith("not right")


EXERCISES = [(chapter, cell) for chapter, checks in CASES.items() for cell in checks]


@pytest.mark.parametrize(("chapter", "cell"), EXERCISES)
def test_wrong_answers_are_refused_and_right_ones_accepted(chapter, cell):
    _, wrong, right = CASES[chapter][cell]
    assert len(wrong) >= 3 and len(right) >= 2
    assert [answer for answer in wrong if verdict(chapter, cell, answer)] == []
    assert [answer for answer in right if not verdict(chapter, cell, answer)] == []


@pytest.mark.parametrize("chapter", CASES)
def test_no_self_check_is_forgotten(chapter):
    asked = {cell for cell, code in cells(chapter).items() if re.search(r"^(yours|answer) = None", code, re.M)}
    assert asked == set(CASES[chapter])
