"""From a page's doctree, every reference resolved, to Markdown that any notebook shows: no directive, no role.

`Writer` turns blocks into Markdown text; what a chapter's cells are, and what a hand-out leaves out, is decided in
`plain_notebooks`.
"""

import html
import re

from docutils import nodes
from sphinx.util.math import get_node_equation_number

# What Markdown would read as its own: stars, backticks, dollars, and underscores that do not stand inside a word.
SPECIAL = re.compile(r"([*`$\\]|(?<!\w)_|_(?!\w))")
LINE_START = re.compile(r"^(#{1,6} |[-+>] ?|\d+[.)] )", re.M)

UNSEEN = (nodes.target, nodes.comment, nodes.substitution_definition, nodes.system_message)


def escaped(text):
    """A text as Markdown that shows it."""
    return SPECIAL.sub(r"\\\1", text).replace("<", "&lt;")


def one_line(text):
    """A text without line breaks."""
    return " ".join(text.split())


def code_span(text):
    """`text`, fenced by as many backticks as it needs."""
    fence = "`" * (1 + max(map(len, re.findall(r"`+", text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}"


def indented(text, by):
    """The lines of a text, each after the first moved to the right."""
    return text.replace("\n", "\n" + " " * by)


def quoted(text):
    """A text as a quote."""
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def details(summary, body):
    """A block that a reader opens; the summary is HTML, the body Markdown."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


class Writer:
    """Writes the Markdown of one page.

    Args:
        builder: the Sphinx builder; it knows the numbers.
        docname: the page.
        link: function (docname, anchor) → address of another page, or None where a reference is better left as text.
    """

    def __init__(self, builder, docname, link):
        self.builder, self.docname, self.link = builder, docname, link
        self.numbers = builder.env.toc_fignumbers.get(docname, {})
        self.nested = 0  # in a quote, a list or a table cell, where a formula has to stay on one line
        self.in_table = False
        self.cited = []  # keys, in the order of their first mention

    def number(self, node, kind):
        """The number of a figure, theorem or exercise: '7.2', or ''."""
        for name in node["ids"]:
            if name in self.numbers.get(kind, {}):
                return ".".join(map(str, self.numbers[kind][name]))
        return ""

    # Inline

    def inline(self, node):
        """The Markdown of a node's children, in a row."""
        return "".join(self.span(child) for child in node.children)

    def span(self, node):
        """The Markdown of one inline node."""
        match node:
            case nodes.Text():
                return escaped(str(node))
            case nodes.math():
                return f"${self.formula(node)}$"
            case nodes.literal():
                return code_span(node.astext().replace("|", r"\|") if self.in_table else node.astext())
            case nodes.strong():
                return f"**{self.inline(node)}**"
            case nodes.emphasis() | nodes.title_reference():
                return f"*{self.inline(node)}*"
            case nodes.reference():
                return self.reference(node)
            case nodes.image():
                return f"![{node.get('alt', '')}]({node['uri']})"
            case nodes.raw() | nodes.footnote_reference():
                return ""
            case _ if isinstance(node, UNSEEN):
                return ""
            case nodes.Inline() | nodes.TextElement():
                return self.inline(node)
        raise NotImplementedError(f"{self.docname}: no Markdown for the inline node {node.tagname}")

    def formula(self, node):
        """TeX on one line; a stroke would end a cell of a table."""
        text = one_line(node.astext())
        if self.in_table:
            text = text.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
        return text

    def reference(self, node):
        """A link, to the address that the page has outside the book; a reference within the page is its text."""
        text, uri = self.inline(node), node.get("refuri", "")
        if not uri.startswith("page:"):
            return f"[{text}]({uri})" if uri else text
        docname, _, anchor = uri.removeprefix("page:").partition("#")
        if key := self.builder.citation_key(docname, anchor):
            if key not in self.cited:
                self.cited.append(key)
            return text
        address = self.link(docname, anchor) if docname and docname != self.docname else None
        return f"[{text}]({address})" if address else text

    # Blocks

    def blocks(self, parent):
        """The Markdown of a node's children, one below the other."""
        return "\n\n".join(filter(None, (self.block(child) for child in parent.children)))

    def inside(self, node):
        """The Markdown of what stands in a quote, a list or the like."""
        self.nested += 1
        text = self.blocks(node)
        self.nested -= 1
        return text

    def block(self, node):
        """The Markdown of one block."""
        method = getattr(self, f"block_{node.tagname}", None)
        if method:
            return method(node)
        if isinstance(node, UNSEEN):
            return ""
        if isinstance(node, (nodes.section, nodes.compound, nodes.container, nodes.topic)):
            return self.blocks(node)
        if node.tagname.endswith("_node") and "realtype" in node:
            return self.theorem(node)
        raise NotImplementedError(f"{self.docname}: no Markdown for the block {node.tagname}")

    def block_paragraph(self, node):
        """A paragraph; its line breaks stay where they were."""
        return LINE_START.sub(r"\\\1", self.inline(node).strip())

    def block_math_block(self, node):
        """A formula on lines of its own, with its number."""
        number = get_node_equation_number(self, node) if node.get("label") else None
        text = node.astext().strip()
        environment = re.match(r"\\begin\{(align|gather|alignat|eqnarray)(\*?)\}", text)
        if environment:  # a display of its own in LaTeX; between dollars it needs the inner form
            inner = {"align": "aligned", "gather": "gathered"}.get(environment.group(1), "aligned")
            name = environment.group(1) + environment.group(2)
            text = text.replace(f"{{{name}}}", f"{{{inner}}}")
        elif r"\\" in text and not text.startswith(r"\begin{aligned}"):
            text = f"\\begin{{aligned}}\n{text}\n\\end{{aligned}}"
        if number:
            text += f" \\tag{{{number}}}"
        if self.nested:
            return f"$$ {one_line(text)} $$"
        return "$$\n" + re.sub(r"\n\s*\n", "\n", text) + "\n$$"

    def block_literal_block(self, node):
        """Code between fences."""
        return f"```{node.get('language', '')}\n{node.astext()}\n```"

    def block_bullet_list(self, node):
        """A list with strokes."""
        return "\n".join("- " + indented(self.inside(item), 2) for item in node.children)

    def block_enumerated_list(self, node):
        """A list with numbers."""
        first = node.get("start", 1)
        return "\n".join(f"{n}. " + indented(self.inside(item), 3) for n, item in enumerate(node.children, first))

    def block_definition_list(self, node):
        """Each term in bold, what it means below it."""
        out = []
        for item in node.children:
            terms = [self.inline(one) for one in item.children if isinstance(one, nodes.term)]
            meant = [self.inside(one) for one in item.children if isinstance(one, nodes.definition)]
            out.append(f"- **{', '.join(terms)}**: " + indented("\n\n".join(meant), 2))
        return "\n".join(out)

    def block_table(self, node):
        """A table of strokes; it has a head, for Markdown knows none without."""
        self.in_table, self.nested = True, self.nested + 1
        rows = [[one_line(self.blocks(cell)) for cell in row.children] for row in node.findall(nodes.row)]
        head = len(list(node.findall(nodes.thead))) > 0
        self.in_table, self.nested = False, self.nested - 1
        if not head:
            rows.insert(0, [""] * len(rows[0]))
        rows.insert(1, ["---"] * len(rows[0]))
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        titles = [f"**{self.inline(title)}**" for title in node.children if isinstance(title, nodes.title)]
        return "\n\n".join([*titles, table])

    def block_block_quote(self, node):
        """A quote."""
        return quoted(self.inside(node))

    def block_title(self, node):
        """Titles are written by whoever holds them."""
        return ""

    block_exercise_title = block_solution_title = block_title

    def block_rubric(self, node):
        """A heading outside the contents."""
        return f"**{self.inline(node)}**"

    def block_transition(self, node):
        """A line across."""
        return "---"

    def block_raw(self, node):
        """HTML of the book is left out; an explorer or explorable becomes a pointer to its living self."""
        if found := re.search(r'class="explorable".*?aria-label="([^"]*)"', node.astext()):
            told = escaped(html.unescape(found.group(1)))
            return quoted(f"**To be moved by hand in [the book]({self.builder.alive(self.docname)}): {told}**")
        if told := node.get("explorer"):
            return quoted(
                f"**An explorer stands here in the book.** {escaped(told)}\n"
                f"[The book has it alive]({self.builder.alive(self.docname)})."
            )
        return ""

    def block_figure(self, node):
        """The caption of a figure that the cell before draws, with its number."""
        text = "".join(self.inline(one) for one in node.findall(nodes.caption))
        number = self.number(node, "figure")
        return f"*Figure {number}. {text}*" if number else f"*{text}*"

    def block_admonition(self, node):
        """A bold title and what it holds: a quote, or, where it hides an answer, a question with its answer below."""
        if "proof" in node["classes"]:
            return quoted(self.inside(node))
        title = "".join(self.inline(one) for one in node.children if isinstance(one, nodes.title))
        hides = any(one.get("design_component") == "dropdown" for one in node.findall(nodes.container))
        if hides:
            return f"**{title}**\n\n{self.blocks(node)}"
        return quoted(f"**{title}**\n\n{self.inside(node)}")

    block_note = block_warning = block_tip = block_hint = block_important = block_seealso = block_admonition

    def block_container(self, node):
        """A dropdown opens; any other container is what it holds."""
        if node.get("design_component") != "dropdown":
            return self.blocks(node)
        titles = [self.plain(one) for one in node.children if isinstance(one, nodes.rubric)]
        body = "\n\n".join(
            filter(None, (self.block(one) for one in node.children if not isinstance(one, nodes.rubric)))
        )
        return details(titles[0] if titles else "More", body)

    def plain(self, node):
        """An inline text as HTML, for the summary of a block that opens."""
        text = one_line(self.inline(node))
        return re.sub(r"`+ ?(.+?) ?`+", r"<code>\1</code>", text.replace("\\*", "*").replace("\\_", "_"))

    def block_proof_node(self, node):
        """A proof, its first word in bold."""
        return re.sub(r"^> Proof\. ", "> **Proof.** ", self.blocks(node)) + " $\\square$"

    def theorem(self, node):
        """A theorem, a definition, an algorithm: its kind, number and title in bold, then the text."""
        kind, number = node["realtype"].title(), self.number(node, node["countertype"])
        title = "".join(self.inline(one) for one in node.children if isinstance(one, nodes.title)).strip()
        return quoted(f"**{' '.join(filter(None, [kind, number, title]))}**\n\n{self.inside(node)}")
