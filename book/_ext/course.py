"""What the book needs beyond Jupyter Book: local MathJax, execution on demand, the API page's modules, explorers."""

import enum
import html
import os
import pkgutil
import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives

# The package's name has hyphens, so it is found, not imported. MathJax 3.2.2, Apache 2.0.
MATHJAX = files("sphinx-mathjax-offline") / "static" / "mathjax"
# No menu, which would make each formula a stop of the tab key.
MATHJAX_PARTS = [
    "startup.js",
    "core.js",
    "input/tex.js",
    "input/tex/extensions",
    "output/chtml.js",
    "output/chtml/fonts",
    "a11y/assistive-mml.js",
]


def set_execution(app, config):
    """`make book` sets GANVAE_EXECUTE=1: every chapter is executed, outputs go into the build only."""
    if os.environ.get("GANVAE_EXECUTE") == "1":
        config.nb_execution_mode = "force"


def set_report_numbers(app, config):
    """Let pages write {{ report_gan_fid }} and the like: the numbers stand in `ganvae_lib.paper` alone."""
    from dataclasses import asdict

    from ganvae_lib.paper import DECISIONS, RESULTS, TRAINING

    for group, prefix in ((RESULTS, "report"), (TRAINING, "report"), (DECISIONS, "ours")):
        for name, value in asdict(group).items():
            config.myst_substitutions[f"{prefix}_{name}"] = f"{value:,}" if isinstance(value, int) else str(value)


def copy_mathjax(app, exception):
    """Put MathJax and its fonts beside the pages, so that they need no other host."""
    if exception or app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "mathjax"
    if (target / MATHJAX_PARTS[0]).exists():
        return
    for part in MATHJAX_PARTS:
        source = Path(str(MATHJAX / part))
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target / part, dirs_exist_ok=True)
        else:
            shutil.copy(source, target / part)


def list_modules(app, docname, source):
    """Replace the marker on the API page by one section for each module of the library."""
    marker = "<!-- modules -->"
    if marker not in source[0]:
        return
    import ganvae_lib

    sections = []
    for module in sorted(pkgutil.walk_packages(ganvae_lib.__path__, "ganvae_lib."), key=lambda m: m.name):
        short = module.name.removeprefix("ganvae_lib.")
        if any(part.startswith("_") for part in short.split(".")):
            continue
        # A package's members are documented where they are written, in its modules.
        members = "   :no-members:\n" if module.ispkg else ""
        sections.append(f"## `{short}`\n\n```{{eval-rst}}\n.. automodule:: {module.name}\n{members}```\n")
    source[0] = source[0].replace(marker, "\n".join(sections))


SECTION = re.compile(r"(Args|Arguments|Attributes|Returns|Raises|Yields|Example|Examples|Note|References|Usage):$")
CODE = re.compile(r"(:[\w:]+:`[^`]+`|``.+?``|`[^`]+`)")


def plain_docstrings(app, what, name, obj, options, lines):
    """Let docstrings be plain text: `code` is code, an indented block is shown as it stands, | and * are themselves."""
    out, in_section, in_block = [], False, False
    for before, line in zip(["", *lines], lines, strict=False):
        indented = line.startswith("    ")
        if line and not indented:
            in_section, in_block = bool(SECTION.match(line)), False
        if indented and not in_section and not in_block and not before.strip():
            in_block = True
            out += ["::", ""]
        if in_block:
            out.append(line)
            continue
        parts = CODE.split(line)
        for i, part in enumerate(parts):
            if i % 2:
                parts[i] = part if part.startswith((":", "``")) else f"`{part}`"
            else:
                parts[i] = re.sub(r"([|*]|(?<=\w)_(?!\w))", r"\\\1", part)
        out.append("".join(parts))
    lines[:] = out


def plain_signatures(app, what, name, obj, options, signature, returns):
    """Leave out the signature that enum.Enum gives each of its subclasses."""
    return ("", None) if isinstance(obj, enum.EnumMeta) else None


# What an explorer does, and the part of an exported model that it needs beside the decoder.
KINDS = {"sliders": None, "map": None, "walk": None, "draw": "encoder", "training": "training", "classes": None,
         "styles": None}  # fmt: skip
