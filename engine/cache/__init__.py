"""The user's cache: graphs, targets and facts that runs keep for later runs."""
