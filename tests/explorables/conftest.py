"""A real Chromium that opens one explorable at a time.

No book is needed: each is opened from file:// in a page of its own, with the theme's colours left to their fallbacks.
"""

import os
import shutil

import pytest
from page import FOLDER, plain
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A headless Chromium that resolves no host name at all."""
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        message = "the explorables' tests need Chromium and chromedriver (Debian: apt install chromium chromium-driver)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    flags = """--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync
        --disable-component-update --disable-dev-shm-usage --no-proxy-server --hide-scrollbars"""
    for flag in flags.split():
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    page.set_script_timeout(120)
    page.get("about:blank")  # leaves the browser's own start page
    yield page
    page.quit()


@pytest.fixture
def show(chromium, tmp_path):
    """show(name) → the element of one explorable, alone on a fresh page."""

    def show(name, width=1280):
        scripts = [FOLDER / "core.js", *sorted(FOLDER.glob(f"{name}.data.js")), FOLDER / f"{name}.js"]
        loads = "".join(f'<script defer src="{path.as_uri()}"></script>' for path in scripts)
        page = tmp_path / f"{name}.html"
        page.write_text(
            f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width">'
            f'<title>{name}</title><link rel="stylesheet" href="{(FOLDER / "explorables.css").as_uri()}">{loads}</head>'
            f'<body><div class="explorable" data-explorable="{name}" role="group" aria-label="{name}">'
            f'<p>What it is.</p><p class="ex-off">Off.</p></div></body></html>',
            encoding="utf-8",
        )
        screen = {"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": width < 600}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        chromium.get_log("browser")
        chromium.get(page.as_uri())
        box = chromium.find_element("css selector", ".explorable")
        WebDriverWait(chromium, 20).until(lambda page: "ex-alive" in box.get_attribute("class"))
        return box

    return show


@pytest.fixture
def maths(show, chromium):
    """maths(name) opens an explorable; the function given back calls one of its formulas: f('kl', …) → value."""

    def open_it(name):
        show(name)
        script = "const [name, f, args] = arguments; return explorables.maths(name)[f](...args)"
        return lambda f, *args: chromium.execute_script(script, name, f, [plain(a) for a in args])

    return open_it
