"""Who is measured: this project, and the same objective in PyTorch, whose modules only `compare` imports."""
