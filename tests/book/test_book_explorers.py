"""Explorers: trained decoders, and an encoder, in the page. What they draw is what Keras draws."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from browser import (
    PIXELS,
    QUIET,
    ROOT,
    VIEWS,
    calmest,
    decoded,
    greys,
    pixels,
    put,
    ranges,
    show,
    touch,
    traffic,
    values,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from ganvae_lib import latent, load_mnist
from ganvae_lib.explore import widgets
from ganvae_lib.runs import load_run
from ganvae_lib.runs.results import find

MODELS = {"vae": "vae-report-seed0", "gan-compact": "gan-compact-seed0", "vae-narrow": "vae-narrow-seed0"}
SHOWN = {
    ("sliders", "vae"), ("sliders", "gan-compact"), ("walk", "vae"), ("walk", "gan-compact"), ("map", "vae"),
    ("training", "vae-narrow"), ("training", "gan-compact"), ("draw", "vae-narrow"),
}  # fmt: skip
each_model = pytest.mark.parametrize("name", MODELS)


@pytest.fixture(scope="module")
def explorers(book, chromium):
    """The chapter on latent space, alive: (kind, model) → its element."""
    show(chromium, book / "chapters" / "24_latent.html")
    found = {
        (box.get_attribute("data-kind"), box.get_attribute("data-model")): box
        for box in chromium.find_elements("css selector", ".explorer-alive")
    }
    assert set(found) == SHOWN
    return found


def keras_model(name):
    """The model and record of the run that a page's model was exported from."""
    result = find(MODELS[name])
    if result is None:
        pytest.skip(f"{MODELS[name]} is not in results/")
    return *load_run(result.folder), result


@each_model
def test_the_page_decodes_as_keras_does_and_fast(explorers, chromium, name):
    model, record, _ = keras_model(name)
    assert chromium.execute_script("return ganvae.model(arguments[0]).epochs", name) == record.epochs_done, (
        "run 'ganvae export'"
    )
    z = 1.3 * np.random.default_rng(0).standard_normal((100, model.latent_dim)).astype("float32")
    script = "return arguments[1].map((z) => Array.from(ganvae.decode(arguments[0], z)))"
    x = np.array(chromium.execute_script(script, name, z.tolist()))
    expected = np.asarray(latent.image_decoder(model)(z)).reshape(100, 784)
    assert np.abs(x - expected).max() <= 1e-4
    assert calmest(chromium, "ganvae.decode(arguments[1], argument)", z.tolist(), name) <= 5


def test_the_page_encodes_as_keras_does_and_fast(explorers, chromium):
    model, _, _ = keras_model("vae-narrow")
    x = load_mnist().x_test[:100]
    images = x.reshape(100, 784).tolist()
    script = "return arguments[0].map((x) => Object.values(ganvae.encode('vae-narrow', x)))"
    mu, log_var = zip(*chromium.execute_script(script, images), strict=True)
    for found, expected in zip((mu, log_var), model.encoder(x), strict=True):
        assert np.abs(np.array(found) - np.asarray(expected)).max() <= 1e-3
    assert calmest(chromium, "ganvae.encode('vae-narrow', argument)", images) <= 5


@pytest.mark.parametrize("name", ["vae-narrow", "gan-compact"])
def test_the_page_draws_what_earlier_epochs_drew(explorers, chromium, name):
    """The scrubber's images are the samples that `publish` drew with Keras from each checkpoint."""
    _, record, result = keras_model(name)
    box = explorers["training", name]
    (slider,) = ranges(box)
    kept = result.at_epochs("samples")
    epochs = chromium.execute_script("return ganvae.model(arguments[0]).epochs", f"{name}.training")
    assert epochs == list(kept) and epochs[-1] == record.epochs_done
    for n, epoch in enumerate(epochs):
        put(chromium, slider, n)
        assert box.find_element("tag name", "output").text == str(epoch)
        grid = pixels(chromium, box, ".explorer-grid").reshape(4, 28, 4, 28).swapaxes(1, 2).reshape(16, 28, 28)
        assert np.abs(grid - kept[epoch][:16]).max() <= 2  # the snapshots are not of float16 weights
    before = pixels(chromium, box, ".explorer-grid")
    slider.send_keys(Keys.ARROW_LEFT)
    assert slider.get_attribute("aria-valuetext") == str(epochs[-2])
    assert np.abs(pixels(chromium, box, ".explorer-grid") - before).max() > 50
    assert f"after {', '.join(map(str, epochs[:-1]))} and {epochs[-1]} epochs" in box.text


