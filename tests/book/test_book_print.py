"""A chapter on paper: its title, its pages, its formulas beside their numbers, its solutions closed."""

import re
import sys

import pytest
from browser import FORMULAS, ROOT, show

sys.path.insert(0, str(ROOT / "book"))
import pdf

LONGEST = ("23_cost", "26_gan_or_vae", "24_latent")  # on paper


@pytest.fixture
def on_paper(chromium):
    """Shows a page as A4 would: the media that styles ask for, and the column's width."""

    def lay(path):
        show(chromium, path, width=680)
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})

    yield lay
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


@pytest.mark.parametrize("name", LONGEST)
def test_a_chapter_has_at_most_twenty_pages(book, chromium, name):
    pages = re.findall(rb"/Type\s*/Page\b", pdf.printed(chromium, book / "chapters" / f"{name}.html"))
    assert 5 < len(pages) <= 20


@pytest.mark.parametrize("name", ["13_bound_draws", "32_avb", "33_discogan"])  # many formulas, and a long one
def test_title_and_formulas_are_there_and_solutions_are_not(book, chromium, on_paper, name):
    on_paper(book / "chapters" / f"{name}.html")
    titles = [t for t in chromium.find_elements("css selector", "h1") if t.is_displayed()]
    assert len(titles) == 1 and titles[0].text.startswith(f"{int(name[:2])}.")
    assert chromium.execute_script(FORMULAS) == []
    closed = chromium.find_elements("css selector", ".solution.toggle-hidden > :not(.admonition-title)")
    assert closed and not any(one.is_displayed() for one in closed)
