"""One-off studies and comparisons of revisions: run in a clone as `python -m bench.studies.NAME`, not in the wheel."""
