"""Everything to check and measure on a machine with an NVIDIA GPU: `python -m impasto.bench.gpu` in a checkout."""
