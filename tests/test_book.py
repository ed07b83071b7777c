"""Every page of the built book in a real Chromium, from file://, with every other host out of reach."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from ganvae_lib import latent
from ganvae_lib.results import find
from ganvae_lib.runs import load_run

ROOT = Path(__file__).resolve().parents[1]


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


SETTLE = """
const done = arguments[arguments.length - 1];
const maths = window.MathJax?.startup?.promise ?? Promise.resolve();
maths.then(() => document.fonts.ready).then(() => setTimeout(done, 200));
"""


def show(page, path, *, width=1280, theme="light", query=""):
    """Open one page of the book at a width and in a theme, and wait until its maths is set."""
    page.get_log("browser"), page.get_log("performance")
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    page.get(path.as_uri() + query)
    page.execute_async_script(SETTLE)


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


@pytest.fixture(scope="session")
def look(book, chromium):
    """Return a function (page, view) → everything the tests ask of it; each view of a page is opened once."""
    seen = {}

    def look(name, view):
        if (name, view) not in seen:
            show(chromium, book / f"{name}.html", **VIEWS[view])
            facts = {
                "traffic": traffic(chromium),
                "theme": chromium.execute_script("return document.documentElement.dataset.theme"),
            }
            scripts = {
                "maths": MATHS,
                "images": IMAGES,
                "overflow": OVERFLOW,
                "contrast": CONTRAST,
                "grounds": GROUNDS,
            }
            seen[name, view] = facts | {key: chromium.execute_script(script) for key, script in scripts.items()}
        return seen[name, view]

    return look


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
        assert f"https://colab.research.google.com/github/{url}/blob/main/{name}.ipynb" in links


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


# Explorers: the trained decoder in the page


@pytest.fixture(scope="module")
def explorers(book, chromium):
    """The chapter on latent space, alive: kind → its element."""
    show(chromium, book / "chapters" / "12_latent.html")
    found = {box.get_attribute("data-kind"): box for box in chromium.find_elements("css selector", ".explorer-alive")}
    assert set(found) == {"sliders", "map", "walk"}
    return found


PIXELS = """
const c = arguments[0], d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
return Array.from(d.filter((_, i) => i % 4 === 0));
"""


def pixels(page, box, selector=".explorer-image:not(.explorer-strip)"):
    """The greys of a canvas, as shown."""
    return np.array(page.execute_script(PIXELS, box.find_element("css selector", selector)))


def decoded(page, z):
    """What the page's decoder draws, in the greys of a canvas."""
    x = page.execute_script("return Array.from(ganvae.decode('vae', arguments[0]))", [float(v) for v in z])
    return np.rint((np.array(x) + 1) * 127.5)


def put(page, slider, value):
    """Move a range to a value as a hand would: the page hears an input event."""
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    page.execute_script(script, slider, value)


def test_the_page_decodes_as_keras_does_and_fast(explorers, chromium):
    result = find("vae-report-seed0")
    if result is None:
        pytest.skip("vae-report-seed0 is not in results/")
    vae, record = load_run(result.folder)
    assert chromium.execute_script("return ganvae.model('vae').epochs") == record.epochs_done, "run 'ganvae export'"
    z = 1.3 * np.random.default_rng(0).standard_normal((100, vae.latent_dim)).astype("float32")
    script = "return arguments[0].map((z) => Array.from(ganvae.decode('vae', z)))"
    x = np.array(chromium.execute_script(script, z.tolist()))
    assert np.abs(x - np.asarray(vae.decode(z)).reshape(100, 784)).max() <= 1e-4
    median = chromium.execute_script("""
        const times = arguments[0].map((z) => {
            const began = performance.now();
            ganvae.decode("vae", z);
            return performance.now() - began;
        });
        return times.sort((a, b) => a - b)[50];
    """, z.tolist())  # fmt: skip
    assert median <= 5, f"{median} ms a decode"


def test_explorers_weigh_little(book):
    names = ["explorer.js", "explorer.css", "models/vae.js", "models/vae.png"]
    assert sum((book / "_static" / name).stat().st_size for name in names) <= 1_500_000


