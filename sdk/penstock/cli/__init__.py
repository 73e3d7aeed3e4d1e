"""The command line. `main` is the console script `penstock`."""

from penstock.cli.app import main

__all__ = ["main"]
