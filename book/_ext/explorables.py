"""The directive `{explorable} name`: an idea to be moved by hand, book/_static/explorables/name.js in the page."""

import html
import re
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives

FOLDER = Path(__file__).resolve().parents[1] / "_static" / "explorables"
CORE = "core"


def known():
    """The names of the explorables: scripts beside the core, each with its picture for where scripts are off."""
    return sorted(path.stem for path in FOLDER.glob("*.js") if path.stem != CORE and not path.stem.endswith(".data"))


class Explorable(Directive):
    """`{explorable} name` with `:title:`; the content says what is shown and what can be done with it.

    Title and content stay on the page, alive or not; the picture stands where scripts are off.
    """

    required_arguments = 1
    option_spec: ClassVar = {"title": directives.unchanged_required}
    has_content = True

    def run(self):
        """Give the nodes of the page: an opened box, title and content, the picture, the box closed."""
        name, env = self.arguments[0], self.state.document.settings.env
        if name not in known():
            raise self.error(f"an explorable is one of {', '.join(known())}, not '{name}'")
        if not self.content or "title" not in self.options:
            raise self.error("an explorable needs a :title:, and words that say what it shows")
        title = html.escape(self.options["title"], quote=True)
        words = nodes.container(classes=["ex-words"])
        self.state.nested_parse(self.content, self.content_offset, words)
        picture = "../" * env.docname.count("/") + f"_static/explorables/{name}.png"
        opened = (
            f'<div class="explorable" data-explorable="{name}" id="explorable-{name}" role="group" '
            f'aria-label="{title}"><p class="ex-title">{title}</p>'
        )
        closed = (
            f'<img class="ex-still" src="{picture}" loading="lazy" alt="{title}: the explorable as it opens">'
            '<p class="ex-off">(Alive where scripts are on; the picture shows how it opens.)</p></div>'
        )
        return [nodes.raw("", opened, format="html"), words, nodes.raw("", closed, format="html")]


def add_scripts(app, pagename, templatename, context, doctree):
    """Load the core and the scripts of the explorables on a page, and none elsewhere."""
    names = sorted(set(re.findall(r'class="explorable" data-explorable="([\w-]+)"', context.get("body", ""))))
    if not names:
        return
    app.add_css_file("explorables/explorables.css", priority=900)
    app.add_js_file("explorables/core.js", loading_method="defer", priority=900)
    for name in names:
        for script in (f"{name}.data.js", f"{name}.js"):
            if (FOLDER / script).exists():
                app.add_js_file(f"explorables/{script}", loading_method="defer", priority=901)


def setup(app):
    """Sphinx calls this."""
    app.add_directive("explorable", Explorable)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
