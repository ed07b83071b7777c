"""Modulated generators alive in a page: class buttons, truncation, mixing. They need no built book."""

import numpy as np
import pytest
from browser import ROOT, pixels, put, ranges, show, traffic
from selenium.webdriver.support.ui import Select

from ganvae_lib.metrics import feature_network

STATIC = ROOT / "book" / "_static"
SCRIPTS = ("decoder.js", "controls.js", "explorer.js", "modulated.js")
HTML = """<!doctype html><html lang="en"><title>one explorer</title>{scripts}<div class="explorer" data-kind="{kind}"
data-model="{model}" role="group" aria-label="One explorer"><p>Not alive.</p></div></html>"""


@pytest.fixture
def alive(chromium, tmp_path):
    """Function (kind, model) → the explorer of a page that holds nothing else, as the book's directive writes it."""

    def open_page(kind, model):
        names = (f"models/{model}.js", *SCRIPTS)
        scripts = "".join(f'<script defer src="{(STATIC / name).as_uri()}"></script>' for name in names)
        page = tmp_path / f"{kind}.html"
        page.write_text(HTML.format(scripts=scripts, kind=kind, model=model), encoding="utf-8")
        show(chromium, page)
        assert not any(traffic(chromium).values())
        return chromium.find_element("css selector", ".explorer-alive")

    return open_page


def grid(chromium, box):
    """The sixteen images shown, (16, 28, 28, 1) in [−1, 1]."""
    greys = pixels(chromium, box, "canvas").reshape(4, 28, 4, 28).swapaxes(1, 2).reshape(16, 28, 28, 1)
    return (greys / 127.5 - 1).astype("float32")


def press(box, text):
    (button,) = (b for b in box.find_elements("css selector", "button") if b.text == text)
    button.click()


def test_a_button_draws_the_class_it_names(chromium, alive):
    box, network = alive("classes", "conditional-gan"), feature_network("mnist")
    for digit in (7, 0, 4):
        press(box, str(digit))
        seen = network(grid(chromium, box))[1].argmax(axis=1)
        assert np.mean(seen == digit) >= 0.75 and f"asked for: {digit}" in box.text


def test_truncation_makes_the_images_alike_and_another_draw_other_ones(chromium, alive):
    box, spread = alive("classes", "conditional-gan"), {}
    (slider,) = ranges(box)
    press(box, "0")
    for tau in (3, 0.1):
        put(chromium, slider, tau)
        spread[tau] = grid(chromium, box).std(axis=0).mean()
    assert spread[0.1] < 0.5 * spread[3]
    put(chromium, slider, 3)
    before = grid(chromium, box)
    press(box, "draw again")
    assert np.abs(grid(chromium, box) - before).mean() > 0.05


def test_styles_are_those_of_the_image_that_each_switch_names(chromium, alive):
    box = alive("styles", "style-gan")
    canvases = box.find_elements("css selector", "canvas")
    switches = [Select(one) for one in box.find_elements("css selector", "select")]

    def shown(*sources):
        for switch, source in zip(switches, sources, strict=True):
            switch.select_by_value(source)
        script = "return Array.from(arguments[0].getContext('2d').getImageData(0, 0, 28, 28).data)"
        return [np.array(chromium.execute_script(script, canvas)) for canvas in canvases]

    for _ in range(20):  # until a and b are two images: this generator repeats itself
        a, b, mixed = shown("a", "a", "a")
        if (a != b).any():
            break
        press(box, "another b")
    assert (a != b).any() and (mixed == a).all()
    assert (shown("b", "b", "b")[2] == b).all()
    for sources in (("b", "a", "a"), ("a", "b", "a"), ("a", "a", "b")):
        mixed = shown(*sources)[2]
        assert (mixed != a).any() and (mixed != b).any()
    (slider,) = ranges(box)
    put(chromium, slider, 0)  # every style is the mean
    a, b, mixed = shown("a", "b", "a")
    assert (a == b).all() and (a == mixed).all()
