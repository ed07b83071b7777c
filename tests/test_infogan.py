"""InfoGAN: L_I against closed forms, and whose weights it moves. On both backends (see test_jax.py)."""

import keras
import numpy as np
import pytest
from keras import ops

from ganvae_lib import losses
from ganvae_lib.errors import CourseError
from ganvae_lib.models import infogan, model_class
from ganvae_lib.models.infogan import InfoGAN
from ganvae_lib.training import Batches, adam, assign_arrays, load_arrays, save_arrays, state_arrays

X = (np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1)) / 127.5 - 1).astype("float32")


def small(seed=0, still=(), rate=None, **options):
    keras.utils.set_random_seed(seed)
    generator = infogan.generator(latent_dim=15, hidden=(8, 7 * 7 * 2), filters=(2, 1))
    discriminator = infogan.discriminator(filters=(2, 3), hidden=8, q_hidden=6)
    model = InfoGAN(generator, discriminator, seed=seed, **options)
    rates = {name: 0.0 if name in still else rate or 1e-3 for name in "gd"}
    model.compile(**{f"{name}_optimizer": adam(rate, name=name) for name, rate in rates.items()})
    return model


def fit(model, epochs=1):
    return model.fit(Batches(X, 8), epochs=epochs, verbose=0, shuffle=False).history


def weights(network):
    return np.concatenate([np.ravel(ops.convert_to_numpy(w)) for w in network.trainable_weights])


def without_logit(model):
    """D's logit is 0 and has no slope: G learns from Q or from nothing."""
    layer = model.discriminator.get_layer("logit_dense")
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    return model


# --- L_I ---


def test_the_bound_of_the_class_is_log_k_for_a_reader_without_fault_and_0_for_one_that_guesses():
    c = np.eye(10, dtype="float32")
    assert np.asarray(losses.class_information(c, 50 * c)) == pytest.approx(np.log(10), abs=1e-5)
    assert np.asarray(losses.class_information(c, np.zeros((10, 10), "float32"))) == pytest.approx(0, abs=1e-6)
    assert (np.asarray(losses.class_information(c, np.roll(9 * c, 1, axis=1))) < -6).all()


def test_the_bound_is_the_mutual_information_where_q_is_the_posterior():
    """A binary channel: p(c) = ½, x = c but for one in ten. q(c|x) = p(c|x) attains I = log 2 − H(0.1)."""
    c = np.repeat(np.eye(2, dtype="float32"), 10, axis=0)
    x = np.concatenate([[1] * 9 + [0], [0] * 9 + [1]])  # x = 1 where c = 0 mostly
    information = np.log(2) + 0.9 * np.log(0.9) + 0.1 * np.log(0.1)

    def bound(q):
        posterior = np.where(x[:, None] == 1, [[q, 1 - q]], [[1 - q, q]]).astype("float32")
        return float(ops.mean(losses.class_information(c, np.log(posterior))))

    assert bound(0.9) == pytest.approx(information, abs=1e-5)
    assert bound(0.7) < information - 0.1 and bound(0.99) < information - 0.1


def test_the_bound_of_a_continuous_code_by_its_normal_density():
    c = np.array([[0.5, -1.0]], "float32")
    mu, log_var = np.array([[0.0, -1.0]], "float32"), np.log([[0.25, 4.0]]).astype("float32")
    density = np.exp(-0.5 * 0.5**2 / 0.25) / np.sqrt(2 * np.pi * 0.25) * 1 / np.sqrt(2 * np.pi * 4.0)
    expected = 2 * np.log(2) + np.log(density)
    assert np.asarray(losses.uniform_information(c, mu, log_var)) == pytest.approx([expected], abs=1e-5)
    # A σ that is not learned caps the bound below 0: two codes, no error at all.
    assert float(losses.uniform_information(c, c, 0 * c)[0]) == pytest.approx(-0.4516, abs=1e-3)


# --- a step ---


