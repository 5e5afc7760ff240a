"""Those who follow a run: report, preview, animation."""
