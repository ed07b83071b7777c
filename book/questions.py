"""The chapters' quizzes as a question bank in GIFT, which Moodle imports: `python book/questions.py [FOLDER]`.

Each question of a quiz becomes an essay question: the answer stands in the feedback, and a person marks it. One file a
chapter, in _build/questions unless another folder is named; formulas are written for MathJax.
"""

import html
import re
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
# The two forms of a quiz: a dropdown that is the question, and a tip with a dropdown in it.
FOLDED = r"^```\{admonition\} (?P<question>[^\n]+)\n:class: dropdown\n(?P<answer>.*?)\n```$"
TIP = r"^:::\{admonition\} (?P<question>[^\n]+)\n:class: tip\n+```\{dropdown\} Answer\n(?P<answer>.*?)\n```\n:::$"
REFERENCES = {"eq": "the chapter's equation", "numref": "the chapter's figure", "prf:ref": "the chapter's theorem"}


def quiz(nb):
    """The (question, answer) pairs below the heading 'Quiz', in Markdown."""
    text = "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    _, _, below = text.partition("\n## Quiz\n")
    found = [*re.finditer(FOLDED, below, re.M | re.S), *re.finditer(TIP, below, re.M | re.S)]
    return [(m["question"].strip(), m["answer"].strip()) for m in sorted(found, key=lambda m: m.start())]


def without_roles(text):
    """Markdown without what only the book can resolve: a reference becomes words, a citation goes."""
    text = re.sub(r"\s*\{cite(?::\w+)?\}`[^`]*`", "", text)
    text = re.sub(r"\{(\w+)\}`([^`<]+?)\s*<[^`>]*>`", r"\2", text)
    text = re.sub(r"\{([\w:]+)\}`([^`]*)`", lambda m: REFERENCES.get(m[1], m[2]), text)
    return re.sub(r"(^|[.:?!] )the chapter's", r"\1The chapter's", text)


def as_html(text):
    """A paragraph or two of Markdown as HTML, with formulas between the brackets that MathJax looks for."""
    out = []
    for i, part in enumerate(re.split(r"(\$\$.+?\$\$|\$[^$]+\$|`[^`]+`)", without_roles(text), flags=re.S)):
        if i % 2 == 0:
            part = html.escape(part, quote=False)
            part = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", part, flags=re.S)
            part = re.sub(r"\*(.+?)\*", r"<em>\1</em>", part, flags=re.S)
            part = re.sub(r"\n\s*\n", "<br><br>", part)
        elif part.startswith("$"):
            double = part.startswith("$$")
            inner = html.escape(part.strip("$").strip(), quote=False)
            part = rf"\[{inner}\]" if double else rf"\({inner}\)"
        else:
            part = f"<code>{html.escape(part[1:-1], quote=False)}</code>"
        out.append(part)
    return re.sub(r"\s*\n\s*", " ", "".join(out))


def escaped(text):
    """GIFT's control characters, each after a backslash; a backslash itself is doubled."""
    return re.sub(r"([\\~=#{}:])", r"\\\1", text)


def gift(nb, stem):
    """The quiz of one chapter in GIFT, its questions in a category of the chapter's title."""
    title = re.search(r"^# (.+)$", nb.cells[0].source, re.M).group(1).strip()
    lines = [f"$CATEGORY: $course$/{title.replace('/', ' ')}", ""]
    for number, (question, answer) in enumerate(quiz(nb), 1):
        name = escaped(f"{stem} {number}")
        lines += [f"::{name}::[html]{escaped(as_html(question))}{{####{escaped(as_html(answer))}}}", ""]
    return "\n".join(lines)


def write(folder):
    """Write NAME.gift.txt for each chapter with a quiz; return the number of chapters and of questions."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.gift.txt"):
        old.unlink()
    counts = []
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        nb = nbformat.read(path, as_version=4)
        if questions := quiz(nb):
            (folder / f"{path.stem}.gift.txt").write_text(gift(nb, path.stem), encoding="utf-8")
            counts.append(len(questions))
    return len(counts), sum(counts)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__.splitlines()[0])
    target = Path(sys.argv[1]).resolve() if len(sys.argv) == 2 else ROOT / "_build" / "questions"
    chapters, questions = write(target)
    shown = target.relative_to(ROOT) if target.is_relative_to(ROOT) else target
    print(f"{questions} questions of {chapters} chapters in {shown}")
