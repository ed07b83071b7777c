"""Accessible and light: axe-core's rules on every page, the keyboard's way through it, what a page weighs."""

import re
import sys
from pathlib import Path

import pytest
from browser import PAGES, ROOT, show
from fontTools.ttLib import TTFont
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from bench.pages import STOPS, weight

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import light

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()  # 4.14.1, MPL 2.0, its licence beside it

# WCAG 2.0 to 2.2, levels A and AA. Nothing is left out, no rule is off.
RUN = """
const done = arguments[arguments.length - 1];
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa'];
axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']}).then(found => done(
    found.violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.target.join(' ')} ${n.html.slice(0, 120)}`))));
"""

each_page = pytest.mark.parametrize("name", PAGES)


def html(path):
    """The text of a built page."""
    return path.read_text(encoding="utf-8")


@each_page
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(book, chromium, name, theme, width):
    """Formulas out of view are not yet set and count as text; those in view are checked as they stand."""
    show(chromium, book / f"{name}.html", theme=theme, width=width, everything=False)
    chromium.execute_script(AXE)
    assert chromium.execute_async_script(RUN) == []


def test_axe_would_find_something(book, chromium):
    show(chromium, book / "book" / "notation.html", everything=False)
    chromium.execute_script("document.querySelector('article p').innerHTML = '<img src=\"../_static/logo.svg\">'")
    chromium.execute_script(AXE)
    assert any(found.startswith("image-alt") for found in chromium.execute_async_script(RUN))


def test_the_keyboard_gets_through_the_longest_pages(book, chromium):
    def controls(name):
        return len(re.findall(r"<(?:a|button|input|select|summary) ", html(book / f"{name}.html")))

    formulas = "[...document.querySelectorAll('mjx-container:not(.scrolls)')]"
    for name in sorted((p for p in PAGES if p.startswith("chapters/")), key=controls)[-3:]:
        show(chromium, book / f"{name}.html")
        stops = chromium.execute_script(STOPS)
        maths = chromium.execute_script(f"return {formulas}.filter(e => e.tabIndex >= 0).length")
        assert maths == 0 and stops <= 120, f"{name}: {stops} stops"


def test_two_panels_keep_their_size_on_a_phone_and_scroll(book, chromium):
    show(chromium, book / "chapters" / "03_divergences.html", width=390, everything=False)
    script = """return [...document.querySelectorAll('.panels')].map(e =>
        [e.clientWidth, e.scrollWidth, e.tabIndex, e.classList.contains('scrolls')])"""
    boxes = chromium.execute_script(script)
    assert boxes and all(shown <= 390 and whole >= 500 and tab == 0 and said for shown, whole, tab, said in boxes)
    show(chromium, book / "chapters" / "03_divergences.html", everything=False)
    assert not any(said or tab == 0 for _, _, tab, said in chromium.execute_script(script))


def test_formulas_are_set_when_they_come_near(book, chromium):
    show(chromium, book / "chapters" / "05_gan_objective.html", everything=False)
    unset = "return [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).length"
    far = chromium.execute_script(unset)
    assert far > 100, "the page is long"
    last = "[...document.querySelectorAll('.bd-article .math')].filter(e => e.checkVisibility()).at(-1)"
    chromium.execute_script(f"{last}.scrollIntoView()")
    settled = f"return {last}.querySelector('mjx-container') !== null"
    WebDriverWait(chromium, 20).until(lambda page: page.execute_script(settled))
    chromium.execute_async_script("courseMaths.all().then(arguments[0])")
    assert 0 == chromium.execute_script(unset) < far


RING = """
const e = document.activeElement, s = getComputedStyle(e);
return [e.outerHTML.slice(0, 90), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2];
"""


