"""Chapters as PDFs for paper, through Chromium: `python book/pdf.py [PAGE …]`, pages as in `chapters/05_gan_objective`.

Reads the built book in _build/html, writes _build/pdf/NAME.pdf. Solutions stay closed.
"""

import base64
import shutil
import sys
from pathlib import Path

from selenium import webdriver

ROOT = Path(__file__).resolve().parents[1]
HTML, PDF = ROOT / "_build" / "html", ROOT / "_build" / "pdf"

# Every formula is set, not only those in view, and every picture is there.
READY = """
const done = arguments[arguments.length - 1];
const maths = window.MathJax?.startup?.promise ?? Promise.resolve();
maths.then(() => window.courseMaths?.all())
    .then(() => document.fonts.ready).then(() => setTimeout(() => done(true), 300));
"""


def browser():
    """A headless Chromium that asks no other host for anything."""
    found = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    driver = shutil.which("chromedriver")
    if not (found and driver):
        sys.exit("make pdf needs Chromium and chromedriver (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = found
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    page.set_page_load_timeout(120)
    page.set_script_timeout(120)
    return page


def printed(page, source):
    """One built page as the bytes of a PDF."""
    scheme = [{"name": "prefers-color-scheme", "value": "light"}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    page.get(source.as_uri())
    page.execute_async_script(READY)
    told = {
        "printBackground": True,
        "preferCSSPageSize": False,
        "paperWidth": 8.27,
        "paperHeight": 11.69,
        "displayHeaderFooter": True,
        "headerTemplate": "<span></span>",
        "footerTemplate": '<span style="font-size:8px;margin:auto"><span class="pageNumber"></span></span>',
        "marginTop": 0.6,
        "marginBottom": 0.7,
        "marginLeft": 0.6,
        "marginRight": 0.6,
        "generateTaggedPDF": True,
    }
    return base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", told)["data"])


def write(page, name):
    """Print one page of the book."""
    source = HTML / f"{name}.html"
    if not source.exists():
        sys.exit(f"{name} is not in the built book: a page is named as in _toc.yml, and `make html` builds it")
    target = PDF / f"{Path(name).name}.pdf"
    target.write_bytes(printed(page, source))
    return target


if __name__ == "__main__":
    names = sys.argv[1:] or [f"chapters/{path.stem}" for path in sorted(ROOT.glob("chapters/*.ipynb"))]
    PDF.mkdir(parents=True, exist_ok=True)
    chromium = browser()
    try:
        for one in names:
            print(write(chromium, one).relative_to(ROOT), flush=True)
    finally:
        chromium.quit()
