"""The API over HTTP: it checks, stores and answers; it decodes no image."""
