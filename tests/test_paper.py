"""The report's numbers stand in `paper` and nowhere else in the library."""

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from ganvae_lib import paper

LIBRARY = Path(paper.__file__).parent


def test_a_number_of_the_report_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        paper.RESULTS.gan_fid = 1.0


@pytest.mark.parametrize("number", ["18.24", "28.56", "2.76", "0.092", "0.0002", "2e-4", "12544", "6272"])
def test_no_module_restates_a_number_of_the_report(number):
    code = re.compile(rf"(?<![\w.]){re.escape(number)}(?![\w.])")
    found = []
    for path in LIBRARY.rglob("*.py"):
        if path.name != "paper.py":
            text = re.sub(r'"""[\s\S]*?"""|#.*', "", path.read_text(encoding="utf-8"))  # docstrings may explain
            found += [path.name] if code.search(text) else []
    assert found == []


def test_the_dense_sizes_are_the_products_that_the_report_writes():
    assert paper.GAN.generator_hidden == (6272, 12544)
    assert paper.GAN.generator_hidden[1] % paper.DECISIONS.generator_grid**2 == 0
    assert paper.VAE.decoder_hidden[1] % paper.DECISIONS.decoder_grid**2 == 0
