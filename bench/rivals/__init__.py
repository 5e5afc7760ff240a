"""Other programs' methods, written from their formulas, to compare pictures and numbers with: in a checkout only.

`python -m impasto.bench.studies.rival` paints one picture with the method of crowsonkb/style-transfer-pytorch.
PyTorch is imported by the modules that need it, and neither by this one nor by `neural_style`, which is NumPy alone.
"""
