"""The explorables on the pages of the built book: where they stand, what they load, what is there without scripts."""

import re

import pytest
from browser import QUIET, ROOT, VIEWS, show, traffic
from selenium.webdriver.support.ui import WebDriverWait

WHERE = {
    "two-densities": "02_divergences",
    "dirac-gan": "03b_smallest_gan",
    "checkerboard": "04b_gan_training",
    "gan-plane": "05b_gan_failures_ring",
    "posterior": "07_elbo",
    "beta": "10_vae_failures",
    "metrics": "12_coverage",
}


def test_each_stands_in_its_chapter_with_a_picture_and_words(book):
    static = ROOT / "book" / "_static" / "explorables"
    assert {path.stem for path in static.glob("*.js") if "." not in path.stem} - {"core"} == set(WHERE)
    for name, chapter in WHERE.items():
        page = (book / "chapters" / f"{chapter}.html").read_text()
        (box,) = re.findall(rf'<div class="explorable" data-explorable="{name}".*?</p></div>', page, re.S)
        words = re.search(r'class="ex-words docutils container">(.*?)</div>', box, re.S).group(1)
        assert len(re.sub(r"<[^>]+>", "", words)) > 100
        (picture,) = re.findall(r'<img class="ex-still" src="([^"]+)"', box)
        file = (book / "chapters" / picture).resolve()
        assert file.is_file() and file.stat().st_size < 60_000
        assert page.index("explorables/core.js") < page.index(f"explorables/{name}.js")


def test_scripts_are_loaded_only_where_an_explorable_is(book):
    with_one = {f"{chapter}.html" for chapter in WHERE.values()}
    for path in [*book.glob("chapters/*.html"), *book.glob("book/*.html")]:
        assert ("explorables/core.js" in path.read_text()) == (path.name in with_one), path.name


@pytest.mark.parametrize("name", WHERE)
@pytest.mark.parametrize("view", VIEWS)
def test_it_is_alive_on_its_page_and_fits(book, chromium, name, view):
    show(chromium, book / "chapters" / f"{WHERE[name]}.html", **VIEWS[view])
    box = chromium.find_element("css selector", f"#explorable-{name}")
    WebDriverWait(chromium, 30).until(lambda _: "ex-alive" in box.get_attribute("class"))
    wrong = chromium.execute_script(
        """
        const outer = arguments[0].getBoundingClientRect();
        return [...arguments[0].querySelectorAll("canvas, svg, button, input, select, label, output, p, dd, li")]
            .filter((e) => e.checkVisibility())
            .map((e) => [e.getBoundingClientRect(), e.outerHTML.slice(0, 80)])
            .filter(([at]) => at.right > outer.right + 0.5 || at.left < outer.left);
        """,
        box,
    )
    assert wrong == [] and traffic(chromium) == QUIET
    assert not box.find_elements("css selector", ".ex-still") and box.accessible_name
