"""What a page loads, without what no page uses: rules of the styles, glyphs of the icon fonts."""

import re
from pathlib import Path

from fontTools import subset

STYLES = ("styles/pydata-sphinx-theme.css", "styles/sphinx-book-theme.css", "sphinx-design.min.css", "mystnb.*.css")
MARK = "/* without the rules that no page of this book uses */\n"
WORD = re.compile(r"[A-Za-z_][\w-]*")
# A name in a selector, its characters escaped or not: .fa-solid, #rtd-footer, .col-6\.5
NAME = re.compile(r"[.#]((?:\\.|[\w-])+)")
PIECE = re.compile(r"""/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\\"'/]|/""", re.S)
FONT = re.compile(r'url\(([^)]*?)(fa-[\w-]+)\.woff2\) format\("woff2"\),url\([^)]*?\.ttf\) format\("truetype"\)')
GLYPH = re.compile(r'"\\([0-9a-f]{1,6})\s?"|([\ue000-\uf8ff])')


def make_light(app, exception):
    """Keep of the theme's styles and icon fonts what the pages of this build use.

    The whole files lie beside the doctrees, since the next build may use more of them.
    """
    if exception or app.builder.format != "html":
        return
    static, kept = Path(app.outdir) / "_static", Path(app.doctreedir) / "whole"
    kept.mkdir(parents=True, exist_ok=True)
    known = words_of(app.outdir)
    styles = [path for pattern in STYLES for path in static.glob(pattern)]
    for path in styles:
        original = kept / path.name
        text = path.read_text(encoding="utf-8")
        if not text.startswith(MARK):
            original.write_text(text, encoding="utf-8")
        if original.exists():
            path.write_text(MARK + purged(original.read_text(encoding="utf-8"), known), encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in static.rglob("*.css")]
    glyphs = {int(code, 16) if code else ord(sign) for text in texts for code, sign in GLYPH.findall(text)}
    fonts = static / "vendor" / "fontawesome" / "webfonts"
    for path in fonts.glob("*.ttf"):
        (kept / path.name).write_bytes(path.read_bytes())
    for path in kept.glob("*.ttf"):
        (fonts / path.with_suffix(".woff").name).write_bytes(subset_of(path, glyphs))
    for path in [*fonts.glob("*.ttf"), *fonts.glob("*.woff2")]:
        path.unlink()
    for path in styles:
        text = path.read_text(encoding="utf-8")
        path.write_text(FONT.sub(r'url(\1\2.woff) format("woff")', text), encoding="utf-8")


def words_of(folder):
    """Every word of the pages and of their scripts: a class or an id that is none of them cannot be met."""
    known = set()
    for path in [*Path(folder).rglob("*.html"), *Path(folder, "_static").rglob("*.js")]:
        if "mathjax" not in path.parts:
            known |= set(WORD.findall(path.read_text(encoding="utf-8", errors="ignore")))
    return known


def purged(style, known):
    """The style sheet without the rules whose selectors all name a class or an id that is not in `known`."""
    kept = []
    for head, body in blocks(style):
        if body is None:
            kept.append(head)
        elif head.lstrip().startswith(("@media", "@supports", "@layer", "@container")):
            if inner := purged(body, known):
                kept.append(f"{head}{{{inner}}}")
        elif head.lstrip().startswith("@"):
            kept.append(f"{head}{{{body}}}")
        elif selectors := [one for one in split(head) if met(one, known)]:
            kept.append(f"{','.join(selectors)}{{{body}}}")
    return "".join(kept)


def met(selector, known):
    """Whether all names of a selector are known. What stands in parentheses, :not(.a) or :is(.a, .b), is let pass."""
    while (less := re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", selector)) != selector:
        selector = less
    return all(re.sub(r"\\(.)", r"\1", name) in known for name in NAME.findall(selector))


def blocks(style):
    """(head, body) of each rule at the top level; a statement such as @import has no body (None)."""
    head, depth, body = [], 0, []
    for piece in PIECE.findall(style):
        if piece.startswith("/*"):
            continue
        if piece == "}":
            depth -= 1
            if depth == 0:
                yield "".join(head), "".join(body)
                head, body = [], []
                continue
        (body if depth else head).append(piece)
        if piece == "{":
            if depth == 0:
                head.pop()
            depth += 1
        elif piece == ";" and depth == 0:
            yield "".join(head), None
            head = []


def split(selectors):
    """A list of selectors, cut at its commas, those in parentheses and brackets aside."""
    found, depth = [""], 0
    for piece in PIECE.findall(selectors):
        depth += (piece in "([") - (piece in ")]") if len(piece) == 1 else 0
        if piece == "," and depth == 0:
            found.append("")
        else:
            found[-1] += piece
    return found


def subset_of(path, glyphs):
    """The font file at `path` with these code points alone, as WOFF."""
    options = subset.Options(flavor="woff", layout_features=[], notdef_outline=True)
    font = subset.load_font(path, options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=glyphs)
    subsetter.subset(font)
    target = path.with_suffix(".woff")
    subset.save_font(font, target, options)
    data = target.read_bytes()
    target.unlink()
    return data
