"""What runs leave in the user's cache for later runs."""
