"""The explorables: their numbers against NumPy, the library and Keras; each driven by keys, mouse and finger in Chromium.

No book is needed: each is opened from file:// in a page of its own, with the theme's colours left to their fallbacks.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "book" / "_static" / "explorables"
NAMES = ["gan-plane"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A headless Chromium that resolves no host name at all."""
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    driver = shutil.which("chromedriver")
    if not (browser and driver):
        pytest.skip("the explorables' tests need Chromium and chromedriver")
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
    page.set_window_size(1280, 1600)
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
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
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


def plain(value):
    """What JSON can carry."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def values(chromium, box):
    """The numbers that an explorable shows, unrounded."""
    return chromium.execute_script("return arguments[0].values", box)


def put(chromium, box, **settings):
    """Set controls by name."""
    chromium.execute_script("arguments[0].ui.set(arguments[1])", box, settings)
    return values(chromium, box)


def control(box, label):
    """The input or select that carries this label."""
    found = [one for one in box.find_elements("css selector", "label") if one.text == label]
    assert len(found) == 1, (label, [one.text for one in box.find_elements("css selector", "label")])
    return box.find_element("id", found[0].get_attribute("for"))


def press(box, text):
    """Click the button with this text."""
    (button,) = [one for one in box.find_elements("css selector", "button") if one.text == text]
    button.click()


def summary(chromium, box):
    """The words under an explorable, once they have settled."""
    chromium.execute_async_script("setTimeout(arguments[arguments.length - 1], 700)")
    return box.find_element("css selector", ".ex-summary").text


def drag(chromium, handle, right, down):
    """Drag with the mouse."""
    ActionChains(chromium).move_to_element(handle).click_and_hold().move_by_offset(right, down).release().perform()


def touch(chromium, element, *path, at=(0.5, 0.5)):
    """A finger put on the element at a share of its box, moved by pixels, and taken away."""
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    r = chromium.execute_script("const r = arguments[0].getBoundingClientRect(); return [r.x, r.y, r.width, r.height]", element)
    x, y = r[0] + at[0] * r[2], r[1] + at[1] * r[3]
    points = [(x, y), *((x + a, y + b) for a, b in path)]
    for n, (a, b) in enumerate(points):
        event = {"type": "touchMove" if n else "touchStart", "touchPoints": [{"x": a, "y": b}]}
        chromium.execute_cdp_cmd("Input.dispatchTouchEvent", event)
    chromium.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def done(box):
    """Which tasks have found themselves done."""
    return [one.get_attribute("data-done") == "yes" for one in box.find_elements("css selector", ".ex-tasks > li")]


# --- what all of them share -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_script_weighs_at_most_60_kb_and_is_no_module(name):
    for path in (FOLDER / "core.js", FOLDER / f"{name}.js"):
        assert path.stat().st_size <= 60_000
        text = path.read_text(encoding="utf-8")
        assert "\nimport " not in text and "\nexport " not in text and "fetch(" not in text and "http:" not in text.replace(
            "http://www.w3.org/2000/svg", ""
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [1280, 390])
def test_it_starts_in_silence_and_nothing_sticks_out(show, chromium, name, width):
    box = show(name, width)
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}] == []
    assert chromium.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    wrong = chromium.execute_script("""
        const box = arguments[0], outer = box.getBoundingClientRect();
        return [...box.querySelectorAll("canvas, svg, button, input, select, label, output, p, dd, li")]
            .filter((e) => e.checkVisibility())
            .filter((e) => e.getBoundingClientRect().right > outer.right + 0.5 || e.getBoundingClientRect().left < outer.left)
            .map((e) => e.outerHTML.slice(0, 80));
    """, box)  # fmt: skip
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_used_without_seeing_it(show, chromium, name):
    box = show(name)
    for one in box.find_elements("css selector", "input, select, button, canvas, [tabindex], svg"):
        if one.is_displayed():
            assert one.accessible_name, one.get_attribute("outerHTML")[:200]
    told = box.find_element("css selector", ".ex-summary[aria-live=polite]")
    assert len(told.text) > 40 and any(c.isdigit() for c in told.text)
    assert 2 <= len(done(box)) <= 3 and not any(done(box)), "tasks wait to be done"


# --- a GAN on the plane -----------------------------------------------------------------------------------------------

GANS = {
    "non-saturating": {},
    "minimax, R1": {"loss": "minimax", "gamma": 0.5},
    "hinge, two steps of D": {"loss": "hinge", "dSteps": 2},
    "Wasserstein, R1": {"loss": "wasserstein", "gamma": 1.0, "dRate": 5e-4},
    "batch normalisation": {"batchNorm": True},
}


@pytest.fixture
def float64():
    """Keras in the page's precision, for a test: in float32 two runs part after some 150 steps, by rounding alone."""
    from ganvae_lib.quiet_keras import keras

    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


