"""Algorithm 2 as `VAE.step` runs it, joint and alternating. These tests run on both backends (see test_jax.py)."""

from types import SimpleNamespace

import numpy as np
import pytest
from keras import ops

from ganvae_lib import VAE, losses, networks
from ganvae_lib.errors import CourseError
from ganvae_lib.metrics import gaussian_log_weights
from ganvae_lib.models.likelihood import reconstruct
from ganvae_lib.training import adam

X = np.full((8, 28, 28, 1), -1, "float32")  # a bright square at eight places
for i in range(8):
    X[i, 2 * i : 2 * i + 8, 10:20] = 0.8


def small_vae(**options):
    encoder = networks.encoder(latent_dim=3, filters=(4, 4), hidden=(16, 8))
    return VAE(encoder, networks.decoder(latent_dim=3, hidden=(8, 64), filters=(4, 1)), **options)


def weights(network):
    return np.concatenate([np.ravel(ops.convert_to_numpy(w)) for w in network.weights])


def fit_one_batch(vae):
    return vae.fit(X, batch_size=len(X), epochs=1, verbose=0, shuffle=False).history


def still(name):
    return adam(learning_rate=0.0, name=name)


def test_the_elbo_that_is_measured_is_of_a_z_drawn_from_q():
    vae, rng = small_vae(), np.random.default_rng(1)
    mu, log_var = rng.normal(size=(2, len(X), 3)).astype("float32")  # not near 0
    encoded = SimpleNamespace(encode=lambda x: (mu, log_var), pixel_logits=vae.pixel_logits)
    z = mu + np.exp(log_var / 2) * np.random.default_rng(0).standard_normal(mu.shape)
    nll = losses.bernoulli_nll(X, vae.pixel_logits(z.astype("float32")))
    expected = -float(ops.mean(nll + losses.gaussian_kl(mu, log_var)))
    (found,) = (r for r in reconstruct(encoded, X, reference_name="eight squares") if r.name == "ELBO")
    assert found.value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reconstruction", ["bce", "mse"])
def test_the_image_is_the_tanh_of_the_decoder_s_output_times_the_scale_a_page_is_told(reconstruction):
    vae = small_vae(reconstruction=reconstruction)
    z = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(vae.decode(z), np.tanh(vae.page_scale * np.asarray(vae.decoder(z))), atol=1e-6)


@pytest.mark.parametrize("reconstruction", ["bce", "mse"])
@pytest.mark.parametrize("objective", ["elbo", "product"])
def test_the_loss_is_the_named_one_on_the_steps_own_noise(reconstruction, objective):
    vae = small_vae(reconstruction=reconstruction, objective=objective, beta=3.0, seed=5)
    vae.compile()
    noise = vae.noise(len(X), 3)
    vae.noise_seed.state.assign([5, 0])  # wind back: the step shall draw the same noise
    mu, log_var = vae.encoder(X)
    logits = vae.decoder(mu + ops.exp(0.5 * log_var) * noise)
    term = losses.bernoulli_nll(X, logits) if reconstruction == "bce" else losses.squared_error(X, ops.tanh(logits))
    kl = losses.gaussian_kl(mu, log_var)
    expected = ops.mean(term) * ops.mean(kl) if objective == "product" else ops.mean(term) + 3 * ops.mean(kl)
    history = fit_one_batch(vae)
    assert history["loss"][0] == pytest.approx(float(expected), rel=1e-4)
    assert history["reconstruction"][0] == pytest.approx(float(ops.mean(term)), rel=1e-4)
    assert history["kl"][0] == pytest.approx(float(ops.mean(kl)), rel=1e-4)


def test_with_one_sample_the_importance_weighted_bound_is_the_elbo():
    vae = small_vae(objective="iwae", samples=1, seed=5)
    vae.compile(optimizer=still("still"))
    noise = np.asarray(vae.noise(len(X), 3))
    vae.noise_seed.state.assign([5, 0])
    mu, log_var = (np.asarray(part) for part in vae.encoder(X))
    z = mu + np.exp(log_var / 2) * noise
    log_p = -np.asarray(losses.bernoulli_nll(X, vae.decoder(z)))
    one_sample = gaussian_log_weights(log_p[:, None], z[:, None], mu, log_var)
    history = fit_one_batch(vae)
    assert history["loss"][0] == pytest.approx(-one_sample.mean(), rel=1e-5)
    # In the mean over the noise it is the ELBO with the KL in closed form.
    found = np.mean([fit_one_batch(vae)["loss"][0] - fit_one_batch(vae)["reconstruction"][0] for _ in range(200)])
    assert found == pytest.approx(float(np.mean(losses.gaussian_kl(mu, log_var))), abs=0.25)


