"""Distillation of VGG-19 into a slim network: `python -m impasto.models.distil --help`."""
