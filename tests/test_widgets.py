"""Explorers are set, and what they show is what the decoder says: no test here only looks that something runs."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from ganvae_lib import latent, load_mnist, networks
from ganvae_lib.data import to_uint8
from ganvae_lib.errors import CourseError
from ganvae_lib.explore.widgets import (
    SCALE,
    as_mnist,
    direction_explorer,
    draw_and_encode,
    interpolation,
    pad,
    slider_explorer,
    training_scrubber,
)
from ganvae_lib.models.vae import VAE

rng = np.random.default_rng(0)
BASIS = rng.uniform(-0.2, 0.2, (3, 784))


def decode(z):
    """A decoder whose images are easy to compute."""
    return np.tanh(np.asarray(z) @ BASIS).reshape(-1, 28, 28, 1)


def shown(explorer):
    """The greys of the picture as the browser gets it, scaled back: (28, 28 · N)."""
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value)))[::SCALE, ::SCALE]


def test_sliders_decode_what_they_say():
    explorer = slider_explorer(decode, 3, start=[0.5, 0, -1])
    assert explorer.state == {"z1": 0.5, "z2": 0.0, "z3": -1.0}
    np.testing.assert_allclose(explorer.pixels, decode([[0.5, 0, -1]]), atol=1e-6)
    explorer.controls["z2"].value = 2.0  # as a hand does it
    np.testing.assert_allclose(explorer.pixels, decode([[0.5, 2, -1]]), atol=1e-6)
    explorer.state = {"z1": -4, "z3": 0.25}
    np.testing.assert_array_equal(shown(explorer), to_uint8(decode(np.float32([[-4, 2, 0.25]])))[0])


def test_the_report_s_decoder_is_redrawn_within_a_tenth_of_a_second():
    vae = VAE(networks.encoder(), networks.decoder())
    explorer = slider_explorer(vae.decode, vae.latent_dim)
    times = []
    for value in np.linspace(-1, 1, 11):
        began = time.perf_counter()
        explorer.state = {"z1": float(value)}
        times.append(time.perf_counter() - began)
    assert np.median(times) <= 0.1


def test_setting_the_state_draws_once():
    drawn = []
    explorer = slider_explorer(lambda z: (drawn.append(z), decode(z))[1], 3)
    explorer.state = {"z1": 1, "z2": 1, "z3": 1}
    assert len(drawn) == 2  # at the start, and now
    with pytest.raises(CourseError, match="no control z4"):
        explorer.state = {"z4": 0}


def test_the_pad_is_a_plane_with_a_cross_and_a_map():
    right, up = np.eye(3)[:2]
    codes, y = np.array([[1.0, 2.0, 5.0], [9.0, 0.0, 0.0]]), np.array([2, 3])  # the second is out of sight
    explorer = pad(decode, [0.1, 0, 0], right, up, codes=codes, y=y, span=3)
    explorer.state = {"across": -1.5, "up": 1.0}
    np.testing.assert_allclose(explorer.pixels, decode([[-1.4, 1, 0]]), atol=1e-6)
    image = np.asarray(Image.open(io.BytesIO(explorer.map.value)))
    side = len(image)
    assert image[side // 3, side // 4].tolist() == [0, 0, 0]  # up is up: a third from the top
    coloured = np.argwhere(image.min(axis=2) != image.max(axis=2))
    assert len(coloured) == 1 and tuple(image[tuple(coloured[0])]) == (0x00, 0x9E, 0x73)
    np.testing.assert_allclose(coloured[0] / side, [1 / 6, 0.65], atol=0.01)


def test_interpolation_walks_between_the_chosen():
    codes = rng.standard_normal((3, 3))
    explorer = interpolation(decode, codes, ["a 3", "a 7", "a 9"])
    explorer.state = {"start": "a 7", "end": "a 9", "t": 0.25}
    np.testing.assert_allclose(explorer.pixels[0], decode(latent.lerp(codes[1], codes[2], 5)[1:2])[0], atol=1e-6)
    np.testing.assert_allclose(explorer.pixels[1:], decode(latent.lerp(codes[1], codes[2], 5)), atol=1e-6)
    explorer.state = {"along": "arc"}
    np.testing.assert_allclose(explorer.pixels[0], decode(latent.slerp(codes[1], codes[2], 5)[1:2])[0], atol=1e-6)
    explorer.state = {"start": "a 9"}  # from itself to itself: no arc, no error
    np.testing.assert_allclose(explorer.pixels[0], decode(codes[2:])[0], atol=1e-6)
    assert shown(explorer).shape == (28, 28 * 6)
    with pytest.raises(CourseError, match="a name of its own"):
        interpolation(decode, codes, ["3", "3", "3"])


def test_directions_are_added():
    explorer = direction_explorer(decode, [1, 1, 1], {"slant": np.array([1.0, 0, 0]), "width": np.array([0, 0.6, 0.8])})
    explorer.state = {"slant": -2, "width": 1}
    np.testing.assert_allclose(explorer.pixels, decode([[-1, 1.6, 1.8]]), atol=1e-6)


def test_the_scrubber_shows_the_epoch_it_says():
    frames = {
        10: rng.integers(0, 256, (9, 28, 28), dtype="uint8"),
        20: rng.integers(0, 256, (9, 28, 28), dtype="uint8"),
    }
    explorer = training_scrubber(frames, n=4)
    assert explorer.state == {"epoch": 20}
    explorer.state = {"epoch": 10}
    np.testing.assert_array_equal(shown(explorer), np.concatenate(list(frames[10][:4]), axis=1))
    with pytest.raises(CourseError, match="no snapshots"):
        training_scrubber({})


def test_ink_is_scaled_and_centred_as_mnist_is():
    ink = np.zeros((140, 140))
    ink[20:60, 100:110] = 1  # 40 × 10: to be 20 × 5 around the middle
    x = as_mnist(ink)
    expected = np.full((28, 28), -1.0)
    expected[4:25, 12:17] = np.array([0, *19 * [1], 0])[:, None]  # 20 pixels around 14.5: half of two
    np.testing.assert_allclose(x, expected, atol=1e-6)
    assert np.all(as_mnist(np.zeros((28, 28))) == -1)
    wedge = np.zeros((140, 140))
    wedge[:40], wedge[:, :8] = 1, 1  # its mass lies at the top: that is the middle, and what reaches too far is cut off
    assert np.all(as_mnist(wedge)[:9] == -1) and as_mnist(wedge)[27].max() > 0


def test_mnist_s_own_digits_are_already_so():
    digits = load_mnist().x_test[:50, ..., 0]
    again = np.stack([as_mnist((digit + 1) / 2) for digit in digits])
    moved = np.abs(again - digits).mean()  # MNIST moved its digits by whole pixels: by up to half a pixel off
    assert moved < 0.5 * np.abs(np.roll(digits, 1, axis=2) - digits).mean(), moved


def test_a_drawing_is_encoded_and_given_back():
    vae = VAE(networks.encoder(latent_dim=3, filters=(2, 2), hidden=(8,)), networks.decoder(latent_dim=3))
    explorer = draw_and_encode(vae)
    assert np.all(explorer.pixels[0] == -1)
    explorer.state = {f"r{row}c2": True for row in range(3, 11)}
    x = explorer.pixels[:1]
    assert x[0, 5:23, 13:15].min() > 0.3 and x[0, :, :10].max() == -1  # an upright stroke, moved to the middle
    np.testing.assert_allclose(explorer.pixels[1:], np.asarray(vae(x.astype("float32"))), atol=1e-5)
    button = explorer.children[1]
    button.click()
    assert np.all(explorer.pixels[0] == -1) and not any(explorer.state.values())


def test_a_name_given_twice_is_refused():
    with pytest.raises(CourseError, match="a name of its own"):
        interpolation(decode, np.eye(3), ["3", "5", "3"])


def test_on_slanted_axes_a_code_lies_where_the_cross_finds_it():
    origin, right, up = np.array([0.1, 0.0, 0.0]), np.array([2.0, 0.0, 0.0]), np.array([0.6, 0.8, 0.0])
    explorer = pad(decode, origin, right, up, codes=[origin + 1.5 * right - 1.0 * up], y=[2.0], span=3)
    image = np.asarray(Image.open(io.BytesIO(explorer.map.value)))
    coloured = np.argwhere(image.min(axis=2) != image.max(axis=2))
    np.testing.assert_allclose(coloured / len(image), [[4 / 6, 0.75]], atol=0.01)
