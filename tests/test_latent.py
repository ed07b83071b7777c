import numpy as np
import pytest
from scipy import ndimage

from ganvae_lib import latent, load_mnist
from ganvae_lib.errors import CourseError
from ganvae_lib.latent import (
    direction,
    effects,
    encode,
    image_decoder,
    invert,
    lerp,
    plane,
    slant,
    slerp,
    thickness,
    traversal,
    width,
)

rng = np.random.default_rng(0)
A, B = rng.standard_normal(100), rng.standard_normal(100)


def bar(w, h=20, lean=0.0):
    """An upright bar of ink, w × h pixels, sheared so that it leans `lean` pixels to the right for each upwards."""
    image = np.zeros((112, 112))
    image[56 - 2 * h : 56 + 2 * h, 56 - 2 * w : 56 + 2 * w] = 1
    if lean:
        image = ndimage.affine_transform(image, [[1, 0], [lean, 1]], offset=[0, -55.5 * lean], order=1)
    return (2 * image.reshape(28, 4, 28, 4).mean(axis=(1, 3)) - 1)[None, ..., None]


# Walks


def test_walks_begin_and_end_where_they_should():
    for walk in (lerp, slerp):
        path = walk(A, B, 9)
        assert path.shape == (9, 100) and path.dtype == np.float32
        np.testing.assert_allclose(path[0], A, rtol=1e-6)
        np.testing.assert_allclose(path[-1], B, rtol=1e-6)


def test_the_arc_keeps_its_length_and_its_pace_and_the_line_does_not():
    path = slerp(A, B, 11).astype(float)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(np.linalg.norm(A), np.linalg.norm(B), 11), rtol=1e-6)
    unit = path / lengths[:, None]
    angles = np.arccos(np.sum(unit[1:] * unit[:-1], axis=1))
    np.testing.assert_allclose(angles, angles[0], rtol=1e-4)
    assert np.linalg.norm(lerp(A, B, 3)[1]) < 0.85 * lengths[5]


def test_an_arc_between_near_directions_is_the_line():
    np.testing.assert_allclose(slerp(A, 2 * A, 3)[1], 1.5 * A, rtol=1e-6)
    near = A + 1e-4 * B
    np.testing.assert_allclose(slerp(A, near, 3), lerp(A, near, 3), atol=1e-6)


@pytest.mark.parametrize(
    ("walk", "message"),
    [
        (lambda: slerp(A, -A, 3), "opposite"),
        (lambda: slerp(A, 0 * A, 3), "not 0"),
        (lambda: lerp(A, B[:5], 3), "same length"),
        (lambda: lerp(A, B, 1), "2 or more"),
        (lambda: traversal(A, 100, [0]), "between 0 and 99"),
        (lambda: plane(A, B, B[:3]), "same length"),
    ],
)
def test_walks_that_cannot_be(walk, message):
    with pytest.raises(CourseError, match=message):
        walk()


def test_a_traversal_moves_one_coordinate():
    walk = traversal(A, 3, [-2, 0, 2])
    assert walk[:, 3].tolist() == [-2, 0, 2]
    np.testing.assert_array_equal(
        np.delete(walk, 3, axis=1), np.delete(np.tile(A, (3, 1)), 3, axis=1).astype("float32")
    )


def test_a_plane_is_read_like_a_page():
    grid = plane(np.zeros(3), [1, 0, 0], [0, 1, 0], n=3, span=2).reshape(3, 3, 3)
    assert grid[0, 0].tolist() == [-2, 2, 0] and grid[0, 2].tolist() == [2, 2, 0] and grid[2, 0].tolist() == [-2, -2, 0]


# Attributes


@pytest.mark.parametrize("w", [2, 3, 4])
def test_thickness_of_a_bar(w):
    assert thickness(bar(w, h=24))[0] == pytest.approx(w, rel=0.12)  # its ends cost a little


@pytest.mark.parametrize("lean", [-0.5, 0.0, 0.3])
def test_slant_of_a_bar_and_its_width_once_upright(lean):
    image = bar(4, lean=lean)
    assert slant(image)[0] == pytest.approx(np.degrees(np.arctan(lean)), abs=1)
    assert width(image)[0] == pytest.approx(4, rel=0.05)


