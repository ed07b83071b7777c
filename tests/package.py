"""Try a wheel as somebody has it who has no clone: `python tests/package.py WHEEL` (`make package`).

In a bare environment, in a folder of its own: the library, the command and the classifier's weights that came along.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LIBRARY = """
import sys
from pathlib import Path
import numpy as np
import ganvae_lib
from ganvae_lib.data import load_mnist
from ganvae_lib.metrics import feature_network
place = Path(ganvae_lib.__file__).resolve()
assert place.is_relative_to(Path(sys.argv[1]).resolve()), f"{place} is another library"
digits = load_mnist()
_, logits = feature_network("mnist")(digits.x_test[:500])
right = float(np.mean(logits.argmax(1) == digits.y_test[:500]))
assert right > 0.97, f"the classifier that came with it is right on {right}"
print(ganvae_lib.__version__, "is right on more than 97 % of 500 digits")
"""


def settings(**more):
    """The environment without what would show Python this clone or its settings."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GANVAE", "KERAS"))} | more


def library(python, folder, installed, **environment):
    """Use the library and its classifier in `folder`, from the files in `installed`. → what was printed."""
    command = [str(python), "-c", LIBRARY, str(installed)]
    done = subprocess.run(command, cwd=folder, env=settings(**environment), capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(done.stderr[-2000:])
    return done.stdout.strip()


def main(wheel):
    """Install the wheel with what it asks for, newest versions, and use all three."""
    with tempfile.TemporaryDirectory(prefix="ganvae wheel ü ") as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        run = {"cwd": folder, "env": settings(), "check": True}
        subprocess.run([programs / "python", "-m", "pip", "install", "-q", "--no-compile", wheel.resolve()], **run)
        print(library(programs / "python", folder, folder / "venv"))
        for words in ("--help", "train vae --epochs 1 --limit 200 --out run", "evaluate run --n 200",
                      "sample run --n 16 --out x.png"):  # fmt: skip
            print("ganvae", words, flush=True)
            subprocess.run([programs / "ganvae", *words.split()], **run, stdout=subprocess.DEVNULL)
        assert (folder / "run" / "record.json").exists() and (folder / "x.png").exists()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[0])
    main(Path(sys.argv[1]))
