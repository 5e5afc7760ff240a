"""Minimisers of a function of a flat float32 vector; NumPy alone."""
