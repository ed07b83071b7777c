"""What all explorables share."""

import pytest
from page import FOLDER, NAMES, done

# --- what all of them share -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_script_weighs_at_most_60_kb_and_is_no_module(name):
    for path in (FOLDER / "core.js", FOLDER / f"{name}.js"):
        assert path.stat().st_size <= 60_000
        text = path.read_text(encoding="utf-8")
        assert (
            "\nimport " not in text
            and "\nexport " not in text
            and "fetch(" not in text
            and "http:" not in text.replace("http://www.w3.org/2000/svg", "")
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
            .map((e) => [e.getBoundingClientRect(), e.outerHTML.slice(0, 80)])
            .filter(([at]) => at.right > outer.right + 0.5 || at.left < outer.left);
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