def test_real_digits_have_sensible_attributes_and_no_ink_has_none():
    mnist = load_mnist()
    x, y = mnist.x_test[:300], mnist.y_test[:300]
    assert 1 < np.median(thickness(x)) < 5
    assert 0 < np.median(slant(x)) < 20  # people lean to the right
    assert np.median(width(x[y == 1])) < 0.6 * np.median(width(x[y == 0]))
    mirrored = x[:, :, ::-1]
    np.testing.assert_allclose(slant(mirrored), -slant(x), atol=1e-6)
    blank = np.full((1, 28, 28, 1), -1.0)
    assert thickness(blank)[0] == 0 and slant(blank)[0] == 0 and width(blank)[0] == 0
    with pytest.raises(CourseError, match="images have shape"):
        thickness(x[..., 0])


# Directions


def test_a_direction_is_found_and_pointed_to_more():
    codes = rng.standard_normal((600, 10))
    normal = rng.standard_normal(10)
    normal /= np.linalg.norm(normal)
    found = direction("made up", codes, codes @ normal + 0.1 * rng.standard_normal(600))
    assert found.normal @ normal > 0.97 and found.accuracy > 0.97 and found.n == 400
    nothing = direction("noise", codes, rng.standard_normal(600))
    assert nothing.accuracy < 0.65
    walk = found.walk(codes[0], [-1, 0, 2])
    np.testing.assert_allclose(walk[1], codes[0], rtol=1e-6)
    assert (walk[2] - walk[0]) @ found.normal == pytest.approx(3, rel=1e-6)


def test_a_direction_without_another_leaves_it_alone():
    codes = rng.standard_normal((900, 6))
    a = direction("a", codes, codes[:, 0])
    b = direction("b", codes, codes[:, 0] + codes[:, 1])
    only = b.without(a)
    assert abs(only.normal @ a.normal) < 1e-12 and np.linalg.norm(only.normal) == pytest.approx(1)
    assert only.normal[1] > 0.9 and only.name == "b without a"
    with pytest.raises(CourseError, match="nothing of 'a'"):
        a.without(a)


@pytest.mark.parametrize(
    ("codes", "values", "message"),
    [
        (np.zeros((10, 2)), np.zeros(10), "N ≥ 30"),
        (np.zeros((40, 2)), np.zeros(39), "needed"),
        (np.zeros((40, 2)), np.ones(40), "all alike"),
    ],
)
def test_directions_that_cannot_be(codes, values, message):
    with pytest.raises(CourseError, match=message):
        direction("x", codes, values)


def test_effects_of_a_decoder_that_draws_bars():
    """z₁ is the lean of the bar, z₂ moves nothing."""
    table = effects(
        lambda z: np.concatenate([bar(3, lean=float(v[0])) for v in z]),
        np.zeros((2, 2)),
        [np.array([1.0, 0.0]), np.array([0.0, 1.0])],
        {"slant": slant, "width": width},
        step=0.25,
    )
    assert table[0, 0] == pytest.approx(2 * np.degrees(np.arctan(0.25)), rel=0.05)
    assert abs(table[0, 1]) < 0.5 and np.abs(table[1]).max() < 1e-9


# Codes


def test_encode_is_the_encoder_in_batches():
    from ganvae_lib import networks
    from ganvae_lib.models.vae import VAE

    vae = VAE(networks.encoder(latent_dim=3, filters=(2, 2), hidden=(8,)), networks.decoder(latent_dim=3))
    x = load_mnist().x_test[:7]
    mu, log_var = encode(vae, x, batch_size=3)
    whole = vae.encoder(x)
    np.testing.assert_allclose(mu, np.asarray(whole[0]), atol=1e-6)
    np.testing.assert_allclose(log_var, np.asarray(whole[1]), atol=1e-6)


