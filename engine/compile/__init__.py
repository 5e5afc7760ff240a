"""From a network and settings to an objective that can be evaluated."""
