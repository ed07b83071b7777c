"""A trained decoder as one small script, which a page runs with no kernel, no network, even from file://."""

import base64
import json
from pathlib import Path

import numpy as np

from ..data import to_uint8
from ..errors import RunError
from ..files import locked, sweep, together
from ..latent import traversal
from ..runs import load_run
from ..runs.record import Record, is_name
from ..runs.results import Result
from ..runs.run import grid
from .modulated import modulated_layers

POINTS = 2_000  # test images whose codes a page shows
POINTS_IN_TRAINING = 1_000  # the same, after each epoch of the training scrubber
DRAWS, DRAWS_SEED = 16, 1  # the z whose images the scrubber shows: the first of those behind `samples_005` and the like
ENCODER_LIMIT = 1_500_000  # bytes of float16: a larger encoder is no load for a page
ACTIVATIONS = ("linear", "tanh")
PARTS = ("encoder", "training")


def export(run, to, *, name: str | None = None) -> dict:
    """Write the decoder of a run in `results/` as `NAME.js`, and `NAME.png`, what a page without scripts shows.

    The script holds one object: the layers in order (`layers_of`), their weights as float16, and for a VAE what its
    snapshots say of the test images: the plane of their codes' two widest directions (principal components), their
    places in it with their digits, the mean code of each digit and the code of one image of each.

    Two more scripts where there is something to put into them, so that a page loads what it shows and no more:
    `NAME.encoder.js`, the VAE's encoder if it is small (`ENCODER_LIMIT`), and `NAME.training.js`, the decoder at each
    epoch that the snapshots kept, with the places of the codes then in the plane of now.

    Args:
      run: a folder of `results/`, whose weights and snapshots are read.
      to: the folder for the files.
      name: what the page calls the model; default 'vae', 'gan', or with the variation, 'gan-compact'.

    Returns:
      The object that was written to `NAME.js`, its weights and points as base64.

    Raises:
      RunError: the run keeps no weights, a layer is of a kind that `book/_static/decoder.js` does not know, nothing
        can be written into `to`, or another process exports under that name.
    """
    run, to = Path(run), Path(to)
    if name is not None and not is_name(name):
        raise RunError(f"{name!r} is no name for a model: use letters, digits, '-' and '_', no path")
    if name is not None and name.endswith((".encoder", ".training")):
        raise RunError(f"{name!r} is the name of a part of another model: choose another")
    Record.read(run)
    if not (run / "weights.h5").exists():
        raise RunError(f"{run} keeps no weights to export: publish the run with them, or export a smaller variation")
    model, record = load_run(run)
    name = name or (record.model if record.variation == "report" else f"{record.model}-{record.variation}")
    if model.page_kind is None:
        layers, weights = layers_of(model.page_network())
        if model.page_scale is not None:
            layers.append({"type": "activation", "of": "tanh", "scale": model.page_scale})  # logits → image
        program = {"layers": layers, "weights": weights}
    else:
        program = modulated_layers(model)
    told = {
        "name": name, "run": record.name, "model": record.model, "variation": record.variation,
        "epochs": record.epochs_done, "latent_dim": model.latent_dim, **program, "weights": _base64(program["weights"]),
    }  # fmt: skip
    result = Result(run)
    if model.encode is not None:
        told |= _codes(result)
    parts = {
        "encoder": _encoder(model) if model.encode is not None else None,
        "training": None if model.page_kind else _training(result, told),
    }
    origin = np.array(told.get("mean", np.zeros(model.latent_dim)))
    walks = [traversal(origin, axis, np.linspace(-2.5, 2.5, 10)) for axis in range(min(10, model.latent_dim))]
    walks = np.concatenate(walks)
    if model.page_kind == "classes":  # each row a z, each column a class
        drawn = np.random.default_rng(DRAWS_SEED).standard_normal((10, model.latent_dim)).astype("float32")
        classes = np.eye(10, dtype="float32")
        walks = np.concatenate([np.repeat(drawn, 10, axis=0), np.tile(classes, (10, 1))], axis=1)
    if model.page_kind == "styles":  # each row an image, each column another one, whose coarse style it takes
        z = np.random.default_rng(DRAWS_SEED).standard_normal((20, model.latent_dim)).astype("float32")
        w = np.asarray(model.styles(z))
        mixed = np.repeat(w[:10, None], 10, axis=1)  # (10, 10, layers, w_dim)
        mixed[:, :, 0] = w[None, 10:, 0]
        images = model.synthesize(mixed.reshape(-1, *w.shape[1:]))
    else:
        images = model.decode(walks)
    scripts = {name: told} | {f"{name}.{part}": parts[part] for part in PARTS if parts[part]}
    paths = [to / f"{name}.png", *(to / f"{script}.js" for script in scripts)]
    with locked(to / name, "exporting", mend="choose another --to"):
        for path in paths:
            sweep(path)
        with together(*paths, mend="make room or choose another --to") as (picture, *files):
            grid(to_uint8(images)).save(picture, "PNG")
            for file, (script, content) in zip(files, scripts.items(), strict=True):
                text = f"(globalThis.ganvaeModels ??= {{}})[{json.dumps(script)}] = {json.dumps(content)};\n"
                file.write_text(text, encoding="utf-8")
        for part in PARTS:
            if f"{name}.{part}" not in scripts:
                (to / f"{name}.{part}.js").unlink(missing_ok=True)  # of an earlier export
    return told