def keras_losses(options, steps):
    """The losses of ganvae_lib.GAN over `steps`, what G then makes of the first noise, and start and draws for the page."""
    import tensorflow as tf

    from ganvae_lib import GAN
    from ganvae_lib.quiet_keras import keras
    from ganvae_lib.toy import Ring, mlp
    from ganvae_lib.training import adam

    keras.utils.set_random_seed(3)
    rng, n, latent, k = np.random.default_rng(3), 64, 8, options.get("dSteps", 1)
    generator = mlp(latent, 2, (64, 64), name="generator")
    if options.get("batchNorm"):
        layers = [keras.Input((latent,))]
        for _ in range(2):
            layers += [keras.layers.Dense(64), keras.layers.BatchNormalization(), keras.layers.Activation("relu")]
        generator = keras.Sequential([*layers, keras.layers.Dense(2)], name="generator")
    penalty = {"penalty": "r1", "penalty_weight": options["gamma"]} if "gamma" in options else {}
    gan = GAN(generator, mlp(2, 1, (64, 64), name="discriminator"), options.get("loss", "non-saturating"), k, **penalty)
    gan.compile(adam(options.get("dRate", 1e-3), 0.5, name="d_adam"), adam(1e-3, 0.5, name="g_adam"))
    x = Ring().sample(steps * k * n, rng).astype(float).reshape(steps, k * n, 2)
    z = rng.standard_normal((steps, k, n, latent))
    told = {
        "G": [np.asarray(v).ravel().tolist() for v in gan.generator.trainable_variables],
        "D": [np.asarray(v).ravel().tolist() for v in gan.discriminator.trainable_variables],
        "x": x.reshape(steps, -1).tolist(),
        "z": z.reshape(steps, -1).tolist(),
        "n": n,
    }

    @partial(tf.function, autograph=False)
    def step(points, noise):
        draws = iter([noise[i] for i in range(k)])
        gan.noise = lambda n, d: next(draws)
        return gan.step(points)

    found = [[float(v) for v in step(*drawn).values()] for drawn in zip(x, z, strict=True)]
    return np.array(found), np.asarray(gan.decode(z[0].reshape(-1, latent))), told


TRAIN = """
const { options, told } = arguments[0], m = explorables.maths("gan-plane");
const gan = m.makeGAN({ batchNorm: options.batchNorm ?? false });
for (const player of ["G", "D"]) gan[player].parameters.forEach((p, i) => p.set(told[player][i]));
const losses = told.x.map((x, i) => {
    const { d_loss, g_loss } = gan.step(Float64Array.from(x), Float64Array.from(told.z[i]), { n: told.n, ...options });
    return [d_loss, g_loss];
});
const z = Float64Array.from(told.z[0]);
return { losses, samples: Array.from(m.forward(gan.G, "shown", z, z.length / 8, false)) };
"""


@pytest.mark.parametrize("name", GANS)
def test_the_page_trains_as_keras_does(float64, show, chromium, name):
    """Same start, same draws: both losses agree over 200 steps, far within 1e-4, and so do the samples then."""
    expected, samples, told = keras_losses(GANS[name], 200)
    show("gan-plane")
    found = chromium.execute_script(TRAIN, {"options": GANS[name], "told": told})
    assert np.abs(expected[-1] - expected[0]).max() > 0.02, "something is learnt"
    np.testing.assert_allclose(found["losses"], expected, atol=1e-6)
    np.testing.assert_allclose(np.reshape(found["samples"], (-1, 2)), samples, atol=1e-5)
