"""Every figure of the course in one style: colour-blind safe, readable on a white card in either theme of the book."""

import sys
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

# Okabe & Ito's palette for eight, grey and black for digits 8 and 9: told apart with any kind of colour vision.
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D00", "#7F3C8D", "#8A8A8A", "#000000",
)  # fmt: skip
WIDTH = 7.0  # inches: the width of the book's text column

STYLE = {
    "figure.figsize": (WIDTH, 3.2),
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "gray",
}


def use_style() -> None:
    """Set the course's style for all figures that follow: the first cell of each chapter calls it."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel") and plt.get_backend().lower() == "agg":  # a shell's MPLBACKEND: no figure would appear
        shell.run_line_magic("matplotlib", "inline")
    plt.rcParams.update(STYLE)


def image_grid(images, columns: int | None = None, labels: Sequence[str] | None = None, ax=None) -> Figure:
    """Images (N, 28, 28[, 1]) in [−1, 1] or uint8 as one grid, row by row; `labels` name the rows on the left."""
    x = _greys(images)
    columns = columns or int(np.ceil(np.sqrt(len(x))))
    rows = -(-len(x) // columns)
    canvas = np.ones((rows * columns, 30, 30))
    canvas[: len(x), 1:-1, 1:-1] = x
    canvas = canvas.reshape(rows, columns, 30, 30).swapaxes(1, 2).reshape(rows * 30, columns * 30)
    if ax is None:
        width = min(WIDTH, 0.62 * columns)
        _, ax = plt.subplots(figsize=(width, width * rows / columns))
    ax.imshow(canvas, vmin=0, vmax=1, interpolation="nearest")
    ax.grid(False)
    ax.set(xticks=[], yticks=[] if labels is None else 30 * np.arange(rows) + 15)
    if labels is not None:
        ax.set_yticklabels(labels)
        ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax.figure


def image_grids(grids: Mapping[str, np.ndarray], columns: int = 5) -> Figure:
    """Several grids side by side under their titles, e.g. samples after 10, 20 and 50 epochs (report, figure 1)."""
    _, axes = plt.subplots(1, len(grids), figsize=(WIDTH, WIDTH / len(grids) + 0.3), squeeze=False)
    for ax, (title, images) in zip(axes[0], grids.items(), strict=True):
        image_grid(images, columns, ax=ax)
        ax.set_title(title)
    return axes[0, 0].figure


def pairs(originals, reconstructions) -> Figure:
    """Originals over their reconstructions."""
    both = 2 * np.concatenate([_greys(originals), _greys(reconstructions)]) - 1
    return image_grid(both, columns=len(originals), labels=["x", "x̂"])


def latent_scatter(codes, y, ax=None, title: str | None = None, axes: tuple[int, int] = (0, 1)) -> Figure:
    """Codes (N, d), two of their coordinates, coloured by digit and named at each digit's median (figure 2)."""
    ax = ax or plt.subplots(figsize=(4.4, 4.2))[1]
    codes, y = np.asarray(codes, dtype=float), np.asarray(y)
    for digit in range(10):
        mine = codes[y == digit][:, list(axes)]
        if len(mine):
            ax.scatter(*mine.T, s=4, alpha=0.5, color=COLOURS[digit], linewidths=0, rasterized=True)
            box = {"boxstyle": "circle,pad=0.15", "fc": "white", "ec": COLOURS[digit]}
            ax.annotate(str(digit), np.median(mine, axis=0), ha="center", va="center", bbox=box, fontsize=9)
    ax.set(xlabel=f"coordinate {axes[0] + 1}", ylabel=f"coordinate {axes[1] + 1}", title=title)
    return ax.figure


def histories(history: Mapping[str, Sequence[float]], names: Mapping[str, str], x: str = "epoch", ax=None) -> Figure:
    """Losses against epoch or step; `names` maps columns of `history` to their names in the legend."""
    ax = ax or plt.subplots()[1]
    for column, name in names.items():
        ax.plot(history.get(x, np.arange(1, len(history[column]) + 1)), history[column], label=name)
    ax.set(xlabel=x, ylabel="nats")
    ax.legend()
    return ax.figure


def architecture(model, title: str | None = None) -> Figure:
    """A Sequential or functional network layer by layer: output shapes, parameters, and where the parameters sit."""
    rows = [
        (layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers if layer.weights
    ]
    total = sum(count for *_, count in rows)
    _, ax = plt.subplots(figsize=(WIDTH, 0.36 * len(rows) + 0.9))
    y = np.arange(len(rows))[::-1]
    ax.barh(y, [count / total for *_, count in rows], color=COLOURS[0])
    for at, (_, shape, count) in zip(y, rows, strict=True):
        text = f"{'×'.join(map(str, shape))}   {count:,} ({count / total:.1%})"
        right = count / total > 0.5
        ax.text(count / total + (-0.01 if right else 0.01), at, text, va="center", ha="right" if right else "left",
                color="white" if right else "black", fontsize=9)  # fmt: skip
    ax.set_yticks(y, [name.replace("_", " ") for name, *_ in rows])
    ax.set(xlim=(0, 1), xlabel="share of the parameters", title=title or f"{model.name}: {total:,} parameters")
    ax.grid(False)
    return ax.figure


def _greys(images) -> np.ndarray:
    """Any stored form of images → (N, 28, 28) in [0, 1]."""
    x = np.asarray(images)
    x = x[..., 0] if x.ndim == 4 else x
    return x / 255.0 if x.dtype.kind in "iu" else (np.clip(x, -1, 1) + 1) / 2
