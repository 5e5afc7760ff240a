"""The version of the distribution, the one place where it stands."""

VERSION = "0.2.0"