STILL = "Images of the decoder {}, one coordinate moved in each row"  # what the exported picture shows
STILLS = {
    "classes": "Images of the generator {}: each row a draw of z, each column a class asked for, 0 to 9",
    "styles": "Images of the generator {}: each row one draw, each column the coarse style of another one",
}
MODULATED = {"classes", "styles"}  # those that modulated.js adds to explorer.js


class Explorer(Directive):
    """A trained decoder that runs in the page: `{explorer} sliders`, `map`, `walk`, `draw`,
    `training`, `classes` or `styles`.

    `:model:` names the exported model, or several, which then stand side by side. The content says in words what can
    be done with it: it labels the explorer, and with the exported picture it is all that a page without scripts shows.
    """

    required_arguments = 1
    option_spec: ClassVar = {"model": directives.unchanged_required}
    has_content = True

    def run(self):
        """Give the node of the page."""
        models, kind = self.options.get("model", "vae").split(), self.arguments[0]
        if kind not in KINDS:
            raise self.error(f"an explorer is one of {', '.join(KINDS)}, not '{kind}'")
        label = html.escape(" ".join(self.content), quote=True)
        boxes = [self.box(kind, model, label if len(models) == 1 else f"{label} Model: {model}.") for model in models]
        text = boxes[0] if len(boxes) == 1 else f'<div class="explorer-pair">{"".join(boxes)}</div>'
        # Outside the book, where scripts are off for good, `plain_notebooks` points here with the label.
        return [nodes.raw("", text, format="html", explorer=" ".join(self.content))]

    def box(self, kind, model, label):
        """The HTML of one explorer."""
        env = self.state.document.settings.env
        folder = Path(env.srcdir) / "book" / "_static" / "models"
        for script in scripts_of(kind, model):
            if not (folder / script).exists():
                raise self.error(f"no exported {script}: run 'ganvae export RUN --to book/_static/models'")
        if kind == "map" and '"points"' not in (folder / f"{model}.js").read_text():
            raise self.error(f"{model} has no encoder, so no codes to map")
        source = "../" * env.docname.count("/") + f"_static/models/{model}.png"
        return (
            f'<div class="explorer" data-kind="{kind}" data-model="{model}" role="group" aria-label="{label}">'
            f'<img src="{source}" alt="{STILLS.get(kind, STILL).format(model)}">'
            f"<p>{label} (Alive where scripts are on; here, images of the same decoder.)</p></div>"
        )


def scripts_of(kind, model):
    """The scripts of an exported model that an explorer needs."""
    return [f"{model}.js"] + ([f"{model}.{KINDS[kind]}.js"] if KINDS[kind] else [])


def add_explorers(app, pagename, templatename, context, doctree):
    """Load the scripts on the pages that have an explorer, and on no other."""
    found = re.findall(r'class="explorer" data-kind="(\w+)" data-model="([\w-]+)"', context.get("body", ""))
    scripts = sorted({script for kind, model in found for script in scripts_of(kind, model)})
    code = ["decoder.js", "controls.js", "explorer.js"] * bool(scripts)
    code += ["modulated.js"] * any(kind in MODULATED for kind, _ in found)
    for script in [f"models/{script}" for script in scripts] + code:
        app.add_js_file(script, loading_method="defer", priority=900)
    if scripts:
        app.add_css_file("explorer.css", priority=900)


def setup(app):
    """Sphinx calls this."""
    app.config.mathjax_path = "mathjax/startup.js"
    app.setup_extension("plain_notebooks")
    app.setup_extension("page_mends")
    app.add_config_value("comments_config", {}, "")  # Jupyter Book sets it for the extension we leave out
    app.connect("config-inited", set_execution)
    app.connect("config-inited", set_report_numbers, priority=100)  # before MyST reads its settings
    app.connect("source-read", list_modules)
    app.connect("autodoc-process-docstring", plain_docstrings, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", plain_signatures)
    app.add_directive("explorer", Explorer)
    app.setup_extension("explorables")
    app.connect("html-page-context", add_explorers)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
