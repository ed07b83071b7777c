"""Explorers for a notebook with a kernel: Jupyter, Colab. In the book's pages their twins run in JavaScript.

Each function takes a decoder and returns an `Explorer`, a box of controls over a picture. What is common to ipywidgets
7 and 8 is all that is used.

    explorer = slider_explorer(vae.decode, vae.latent_dim)
    explorer.state = {"z1": 2.0}
    explorer.pixels  # what is shown, in [−1, 1]
"""

import io
from collections.abc import Callable, Mapping

import ipywidgets
import numpy as np

from ..data import to_uint8, to_unit_range
from ..errors import CourseError
from ..latent import lerp, slerp
from ..plots import COLOURS

SCALE = 6  # screen pixels for a pixel
CELLS = 14  # of the drawing board, a side: each is 2 × 2 pixels


class Explorer(ipywidgets.VBox):
    """Controls by name over a picture of `draw(**state)`, images (N, 28, 28, 1) in [−1, 1], side by side.

    `state` is read and set as a dict of the controls' values; `pixels` are the images shown. `layout` arranges the
    controls where they are not to stand in a column; `backdrop(**state)` draws a map beside the picture.
    """

    def __init__(self, controls: Mapping[str, ipywidgets.Widget], draw: Callable, *, layout=None, backdrop=None):
        self.controls, self.draw, self.backdrop = dict(controls), draw, backdrop
        self.picture, self.map = ipywidgets.Image(format="png"), ipywidgets.Image(format="png")
        pictures = ipywidgets.HBox([self.map, self.picture] if backdrop else [self.picture])
        super().__init__([*(layout or self.controls.values()), pictures])
        for control in self.controls.values():
            control.observe(self.redraw, "value")
        self.redraw()

    @property
    def state(self) -> dict:
        return {name: control.value for name, control in self.controls.items()}

    @state.setter
    def state(self, values: Mapping) -> None:
        if unknown := set(values) - set(self.controls):
            raise CourseError(f"no control {', '.join(sorted(unknown))}: there are {', '.join(self.controls)}")
        for control in self.controls.values():
            control.unobserve(self.redraw, "value")
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            for control in self.controls.values():
                control.observe(self.redraw, "value")
            self.redraw()

    def redraw(self, _=None) -> None:
        """Decode the state and show it."""
        self.pixels = np.asarray(self.draw(**self.state))
        greys = to_uint8(self.pixels)  # (N, 28, 28)
        self.picture.value = png(np.concatenate(list(greys), axis=1).repeat(SCALE, 0).repeat(SCALE, 1))
        if self.backdrop:
            self.map.value = png(self.backdrop(**self.state))


def slider_explorer(decode, latent_dim: int, start=None, span: float = 4.0) -> Explorer:
    """One slider for each latent coordinate, 'z1' to 'zd', from −span to span."""
    start = np.zeros(latent_dim) if start is None else np.asarray(start, dtype=float)
    controls = {f"z{i + 1}": _slider(f"z{i + 1}", span, value) for i, value in enumerate(start)}
    return Explorer(controls, lambda **z: decode(_row(list(z.values()))))


def pad(decode, origin, right, up, *, codes=None, y=None, span: float = 3.0) -> Explorer:
    """A point ('across', 'up') of the plane origin + across·right + up·up, on a map of `codes` coloured by digit y."""
    origin, right, up = (np.asarray(v, dtype=float) for v in (origin, right, up))
    side = 28 * SCALE
    ground = np.full((side, side, 3), 255, "uint8")
    if codes is not None:
        palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], "uint8")
        # The (across, up) whose point lies nearest to each code, (N, 2); in [−1, 1] where seen.
        place = (np.asarray(codes) - origin) @ np.linalg.pinv(np.stack([right, up])) / span
        seen = np.abs(place).max(axis=1) < 1
        columns, rows = _cells(place[seen], side)
        ground[rows, columns] = palette[np.asarray(y).astype(int)[seen]]

    def backdrop(across, up):
        image = ground.copy()
        (column,), (row,) = _cells(np.array([[across, up]]) / span, side)
        image[max(0, row - 7) : row + 8, column] = image[row, max(0, column - 7) : column + 8] = 0
        return image

    controls = {"across": _slider("across", span), "up": _slider("up", span)}
    axis = up
    return Explorer(controls, lambda across, up: decode(_row(origin + across * right + up * axis)), backdrop=backdrop)


def interpolation(decode, codes, names) -> Explorer:
    """The walk between two of `codes` (N, d), chosen by their `names`; 't' in [0, 1], 'along' a 'line' or an 'arc'."""
    codes, names = np.asarray(codes), [str(name) for name in names]
    if not len(codes) == len(names) == len(set(names)) >= 2:
        raise CourseError(f"a walk needs two codes or more, each with a name of its own, not {names}")
    at = dict(zip(names, codes, strict=True))

    def draw(start, end, along, t):
        walk = lerp if along == "line" or start == end else slerp
        whole = walk(at[start], at[end], 101)
        return decode(whole[[round(100 * t), *range(0, 101, 25)]])

    controls = {
        "start": ipywidgets.Dropdown(options=names, value=names[0], description="from"),
        "end": ipywidgets.Dropdown(options=names, value=names[1], description="to"),
        "along": ipywidgets.Dropdown(options=["line", "arc"], value="line", description="along"),
        "t": ipywidgets.FloatSlider(value=0.5, min=0.0, max=1.0, step=0.01, description="how far"),
    }
    return Explorer(controls, draw)