def test_the_map_of_codes_moves_with_the_epochs(explorers, chromium):
    box = explorers["training", "vae-narrow"]
    (slider,) = ranges(box)
    maps = []
    for n in range(int(slider.get_attribute("max")) + 1):
        put(chromium, slider, n)
        maps.append(pixels(chromium, box, ".explorer-map"))
    assert all(np.mean(a != b) > 0.01 for a, b in pairwise(maps))


def test_explorers_weigh_little(book):
    static = book / "_static"
    weight = {path.name: path.stat().st_size for path in (static / "models").iterdir()}
    code = ("decoder.js", "controls.js", "explorer.js", "explorer.css")
    common = sum((static / name).stat().st_size for name in code)
    assert common + weight["vae.js"] + weight["vae.png"] <= 500_000, "the report's VAE, all that most pages load"
    narrow = ("vae-narrow.js", "vae-narrow.png", "vae-narrow.encoder.js")
    assert common + sum(weight[name] for name in narrow) <= 1_500_000, "a VAE with its encoder"
    for name in ("vae-narrow", "gan-compact"):
        assert sum(size for file, size in weight.items() if file.startswith(name)) <= 2_000_000


@pytest.mark.parametrize("name", ["vae", "gan-compact"])
def test_sliders_draw_what_they_say_and_buttons_move_them(explorers, chromium, name):
    box = explorers["sliders", name]
    assert len(ranges(box)) == 10
    z = np.round(np.linspace(-2, 2, 10), 2)
    for slider, value in zip(ranges(box), z, strict=True):
        put(chromium, slider, float(value))
    np.testing.assert_allclose(pixels(chromium, box), decoded(chromium, z, name), atol=1)
    assert box.find_element("tag name", "output").text == "−2.00"
    before = pixels(chromium, box)
    ranges(box)[0].send_keys(Keys.ARROW_RIGHT)
    assert values(box)[0] == pytest.approx(-1.99)
    draw, zero = box.find_elements("tag name", "button")
    draw.click()
    assert np.abs(pixels(chromium, box) - before).max() > 50
    zero.click()
    np.testing.assert_allclose(pixels(chromium, box), decoded(chromium, np.zeros(10), name), atol=1)
    assert set(values(box)) == {0.0}


def test_the_map_is_dragged_touched_and_moved_by_arrow_keys(explorers, chromium):
    box = explorers["map", "vae"]
    canvas = box.find_element("css selector", ".explorer-map")
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)

    def expected():
        """The plane's point, decoded: mean + s · first axis + t · second."""
        m = chromium.execute_script("const m = ganvae.model('vae'); return {mean: m.mean, axes: m.axes}")
        s, t = values(box)
        return decoded(chromium, np.array(m["mean"]) + s * np.array(m["axes"][0]) + t * np.array(m["axes"][1]))

    ActionChains(chromium).move_to_element(canvas).click_and_hold().move_by_offset(60, -40).release().perform()
    s, t = values(box)
    assert s > 0.5 and t > 0.3
    np.testing.assert_allclose(pixels(chromium, box), expected(), atol=4)  # the sliders show two decimals
    ActionChains(chromium).move_by_offset(-90, 0).perform()  # not held: nothing moves
    assert values(box) == [s, t]
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_DOWN)
    assert values(box)[0] < s and values(box)[1] < t
    np.testing.assert_allclose(pixels(chromium, box), expected(), atol=4)
    touch(chromium, canvas, (0.06, 0.94))
    assert values(box)[0] < -1 and values(box)[1] < -1


def test_a_walk_goes_from_one_digit_to_the_other(explorers, chromium):
    box = explorers["walk", "vae"]
    examples = chromium.execute_script("return ganvae.model('vae').examples")
    from_, to, way = (Select(one) for one in box.find_elements("tag name", "select"))
    from_.select_by_value("7"), to.select_by_value("2")
    (far,) = ranges(box)
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


