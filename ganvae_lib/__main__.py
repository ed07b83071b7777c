"""`python -m ganvae_lib` is the `ganvae` command."""

from .cli import main

main()
