"""Draw the pictures that stand in for the explorables where scripts are off: `python book/explorable_pictures.py`.

Each is what Chromium shows of the explorable as it opens, in the light theme, in a palette of 128 colours.
"""

import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.support.ui import WebDriverWait

from ganvae_lib.errors import CourseError

FOLDER = Path(__file__).resolve().parent / "_static" / "explorables"


def page(name, folder):
    """A page with that explorable alone."""
    scripts = [FOLDER / "core.js", *FOLDER.glob(f"{name}.data.js"), FOLDER / f"{name}.js"]
    loads = "".join(f'<script defer src="{path.as_uri()}"></script>' for path in scripts)
    path = Path(folder) / f"{name}.html"
    path.write_text(
        '<!doctype html><meta charset="utf-8"><style>body { font-family: sans-serif; }</style>'
        f'<link rel="stylesheet" href="{(FOLDER / "explorables.css").as_uri()}">{loads}'
        f'<div class="explorable" data-explorable="{name}"></div>',
        encoding="utf-8",
    )
    return path


def main():
    """Write one PNG beside each script."""
    browser, driver = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if not (browser and driver):
        raise CourseError("the pictures need Chromium and chromedriver (Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        screen = {"width": 900, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        with tempfile.TemporaryDirectory() as folder:
            for script in sorted(FOLDER.glob("*.js")):
                if script.stem == "core" or script.stem.endswith(".data"):
                    continue
                chromium.get(page(script.stem, folder).as_uri())
                alive = WebDriverWait(chromium, 60).until(
                    lambda c: c.find_element("css selector", ".ex-alive .ex-both")
                )
                image = Image.open(BytesIO(alive.screenshot_as_png)).convert("RGB").quantize(128)
                image.save(FOLDER / f"{script.stem}.png", optimize=True)
    finally:
        chromium.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
