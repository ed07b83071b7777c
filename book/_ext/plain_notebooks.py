"""Plain notebooks: each chapter as any Jupyter and Colab show it, for a class without answers, and the answers alone.

Three Sphinx builders read the book's own environment, so that every number, title and citation is the book's:
`plain` (notebooks/), `handout` (no solution, no answer, no self-check's value) and `answers` (the key, as Markdown).
"""

import ast
import re
from pathlib import Path

import nbformat
from docutils import nodes
from plain_markdown import Writer, details
from sphinx.builders import Builder
from sphinx.util.osutil import ensuredir

INSTALL = "install_cell_plain.txt"


def holds_none(node):
    """Whether an expression is None or a row of Nones: the place where a reader's answer goes."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return bool(node.elts) and all(map(holds_none, node.elts))
    return isinstance(node, ast.Constant) and node.value is None


def places_for_answers(source):
    """The lines of a self-check that wait for an answer, or None where a cell is no self-check."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:  # a cell with IPython's own % or !
        return None
    lines = source.split("\n")
    waiting = [one for one in statements if isinstance(one, ast.Assign) and holds_none(one.value)]
    if waiting:
        return "\n".join(lines[one.lineno - 1] for one in waiting)
    return "" if re.search(r"\bself_check\(", source) else None


class PlainBuilder(Builder):
    """Writes notebooks/NN_name.ipynb: all of a chapter, no outputs."""

    name = "plain"
    format = "plain"
    epilog = "The plain notebooks are in %(outdir)s."
    allow_parallel = False
    answers = True

    def init(self):
        """Every chapter of the book, and the addresses that its notebooks lead to."""
        self.fignumbers, self.secnumbers = {}, {}
        self.url = self.config.html_theme_options["repository_url"].rstrip("/")
        self.branch = self.config.html_theme_options.get("repository_branch", "main")
        self._keys = None

    def get_outdated_docs(self):
        """All chapters: to write them takes seconds."""
        return (name for name in sorted(self.env.found_docs) if name.startswith("chapters/"))

    def get_target_uri(self, docname, typ=None):
        """The address inside this builder, which the writer translates."""
        return f"page:{docname}"

    def get_relative_uri(self, from_, to, typ=None):
        """The same from every page."""
        return self.get_target_uri(to)

    def write(self, build_docnames, updated_docnames, method="update"):
        """Every chapter and no other page, whatever Sphinx has read anew."""
        ensuredir(self.outdir)
        for docname in self.get_outdated_docs():
            self.write_doc(docname, self.env.get_and_resolve_doctree(docname, self))

    def citation_key(self, docname, anchor):
        """The key of an entry in the list of references, or None."""
        if self._keys is None:
            found = self.env.get_domain("cite").citations
            self._keys = {(one.bibliography_key.docname, one.citation_id): one.key for one in found}
        return self._keys.get((docname, anchor))

    def alive(self, docname):
        """Where an explorer lives: the book's page on the web, or, where the book has no address, how to build it."""
        base = self.config.html_baseurl.rstrip("/")
        return f"{base}/{docname}.html" if base else f"{self.url}#read-it-run-it"

    def link(self, docname, anchor):
        """Where a page of the book is found from outside it: a chapter's plain notebook, another page's source."""
        place = f"{self.url}/blob/{self.branch}"
        if docname.startswith("chapters/"):
            return f"{place}/notebooks/{Path(docname).name}.ipynb"
        return f"{place}/{Path(self.env.doc2path(docname)).relative_to(self.srcdir).as_posix()}"

    def write_doc(self, docname, doctree):
        """One chapter."""
        self.fignumbers = self.env.toc_fignumbers.get(docname, {})
        self.secnumbers = self.env.toc_secnumbers.get(docname, {})
        cells = nbformat.read(self.env.doc2path(docname), as_version=4).cells
        self.save(docname, Chapter(self, docname, cells).write(doctree))

    def save(self, docname, cells):
        """Write a notebook, the same to the last byte for the same chapter."""
        for number, cell in enumerate(cells):
            cell["id"] = f"cell-{number:03}"
            cell["metadata"].pop("part", None)
        nb = nbformat.v4.new_notebook(cells=cells)
        nb.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        nbformat.validate(nb)
        nbformat.write(nb, Path(self.outdir) / f"{Path(docname).name}.ipynb")


