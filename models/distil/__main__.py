"""Runs `impasto.models.distil.cli`."""

from impasto.models.distil.cli import main

if __name__ == "__main__":
    main()
