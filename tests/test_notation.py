"""The table of symbols with several meanings, in book/notation.md, against the equations of the chapters."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
NOTEBOOKS = {re.sub(r"^\d+[a-z]?_", "", path.stem): path for path in sorted((ROOT / "chapters").glob("*.ipynb"))}
# Chapters are named by their address without the number. These use a letter for two things, and the table says so.
TWICE = {("K", "metrics"), ("w", "bound_draws"), ("m", "design")}
# A letter by itself: not in a word, not a command, not blackboard bold, not a differential.
FORMS = {
    "R": r"(?<![A-Za-z\\])(?<!mathbb\{)R(?![A-Za-z])",
    "w": r"(?<![A-Za-z\\])w(?![A-Za-z])",
    "σ of a number": r"\\sigma\s*(?:\\!)?\s*(?:\(|\\left\(|\\big\(|'|\^\{-1\})",
    "σ": r"\\sigma(?!\s*(?:\\!)?\s*(?:\(|\\left\(|\\big\(|'|\^\{-1\}))",
    "d": r"(?<![A-Za-z\\])(?<!\\frac\{)(?<!\\,)(?<!\\, )d(?![A-Za-z_])(?!\}\{d)(?!\s*\\(?:theta|phi|delta|varepsilon))",
} | {letter: rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])" for letter in "KDBm"}
# A W with an index is a distance (W_1); a T in an exponent is a transposition.
FORMS |= {"λ": r"\\lambda", "T": r"(?<![A-Za-z\\^])T(?![A-Za-z])", "W": r"(?<![A-Za-z\\])W(?![A-Za-z_])"}


def declared():
    """form → [(meaning, chapters)] of the table."""
    table = PAGE.split("## Letters with more than one meaning")[1].split("\n## ")[0]
    found = {}
    for row in re.findall(r"^\|(.+)\|$", table, flags=re.M)[2:]:
        form, meaning, where = (cell.strip() for cell in row.split("|"))
        form = (
            form.replace("$", "")
            .replace("\\sigma(\\cdot)", "σ of a number")
            .replace("\\sigma", "σ")
            .replace("\\lambda", "λ")
        )
        found.setdefault(form, []).append((meaning, tuple(re.findall(r"[a-z_]+", where))))
    return found


def mathematics(name):
    """All mathematics of a chapter's Markdown, words in it left out."""
    cells = json.loads(NOTEBOOKS[name].read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"(?<!`)`(?!`)[^`\n]*`(?!`)", "", text)
    pieces = re.findall(r"```\{math\}(.+?)```", text, flags=re.S)
    text = re.sub(r"```\{math\}.+?```", "", text, flags=re.S)
    pieces += re.findall(r"\$\$(.+?)\$\$", text, flags=re.S)
    pieces += re.findall(r"(?<!\$)\$([^$]+)\$(?!\$)", re.sub(r"\$\$.+?\$\$", "", text, flags=re.S))
    joined = " ; ".join(pieces)
    joined = re.sub(r":label: \S+", "", joined)
    return re.sub(r"\\(?:operatorname|mathrm|text|mathbf|texttt)\{[^}]*\}", " ", joined)


def used(form, text):
    return re.search(FORMS[form], text) is not None


def test_the_table_has_every_form_that_is_looked_for():
    assert set(declared()) == set(FORMS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_no_undeclared_use(name):
    text = mathematics(name)
    for form, rows in declared().items():
        assert not used(form, text) or any(name in where for _, where in rows), f"{form} in {name}"


@pytest.mark.parametrize("form", FORMS)
def test_no_declared_chapter_does_without(form):
    for meaning, where in declared()[form]:
        for name in where:
            assert name in NOTEBOOKS and used(form, mathematics(name)), f"{form}, {meaning}: {name}"


@pytest.mark.parametrize("form", FORMS)
def test_one_meaning_in_a_chapter(form):
    where = [name for _, names in declared()[form] for name in names]
    assert {name for name in where if where.count(name) > 1} == {name for letter, name in TWICE if letter == form}


def test_uses_are_recognised():
    assert (
        used("d", "n d") and used("d", "2 d s^2") and not used("d", r"\int p \, dx") and not used("d", r"\frac{d}{dt}")
    )
    assert not used("d", r"d_z") and not used("d", r"\, d\delta")
    assert not used("d", r"\int \tfrac12 \mathrm{SNR} \, d\, \mathrm{SNR}") and not used("d", r"f^2\, d\lambda")
    assert (
        used("K", r"\bar{K}")
        and used("D", "L_D")
        and used("m", "2m")
        and not used("m", r"\sum")
        and not used("B", "AB")
    )
    assert used("R", r"\bar{R}") and not used("R", r"\mathbb{R}^2") and not used("w", "wide") and used("w", r"\hat w")
    assert used("σ of a number", r"\sigma(\ell)") and not used("σ", r"\sigma(\ell)")
    assert used("σ", r"\sigma_j^2") and not used("σ of a number", r"\sigma_j^2")
