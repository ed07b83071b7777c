"""`python -m bench.explorables`: how many steps a second the live GAN takes in Chromium, at batch 128, on one core."""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "book" / "_static" / "explorables"
ROUNDS, STEPS, WARM_UP = 3, 200, 20
OPTIONS = {"plain": {}, "R1": {"gamma": 1.0}, "three steps of D": {"dSteps": 3}}
SCRIPT = """
const [options, steps, warmUp] = arguments, m = explorables.maths("gan-plane"), draws = explorables.generator(1);
const gan = m.makeGAN({ random: draws.uniform }), n = 128, k = options.dSteps ?? 1, times = [];
const x = Float64Array.from({ length: 2 * n * k }, draws.normal);
const z = Float64Array.from({ length: 8 * n * k }, draws.normal);
for (let i = 0; i < steps + warmUp; i++) {
    const start = performance.now();
    gan.step(x, z, { n, ...options });
    if (i >= warmUp) times.push(performance.now() - start);
}
return times;
"""


def steps_per_second(chromium, options=None, rounds=ROUNDS, steps=STEPS):
    """One over the median time of a step, in the calmest of some rounds; the page shown must have the explorable."""
    times = [chromium.execute_script(SCRIPT, options or {}, steps, WARM_UP) for _ in range(rounds)]
    return 1000 / min(float(np.median(one)) for one in times)


def browser(traffic=False):
    """A headless Chromium, on request one that keeps what it loads in its log."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser")
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    if traffic:
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    chromium.set_script_timeout(300)
    return chromium


def pace():
    """Steps a second in each setting."""
    chromium = browser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "pace.html"
            scripts = "".join(f'<script src="{(FOLDER / f).as_uri()}"></script>' for f in ("core.js", "gan-plane.js"))
            page.write_text(f"<!doctype html><title>pace</title>{scripts}", encoding="utf-8")
            chromium.get(page.as_uri())
            return {name: round(steps_per_second(chromium, setting), 1) for name, setting in OPTIONS.items()}
    finally:
        chromium.quit()


if __name__ == "__main__":
    print(json.dumps({"batch": 128, "steps a second": pace()}, indent=1))