def test_the_losses_are_those_of_the_same_codes_and_the_updated_discriminator():
    model = small(seed=3, still="g")
    z = model.draw(8)
    model.noise_seed.state.assign([3, 0])  # wind back: the step shall draw the same z
    fake = model.generator(z, training=True)

    def of_d(images):
        logits, class_logits, mu, log_var = model.discriminator(images)
        chosen, continuous = model.codes(z)
        return logits, [float(ops.mean(losses.class_information(chosen, class_logits))),
                        float(ops.mean(losses.uniform_information(continuous, mu, log_var)))]  # fmt: skip

    logits, before = of_d(fake)
    d_loss = float(losses.discriminator_loss(model.discriminator(X[Batches(X, 8).order])[0], logits))
    history = fit(model)
    assert history["d_loss"][0] == pytest.approx(d_loss, rel=1e-4)
    assert history["class_information"][0] == pytest.approx(before[0], abs=1e-5)
    assert history["continuous_information"][0] == pytest.approx(before[1], abs=1e-5)
    logits, after = of_d(fake)
    g_loss = float(losses.non_saturating_loss(logits)) - sum(after)
    assert history["g_loss"][0] == pytest.approx(g_loss, rel=1e-4)


@pytest.mark.parametrize(("information", "moves"), [(1.0, True), (0.0, False)])
def test_the_gradient_of_l_i_reaches_the_generator(information, moves):
    """With D's logit flat the game has no gradient in G: it moves by Q's, and in the control it stands still."""
    model = without_logit(small(still="d", information=information))
    before = weights(model.generator)
    fit(model)
    assert (weights(model.generator) != before).any() == moves


def test_the_generators_step_is_the_gradient_of_its_loss_less_lambda_l_i():
    """Plain gradient descent at rate 1 moves each weight by minus its gradient, here taken through G as a whole."""
    model = small(still="d", seed=4, information=0.5, continuous_weight=0.2)
    model.compile(g_optimizer=keras.optimizers.SGD(1.0), d_optimizer=adam(0.0, name="d"))
    z = model.draw(8)
    model.noise_seed.state.assign([4, 0])
    state = [ops.convert_to_numpy(v) for v in model.generator.variables]

    def loss():
        logits, class_logits, mu, log_var = model.discriminator(model.generator(z, training=True))
        chosen, continuous = model.codes(z)
        l_i = losses.class_information(chosen, class_logits)
        l_i += 0.2 * losses.uniform_information(continuous, mu, log_var)
        return losses.non_saturating_loss(logits) - 0.5 * ops.mean(l_i)

    value, pull_back = model.vjp(loss, model.generator)
    gradient = [np.asarray(g) for g in pull_back(ops.ones_like(value))]
    for variable, was in zip(model.generator.variables, state, strict=True):
        variable.assign(was)  # the running statistics had moved on
    before = [ops.convert_to_numpy(w) for w in model.generator.trainable_weights]
    fit(model)
    for was, weight, g in zip(before, model.generator.trainable_weights, gradient, strict=True):
        np.testing.assert_allclose(was - ops.convert_to_numpy(weight), g, atol=1e-6 + 1e-3 * np.abs(g).max())
    assert max(np.abs(g).max() for g in gradient) > 1e-3


@pytest.mark.parametrize("information", [1.0, 0.0])
def test_q_learns_in_ds_step_with_the_control_too(information):
    model = small(still="g", information=information)
    before = [model.discriminator.get_layer(f"{name}_dense").get_weights()[0] for name in ("class", "mu", "log_var")]
    g = weights(model.generator)
    history = fit(model, epochs=30)
    for name, was in zip(("class", "mu", "log_var"), before, strict=True):
        assert (model.discriminator.get_layer(f"{name}_dense").get_weights()[0] != was).any()
    assert (weights(model.generator) == g).all()
    total = np.add(history["class_information"], history["continuous_information"])
    assert total[-10:].mean() > total[:10].mean()


# --- codes ---


