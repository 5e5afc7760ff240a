"""L-BFGS in the memory of the device that evaluates the loss."""
