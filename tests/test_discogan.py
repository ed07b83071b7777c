"""DiscoGAN: its domains, its losses, its step and its judges. On both backends (see test_jax.py)."""

import numpy as np
import pytest
from keras import ops

from ganvae_lib import losses
from ganvae_lib.data import load_mnist
from ganvae_lib.errors import CourseError
from ganvae_lib.models.discogan import DOMAINS, DiscoGAN, critic, translator
from ganvae_lib.models.variations import build
from ganvae_lib.training import adam

MNIST = load_mnist().limit(200)
X_A, X_B = MNIST.x_train[:8], -MNIST.x_train[8:16]
SMALL = {"filters": (4, 4), "groups": 2, "kernel_size": 3}


def small_discogan(**options):
    g_ab, g_ba = translator(**SMALL, name="g_ab"), translator(**SMALL, name="g_ba")
    d_a, d_b = critic((4,), 3, name="d_a"), critic((4,), 3, name="d_b")
    return DiscoGAN(g_ab, g_ba, d_a, d_b, **options)


def weights(*networks):
    return np.concatenate([np.ravel(ops.convert_to_numpy(v.value)) for n in networks for v in n.weights])


def fit_one_batch(model):
    return {k: v[0] for k, v in model.fit(X_A, X_B, batch_size=8, epochs=1, verbose=0, shuffle=False).history.items()}


def test_the_two_domains_share_no_image_and_the_map_can_be_undone():
    for domain in ("inverse", "rotated"):
        to_b, undo = DOMAINS[domain]
        x_a, x_b = DiscoGAN.training_arrays(MNIST, {"domain": domain})
        assert len(x_a) == len(x_b) == len(MNIST.x_train) // 2
        assert (undo(to_b(x_a)) == x_a).all() and (to_b(x_a) != x_a).any()
        seen = {image.tobytes() for image in np.ascontiguousarray(x_a)}
        assert not any(image.tobytes() in seen for image in np.ascontiguousarray(undo(x_b)))
        assert {image.tobytes() for image in np.ascontiguousarray(undo(x_b))} <= {i.tobytes() for i in MNIST.x_train}
    thick, _ = DOMAINS["thick"]
    assert (thick(X_A) >= X_A).all() and thick(X_A).mean() > X_A.mean() + 0.1


@pytest.mark.parametrize(
    ("reconstruction", "gan_a", "home_a", "home_b"),
    [("both", 1, 1, 1), ("one-trip", 1, 1, 0), ("one-way", 0, 1, 0), ("none", 1, 0, 0)],
)
def test_the_loss_is_the_sum_of_the_terms_named(reconstruction, gan_a, home_a, home_b):
    model = small_discogan(reconstruction=reconstruction, cycle_weight=7.0)
    in_b, in_a = model.g_ab(X_A), model.g_ba(X_B)
    expected = losses.non_saturating_loss(model.d_b(in_b)) + gan_a * losses.non_saturating_loss(model.d_a(in_a))
    errors = [np.mean((X_A - model.g_ba(in_b)) ** 2), np.mean((X_B - model.g_ab(in_a)) ** 2)]
    expected = float(expected) + 7 * (home_a * errors[0] + home_b * errors[1])
    total, parts = model.translators_loss(X_A, X_B)
    assert float(total) == pytest.approx(expected, rel=1e-4)
    assert float(parts["round_trip"]) == pytest.approx(sum(errors), rel=1e-4)


def test_translators_and_discriminators_are_each_moved_by_their_own_optimizer_only():
    for still in ("d_optimizer", "g_optimizer"):
        model = small_discogan()
        model.compile(**{still: adam(learning_rate=0.0, name="still")})
        g, d = weights(model.g_ab, model.g_ba), weights(model.d_a, model.d_b)
        fit_one_batch(model)
        assert (weights(model.g_ab, model.g_ba) == g).all() == (still == "g_optimizer")
        assert (weights(model.d_a, model.d_b) == d).all() == (still == "d_optimizer")


def test_training_brings_the_round_trips_home_only_where_it_is_asked_to():
    found = {}
    for reconstruction in ("both", "none"):
        model = small_discogan(reconstruction=reconstruction)
        model.g_ab.set_weights(TRANSLATOR)
        model.g_ba.set_weights(TRANSLATOR)
        model.compile(learning_rate=0.005)
        for _ in range(80):
            history = fit_one_batch(model)
        found[reconstruction] = history["round_trip"]
    assert found["both"] < 0.6 * found["none"]


TRANSLATOR = translator(**SMALL).get_weights()


class Perfect(DiscoGAN):
    """Translates by the known map."""

    def translate(self, x, network):
        return self.to_b(x) if network is self.g_ab else self.undo(x)


def results(model):
    return {r.name: r for r in model.measure(MNIST.x_test, MNIST.y_test, reference="test images")}


def test_the_judges_know_the_right_translation_from_a_perfect_round_trip_to_elsewhere():
    options = {"g_ab": translator(**SMALL), "g_ba": translator(**SMALL), "d_a": critic((4,)), "d_b": critic((4,))}
    right = results(Perfect(**options, domain="rotated"))
    for way in ("A → B", "B → A"):
        kept = right[f"MNIST-classifier class kept, {way}"]
        assert kept.value == kept.floor > 0.9
        assert right[f"squared distance from the known partner, {way}"].value == 0
    assert right["round-trip error, A → B → A"].value == right["round-trip error, B → A → B"].value == 0

    class Elsewhere(Perfect):
        def translate(self, x, network):
            return x[:, ::-1] * 1.0  # upside down both ways: every round trip is perfect

    wrong = results(Elsewhere(**options, domain="rotated"))
    assert wrong["round-trip error, A → B → A"].value == 0
    assert wrong["MNIST-classifier class kept, A → B"].value < 0.6
    assert wrong["squared distance from the known partner, A → B"].value > 50


def test_samples_are_translations_brought_back_by_the_known_map():
    model = small_discogan(domain="rotated")
    z = model.prior(5, np.random.default_rng(0))
    assert z.shape == (5, 784)
    x_a, _ = model.training_arrays(load_mnist(), {"domain": "rotated"})
    assert any((z[0] == image.ravel()).all() for image in x_a)
    turned = np.rot90(ops.convert_to_numpy(model.g_ab(z.reshape(-1, 28, 28, 1))), -1, (1, 2))
    np.testing.assert_allclose(model.decode(z), turned, atol=1e-6)


def test_every_network_has_names_of_its_own():
    paths = [v.path for v in build("discogan", {p: {"filters": (8, 8)} for p in DiscoGAN.parts}).state_variables()]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("option", ["domain", "reconstruction"])
def test_bad_options_are_answered(option):
    with pytest.raises(CourseError, match=f"{option} must be one of"):
        small_discogan(**{option: "other"})


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_a_translator_of_any_depth_ends_at_28_pixels(depth):
    assert translator((4,) * depth, groups=2).output_shape == (None, 28, 28, 1)
