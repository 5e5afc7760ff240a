"""What a user would take instead: the same objective in PyTorch, in its usual ways. Imported only by `compare`."""