def test_a_gan_s_walk_goes_from_draw_to_draw(explorers, chromium):
    box = explorers["walk", "gan-compact"]
    start, end = box.find_elements("tag name", "button")
    (far,) = ranges(box)
    # Draws that we know: of a Math.random that always gives u, Box and Muller make the same number again and again.
    number = lambda u: np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * u)  # noqa: E731
    for pressed, u in ((start, 0.1), (end, 0.45)):
        chromium.execute_script("window.real ??= Math.random; Math.random = () => arguments[0]", u)
        pressed.click()
    chromium.execute_script("Math.random = window.real")
    strip = pixels(chromium, box, ".explorer-strip").reshape(28, 9, 28)
    for t in (0, 0.25, 1):
        z = np.full(10, (1 - t) * number(0.1) + t * number(0.45))
        put(chromium, far, t)
        np.testing.assert_allclose(pixels(chromium, box), decoded(chromium, z, "gan-compact"), atol=1)
        np.testing.assert_array_equal(strip[:, int(8 * t)].ravel(), pixels(chromium, box))
    before = pixels(chromium, box)
    end.click()
    assert np.abs(pixels(chromium, box) - before).max() > 50


INK = "return Array.from(arguments[0].getContext('2d').getImageData(0, 0, 140, 140).data.filter((_, i) => i % 4 === 0))"


def test_a_drawing_is_centred_encoded_and_given_back(explorers, chromium):
    """With mouse, finger and keys; what the encoder gets is what `widgets.as_mnist` makes of the board."""
    box = explorers["draw", "vae-narrow"]
    board = box.find_element("css selector", ".explorer-board")
    clear, back = box.find_elements("tag name", "button")
    given, returned = (one for one in box.find_elements("css selector", ".explorer-image"))
    chromium.execute_script("arguments[0].scrollIntoView({block: 'center'})", board)

    def inked():
        chromium.execute_script("arguments[0].blur()", board)  # the ring at the keys' pen is no ink
        return np.array(chromium.execute_script(INK, board)).reshape(140, 140) / 255

    def agrees():
        """Board → MNIST's manner → encoder → sliders → decoder, each step as Python has it."""
        ink = inked()
        x = widgets.as_mnist(ink)
        np.testing.assert_allclose(chromium.execute_script(PIXELS, given), greys(x).ravel(), atol=1)
        vae, _, _ = keras_model("vae-narrow")
        mu = np.asarray(vae.encoder(x[None, ..., None])[0])
        np.testing.assert_allclose(values(box), mu[0], atol=0.011)  # sliders go by hundredths
        expected = greys(vae.decode(mu)).ravel()
        np.testing.assert_allclose(chromium.execute_script(PIXELS, returned), expected, atol=1)
        return np.argwhere(ink > 0.5)

    assert len(agrees()) > 100, "a digit stands there from the start"
    mouse = ActionChains(chromium).move_to_element(board).move_by_offset(-40, -60)
    mouse.click_and_hold().move_by_offset(50, 0).move_by_offset(-10, 110).release().move_by_offset(40, 0).perform()
    drawn = agrees()
    assert np.ptp(drawn[:, 0]) > 50 and np.ptp(drawn[:, 1]) < 45, "the first stroke replaces the digit that was there"

    clear.click()
    assert not inked().any()
    touch(chromium, board, (0.3, 0.5), (0.5, 0.5), (0.7, 0.5))
    drawn = agrees()
    assert np.ptp(drawn[:, 1]) > 50 and np.ptp(drawn[:, 0]) < 15

    board.send_keys(Keys.SPACE, *[Keys.ARROW_UP] * 8)
    assert "the pen is down" in box.text
    board.send_keys(Keys.SPACE, *[Keys.ARROW_LEFT] * 8)
    assert "the pen is up" in box.text
    crossed = agrees()
    assert np.ptp(crossed[:, 0]) > 32 and np.ptp(crossed[:, 1]) == np.ptp(drawn[:, 1])
    back.click()
    np.testing.assert_array_equal(agrees(), drawn)
    board.send_keys(Keys.BACKSPACE)
    assert not inked().any()

    touch(chromium, board, (0.4, 0.2), (0.45, 0.8))
    z = values(box)
    put(chromium, ranges(box)[2], 3.0)
    z[2] = 3.0
    np.testing.assert_allclose(chromium.execute_script(PIXELS, returned), decoded(chromium, z, "vae-narrow"), atol=4)


