"""The generator that is asked for a class, alive in a page: its buttons, its truncation. It needs no built book."""

import numpy as np
import pytest
from browser import ROOT, pixels, put, ranges, show, traffic

from ganvae_lib.metrics import feature_network

STATIC = ROOT / "book" / "_static"
SCRIPTS = ("models/conditional-gan.js", "decoder.js", "explorer.js", "modulated.js")


@pytest.fixture(scope="module")
def box(chromium, tmp_path_factory):
    """The explorer of a page that holds nothing else, as the book's directive writes it."""
    page = tmp_path_factory.mktemp("page") / "classes.html"
    scripts = "".join(f'<script defer src="{(STATIC / name).as_uri()}"></script>' for name in SCRIPTS)
    page.write_text(
        f'<!doctype html><html lang="en"><title>classes</title>{scripts}<div class="explorer" data-kind="classes" '
        'data-model="conditional-gan" role="group" aria-label="Classes"><p>Not alive.</p></div></html>',
        encoding="utf-8",
    )
    show(chromium, page)
    assert not any(traffic(chromium).values())
    return chromium.find_element("css selector", ".explorer-alive")


def grid(chromium, box):
    """The sixteen images shown, (16, 28, 28, 1) in [−1, 1]."""
    greys = pixels(chromium, box, "canvas").reshape(4, 28, 4, 28).swapaxes(1, 2).reshape(16, 28, 28, 1)
    return (greys / 127.5 - 1).astype("float32")


def press(box, text):
    (button,) = (b for b in box.find_elements("css selector", "button") if b.text == text)
    button.click()


def test_a_button_draws_the_class_it_names(chromium, box):
    network = feature_network("mnist")
    (slider,) = ranges(box)
    put(chromium, slider, 3)
    for digit in (7, 0, 4):
        press(box, str(digit))
        seen = network(grid(chromium, box))[1].argmax(axis=1)
        assert np.mean(seen == digit) >= 0.75 and f"asked for: {digit}" in box.text


def test_truncation_makes_the_images_alike_and_another_draw_other_ones(chromium, box):
    (slider,) = ranges(box)
    press(box, "0")
    spread = {}
    for tau in (3, 0.1):
        put(chromium, slider, tau)
        spread[tau] = grid(chromium, box).std(axis=0).mean()
    assert spread[0.1] < 0.5 * spread[3]
    put(chromium, slider, 3)
    before = grid(chromium, box)
    press(box, "draw again")
    assert np.abs(grid(chromium, box) - before).mean() > 0.05
