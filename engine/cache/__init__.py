"""What runs leave for later runs, in folders of the user's cache. Deleting any of it only costs time."""
