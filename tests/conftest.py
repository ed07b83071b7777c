"""What `ganvae_lib.quiet_keras` sets before TensorFlow starts, for the test modules that import Keras first."""

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
