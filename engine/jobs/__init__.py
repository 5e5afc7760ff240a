"""Transfers: single, in batches, refined, from a manifest."""