def test_more_samples_tighten_the_importance_weighted_bound():
    log_weights = np.log([[1.0, 3.0], [2.0, 2.0]]).astype("float32")
    exact = -np.log([2.0, 2.0]).mean()
    assert float(losses.negative_importance_weighted_bound(log_weights)) == pytest.approx(exact)
    assert exact < -log_weights.mean()  # Jensen

    def loss(k):
        vae = small_vae(objective="iwae", samples=k, seed=5)
        vae.compile(optimizer=still("still"))
        mu, log_var = vae.encoder.get_layer("encoder_mu"), vae.encoder.get_layer("encoder_log_var")
        mu.kernel.assign(np.ones(mu.kernel.shape))  # far from every posterior, so that weights differ
        log_var.bias.assign(1.0 + log_var.bias.value)
        vae.decoder.set_weights(DECODER.get_weights())
        vae.encoder.get_layer("encoder_dense_2").set_weights(ENCODER.get_layer("encoder_dense_2").get_weights())
        return np.mean([fit_one_batch(vae)["loss"][0] for _ in range(20)])

    DECODER, ENCODER = small_vae().decoder, small_vae().encoder
    assert loss(20) < loss(1)


def test_samples_go_with_the_importance_weighted_bound_only():
    for options in ({"samples": 5}, {"objective": "iwae", "samples": 0}, {"objective": "iwae", "beta": 2.0}):
        with pytest.raises(CourseError, match="several samples go with objective='iwae'"):
            small_vae(**options)


def test_alternating_updates_each_network_by_its_own_optimizer():
    vae = small_vae(schedule="alternating")
    vae.compile(optimizer=still("e"), decoder_optimizer=adam(name="d"))
    encoder, decoder = weights(vae.encoder), weights(vae.decoder)
    fit_one_batch(vae)
    assert (weights(vae.encoder) == encoder).all() and (weights(vae.decoder) != decoder).any()

    vae = small_vae(schedule="alternating")
    vae.compile(optimizer=adam(name="e"), decoder_optimizer=still("d"))
    encoder, decoder = weights(vae.encoder), weights(vae.decoder)
    fit_one_batch(vae)
    assert (weights(vae.encoder) != encoder).any() and (weights(vae.decoder) == decoder).all()


def test_joint_and_alternating_are_different_schedules_of_the_same_loss():
    joint, alternating = small_vae(seed=1), small_vae(schedule="alternating", seed=1)
    joint.compile()
    alternating.compile()
    alternating.encoder.set_weights(joint.encoder.get_weights())
    alternating.decoder.set_weights(joint.decoder.get_weights())
    fit_one_batch(joint)
    fit_one_batch(alternating)
    np.testing.assert_allclose(weights(joint.encoder), weights(alternating.encoder), rtol=1e-4, atol=1e-6)
    assert np.abs(weights(joint.decoder) - weights(alternating.decoder)).max() > 1e-6


def test_training_lowers_the_loss():
    vae = small_vae()
    vae.compile(optimizer=adam(learning_rate=0.003, name="fast"))
    first, *_, last = (fit_one_batch(vae)["loss"][0] for _ in range(80))
    assert last < 0.95 * first


def test_the_product_drives_the_kl_to_nothing():
    vae = small_vae(objective="product")
    vae.compile(optimizer=adam(learning_rate=0.003, name="fast"))
    for _ in range(80):
        history = fit_one_batch(vae)
    assert history["kl"][0] < 1e-2


def test_reconstructions_go_through_the_mean():
    vae = small_vae()
    mu, _ = vae.encoder(X)
    np.testing.assert_allclose(np.asarray(vae(X)), np.asarray(vae.decode(mu)), atol=1e-6)
    assert np.abs(np.asarray(vae(X))).max() <= 1


@pytest.mark.parametrize("option", ["reconstruction", "objective", "schedule"])
def test_bad_options_are_answered(option):
    with pytest.raises(CourseError, match=f"{option} must be one of"):
        small_vae(**{option: "other"})
