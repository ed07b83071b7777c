"""Plain notebooks, hand-outs and the key: nothing of MyST is left, every cell is there, answers only where due."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = {path.stem: nbformat.read(path, as_version=4) for path in sorted(ROOT.glob("chapters/*.ipynb"))}
INSTALL_CELL = (ROOT / "book" / "install_cell_plain.txt").read_text().rstrip("\n")

each_chapter = pytest.mark.parametrize("name", CHAPTERS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Function kind → folder with what `book/plain.py` writes from the chapters as they are."""
    folders = {}

    def write(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind)
            subprocess.run([sys.executable, ROOT / "book" / "plain.py", kind, folders[kind]], check=True, cwd=ROOT)
        return folders[kind]

    return write


def cells(folder, name, kind):
    """The sources of one kind of cell in a notebook."""
    nb = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    return [cell.source for cell in nb.cells if cell.cell_type == kind]


def test_the_plain_notebooks_are_up_to_date(written):
    new = {path.name: path.read_text() for path in written("plain").glob("*.ipynb")}
    kept = {path.name: path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert set(new) == {f"{name}.ipynb" for name in CHAPTERS}
    if not kept and os.environ.get("CI") != "true":
        pytest.skip("notebooks/ has not been written yet: run `make notebooks-plain`")
    assert [name for name in new if kept.get(name) != new[name]] == [], "run `make notebooks-plain`"
    assert set(kept) == set(new)


@each_chapter
def test_no_directive_or_role_is_left(written, name):
    text = "\n\n".join(cells(written("plain"), name, "markdown"))
    outside = re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.S)
    assert re.findall(r"\{[\w:-]+\}`|^[`:~]{3,}\s*\{.*|^\(\w[\w-]*\)=.*|\[\]\(", text, re.M) == []
    prose = re.sub(r"\$\$.*?\$\$|\$[^$]+\$", "", outside, flags=re.S)
    assert re.findall(r".{0,30}[{}].{0,30}", prose) == [], "a brace outside of formulas and code"
    assert "\\label" not in text and "{{" not in prose


@each_chapter
def test_every_code_cell_is_there_and_no_output(written, name):
    expected = [c.source for c in CHAPTERS[name].cells if c.cell_type == "code" and c.source.strip()]
    assert cells(written("plain"), name, "code") == [INSTALL_CELL, *expected[1:]]
    nb = nbformat.read(written("plain") / f"{name}.ipynb", as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in nb.cells)


@each_chapter
def test_formulas_keep_their_numbers_and_references_have_theirs(written, name):
    source = "\n".join(cell.source for cell in CHAPTERS[name].cells if cell.cell_type == "markdown")
    text = "\n\n".join(cells(written("plain"), name, "markdown"))
    labels = re.findall(r"\{math\}\n:label: (\S+)|^\$\$ \(([\w-]+)\)", source, re.M)
    chapter = int(name[:2])
    assert re.findall(r"\\tag\{([\d.]+)\}", text) == [f"{chapter}.{n + 1}" for n in range(len(labels))]
    assert len(re.findall(rf"^### Exercise {chapter}\.\d+: \S", text, re.M)) == source.count("{exercise}")
    assert text.count("<details>") == text.count("</details>") >= source.count("{dropdown}")
    if "{cite" in source:
        assert "\n## References\n" in "\n" + text.replace("## References", "## References\n")
    for line in re.findall(r"^> .*\$\$.*$", text, re.M):
        assert line.count("$$") % 2 == 0, "a formula in a quote stands on one line"


# The hand-out and the key

ANSWERS = {  # a few that a reader must not find, as the chapters have them
    "09_vae": ["6{,}160", "6160", "313.6", "parameters(10) - parameters(2)", "It is none: $q_\\phi"],
    "05_gan_failures": ["inv_cdf(0.005)", "math.erfc", "1 - 8.0**-4"],
    "05b_gan_failures_ring": ["0.9 * math.log(0.9)"],
    "06_gan_failures_digits": ["0.3 * 0.99 + 0.7 * 0.70"],
    "07_elbo": ["self_check(0.93", "(r**10 - 1) / 0.01"],
}


def answers(name):
    """What stands in the solutions and folded answers of a chapter, a paragraph or a line of code each."""
    source = CHAPTERS[name].cells
    found, inside = [], False
    for cell in source:
        text = cell.source
        if cell.cell_type == "code":
            found += [line.strip() for line in text.split("\n") if inside and len(line.strip()) > 25]
            continue
        for fenced in re.findall(r"```\{dropdown\}[^\n]*\n(.*?)```", text, re.S):
            found += fenced.split("\n")
        for part in re.split(r"(```\{solution-(?:start|end)\})", text):
            if part.startswith("```{solution-"):
                inside = "start" in part
            elif inside:
                found += part.split("\n")
    return [line for line in found if len(line) > 40 and not line.startswith(":") and "{" not in line]


@each_chapter
def test_a_handout_has_no_solution_no_answer_and_no_checked_value(written, name):
    nb = nbformat.read(written("handout") / f"{name}.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in nb.cells)
    given = "\n".join(cell.source for cell in CHAPTERS[name].cells if cell.cell_type == "code")
    told = [line for line in answers(name) if line in text and given.count(line) < 2]
    assert told == []
    assert [line for line in ANSWERS.get(name, []) if line in text] == []
    assert "<details>" not in text and "self_check(" not in text and "Solution to" not in text
    assert "Exercise" in text


@each_chapter
def test_the_key_has_them(written, name):
    text = (written("answers") / f"{name}.md").read_text()
    for line in ANSWERS.get(name, []):
        assert line in text
    exercises = len(re.findall(r"^### Exercise", text, re.M))
    assert exercises == len(re.findall(r"^(?:\*\*|\*)Solution to Exercise [\d.]+(?:\*\*|:)", text, re.M)) >= 3


def undefined(folder):
    """(Notebook, name) of each name that is used and never defined."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "json"]
    found = json.loads(subprocess.run([*command, folder], capture_output=True, text=True).stdout)
    return {(Path(one["filename"]).name, one["message"]) for one in found}


def test_a_handout_runs_without_what_was_left_out(written):
    """No name is used that only a solution or a self-check defined."""
    assert undefined(written("handout")) - undefined(ROOT / "chapters") == set()


# The install cell, where the library cannot be had


def test_the_install_cell_says_what_to_do_where_there_is_no_course(tmp_path):
    code = re.sub(r"^\s+[%!].*$", "    pass", INSTALL_CELL, flags=re.M)
    run = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode and last.startswith("ImportError: No module named 'ganvae_lib'")
    assert "make install" in last and "%pip install" in last


def test_the_install_cell_finds_the_clone_it_stands_in(tmp_path):
    code = re.sub(r"^\s+[%!].*$", "    pass", INSTALL_CELL, flags=re.M)
    package = tmp_path / "ganvae_lib"
    (tmp_path / "notebooks").mkdir(), package.mkdir()
    (package / "__init__.py").write_text("print('found')")
    run = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(run, cwd=tmp_path / "notebooks", capture_output=True, text=True)
    assert done.stdout == "found\n" and done.returncode == 0
