"""The built book and a real Chromium for the tests of this folder."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import FACTS, ROOT, VIEWS, show, traffic
from selenium import webdriver


@pytest.fixture(scope="session")
def book():
    """The folder of the built book: GANVAE_BOOK, or _build/html, built from the stored outputs where it is absent."""
    if given := os.environ.get("GANVAE_BOOK"):
        return Path(given).resolve()
    html = ROOT / "_build" / "html"
    html.parent.mkdir(exist_ok=True)
    with open(html.parent / ".lock", "w") as lock:  # pytest may run us in two processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (html / "book" / "intro.html").exists():
            command = [
                Path(sys.executable).with_name("jupyter-book"),
                "build",
                ROOT,
                "-n",
                "-W",
                "--keep-going",
                "-q",
            ]
            subprocess.run(command, check=True, cwd=ROOT)
    return html


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """A headless Chromium that resolves no host name at all."""
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        message = "the browser tests need Chromium and chromedriver (Debian: apt install chromium chromium-driver)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    flags = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
        --disable-component-update --disable-sync --disable-dev-shm-usage --no-proxy-server --hide-scrollbars"""
    for flag in flags.split():
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    page.set_page_load_timeout(60)
    page.set_script_timeout(60)
    page.get("about:blank")  # leaves the browser's own start page, which loads from chrome://
    yield page
    page.quit()


@pytest.fixture(scope="session")
def look(book, chromium):
    """Return a function (page, view) → everything the tests ask of it; each view of a page is opened once."""
    seen = {}

    def look(name, view):
        if (name, view) not in seen:
            show(chromium, book / f"{name}.html", **VIEWS[view])
            facts = {"traffic": traffic(chromium)}
            seen[name, view] = facts | {key: chromium.execute_script(script) for key, script in FACTS.items()}
        return seen[name, view]

    return look
