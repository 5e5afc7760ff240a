"""What the server keeps: the journal of jobs in SQLite, and files named by their hash."""