def test_a_steps_codes_and_the_priors_are_of_the_same_kind():
    model = small()
    n = 20_000
    for z in (np.asarray(model.draw(n)), model.prior(n, np.random.default_rng(0))):
        assert z.shape == (n, 15) and z.dtype == np.float32
        chosen, continuous = model.codes(z)
        noise = z[:, : model.noise_dim]
        assert chosen.shape == (n, 10) and continuous.shape == (n, 2) and noise.shape == (n, 3)
        assert (chosen.sum(axis=1) == 1).all() and set(np.unique(chosen)) == {0, 1}
        np.testing.assert_allclose(chosen.mean(axis=0), 0.1, atol=0.01)
        for uniform in (noise, continuous):
            assert -1 <= uniform.min() < -0.99 and 0.99 < uniform.max() <= 1
            np.testing.assert_allclose(uniform.var(axis=0), 1 / 3, atol=0.01)
        assert np.abs(np.corrcoef(z.T)[: model.noise_dim, model.noise_dim :]).max() < 0.03
    assert (np.asarray(model.draw(4)) != np.asarray(model.draw(4))).any()


def test_the_prior_decodes_to_images_one_by_one_as_in_a_batch():
    model = small()
    z = model.prior(9, np.random.default_rng(0))
    images = np.asarray(model.decode(z))
    assert images.shape == (9, 28, 28, 1) and np.abs(images).max() <= 1
    np.testing.assert_allclose(np.asarray(model.decode(z[:1])), images[:1], atol=1e-5)  # running statistics


def test_snapshots_change_the_code_and_nothing_else():
    model = small()
    model.decode = lambda z: z
    found = model.snapshots(X)
    classes = found["classes"].reshape(10, 6, 15)
    assert (classes[:, 0, 3:13] == np.eye(10)).all() and (classes[0, :, :3] == classes[7, :, :3]).all()
    moved = found["continuous"].reshape(2, 3, 10, 15)
    assert moved[0, 1, [0, -1], 13].tolist() == [-1, 1] and moved[1, 2, [0, -1], 14].tolist() == [-1, 1]
    assert (moved[0, :, 0, :13] == moved[1, :, 9, :13]).all() and (moved[0, 0, :, 14] == moved[0, 0, 0, 14]).all()


def test_what_is_measured(monkeypatch):
    monkeypatch.setattr(infogan, "MEASURED", 300)
    y = np.arange(8)
    found = {r.name: r for r in small().measure(X, y, reference="noise", seed=1)}
    assert list(found) == [
        "L_I of the class code",
        "L_I of the continuous codes",
        "MNIST-classifier mutual information of code and digit",
        "MNIST-classifier purity of the code",
        "accuracy of Q on real digits, codes matched",
        "correlation of a continuous code with slant",
        "correlation of a continuous code with width",
    ]
    assert found["L_I of the class code"].extra["ceiling"] == pytest.approx(np.log(10))
    assert found["L_I of the class code"].value < 0.5  # untrained
    assert found["MNIST-classifier mutual information of code and digit"].value < 0.5
    assert found["accuracy of Q on real digits, codes matched"].n == 8


def test_state_is_published_and_training_is_taken_up_bit_for_bit(tmp_path):
    straight, killed, again = (small(seed=2) for _ in range(3))
    assert {id(v) for network in straight.networks().values() for v in network.weights} <= {
        id(v) for v in straight.weights
    }
    batches = Batches(X, 4)
    straight.fit(batches, epochs=2, verbose=0, shuffle=False)
    killed.fit(batches, epochs=1, verbose=0, shuffle=False)
    save_arrays(tmp_path / "c.h5", state_arrays(killed), {})
    assign_arrays(again, load_arrays(tmp_path / "c.h5")[0], tmp_path / "c.h5")
    again.fit(batches, epochs=1, verbose=0, shuffle=False)
    for a, b in zip(straight.get_weights(), again.get_weights(), strict=True):
        assert (a == b).all()


def test_it_is_known_by_name_and_says_its_loss():
    assert model_class("infogan") is InfoGAN
    assert "0 L_I" in InfoGAN.loss_in_words({"information": 0.0})


def test_bad_options_are_answered():
    with pytest.raises(CourseError, match="information"):
        small(information=-1.0)
    with pytest.raises(CourseError, match="latent_dim"):
        InfoGAN(infogan.generator(latent_dim=5, hidden=(49,), filters=(2, 1)))
