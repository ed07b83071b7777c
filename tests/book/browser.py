"""What the browser tests share: the pages, how one is opened, and what is asked of it."""

import json
import re
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[2]


def pages_in_toc():
    """The pages _toc.yml names, as paths without suffix."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = [toc["root"]]
    for part in toc["parts"]:
        for entry in part["chapters"]:
            if "glob" in entry:
                found = sorted(ROOT.glob(entry["glob"]))
                pages += [
                    p.relative_to(ROOT).with_suffix("").as_posix() for p in found if p.suffix in {".md", ".ipynb"}
                ]
            else:
                pages.append(entry["file"])
    return pages


PAGES = pages_in_toc()
OTHER_PAGES = ["genindex", "py-modindex", "search"]


SETTLE = """
const done = arguments[arguments.length - 1];
const set = () => window.courseMaths?.[arguments[0] ? "all" : "near"]();
const later = () => new Promise(resume => setTimeout(resume, 200));
const maths = window.MathJax?.startup?.promise ?? Promise.resolve();
maths.then(later).then(set).then(() => document.fonts.ready).then(later).then(done);
"""


def show(page, path, *, width=1280, theme="light", query="", everything=True):
    """Open one page of the book at a width and in a theme, and wait until its maths is set, all or what is in view."""
    page.get_log("browser"), page.get_log("performance")
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    page.get(path.as_uri() + query)
    page.execute_async_script(SETTLE, everything)


def traffic(page):
    """Return what the page just shown asked of other hosts, what failed to load, and what its console complains of."""
    asked, foreign, failed = {}, [], []
    for entry in page.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        params = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            asked[params["requestId"]] = params["request"]["url"]
            if not re.match(r"(file|data|blob|about):", params["request"]["url"]):
                foreign.append(params["request"]["url"])
        elif event["method"] == "Network.loadingFailed" and not params.get("canceled"):
            failed.append(asked.get(params["requestId"], "?"))
    console = [e["message"] for e in page.get_log("browser") if e["level"] in {"SEVERE", "WARNING"}]
    return {"foreign": foreign, "failed": failed, "console": console}


QUIET = {"foreign": [], "failed": [], "console": []}

MATHS = """
const written = [...document.querySelectorAll('.math.notranslate')];
return {
    errors: [...document.querySelectorAll('mjx-merror')].map(e => e.textContent),
    unset: written.filter(e => !e.querySelector('mjx-container')).map(e => e.textContent.slice(0, 80)),
    raw: [...document.querySelectorAll('article p, article li, article td, article dd')]
        .filter(e => !e.querySelector('pre, code'))
        .map(e => e.innerText).filter(t => /\\$\\$|\\\\(frac|mathbb|operatorname|mathcal)/.test(t)),
};
"""

IMAGES = """
return [...document.querySelectorAll('img')]
    .filter(i => !i.alt.trim() || /\\.(png|svg|jpe?g)$/.test(i.alt) || !i.complete || i.naturalWidth === 0)
    .map(i => `${i.getAttribute('src')} alt=${i.getAttribute('alt')}`);
"""

# The page itself must not scroll sideways; a child that sticks out is named, to be found quickly.
OVERFLOW = """
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width) return [];
return [...document.querySelectorAll('article *')]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !e.closest('pre, div.math'))
    .map(e => `${e.tagName}.${e.className} ${e.textContent.trim().slice(0, 60)}`).slice(0, 5).concat(['page too wide']);
"""

# Contrast of each text with the nearest painted background behind it (WCAG 2).
CONTRAST = """
const channel = v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const rgba = c => { const v = c.match(/[\\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
const behind = e => {
    for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 0.9) return c; }
    return [255, 255, 255, 1];
};
const text = 'p, li, td, th, dt, figcaption, h1, h2, h3'.split(', ').map(tag => 'article ' + tag).join();
return [...document.querySelectorAll(text)]
    .filter(e => e.checkVisibility() && e.innerText.trim())
    .map(e => {
        const [a, b] = [luminance(rgba(getComputedStyle(e).color)), luminance(behind(e))].sort((x, y) => y - x);
        return [(a + 0.05) / (b + 0.05), e.innerText.slice(0, 60)];
    })
    .filter(([ratio]) => ratio < 4.5);
"""


GROUNDS = "return [...document.querySelectorAll('.cell_output img')].map(i => getComputedStyle(i).backgroundColor)"

VIEWS = {
    "light": {"theme": "light"},
    "dark": {"theme": "dark"},
    "phone": {"theme": "light", "width": 390},
}

# A formula is off the page where it leaves the column and neither it nor a box around it scrolls.
FORMULAS = """
const width = document.documentElement.clientWidth;
const scrolls = e => e && e.tagName !== 'ARTICLE'
    && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
const off = [...document.querySelectorAll('article mjx-container')]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
    .map(e => e.textContent.slice(0, 60));
const under = [...document.querySelectorAll('div.math > .eqno')].filter(e => e.checkVisibility()).filter(e => {
    const a = e.getBoundingClientRect(), b = e.parentElement.querySelector('mjx-container')?.getBoundingClientRect();
    return b && b.right > a.left + 1 && b.bottom > a.top + 1 && a.bottom > b.top + 1;
}).map(e => e.textContent);
return off.concat(under);
"""

FACTS = {
    "formulas": FORMULAS,
    "theme": "return document.documentElement.dataset.theme",
    "maths": MATHS,
    "images": IMAGES,
    "overflow": OVERFLOW,
    "contrast": CONTRAST,
    "grounds": GROUNDS,
}


PIXELS = """
const c = arguments[0], d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
return Array.from(d.filter((_, i) => i % 4 === 0));
"""


def pixels(page, box, selector=".explorer-image:not(.explorer-strip)"):
    """The greys of a canvas, as shown."""
    return np.array(page.execute_script(PIXELS, box.find_element("css selector", selector)))


def greys(x):
    """Images in [−1, 1] as a canvas shows them."""
    return np.rint((np.array(x) + 1) * 127.5)


def decoded(page, z, name="vae"):
    """What the page's decoder draws, in the greys of a canvas."""
    script = "return Array.from(ganvae.decode(arguments[0], arguments[1]))"
    return greys(page.execute_script(script, name, [float(v) for v in z]))


def put(page, slider, value):
    """Move a range to a value as a hand would: the page hears an input event."""
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    page.execute_script(script, slider, value)


def ranges(box):
    """The sliders of an explorer."""
    return box.find_elements("css selector", "input[type=range]")


def values(box):
    """What its sliders stand at."""
    return [float(slider.get_attribute("value")) for slider in ranges(box)]


def touch(page, canvas, *points):
    """A finger set down at the first of the points, given as shares of the canvas, moved along them and lifted."""
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    box = page.execute_script("return arguments[0].getBoundingClientRect().toJSON()", canvas)
    for i, (across, down) in enumerate(points):
        at = {"x": box["x"] + across * box["width"], "y": box["y"] + down * box["height"]}
        kind = "touchMove" if i else "touchStart"
        page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at]})
    page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def calmest(page, what, inputs, *more):
    """Median milliseconds of `what` done to five inputs; of twenty such fives the one least disturbed by others."""
    script = f"""
        return arguments[0].map((argument) => {{
            const began = performance.now();
            {what};
            return performance.now() - began;
        }});
    """
    times = np.array(page.execute_script(script, inputs, *more)).reshape(-1, 5)
    return np.median(times, axis=1).min()