def layers_of(network) -> tuple[list[dict], np.ndarray]:
    """The layers of a Keras network in order, as plain dicts, and all their weights in one float16 array.

    A layer's kernel begins at `at` and its bias follows it. Kernels are as Keras keeps them: dense (inputs, units),
    convolution (k, k, channels, filters), transposed convolution (k, k, filters, channels).

    Args:
      network: a Keras model whose layers follow one another, or such a list of layers.
    """
    layers, weights, at = [], [], 0
    for layer in getattr(network, "layers", network):
        kind = type(layer).__name__
        if kind == "Dense":
            told = {"type": "dense", "inputs": layer.kernel.shape[0], "units": layer.units}
        elif kind == "Conv2DTranspose" and layer.padding == "same":
            told = {"type": "deconvolution", "size": layer.input.shape[1], "channels": layer.input.shape[3],
                    "filters": layer.filters, "kernel": layer.kernel_size[0], "stride": layer.strides[0]}  # fmt: skip
        elif kind == "Conv2D" and layer.padding == "same":
            told = {"type": "convolution", "size": layer.input.shape[1], "channels": layer.input.shape[3],
                    "filters": layer.filters, "kernel": layer.kernel_size[0], "stride": layer.strides[0]}  # fmt: skip
        elif kind == "LeakyReLU":
            layers.append({"type": "leaky", "slope": float(layer.negative_slope)})
            continue
        elif kind in ("InputLayer", "Reshape", "Flatten"):
            continue  # the next layer knows its shape
        elif kind == "Cropping2D":
            size, channels = layer.input.shape[1], layer.input.shape[3]
            layers.append({"type": "crop", "size": size, "channels": channels, "by": layer.cropping[0][0]})
            continue
        elif kind == "Activation" and layer.activation.__name__ in ACTIVATIONS:
            if layer.activation.__name__ == "tanh":
                layers.append({"type": "activation", "of": "tanh", "scale": 1.0})
            continue
        else:
            raise RunError(f"the layer {layer.name} ({kind}) cannot be exported: the page knows no such layer")
        if layer.activation.__name__ != "linear":
            raise RunError(f"the layer {layer.name} has an activation of its own: give it a layer")
        parts = [np.asarray(layer.kernel), np.asarray(layer.bias)]
        layers.append(told | {"at": at})
        weights += [part.ravel() for part in parts]
        at += sum(part.size for part in parts)
    return layers, np.concatenate(weights).astype("float16")


def encoder_layers_of(encoder) -> tuple[list[dict], np.ndarray]:
    """`layers_of` for a VAE's encoder: its two heads, mu and log_var, are one dense layer with mu's outputs first."""
    heads = [encoder.get_layer(f"encoder_{name}") for name in ("mu", "log_var")]
    trunk = [layer for layer in encoder.layers if not layer.name.startswith(("encoder_mu", "encoder_log_var"))]
    layers, weights = layers_of(trunk)
    kernels, biases = ([np.asarray(getattr(head, kind)) for head in heads] for kind in ("kernel", "bias"))
    joined = np.concatenate(kernels, axis=1)  # (inputs, 2 · latent_dim)
    layers.append({"type": "dense", "inputs": joined.shape[0], "units": joined.shape[1], "at": len(weights)})
    return layers, np.concatenate([weights, joined.ravel(), *biases]).astype("float16")


def _encoder(vae) -> dict | None:
    layers, weights = encoder_layers_of(vae.encoder)
    return {"layers": layers, "weights": _base64(weights)} if weights.nbytes <= ENCODER_LIMIT else None


def _training(result: Result, told: dict) -> dict | None:
    """The decoder epoch by epoch, the last being that of `NAME.js`, and where the codes lay then."""
    decoders, maps = result.at_epochs("decoder"), result.at_epochs("map")
    if not decoders:
        return None
    z = np.random.default_rng(DRAWS_SEED).standard_normal((DRAWS, told["latent_dim"])).astype("float32")
    training = {
        "epochs": [*decoders, told["epochs"]],
        "weights": [_base64(weights) for weights in decoders.values()],
        "draws": z.round(5).astype(float).round(5).tolist(),
    }
    if maps:
        mean, axes = np.array(told["mean"]), np.array(told["axes"])
        places = [(codes[:POINTS_IN_TRAINING] - mean) @ axes.T for codes in maps.values()]
        training["points"] = [_base64(place.astype("float16")) for place in places]
    return training


def _codes(result: Result) -> dict:
    """What the snapshots say of the test images' codes, for the map and the walks between digits."""
    if (codes := result.at_epochs("codes").get(result.record.epochs_done)) is None:
        raise RunError(f"{result.folder} keeps no codes of its last epoch: publish it from its checkpoints")
    codes, y = codes.astype(float), result.snapshots["y_test"]
    mean = codes.mean(axis=0)
    _, lengths, axes = np.linalg.svd(codes - mean, full_matrices=False)
    axes = axes[:2] * np.sign(axes[:2, np.abs(axes[:2]).argmax(axis=1)].diagonal())[:, None]
    shown = slice(0, POINTS)
    return {
        "mean": mean.round(5).tolist(),
        "axes": axes.round(6).tolist(),
        "spread": (lengths[:2] / np.sqrt(len(codes))).round(5).tolist(),
        "points": _base64(((codes[shown] - mean) @ axes.T).astype("float16")),
        "digits": "".join(map(str, y[shown])),
        "means": [codes[y == digit].mean(axis=0).round(5).tolist() for digit in range(10)],
        "examples": [codes[y == digit][0].round(5).tolist() for digit in range(10)],
    }


def _base64(array: np.ndarray) -> str:
    """Little-endian bytes as text."""
    return base64.b64encode(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()).decode()
