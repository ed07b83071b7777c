"""What the tests of the explorables do on a page."""

from pathlib import Path

import numpy as np
from selenium.webdriver.common.action_chains import ActionChains

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "book" / "_static" / "explorables"
NAMES = ["two-densities", "dirac-gan", "gan-plane", "posterior", "beta", "metrics", "checkerboard"]


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
    r = chromium.execute_script(
        "const r = arguments[0].getBoundingClientRect(); return [r.x, r.y, r.width, r.height]", element
    )
    x, y = r[0] + at[0] * r[2], r[1] + at[1] * r[3]
    points = [(x, y), *((x + a, y + b) for a, b in path)]
    for n, (a, b) in enumerate(points):
        event = {"type": "touchMove" if n else "touchStart", "touchPoints": [{"x": a, "y": b}]}
        chromium.execute_cdp_cmd("Input.dispatchTouchEvent", event)
    chromium.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def done(box):
    """Which tasks have found themselves done."""
    return [one.get_attribute("data-done") == "yes" for one in box.find_elements("css selector", ".ex-tasks > li")]