def test_sliders_draw_what_they_say_and_buttons_move_them(explorers, chromium):
    box = explorers["sliders"]
    ranges = box.find_elements("css selector", "input[type=range]")
    assert len(ranges) == 10
    z = np.round(np.linspace(-2, 2, 10), 2)
    for slider, value in zip(ranges, z, strict=True):
        put(chromium, slider, float(value))
    np.testing.assert_allclose(pixels(chromium, box), decoded(chromium, z), atol=1)
    assert box.find_element("tag name", "output").text == "−2.00"
    before = pixels(chromium, box)
    ranges[0].send_keys(Keys.ARROW_RIGHT)
    assert float(ranges[0].get_attribute("value")) == pytest.approx(-1.99)
    draw, zero = box.find_elements("tag name", "button")
    draw.click()
    assert np.abs(pixels(chromium, box) - before).max() > 50
    zero.click()
    np.testing.assert_allclose(pixels(chromium, box), decoded(chromium, np.zeros(10)), atol=1)
    assert {float(r.get_attribute("value")) for r in ranges} == {0.0}


def test_the_map_is_dragged_touched_and_moved_by_arrow_keys(explorers, chromium):
    box = explorers["map"]
    canvas = box.find_element("css selector", ".explorer-map")
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)

    def place():
        return [float(r.get_attribute("value")) for r in box.find_elements("css selector", "input[type=range]")]

    def expected():
        """The plane's point, decoded: mean + s · first axis + t · second."""
        m = chromium.execute_script("const m = ganvae.model('vae'); return {mean: m.mean, axes: m.axes}")
        s, t = place()
        return decoded(chromium, np.array(m["mean"]) + s * np.array(m["axes"][0]) + t * np.array(m["axes"][1]))

    ActionChains(chromium).move_to_element(canvas).click_and_hold().move_by_offset(60, -40).release().perform()
    s, t = place()
    assert s > 0.5 and t > 0.3
    np.testing.assert_allclose(pixels(chromium, box), expected(), atol=4)  # the sliders show two decimals
    ActionChains(chromium).move_by_offset(-90, 0).perform()  # not held: nothing moves
    assert place() == [s, t]
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    assert place()[0] < s and place()[1] < t
    np.testing.assert_allclose(pixels(chromium, box), expected(), atol=4)

    rect = canvas.rect
    top = chromium.execute_script("return arguments[0].getBoundingClientRect().top", canvas)
    touch = {"x": rect["x"] + 20, "y": top + rect["height"] - 20}
    chromium.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [touch]})
    chromium.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert place()[0] < -1 and place()[1] < -1


def test_a_walk_goes_from_one_digit_to_the_other(explorers, chromium):
    box = explorers["walk"]
    examples = chromium.execute_script("return ganvae.model('vae').examples")
    from_, to, way = (Select(one) for one in box.find_elements("tag name", "select"))
    from_.select_by_value("7"), to.select_by_value("2")
    far = box.find_element("css selector", "input[type=range]")
    for t, code in ((0, examples[7]), (1, examples[2])):
        put(chromium, far, t)
        np.testing.assert_allclose(pixels(chromium, box), decoded(chromium, code), atol=1)
    put(chromium, far, 0.5)
    middle = np.add(examples[7], examples[2]) / 2
    np.testing.assert_allclose(pixels(chromium, box), decoded(chromium, middle), atol=1)
    way.select_by_value("arc")
    np.testing.assert_allclose(
        pixels(chromium, box), decoded(chromium, latent.slerp(examples[7], examples[2], 3)[1]), atol=1
    )
    strip = pixels(chromium, box, ".explorer-strip").reshape(28, 9, 28)
    np.testing.assert_allclose(strip[:, 0].ravel(), decoded(chromium, examples[7]), atol=1)
    np.testing.assert_allclose(strip[:, -1].ravel(), decoded(chromium, examples[2]), atol=1)


def test_explorers_can_be_used_without_seeing_them(explorers):
    for box in explorers.values():
        assert box.get_attribute("role") == "group" and len(box.accessible_name) > 20
        for control in box.find_elements("css selector", "input, select, button, canvas"):
            assert control.accessible_name, control.get_attribute("outerHTML")
        assert box.find_element("css selector", "[aria-live=polite]").text.startswith("nearest mean code")


def test_where_scripts_are_off_a_picture_stands_in(book):
    page = (book / "chapters" / "12_latent.html").read_text()
    for source in re.findall(r'class="explorer"[^>]*><img src="([^"]+)" alt="([^"]+)"', page):
        assert (book / "chapters" / source[0]).resolve().is_file() and len(source[1]) > 20
    assert page.count('class="explorer"') == 3
    assert "explorer.js" not in (book / "book" / "notation.html").read_text(), "loaded only where there is an explorer"
