"""Questions that were measured once, each a script of its own: `python -m impasto.bench.studies.NAME` in a checkout."""
