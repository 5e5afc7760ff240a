"""`impasto bench`: each command parses, measures, prints and writes."""
