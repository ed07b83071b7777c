"""Posterior, beta, metrics, checkerboard: their numbers, and their use by mouse, keys and finger."""

import numpy as np
import pytest
from page import ROOT, control, done, drag, press, put, summary, touch, values
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

# --- a posterior by hand ----------------------------------------------------------------------------------------------


def test_bound_and_gap_add_up_to_the_evidence(maths):
    from scipy.stats import multivariate_normal

    call = maths("posterior")
    known = {key: np.array(value) for key, value in call("known").items()}
    W, b, s, x = known["W"], known["B"], known["S"], known["X"]
    evidence = multivariate_normal(b, W @ W.T + s**2 * np.eye(5)).logpdf(x)
    P = np.eye(2) + W.T @ W / s**2
    m = np.linalg.solve(P, W.T @ (x - b) / s**2)
    np.testing.assert_allclose(known["M"], m)
    rng = np.random.default_rng(0)
    for _ in range(10):
        m1, m2 = rng.normal(size=2)
        q = {"m1": m1, "m2": m2, "s1": rng.uniform(0.2, 2), "s2": rng.uniform(0.2, 2), "tilt": rng.uniform(-90, 90)}
        turn = np.deg2rad(q["tilt"])
        R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        cov = R @ np.diag([q["s1"] ** 2, q["s2"] ** 2]) @ R.T
        d = m - [m1, m2]
        gap = 0.5 * (np.trace(P @ cov) + d @ P @ d - 2 - np.log(np.linalg.det(P) * np.linalg.det(cov)))
        kl = 0.5 * (np.trace(cov) + m1**2 + m2**2 - 2 - np.log(np.linalg.det(cov)))
        found = call("bound", q)
        assert found == pytest.approx(
            {"fit": evidence - gap + kl, "kl": kl, "elbo": evidence - gap, "gap": gap, "evidence": evidence}
        )
    assert float(known["DIAGONAL"]) == pytest.approx(0.5 * np.log(P[0, 0] * P[1, 1] / np.linalg.det(P)))


def test_the_posterior_is_found_by_hand(show, chromium):
    box = show("posterior")
    state = lambda: chromium.execute_script("return arguments[0].ui.state", box)  # noqa: E731
    known = chromium.execute_script("return explorables.maths('posterior').known()")
    centre, first, second = box.find_elements("css selector", ".ex-handle")
    drag(chromium, centre, 30, 20)
    assert state()["m1"] > 0.3 and state()["m2"] < 0.1
    touch(chromium, first, (10, 30))
    assert state()["tilt"] < -10
    width = state()["s2"]
    second.send_keys(*[Keys.ARROW_UP] * 4)
    assert state()["s2"] > width
    put(
        chromium,
        box,
        m1=known["M"][0],
        m2=known["M"][1],
        tilt=0,
        **dict(zip(("s1", "s2"), np.diag(known["P"]) ** -0.5, strict=True)),
    )
    Select(box.find_element("css selector", ".ex-ask select")).select_by_visible_text("narrower")
    assert done(box) == [False, True, False]
    variances, axes = np.linalg.eigh(np.linalg.inv(known["P"]))
    found = put(
        chromium,
        box,
        s1=variances[0] ** 0.5,
        s2=variances[1] ** 0.5,
        tilt=np.rad2deg(np.arctan2(axes[1, 0], axes[0, 0])),
    )
    assert found["gap"] == pytest.approx(0, abs=1e-9) and done(box) == [True, True, False]
    put(chromium, box, m1=0, m2=0, s1=1, s2=1)
    assert all(done(box)) and "ELBO" in summary(chromium, box)


# --- beta -------------------------------------------------------------------------------------------------------------


def test_beta_s_numbers_and_images_are_the_records(show, chromium):
    from ganvae_lib.runs.results import find

    show("beta")
    data = chromium.execute_script("return globalThis.explorableData.beta")
    assert [run["beta"] for run in data["runs"]] == [0.1, 0.5, 1, 2, 4, 10]
    for run in data["runs"]:
        for seed in (0, 1):
            record = find(f"design/{run['name'][:-1]}{seed}", ROOT / "results").record
            assert record.configuration["model"]["beta"] == run["beta"] and record.epochs_done == data["epochs"]
            rate, elbo = (record.metric(name).value for name in ("KL to the prior", "ELBO"))
            assert (run["R"][seed], run["elbo"][seed]) == pytest.approx((rate, elbo), abs=1e-3)
            assert run["D"][seed] == pytest.approx(-elbo - rate, abs=1e-3)
        kept = find(f"design/{run['name']}", ROOT / "results").snapshots
        for kind in ("reconstructions", "samples"):
            greys = chromium.execute_script("return explorables.maths('beta').greys(arguments[0])", run[kind])
            expected = kept[f"{kind}_{data['epochs']:03d}"][: data["digits"]].ravel()
            assert np.abs(np.array(greys) - expected).max() <= 9, "16 greys"
    originals = np.array(
        chromium.execute_script("return explorables.maths('beta').greys(arguments[0])", data["originals"])
    )
    clear = chromium.execute_script(
        "return explorables.maths('beta').greys(arguments[0])", data["runs"][0]["reconstructions"]
    )
    apart = np.reshape(clear, (8, 1, 784)) - originals.reshape(1, 8, 784)
    assert (np.square(apart).mean(axis=2).argmin(axis=1) == np.arange(8)).all(), "each is nearest to its own original"


