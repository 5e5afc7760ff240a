"""What the networks are and where their weights come from."""
