"""How a network becomes graphs: features, losses, gradient."""
