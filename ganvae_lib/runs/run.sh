#!/usr/bin/env bash
# Runs of the course on a machine with Python and JAX and no network:
#   bash run.sh NAME… [--minutes M] [--out DIR] [--workers N]      names as in 'ganvae reproduce --only', or NAME@SEED
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[[ -d $here/wheels/$version ]] || { echo "run.sh: this bundle has no packages for Python $version; it has $(ls "$here/wheels" | tr '\n' ' ')" >&2; exit 2; }

# A wheel is a zip: unpack those whose package is missing, and Keras, whose version matters. No installer is needed.
site=$here/site-$version
if [[ ! -e $site/.whole ]]; then
    rm -rf "$site"
    "$python" - "$here/wheels/$version" "$site" <<'PY'
import importlib.metadata, pathlib, re, sys, zipfile
wheels, site = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
have = {re.sub(r"[-_.]+", "-", d.metadata["Name"] or "").lower() for d in importlib.metadata.distributions()}
have -= {"keras"}
if "pydantic" not in have:
    have -= {"pydantic-core", "typing-extensions", "typing-inspection", "annotated-types"}
for wheel in sorted(wheels.glob("*.whl")):
    if re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower() not in have:
        zipfile.ZipFile(wheel).extractall(site)
(site / ".whole").touch()
PY
fi
export PYTHONPATH="$here:$site${PYTHONPATH:+:$PYTHONPATH}"
export KERAS_BACKEND=jax XLA_PYTHON_CLIENT_PREALLOCATE=false JAX_DEFAULT_MATMUL_PRECISION=${JAX_DEFAULT_MATMUL_PRECISION:-tensorfloat32}
export KERAS_HOME=${KERAS_HOME:-$here/keras}
[[ -e $here/mnist.npz ]] && export GANVAE_MNIST=${GANVAE_MNIST:-$here/mnist.npz}
exec "$python" -m ganvae_lib.runs.away "$@"
