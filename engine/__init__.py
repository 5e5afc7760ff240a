"""How graphs become pictures."""