def test_focus_is_seen_on_every_control_of_the_header(book, chromium):
    show(chromium, book / "chapters" / "01_data.html", everything=False)
    buttons = chromium.find_elements("css selector", ".bd-header-article :is(a, button)")
    shown = [one for one in buttons if one.is_displayed()]
    assert len(shown) >= 4
    chromium.find_element("tag name", "body").send_keys(Keys.TAB)  # from here on the keyboard moves
    for button in shown:
        chromium.execute_script("arguments[0].focus({focusVisible: true})", button)
        name, seen = chromium.execute_script(RING)
        assert seen, name


def test_the_theme_s_switch_says_its_state_and_keeps_the_focus(book, chromium):
    show(chromium, book / "book" / "intro.html", everything=False)
    switch = next(one for one in chromium.find_elements("css selector", ".theme-switch-button") if one.is_displayed())
    said = set()
    for _ in range(3):
        chromium.execute_script("arguments[0].focus()", switch)
        switch.send_keys(Keys.ENTER)
        assert chromium.switch_to.active_element == switch
        said.add(switch.accessible_name)
    chromium.execute_script("localStorage.clear()")
    assert len(said) == 3 and all(name.startswith("Colour mode: ") for name in said)


def test_each_solution_s_button_names_its_exercise(book, chromium):
    show(chromium, book / "chapters" / "15_vae.html", everything=False)
    names = [one.accessible_name for one in chromium.find_elements("css selector", ".solution .toggle-button")]
    assert len(names) >= 3 and len(set(names)) == len(names)
    assert all(re.search(r"Solution to Exercise \d+\.\d", name) for name in names), names


def test_heads_of_tables_head_a_column(book):
    for name in PAGES:
        heads = re.findall(r'<th [^>]*class="head[^>]*>', html(book / f"{name}.html"))
        assert all('scope="col"' in head for head in heads), name


def test_the_contents_open_at_the_part_of_the_page(book):
    toc = html(book / "chapters" / "05_gan_objective.html")
    parts = re.findall(r'<details class="part"( open)?><summary>.*?</details>', toc, flags=re.S)
    (shown,) = re.findall(r'<details class="part" open>.*?</details>', toc, flags=re.S)
    assert len(parts) == 7 and ">Adversaries<" in shown and 'class="current reference internal"' in shown


# Weight


def test_a_page_is_light(book, chromium):
    """Scripts, styles, fonts and the page itself; explorers and pictures come on top."""
    show(chromium, book / "chapters" / "05_gan_objective.html", everything=False)
    page = book / "chapters" / "05_gan_objective.html"
    assert 1_000_000 < weight(chromium, page) <= 1_500_000  # MathJax is counted


def test_icons_are_drawn_and_only_those_in_use_are_loaded(book, chromium):
    assert (book / "_static" / "scripts" / "fontawesome.js").stat().st_size < 20_000
    show(chromium, book / "chapters" / "01_data.html", everything=False)
    empty = (
        "return [...document.querySelectorAll(\"i[class*='fa-']\")].filter(e => !e.querySelector('svg path')).length"
    )
    assert chromium.execute_script(empty) == 0


def test_styles_keep_the_rules_of_names_that_are_in_use():
    style = """@import url("a.css");.a,.b{x:1}.b:not(.c){y:"}"}@media print{.b{z:2}.a .b{w:3}}/* .a{} */@font-face{f:g}
        p>.a\\:d{u:4}"""
    kept = re.sub(r"\s", "", light.purged(style, {"a"}))
    assert kept == '@importurl("a.css");.a{x:1}@font-face{f:g}'
    assert light.split("a:is(.b, .c), d[e='f,g']") == ["a:is(.b, .c)", " d[e='f,g']"]


def test_every_icon_of_the_styles_has_its_glyph(book):
    styles = "".join(path.read_text(encoding="utf-8") for path in (book / "_static").rglob("*.css"))
    asked = {int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", styles)} | {
        ord(sign) for sign in styles if "\ue000" <= sign <= "\uf8ff"
    }
    fonts = (book / "_static" / "vendor" / "fontawesome" / "webfonts").glob("*.woff")
    drawn = {code for path in fonts for code in TTFont(path).getBestCmap()}
    assert asked and asked <= drawn