def test_beta_is_moved_along_the_curve(show, chromium):
    box = show("beta")
    state = lambda: chromium.execute_script("return arguments[0].ui.state.run", box)  # noqa: E731
    handle = box.find_element("css selector", ".ex-handle")
    handle.send_keys(Keys.ARROW_RIGHT)
    assert state() == 1, "to the right the rate is higher, and β lower"
    handle.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert state() == 3
    control(box, "β").send_keys(Keys.ARROW_RIGHT)
    assert state() == 4
    drag(chromium, handle, 400, 0)
    assert state() == 0
    touch(chromium, handle, (-400, -200))
    assert state() == 5 and "β = 10" in summary(chromium, box)
    assert done(box)[1]
    put(chromium, box, run=2)
    Select(box.find_element("css selector", ".ex-ask select")).select_by_visible_text("1")
    assert done(box)[0]


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_metrics_are_the_library_s_on_the_same_points(show, chromium):
    from ganvae_lib.metrics import frechet_distance, precision_recall_density_coverage

    box = show("metrics")
    for setting in (
        {},
        {"dx": 0.4, "dy": -0.3},
        {"blur": 2.2, "n": 240},
        {"mode1": False, "mode4": False, "blur": 0.3},
    ):
        found = put(chromium, box, **setting)
        points = chromium.execute_script("return arguments[0].points", box)
        a, b = np.array(points["a"]), np.array(points["b"])
        expected = {m.name: m.value for m in precision_recall_density_coverage(a, b)}
        assert found["frechet"] == pytest.approx(frechet_distance(a, b).value, abs=1e-9)
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, abs=1e-12), (name, setting)


def test_points_are_moved_and_modes_dropped(show, chromium):
    box = show("metrics")
    state = lambda: chromium.execute_script("return arguments[0].ui.state", box)  # noqa: E731
    before = values(chromium, box)["frechet"]
    handle = box.find_element("css selector", ".ex-handle")
    drag(chromium, handle, 50, -30)
    assert state()["dx"] > 0.4 and state()["dy"] > 0.3 and values(chromium, box)["frechet"] > before + 0.2
    right = state()["dx"]
    handle.send_keys(Keys.ARROW_RIGHT)
    assert state()["dx"] == pytest.approx(right + 0.05)
    touch(chromium, handle, (-60, 0))
    assert state()["dx"] < right - 0.4
    press(box, "As the real ones")
    assert state()["dx"] == 0 and not any(done(box))
    for name in ("right", "upper left", "lower left"):
        control(box, name).send_keys(Keys.SPACE)
    assert values(chromium, box)["modes"] == 3 and "lack 3 of 6 modes" in summary(chromium, box)
    Select(box.find_element("css selector", ".ex-ask select")).select_by_index(2)
    assert done(box) == [True, True, False]
    put(chromium, box, blur=0.4)
    assert all(done(box))


# --- checkerboard -----------------------------------------------------------------------------------------------------


def test_counts_are_those_of_a_layer_of_ones(maths):
    from ganvae_lib.quiet_keras import keras

    call = maths("checkerboard")
    for kernel in range(1, 9):
        for stride in range(1, 5):
            layer = keras.layers.Conv1DTranspose(1, kernel, stride, "valid", kernel_initializer="ones")
            expected = np.asarray(layer(np.ones((1, 6, 1), "float32")))[0, :, 0]
            found = np.array(call("counts", 6, kernel, stride))
            # Keras pads 'valid' to at least n · stride places where the kernel is the smaller.
            assert (expected[: len(found)] == found).all() and not expected[len(found) :].any(), (kernel, stride)
            assert found.tolist() == call("output", 6, kernel, stride, [1] * kernel)
            period = call("period", kernel, stride)
            assert (len(set(period)) == 1) == (kernel % stride == 0)
            assert sum(period) == kernel


def test_the_checkerboard_goes(show, chromium):
    box = show("checkerboard")
    state = lambda: chromium.execute_script("return arguments[0].ui.state", box)  # noqa: E731
    handle = box.find_element("css selector", ".ex-handle")
    handle.send_keys(Keys.ARROW_RIGHT)
    assert state()["place"] == 6 and values(chromium, box)["here"] == 2
    drag(chromium, handle, 80, 0)
    assert state()["place"] > 7
    at = state()["place"]
    touch(chromium, handle, (-60, 0))
    assert state()["place"] < at
    control(box, "kernel k").send_keys(Keys.ARROW_RIGHT)
    assert state()["kernel"] == 4 and values(chromium, box)["ripple"] == 0 and done(box) == [True, False, False]
    control(box, "kernel k").send_keys(Keys.ARROW_RIGHT)
    Select(box.find_element("css selector", ".ex-ask select")).select_by_visible_text("4, 6 or 9")
    assert done(box) == [True, True, False] and "2 to 3 inputs" in summary(chromium, box)
    put(chromium, box, kernel=3, weights="linear")
    assert all(done(box))
