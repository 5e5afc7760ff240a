"""Runs `impasto.models.distil.cli`."""

import sys

try:
    from impasto.models.distil.cli import main
except ModuleNotFoundError as error:
    sys.stderr.write(f"error: the recipe needs {error.name}: pip install 'impasto[export]' scikit-image\n")
    sys.exit(2)

if __name__ == "__main__":
    main()
