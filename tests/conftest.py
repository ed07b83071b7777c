"""One seed for every test; and what `ganvae_lib.quiet_keras` sets before TensorFlow starts."""

import os
import random

import pytest

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
random.seed(0)  # Keras draws the seeds of initial weights from it: modules that build networks when they are imported


@pytest.fixture(autouse=True, scope="module")
def seed_of_the_module():
    """Every network of a fixture starts from the same weights, whatever ran before."""
    random.seed(0)


@pytest.fixture(autouse=True)
def seed_of_the_test(seed_of_the_module):
    """Every network that a test builds too: a test that passes passes again."""
    random.seed(0)
