"""What the theme and its extensions leave to mend: names for screen readers, icons, Colab's address, page weight.

Each mend is at its source: a node's visitor, a template's context, a file of the build; no rule of a checker is hidden.
"""

import re
import shutil
from pathlib import Path

from docutils import nodes
from light import make_light
from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput, visit_HideCellInput
from sphinx import addnodes

ICON = re.compile(r'class="[^"]*\bfa[srb]?(?:-solid|-brands|-regular)? (?:[\w-]+ )*?fa-([a-z][a-z0-9-]*)[^"]*"')

PART = re.compile(
    r'<p [^>]*class="caption"[^>]*>(?P<title><span class="caption-text">.*?</span>)</p>\s*'
    r'(?P<list><ul class="(?P<kind>[^"]*)">.*?</ul>)',
    re.S,
)

# Draws an icon into each element that asks for one; the theme's own script of this name holds two thousand, 1.5 MB.
ICONS = """(() => {
  const icons = %s;
  const draw = () => {
    for (const place of document.querySelectorAll("i[class*='fa-'], span[class*='fa-']")) {
      const name = Object.keys(icons).find((one) => place.classList.contains("fa-" + one));
      if (!name || place.firstChild) continue;
      const [width, height, path] = icons[name];
      place.innerHTML = `<svg class="icon" aria-hidden="true" focusable="false" viewBox="0 0 ${width} ${height}">`
        + `<path fill="currentColor" d="${path}"/></svg>`;
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", draw);
  else draw();
})();
"""


def write_icons(app, exception):
    """Replace the theme's script of all icons by one that holds those in use."""
    if exception or app.builder.format != "html":
        return
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    known = script.read_text()
    if len(known) < 100_000:
        return  # the pages of this build have the small one already
    used = {name for page in Path(app.outdir).rglob("*.html") for name in ICON.findall(page.read_text())}
    entries = []
    for name in sorted(used - {"solid", "brands", "regular", "lg"}):
        # Regular icons come before solid ones; the theme asks for solid ones.
        found = re.findall(rf'[{{,]"?{name}"?:\[(\d+),(\d+),\[[^\]]*\],"\w+","([^"]+)"\]', known)
        if found:
            width, height, path = found[-1]
            entries.append(f'"{name}": [{width}, {height}, "{path}"]')
    script.write_text(ICONS % ("{\n    " + ",\n    ".join(entries) + ",\n  }"))
    for path in (Path(app.outdir) / "_static").rglob("*.map"):  # for who debugs the theme
        path.unlink()


def point_at_plain_notebooks(app, pagename, templatename, context, doctree):
    """Colab opens the plain notebook: MyST's directives and roles are source text there."""
    if not pagename.startswith("chapters/"):
        return

    def mend(buttons):
        for button in buttons:
            mend(button.get("buttons", []))
            if "colab.research" in str(button.get("url", "")):
                button["url"] = button["url"].replace("/chapters/", "/notebooks/")

    mend(context.get("header_buttons", []))


def fold_parts(app, pagename, templatename, context, doctree):
    """The contents beside a page show the chapters of its own part; the other parts open at a press.

    So the keyboard has a dozen stops before the page, and not fifty.
    """
    whole = context.get("generate_toctree_html")
    if whole:
        context["generate_toctree_html"] = lambda *args, **options: PART.sub(folded, str(whole(*args, **options)))


def folded(part):
    """One part of the contents, of the groups of `PART`."""
    state = " open" if "current" in part["kind"].split() else ""
    return f'<details class="part"{state}><summary>{part["title"]}</summary>{part["list"]}</details>'


def offer_plain_notebooks(app, exception):
    """The download button gives the plain notebook, too."""
    if exception or app.builder.format != "html":
        return
    for plain in sorted((Path(app.srcdir) / "notebooks").glob("*.ipynb")):
        target = Path(app.outdir) / "_sources" / "chapters" / plain.name
        if target.exists():
            shutil.copyfile(plain, target)


# Visitors: the theme's own, then a word of what they wrote


def visit_citation(self, node):
    """An entry of the list of references is an item of a list; its own role is deprecated since ARIA 1.3."""
    type(self).visit_citation(self, node)
    self.body[-1] = self.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def depart_citation(self, node):
    """End it."""
    type(self).depart_citation(self, node)


def visit_entry(self, node):
    """A cell of a table's head says that it heads a column."""
    type(self).visit_entry(self, node)
    for back in (1, 2):  # the cell's tag, perhaps followed by that of its text
        if len(self.body) >= back and self.body[-back].startswith("<th"):
            self.body[-back] = self.body[-back].replace("<th", '<th scope="col"', 1)
            break


def depart_entry(self, node):
    """End it."""
    type(self).depart_entry(self, node)


# A signature of several lines is a <dl> of <dd> in Sphinx, a list of definitions without a term.
LINES = [("<dl", '<div class="sig-lines"'), ("</dl>", "</div>"), ("<dd", '<div class="sig-line"'), ("</dd>", "</div>")]
SIGNATURES = (
    addnodes.desc_parameterlist,
    addnodes.desc_type_parameter_list,
    addnodes.desc_parameter,
    addnodes.desc_type_parameter,
    addnodes.desc_optional,
)


def lines_of_signature(method):
    """The translator's own method, its tags exchanged."""

    def write(self, node):
        before = len(self.body)
        getattr(type(self), method)(self, node)
        for old, new in LINES:
            self.body[before:] = [part.replace(old, new) for part in self.body[before:]]

    return write


def visit_folded_cell(self, node):
    """A folded cell is called what is written on it."""
    before = len(self.body)
    visit_HideCellInput(self, node)
    self.body[before:] = [part.replace(' aria-label="Toggle hidden content"', "") for part in self.body[before:]]


def setup(app):
    """Sphinx calls this."""
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    app.add_node(nodes.entry, override=True, html=(visit_entry, depart_entry))
    for node in SIGNATURES:
        name = node.__name__
        visitors = (lines_of_signature(f"visit_{name}"), lines_of_signature(f"depart_{name}"))
        app.add_node(node, override=True, html=visitors)
    app.add_node(HideCodeCellNode, override=True, html=(visit_folded_cell, depart_HideCellInput))
    for script in ("maths.js", "course.js"):
        app.add_js_file(script, loading_method="defer", priority=800)
    app.connect("html-page-context", point_at_plain_notebooks, priority=900)
    app.connect("html-page-context", fold_parts, priority=900)
    app.connect("build-finished", write_icons)
    app.connect("build-finished", make_light, priority=900)
    app.connect("build-finished", offer_plain_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
