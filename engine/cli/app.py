"""The Typer application, and the one place where an error becomes a line and an exit status."""

import typer

app = typer.Typer(name="impasto")


def main() -> None:
    """Run the command line."""
    app()