class HandoutBuilder(PlainBuilder):
    """Writes the same notebooks without a solution, an answer or a value that a self-check compares with."""

    name = "handout"
    answers = False


class AnswersBuilder(PlainBuilder):
    """Writes NN_name.md: each exercise with its solution and its self-check, each question with its answer."""

    name = "answers"

    def save(self, docname, cells):
        """Only what belongs to an exercise or the quiz, the code between fences."""
        parts = [cells[0]["source"].split("\n\n")[0]]
        for cell in cells:
            if cell["metadata"].get("part") in ("exercise", "solution", "quiz"):
                source = cell["source"]
                parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        text = re.sub(r"<details>\n<summary>(.*?)</summary>", r"**\1**", "\n\n".join(parts)).replace(
            "\n\n</details>", ""
        )
        (Path(self.outdir) / f"{Path(docname).name}.md").write_text(text + "\n")


class Chapter:
    """The cells of one chapter's plain notebook, in the order of the page."""

    def __init__(self, builder, docname, cells):
        self.builder, self.docname, self.given = builder, docname, cells
        self.writer = Writer(builder, docname, builder.link)
        self.written, self.text = [], []
        self.next_code = 0  # index of the first given cell that is not yet written
        self.part = None  # 'exercise', 'solution' or 'quiz'
        self.opened = None  # the summary of the solution that is being written

    def write(self, doctree):
        """All cells."""
        self.walk(doctree, 0)
        self.flush()
        self.code_up_to(len(self.given))
        self.references()
        return self.written

    # Cells

    def flush(self):
        """End a text cell."""
        text = "\n\n".join(filter(None, self.text))
        self.text = []
        if not text:
            return
        if self.opened:
            text = details(self.opened, text)
            self.opened = self.opened.removesuffix(", continued") + ", continued"
        self.add(nbformat.v4.new_markdown_cell(text))

    def add(self, cell):
        """Add a cell, and remember for the key which part of the chapter it is of."""
        cell.metadata = dict(cell.metadata) | ({"part": self.part} if self.part else {})
        self.written.append(cell)

    def code_up_to(self, end):
        """The code cells before a given one that the page does not show."""
        for index in range(self.next_code, end):
            if self.given[index].cell_type == "code":
                self.code(index)
        self.next_code = end

    def code(self, index):
        """One code cell, as the chapter has it, without its outputs."""
        given = self.given[index]
        self.next_code = index + 1
        if not given.source.strip():
            return
        source, tags = given.source, list(given.metadata.get("tags", []))
        first = not any(cell.cell_type == "code" for cell in self.written)
        if first and "google.colab" in source:
            source = (Path(self.builder.srcdir) / "book" / INSTALL).read_text().rstrip("\n")
        if not self.builder.answers and self.part == "exercise":
            kept = places_for_answers(source)
            source = source if kept is None else kept
            if not source:
                return
        self.flush()
        if self.opened and not self.opened.endswith("continued"):  # a solution that begins with code
            self.opened = f"{self.opened}, continued"
            self.add(nbformat.v4.new_markdown_cell(f"*{self.opened.removesuffix(', continued')}: code, folded below.*"))
        metadata = {"tags": tags} if tags else {}
        if "hide-input" in tags or self.part == "solution":
            metadata |= {"jupyter": {"source_hidden": True}, "cellView": "form"}
        cell = nbformat.v4.new_code_cell(source)
        cell.metadata = metadata
        self.add(cell)

    # The page

    def walk(self, node, level):
        """Write a node; `level` is that of the heading above it."""
        for child in node.children:
            if isinstance(child, nodes.section):
                self.section(child, level + 1)
            elif child.get("nb_element") == "cell_code" if isinstance(child, nodes.container) else False:
                self.cell(child)
            elif child.tagname.startswith("exercise") and child.tagname.endswith("node"):
                self.exercise(child, level + 1)
            elif child.tagname == "solution_node":
                self.solution(child)
            elif isinstance(child, nodes.admonition) and self.hides_an_answer(child):
                self.question(child)
            elif not isinstance(child, nodes.title):
                self.text.append(self.writer.block(child))

    def section(self, node, level):
        """A heading and what is below it, in a cell of its own where the heading is a large one."""
        if level <= 2 or self.part:
            self.flush()
            self.part = None
        title = "".join(self.writer.inline(one) for one in node.children if isinstance(one, nodes.title))
        number = ".".join(map(str, self.builder.secnumbers.get("", ()))) if level == 1 else ""
        self.text.append(f"{'#' * level} {f'{number}. ' * bool(number)}{title}")
        if level == 1:
            self.text.append(self.about())
        self.walk(node, level)

    def about(self):
        """Where this notebook comes from."""
        url, branch = self.builder.url, self.builder.branch
        page = f"{url}/blob/{branch}/{self.docname}.ipynb"
        kind = "A plain notebook" if self.builder.answers else "A hand-out, without solutions,"
        return f"*{kind} of [a course on GANs and VAEs]({url}), written from [the book's chapter]({page}).*"

    def cell(self, node):
        """A code cell of the page, and the captions of the figures that it draws."""
        index = node["cell_index"]
        self.code_up_to(index)
        self.code(index)
        captions = [self.writer.block(figure) for figure in node.findall(nodes.figure)]
        if captions and self.part != "solution":
            self.text += captions

    def exercise(self, node, level):
        """A heading with number and title, then the question."""
        self.flush()
        self.part = "exercise"
        self.text.append(f"{'#' * level} {self.exercise_title(node)}")
        self.text.append(self.writer.blocks(node))

    def exercise_title(self, node):
        """'Exercise 7.1: its title'."""
        titles = [one for one in node.children if isinstance(one, nodes.title) or one.tagname == "exercise_title"]
        told = "".join(self.writer.inline(one) for one in titles).strip()
        told = re.sub(r"^(Exercise\s*)?\(?(.*?)\)?$", r"\2", told)
        number = self.writer.number(node, "exercise")
        return f"Exercise {number}" + f": {told}" * bool(told)

    def solution(self, node):
        """A block that opens, its code in cells of their own; in a hand-out nothing."""
        self.flush()
        last = max((one["cell_index"] for one in node.findall(nodes.container) if "cell_index" in one), default=None)
        if not self.builder.answers:
            self.next_code = self.next_code if last is None else last + 1
            self.part = None
            return
        self.part = "solution"
        target = self.builder.env.sphinx_exercise_registry[node["target_label"]]["node"]
        self.opened = f"Solution to Exercise {self.writer.number(target, 'exercise')}"
        for child in node.children:
            if isinstance(child, nodes.section):
                self.walk(child, 3)
        self.flush()
        self.opened = self.part = None

    def hides_an_answer(self, node):
        """Whether a block is a question with its answer folded."""
        return any(one.get("design_component") == "dropdown" for one in node.findall(nodes.container))

    def question(self, node):
        """A question of the quiz, with its answer unless this is a hand-out."""
        if self.part != "quiz":
            self.flush()
            self.part = "quiz"
        if self.builder.answers:
            self.text.append(self.writer.block(node))
        else:
            self.text += [f"**{self.writer.inline(one)}**" for one in node.children if isinstance(one, nodes.title)]
        self.flush()

    def references(self):
        """The works that the chapter names, in full."""
        found = {one.key: one.formatted_entry for one in self.builder.env.get_domain("cite").citations}
        entries = [
            found[key].text.render_as("markdown").replace("\n", " ") for key in self.writer.cited if key in found
        ]
        entries = [re.sub(r"\\([-.:()!+])", r"\1", entry) for entry in entries]  # escaped where nothing asks for it
        if entries:
            self.part = None
            self.text = ["## References", "\n".join(f"- {entry}" for entry in sorted(entries))]
            self.flush()


def setup(app):
    """Sphinx calls this."""
    for builder in (PlainBuilder, HandoutBuilder, AnswersBuilder):
        app.add_builder(builder)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