def direction_explorer(decode, z, directions: Mapping[str, np.ndarray], span: float = 3.0) -> Explorer:
    """A slider for each direction (a unit vector, or a `latent.Direction`), added to z (d,)."""
    normals = {name: np.asarray(getattr(one, "normal", one), dtype=float) for name, one in directions.items()}
    z = np.asarray(z, dtype=float)
    return Explorer(
        {name: _slider(name, span) for name in normals},
        lambda **by: decode(_row(z + sum(amount * normals[name] for name, amount in by.items()))),
    )


def training_scrubber(frames: Mapping[int, np.ndarray], n: int = 8) -> Explorer:
    """The first `n` images (N, 28, 28) uint8 of each epoch, and a slider over epochs: `Result.at_epochs('samples')`."""
    if not frames:
        raise CourseError("there are no snapshots to scrub through: publish a run with checkpoints")
    images = {epoch: to_unit_range(stored[:n]) for epoch, stored in frames.items()}
    slider = ipywidgets.SelectionSlider(options=list(images), value=list(images)[-1], description="epoch")
    return Explorer({"epoch": slider}, lambda epoch: images[epoch])


def draw_and_encode(vae) -> Explorer:
    """A board of 14 × 14 cells to draw a digit on; beside the drawing as `as_mnist` has it, what the VAE gives back.

    `state = {"r3c5": True}` inks the cell in row 3, column 5.
    """
    cell = ipywidgets.Layout(width="16px", height="16px", padding="0", margin="0", flex="none")
    board = {
        f"r{row}c{column}": ipywidgets.ToggleButton(value=False, layout=cell, tooltip=f"row {row}, column {column}")
        for row in range(CELLS)
        for column in range(CELLS)
    }

    def draw(**inked):
        ink = np.array(list(inked.values()), dtype="float32").reshape(CELLS, CELLS).repeat(2, 0).repeat(2, 1)
        edge = np.pad(ink, 1)  # MNIST's strokes have soft edges: the mean of each pixel's neighbourhood
        soft = sum(edge[i : i + 28, j : j + 28] for i in range(3) for j in range(3)) / 9
        x = as_mnist(np.maximum(soft, ink))[None, ..., None]
        return np.concatenate([x, np.asarray(vae(x))])

    grid = ipywidgets.GridBox(
        list(board.values()), layout=ipywidgets.Layout(grid_template_columns=f"repeat({CELLS}, 16px)")
    )
    clear = ipywidgets.Button(description="clear")
    explorer = Explorer(board, draw, layout=[grid, clear])
    clear.on_click(lambda _: setattr(explorer, "state", dict.fromkeys(board, False)))
    return explorer


def as_mnist(ink) -> np.ndarray:
    """Ink (side, side) in [0, 1] → (28, 28) in [−1, 1], placed as MNIST's digits are.

    The longer side of the ink's box becomes 20 pixels, and the centre of mass lies in pixel (14, 14). Each pixel is the
    mean of 8 × 8 places in it. `asMNIST` in the book's explorers is the same.

    Source: LeCun, Cortes & Burges, The MNIST database, 'the digits have been size-normalized and centered'.
    """
    ink = np.asarray(ink, dtype="float64")
    rows, columns = np.nonzero(ink >= 0.5)
    if not len(rows):
        return np.full((28, 28), -1, "float32")
    scale = max(np.ptp(rows), np.ptp(columns)) + 1
    at = ((np.arange(28 * 8) + 0.5) / 8 - 14.5) * scale / 20  # the middle of pixel 14, as MNIST has it
    middle = np.arange(len(ink)) + 0.5
    i, j = (np.floor(ink.sum(axis=1 - axis) @ middle / ink.sum() + at).astype(int) + 1 for axis in (0, 1))
    around = np.pad(ink, 1)  # a place beyond the edge has no ink
    i, j = (np.clip(place, 0, len(ink) + 1) for place in (i, j))
    return (2 * around[np.ix_(i, j)].reshape(28, 8, 28, 8).mean(axis=(1, 3)) - 1).astype("float32")


def png(image: np.ndarray) -> bytes:
    """Greys (H, W) or colours (H, W, 3), uint8, as a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _slider(name: str, span: float, value: float = 0.0) -> ipywidgets.FloatSlider:
    value = float(np.clip(value, -span, span))
    return ipywidgets.FloatSlider(value=value, min=-span, max=span, step=0.01, description=name)


def _row(z) -> np.ndarray:
    return np.asarray(z, dtype="float32")[None]


def _cells(place, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in [−1, 1]², up counted upwards → columns and rows of a picture."""
    columns, rows = ((place[:, 0] + 1) / 2, (1 - place[:, 1]) / 2)
    return tuple(np.clip((v * side).astype(int), 0, side - 1) for v in (columns, rows))
