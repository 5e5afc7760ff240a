"""The domain of the project's own operators (cpp/ops), as models name it and as the library of them must have it."""

DOMAIN, VERSION = "impasto", 2
