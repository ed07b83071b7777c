"""Two densities and the Dirac-GAN: their numbers, and their use by mouse, keys and finger."""

import numpy as np
import pytest
from page import control, done, drag, put, summary, touch
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

# --- two densities ----------------------------------------------------------------------------------------------------


def test_divergences_are_the_library_s_and_the_formulas(maths):
    from scipy.special import expit

    from ganvae_lib import toy

    call, x = maths("two-densities"), np.linspace(-20, 20, 4001)
    for shape, pm, ps, qm, qs in (
        ("one", -1, 0.8, 1.5, 1.2),
        ("one", 0, 2.0, 0, 0.3),
        ("two", 0.5, 0.6, -1, 1),
        ("one", 5, 0.5, -5, 2.5),
    ):
        mixture = call("mixture", shape, pm, ps)
        p = toy.Mixture(tuple(mixture["means"]), tuple(mixture["scales"]), tuple(mixture["weights"]))
        q = toy.Mixture(qm, qs)
        a, b = p.pdf(x), q.pdf(x)
        found = call("measure", mixture, call("mixture", "one", qm, qs))
        ratio = p.log_pdf(x) - q.log_pdf(x)
        expected = {
            "klpq": np.trapezoid(a * ratio, x),
            "klqp": -np.trapezoid(b * ratio, x),
            "jsd": toy.jsd(a, b, x),
            "tv": toy.total_variation(a, b, x),
            "w1": toy.wasserstein(a, b, x),
            "slope": np.trapezoid(b * expit(ratio), x),
        }
        assert found == pytest.approx(expected, abs=1e-9)
        if shape == "one":
            assert found["klpq"] == pytest.approx(
                np.log(qs / ps) + (ps**2 + (pm - qm) ** 2) / (2 * qs**2) - 0.5, abs=1e-7
            )
    assert call("matched", "one", 1, 0.7) == pytest.approx(0, abs=1e-9)


def test_densities_are_moved_by_mouse_keys_and_finger(show, chromium):
    box = show("two-densities")
    p, q = box.find_elements("css selector", ".ex-handle")
    state = lambda: chromium.execute_script("return arguments[0].ui.state", box)  # noqa: E731
    before = state()
    drag(chromium, q, 60, 0)
    after = state()
    assert after["qm"] > before["qm"] + 0.5 and after["qs"] == pytest.approx(before["qs"], abs=0.06)
    assert float(control(box, "centre of q").get_attribute("value")) == pytest.approx(after["qm"])
    p.send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP)
    assert state()["pm"] == pytest.approx(-1.1) and state()["ps"] < 0.8
    touch(chromium, p, (-20, 0), (-40, 0))
    assert state()["pm"] < -1.4
    control(box, "width of q").send_keys(Keys.ARROW_RIGHT)
    assert state()["qs"] == pytest.approx(after["qs"] + 0.05)
    assert "q: about" in summary(chromium, box) and p.get_attribute("aria-valuetext").startswith("centre −")


def test_tasks_of_two_densities_are_done_by_doing_them(show, chromium):
    box = show("two-densities")
    put(chromium, box, pm=-4, qm=4.5, ps=0.5, qs=0.5)
    assert done(box) == [False, False, False], "the question is still open"
    ask = Select(box.find_element("css selector", ".ex-ask select"))
    ask.select_by_visible_text("TV")
    assert not done(box)[0] and "try again" in box.find_element("css selector", ".ex-ask").text
    ask.select_by_visible_text("W₁")
    assert done(box)[0]
    put(chromium, box, shape="two", pm=0, ps=0.6, qm=0, qs=2.1)
    assert done(box) == [True, True, False]
    put(chromium, box, qm=2, qs=0.6)
    assert done(box) == [True, True, True]


# --- Dirac-GAN --------------------------------------------------------------------------------------------------------


def test_orbits_follow_the_chapter_s_formulas(maths):
    call = maths("dirac-gan")
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    eta = 0.3
    theta, phi = call("step", 0.7, -1.1, {"eta": eta})
    s = sigmoid(-0.77)
    assert (theta, phi) == pytest.approx((0.7 - eta * s * 1.1, -1.1 - eta * s * 0.7))
    assert theta**2 + phi**2 == pytest.approx((1 + eta**2 * s**2) * (0.7**2 + 1.1**2)), "eq-obj-spiral"
    theta, phi = call("step", 0.7, -1.1, {"eta": eta, "turn": "turn", "loss": "non-saturating", "gamma": 0.5})
    moved = -1.1 + eta * (-s * 0.7 + 0.5 * 1.1)
    assert (theta, phi) == pytest.approx((0.7 + eta * sigmoid(-0.7 * moved) * moved, moved))
    assert call("factor", {"eta": eta}) == pytest.approx(np.sqrt(1 + eta**2 / 4))
    assert call("factor", {"eta": eta, "turn": "turn"}) == pytest.approx(1), "eq-obj-alternating"
    assert call("factor", {"eta": eta, "gamma": 0.5}) == pytest.approx(np.sqrt(1 - eta * 0.5 + eta**2 / 4)), (
        "eq-obj-r1-step"
    )
    roots = np.linalg.eigvals([[1, eta], [-eta, 1 - eta * 2.5]])
    assert call("factor", {"eta": eta, "gamma": 2.5, "loss": "wasserstein"}) == pytest.approx(np.abs(roots).max())
    path = np.array(call("orbit", 1, 0, 300, {"eta": 0.2, "gamma": 0.5}))
    assert path.shape == (301, 2) and np.hypot(*path[-1]) < 1e-3


def test_only_the_penalty_gets_to_the_equilibrium(show, chromium):
    """What the second task's answer says, for every loss, order and step size that the controls offer."""
    show("dirac-gan")
    nearest = chromium.execute_script("""
        const { orbit } = explorables.maths("dirac-gan");
        let least = Infinity;
        for (const loss of ["minimax", "non-saturating", "wasserstein"]) for (const turn of ["once", "turn"])
            for (let eta = 0.02; eta < 2.01; eta += 0.02)
                for (const start of [[1, 0], [0, 1], [0.8, 0.8], [2, -1], [3, 3]])
                    for (const at of orbit(...start, 600, { loss, turn, eta }))
                        least = Math.min(least, Math.hypot(...at));
        return least;
    """)  # fmt: skip
    assert nearest > 0.02


def test_the_dirac_gan_is_moved_and_its_tasks_done(show, chromium):
    box = show("dirac-gan")
    state = lambda: chromium.execute_script("return arguments[0].ui.state", box)  # noqa: E731
    start = box.find_element("css selector", ".ex-handle")
    drag(chromium, start, 40, -30)
    assert state()["theta"] > 1.2 and state()["phi"] > 0.2
    theta = state()["theta"]
    start.send_keys(Keys.ARROW_LEFT)
    assert state()["theta"] == pytest.approx(theta - 0.05)
    touch(chromium, start, (-30, 0))
    assert state()["theta"] < theta - 0.2
    put(chromium, box, theta=1, phi=0, n=200)
    assert done(box) == [True, False, False]
    put(chromium, box, gamma=0.5)
    Select(box.find_element("css selector", ".ex-ask select")).select_by_visible_text("R1")
    assert done(box) == [True, True, False]
    put(chromium, box, gamma=0.1, eta=0.5)
    assert all(done(box)) and "outwards" in summary(chromium, box)
