"""Generators whose layers are modulated, as a page runs them: a conditional GAN's, a style generator's.

As in `export.layers_of`, layers follow one another, each a plain dict, and all weights stand in one float16 array.
Beside the running value there is a context: the vector `c` that modulations read, or the w of each layer, and noise.
"""

import numpy as np

from ..errors import RunError
from ..quiet_keras import keras


class Program:
    """Layers and weights, as they are put together."""

    def __init__(self):
        self.layers, self.weights, self.at = [], [], 0

    def add(self, kind, *arrays, **told):
        """A layer; its arrays lie one after another from `at` on."""
        self.layers.append({"type": kind, **told, **({"at": self.at} if arrays else {})})
        self.weights += [np.asarray(array, dtype="float32").ravel() for array in arrays]
        self.at += sum(np.asarray(array).size for array in arrays)

    def dense(self, layer):
        """A dense layer, with a bias of 0 where it has none."""
        inputs, units = layer.kernel.shape
        rate = getattr(layer, "rate", 1.0)
        parts = (rate * np.asarray(part) for part in (layer.kernel, _bias(layer, units)))
        self.add("dense", *parts, inputs=inputs, units=units)

    def convolution(self, layer, kind):
        """A convolution, or a transposed one ('deconvolution'), of padding 'same'."""
        size, channels = layer.input.shape[1], layer.input.shape[3]
        self.add(kind, layer.kernel, _bias(layer, layer.filters), size=size, channels=channels, filters=layer.filters,
                 kernel=layer.kernel_size[0], stride=layer.strides[0])  # fmt: skip

    def modulation(self, layer, part=0):
        """H · (1 + A c) + B c, c the `part`-th vector of the context."""
        d, channels = layer.gain.shape
        self.add("modulation", layer.gain, layer.shift, d=d, channels=channels, part=part)

    def packed(self):
        """→ layers, weights."""
        return self.layers, np.concatenate(self.weights).astype("float16")


def conditional_layers(model) -> dict:
    """A `ConditionalGAN`'s generator as a page runs it on [z, one-hot y]: 'layers' and 'weights'.

    Batch normalisation with its running statistics is a gain and a shift of each channel.
    """
    network, program = model.page_network(), Program()
    layers = {_plain(layer.name): layer for layer in network.layers}
    embedding = layers["generator_embedding"]
    program.add("condition", embedding.kernel, latent=model.latent_dim, classes=embedding.kernel.shape[0],
                d=embedding.units, skip="generator_condition" in layers)  # fmt: skip
    for name in ("dense", "deconv_1"):
        layer = layers[f"generator_{name}"]
        program.dense(layer) if name == "dense" else program.convolution(layer, "deconvolution")
        norm = layers[f"generator_{name}_norm"]
        gain = 1 / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
        program.add("affine", gain, -gain * np.asarray(norm.moving_mean), channels=len(gain))
        program.modulation(layers[f"generator_{name}_modulation"])
        program.add("leaky", slope=0.0)
    program.convolution(layers["generator_deconv_2"], "deconvolution")
    program.add("activation", of="tanh", scale=1.0)
    told, weights = program.packed()
    return {"layers": told, "weights": weights, "classes": embedding.kernel.shape[0]}


def style_layers(model) -> dict:
    """A `StyleGAN`'s: 'mapping', layers from z to w, 'layers', from a w for each layer to an image, 'weights'.

    Both lists read the same weights. 'w_mean' is the running mean of w.
    """
    from ..models.style_gan import LAYERS, SIZES

    f = Program()
    f.add("length", latent=model.latent_dim)
    for layer in model.mapping.layers:
        if isinstance(layer, keras.layers.Dense):
            f.dense(layer)
            f.add("leaky", slope=0.2)
    g = Program()
    g.weights, g.at = f.weights, f.at
    layers = {layer.name: layer for layer in model.synthesis.layers}
    g.add("constant", layers["synthesis_constant"].constant, count=7 * 7 * layers["synthesis_constant"].shape[-1])
    for i, (name, size) in enumerate(zip(LAYERS, SIZES, strict=True)):
        g.convolution(layers[f"synthesis_{name}"], "deconvolution" if i else "convolution")
        noise = layers[f"synthesis_{name}_noise"]
        channels = noise.strength.shape[0]
        first = sum(s**2 for s in SIZES[:i])
        g.add("noise", noise.strength, noise.bias, channels=channels, pixels=size**2, first=first)
        g.add("leaky", slope=0.2)
        g.add("instance", channels=channels)
        g.modulation(layers[f"synthesis_{name}_modulation"], part=i)
    g.convolution(layers["synthesis_image"], "convolution")
    g.add("activation", of="tanh", scale=1.0)
    told, weights = g.packed()
    return {"mapping": f.layers, "layers": told, "weights": weights, "w_mean": np.asarray(model.w_mean).tolist()}


PROGRAMS = {"classes": conditional_layers, "styles": style_layers}


def modulated_layers(model) -> dict:
    """What `PROGRAMS` gives of a model whose `page_kind` is one of them. RunError where it is of another."""
    if model.page_kind not in PROGRAMS:
        raise RunError(f"a page runs {', '.join(PROGRAMS)}, not {model.page_kind!r}")
    return PROGRAMS[model.page_kind](model)


def _bias(layer, units):
    return np.zeros(units) if layer.bias is None else layer.bias


def _plain(name):
    return name.removeprefix("averaged_")
