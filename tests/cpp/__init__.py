"""libimpasto and the other runtimes, against Python."""
