"""`make controls` on a notebook of two cells: each control fails what it should, and nothing else."""

import nbformat
import pytest
from controls import outcomes

SHUFFLES = """
import numpy as np
from ganvae_lib import load_mnist
x = load_mnist().x_train[:500, :, :, 0]
assert np.corrcoef(x[:, 14, 13], x[:, 14, 14])[0, 1] > 0.5  # neighbouring pixels
assert 1 + 1 == 2
"""
TRAINS = """
import keras
w = keras.Variable(1.0)
adam = keras.optimizers.Adam(0.5)
adam.build([w])
adam.apply([keras.ops.ones(())], [w])
assert float(w) < 0.9
"""


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("as it stands", {"pixels:0": "passed", "pixels:1": "passed", "step:0": "passed"}),
        ("shuffled", {"pixels:0": "failed", "pixels:1": "passed", "step:0": "passed"}),
        ("untrained", {"pixels:0": "passed", "pixels:1": "passed", "step:0": "failed"}),
    ],
)
def test_a_control_fails_what_it_should(tmp_path, control, expected):
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in (("pixels", SHUFFLES), ("step", TRAINS))]
    path = tmp_path / "chapter.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    tried, texts = outcomes(path, control)
    assert {key: outcome for key, (outcome, _) in tried.items()} == expected and set(texts) == set(expected)
