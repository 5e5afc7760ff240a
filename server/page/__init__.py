"""The files of the page, which the server sends as they are."""