def test_explorers_can_be_used_without_seeing_them(explorers):
    for (kind, name), box in explorers.items():
        assert box.get_attribute("role") == "group" and len(box.accessible_name) > 20
        for control in box.find_elements("css selector", "input, select, button, canvas"):
            assert control.accessible_name, control.get_attribute("outerHTML")
        if kind != "training":
            told = [one.text for one in box.find_elements("css selector", "[aria-live=polite]")]
            start = "length of z" if name == "gan-compact" else "nearest mean code"
            assert any(text.startswith(start) for text in told), (kind, name, told)


def test_explorers_say_whose_weights_they_run(explorers):
    for (_, name), box in explorers.items():
        title = box.find_element("css selector", ".explorer-title").text
        expected = {"vae": "The report's VAE", "gan-compact": "A compact GAN, not the report's"}
        assert title == expected.get(name, "A narrow VAE, not the report's")
        assert f"of the run {MODELS[name]}, after " in box.find_element("css selector", ".explorer-source").text


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_in_an_explorer_overlaps_or_sticks_out(book, chromium, view):
    show(chromium, book / "chapters" / "24_latent.html", **VIEWS[view])
    wrong = chromium.execute_script("""
        const parts = "canvas, button, input, select, label, output, p, .explorer-side, .explorer-controls";
        const wrong = [];
        for (const box of document.querySelectorAll(".explorer-alive")) {
            const outer = box.getBoundingClientRect(), seen = [];
            for (const part of box.querySelectorAll(parts)) {
                const inner = part.getBoundingClientRect();
                if (inner.left < outer.left || inner.right > outer.right + 0.5 || inner.bottom > outer.bottom + 0.5)
                    wrong.push(`${box.dataset.kind} ${part.outerHTML.slice(0, 60)} sticks out`);
                for (const [other, o] of seen)
                    if (!other.contains(part) && inner.left < o.right - 1 && o.left < inner.right - 1
                        && inner.top < o.bottom - 1 && o.top < inner.bottom - 1)
                        wrong.push(`${part.outerHTML.slice(0, 60)} on ${other.outerHTML.slice(0, 60)}`);
                seen.push([part, inner]);
            }
        }
        return wrong;
    """)  # fmt: skip
    assert wrong == [] and traffic(chromium) == QUIET


def test_where_scripts_are_off_a_picture_stands_in(book):
    page = (book / "chapters" / "24_latent.html").read_text()
    for source in re.findall(r'class="explorer"[^>]*><img src="([^"]+)" alt="([^"]+)"', page):
        assert (book / "chapters" / source[0]).resolve().is_file() and len(source[1]) > 20
    assert page.count('class="explorer"') == len(SHOWN)
    assert "explorer.js" not in (book / "book" / "notation.html").read_text(), "loaded only where there is an explorer"
    intro = (book / "book" / "intro.html").read_text()
    assert "models/vae.js" in intro and "vae-narrow" not in intro, "a page loads the models that it shows"


def test_every_widget_has_a_twin_in_the_page():
    """A page shows no dead control: beside each widget of a notebook stands an explorer or a figure."""
    for path in sorted(ROOT.glob("chapters/*.ipynb")):
        cells = json.loads(path.read_text())["cells"]
        for n, cell in enumerate(cells):
            if not any("widget-view" in kind for out in cell.get("outputs", []) for kind in out.get("data", {})):
                continue
            assert "remove-output" in cell["metadata"]["tags"] and "its twin" in "".join(cell["source"])
            near = cells[max(0, n - 4) : n]
            explorer = any("```{explorer}" in "".join(one["source"]) for one in near)
            figure = any("figure" in one["metadata"].get("mystnb", {}) for one in near)
            assert explorer or figure, f"{path.name}: cell {n} has no twin"
