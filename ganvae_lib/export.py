"""A trained decoder as one small script, which a page runs with no kernel, no network, even from file://."""

import base64
import json
from pathlib import Path

import numpy as np

from .errors import RunError
from .latent import traversal
from .record import Record
from .results import Result
from .runs import load_run, save_images

POINTS = 2_000  # test images whose codes a page shows
ACTIVATIONS = ("linear", "tanh")


def export(run, to, *, name: str | None = None) -> dict:
    """Write the decoder of a run in `results/` as `NAME.js`, and `NAME.png`, what a page without scripts shows.

    The script holds one object: the layers in order (`layers_of`), their weights as float16, and for a VAE what its
    snapshots say of the test images: the plane of their codes' two widest directions (principal components), their
    places in it with their digits, the mean code of each digit and the code of one image of each.

    Args:
      run: a folder of `results/`, whose weights and snapshots are read.
      to: the folder for both files.
      name: what the page calls the model; default the run's model.

    Returns:
      The object that was written, its weights and points as base64.

    Raises:
      RunError: the run keeps no weights, or a layer is of a kind that `book/_static/explorer.js` does not know.
    """
    from .training import write_text

    run, to = Path(run), Path(to)
    if not (run / "weights.h5").exists():
        raise RunError(
            f"{run} keeps no weights to export: they were too large for results/; export a smaller variation"
        )
    model, record = load_run(run)
    network = model.decoder if record.model == "vae" else model.generator
    layers, weights = layers_of(network)
    if record.model == "vae":
        layers.append({"type": "activation", "of": "tanh", "scale": model.logit_scale / 2})  # logits → image
    told = {
        "name": name or record.model, "run": record.name, "model": record.model, "variation": record.variation,
        "epochs": record.epochs_done, "latent_dim": model.latent_dim, "layers": layers, "weights": _base64(weights),
    }  # fmt: skip
    if record.model == "vae":
        told |= _codes(run, record)
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{to} cannot be made ({error.strerror}): choose another --to") from error
    script = f"(globalThis.ganvaeModels ??= {{}})[{json.dumps(told['name'])}] = {json.dumps(told)};\n"
    write_text(to / f"{told['name']}.js", script)
    origin = np.array(told.get("mean", np.zeros(model.latent_dim)))
    decode = model.decode if record.model == "vae" else model
    walks = [traversal(origin, axis, np.linspace(-2.5, 2.5, 10)) for axis in range(min(10, model.latent_dim))]
    save_images(to / f"{told['name']}.png", np.asarray(decode(np.concatenate(walks))))
    return told


def layers_of(network) -> tuple[list[dict], np.ndarray]:
    """The layers of a Keras network in order, as plain dicts, and all their weights in one float16 array.

    A layer's kernel begins at `at` and its bias follows it. Kernels are as Keras keeps them: dense (inputs, units),
    transposed convolution (k, k, filters, channels).
    """
    layers, weights, at = [], [], 0
    for layer in network.layers:
        kind = type(layer).__name__
        if kind == "Dense":
            told = {"type": "dense", "inputs": layer.kernel.shape[0], "units": layer.units}
        elif kind == "Conv2DTranspose" and layer.padding == "same":
            told = {"type": "deconvolution", "size": layer.input.shape[1], "channels": layer.input.shape[3],
                    "filters": layer.filters, "kernel": layer.kernel_size[0], "stride": layer.strides[0]}  # fmt: skip
        elif kind == "LeakyReLU":
            layers.append({"type": "leaky", "slope": float(layer.negative_slope)})
            continue
        elif kind == "Reshape":
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


def _codes(run: Path, record: Record) -> dict:
    """What the snapshots say of the test images' codes, for the map and the walks between digits."""
    result = Result(run)
    codes = result.at_epochs("codes")[record.epochs_done].astype(float)
    y = result.snapshots["y_test"]
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
