"""Jobs: single transfers, batches, refinements and the rows of a manifest."""