def test_invert_finds_the_latent_vector_again():
    import keras

    keras.utils.set_random_seed(0)
    generator = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(784, "tanh"), keras.layers.Reshape((28, 28, 1))]
    )
    z = rng.standard_normal((3, 4)).astype("float32")
    calls = []
    found = invert(
        generator, np.asarray(generator(z)), steps=400, restarts=3, learning_rate=0.1,
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    np.testing.assert_allclose(found.z, z, atol=0.02)
    assert found.error.shape == (3,) and found.errors.shape == (3, 3)
    np.testing.assert_array_equal(found.error, found.errors.min(axis=1))
    assert found.error.max() < 0.1 and calls[-1] == ("inversion", 400, 400)
    held = invert(generator, np.asarray(generator(z)), steps=400, restarts=1, prior_weight=1e4)
    assert np.abs(held.z).max() < 0.1  # a heavy prior keeps z at 0
    with pytest.raises(CourseError, match="restarts"):
        invert(generator, z, restarts=0)


@pytest.mark.parametrize("reconstruction", ["bce", "mse"])
def test_the_image_decoder_of_a_model_is_what_it_draws_with(reconstruction):
    from ganvae_lib import networks
    from ganvae_lib.models.gan import GAN
    from ganvae_lib.models.vae import VAE

    z = rng.standard_normal((4, 3)).astype("float32")
    vae = VAE(
        networks.encoder(latent_dim=3, filters=(2, 2), hidden=(8,)),
        networks.decoder(latent_dim=3),
        reconstruction=reconstruction,
    )
    np.testing.assert_allclose(np.asarray(image_decoder(vae)(z)), np.asarray(vae.decode(z)), atol=1e-6)
    assert image_decoder(vae).input_shape == (None, 3)
    gan = GAN(networks.generator(latent_dim=3, hidden=(98,), filters=(2, 1)), networks.discriminator(filters=(2,)))
    np.testing.assert_allclose(np.asarray(image_decoder(gan)(z)), np.asarray(gan(z)), atol=1e-6)


def test_vectors_that_no_walk_can_hold_are_answered():
    for bad in ([1e300, 0.0], [np.nan, 0.0], [1j, 0.0], [[1.0], [1.0, 2.0]], 3.0, []):
        for call in (
            lambda b=bad: latent.lerp(b, [1.0, 2.0], 3),
            lambda b=bad: latent.slerp([1.0, 2.0], b, 3),
            lambda b=bad: latent.plane([0.0, 0.0], b, [0.0, 1.0]),
            lambda b=bad: latent.traversal(b, 0, [1.0]),
        ):
            with pytest.raises(CourseError):
                call()
    with pytest.raises(CourseError, match="values"):
        latent.traversal([1.0, 2.0], 0, [[1.0]])


def test_codes_that_say_nothing_of_an_attribute_have_no_direction():
    values = np.arange(40.0)
    for codes in (
        np.zeros((40, 2)),
        np.full((40, 2), 1e-300),
        np.full((40, 2), np.nan),
        np.zeros((40, 0)),
        np.full((40, 2), 1e200),
        1e20 * np.random.default_rng(0).standard_normal((40, 2)),
    ):
        with pytest.raises(CourseError):
            latent.direction("x", codes, values)
    with pytest.raises(CourseError):
        latent.direction("x", np.random.default_rng(0).standard_normal((40, 2)), np.full(40, np.inf))


# Faults that gave a wrong answer without a word


def test_without_leaves_out_an_axis_once_and_nothing_else():
    axis = np.eye(3)
    one = latent.Direction("one", axis[0], 0.0, 1.0, 9)
    slanted = latent.Direction("a", (axis[0] + axis[1]) / np.sqrt(2), 0.5, 0.9, 9)
    np.testing.assert_allclose(slanted.without(one, one).normal, axis[1], atol=1e-12)
    assert slanted.without() is slanted


def test_an_attribute_of_two_values_has_a_direction():
    codes = np.random.default_rng(0).standard_normal((400, 3))
    for threshold in (0.84, -0.84):
        found = direction("binary", codes, (codes[:, 0] > threshold).astype(float))
        assert found.accuracy > 0.95 and found.normal[0] > 0.9 and found.n == 400
    with pytest.raises(CourseError, match="5 on each side"):
        direction("rare", codes, np.arange(400) == 7)


@pytest.mark.parametrize("wrong", ["uint8", "0 to 1"])
def test_attributes_of_images_on_another_range_are_refused(wrong):
    image = bar(3, lean=0.3)
    x = np.rint((image + 1) * 127.5).astype("uint8") if wrong == "uint8" else (image + 1) / 2
    for measure in (slant, width, thickness):
        with pytest.raises(CourseError, match="subtract 1"):
            measure(x)
