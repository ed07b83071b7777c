"""Every page of the built book in a real Chromium, from file://, with every other host out of reach."""

import re
from pathlib import Path

import pytest
import yaml
from browser import OTHER_PAGES, PAGES, QUIET, ROOT, VIEWS, show, traffic

each_page = pytest.mark.parametrize("name", PAGES)
each_view = pytest.mark.parametrize("view", VIEWS)


@each_page
@each_view
def test_page_loads_alone(look, name, view):
    assert look(name, view)["traffic"] == QUIET


@each_page
def test_maths_is_set(look, name):
    assert look(name, "light")["maths"] == {"errors": [], "unset": [], "raw": []}


@each_page
@each_view
def test_no_formula_is_off_the_page_or_under_its_number(look, name, view):
    assert look(name, view)["formulas"] == []


@each_page
def test_every_image_shows_and_has_alt_text(look, name):
    assert look(name, "light")["images"] == []


@each_page
@each_view
def test_page_does_not_scroll_sideways(look, name, view):
    assert look(name, view)["overflow"] == []


@each_page
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable_in_both_themes(look, name, theme):
    assert look(name, theme)["theme"] == theme
    assert look(name, theme)["contrast"] == []


@each_page
def test_figures_keep_a_white_ground_in_the_dark_theme(look, name):
    assert set(look(name, "dark")["grounds"]) <= {"rgb(255, 255, 255)"}


@pytest.mark.parametrize("name", OTHER_PAGES)
def test_index_pages_load_alone(book, chromium, name):
    show(chromium, book / f"{name}.html")
    assert traffic(chromium) == QUIET


def test_source_pages_load_alone(book, chromium):
    """The library's highlighted sources, which the API page links to."""
    sources = sorted((book / "_modules").rglob("*.html"))
    assert sources
    for path in sources:
        show(chromium, path)
        assert traffic(chromium) == QUIET, path.name


def test_search_works_from_a_file(book, chromium):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    show(chromium, book / "search.html", query="?q=nats")
    hits = WebDriverWait(chromium, 20).until(lambda page: page.find_elements(By.CSS_SELECTOR, "ul.search li a"))
    assert "Notation" in [hit.text for hit in hits]
    assert traffic(chromium) == QUIET


def test_no_page_names_the_folder_it_was_built_in(book):
    home = [str(ROOT), str(Path.home()) + "/"]
    named = [p.name for p in book.rglob("*.html") if any(folder in p.read_text() for folder in home)]
    assert named == []


def test_chapters_offer_colab(book, chromium):
    from selenium.webdriver.common.by import By

    url = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"].removeprefix("https://github.com/")
    for name in [page for page in PAGES if page.startswith("chapters/")]:
        show(chromium, book / f"{name}.html")
        links = [a.get_attribute("href") for a in chromium.find_elements(By.CSS_SELECTOR, "a[href*='colab']")]
        assert (
            f"https://colab.research.google.com/github/{url}/blob/main/{name.replace('chapters', 'notebooks')}.ipynb"
            in links
        )


def test_links_between_pages_lead_somewhere(book):
    """Every relative link, with its #anchor, in the HTML as a reader gets it."""
    ids, broken = {}, []

    def anchors(path):
        if path not in ids:
            ids[path] = set(re.findall(r'\b(?:id|name)="([^"]+)"', path.read_text()))
        return ids[path]

    for name in PAGES:
        page = book / f"{name}.html"
        article = re.search(r"<article.*?</article>", page.read_text(), re.S).group()
        for href in re.findall(r'<a [^>]*href="([^"]+)"', article):
            if re.match(r"[a-z]+:", href):
                continue
            file, _, anchor = href.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists() or (anchor and target.suffix == ".html" and anchor not in anchors(target)):
                broken.append(f"{name}: {href}")
    assert broken == []
