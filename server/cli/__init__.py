"""The commands `impasto serve` and `impasto remote`."""
