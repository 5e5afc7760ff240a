"""A run as one HTML page that needs nothing else: pictures, loss curves, settings, machine and command."""

from impasto.engine.watch.report.curve import MOST_POINTS, Curve, Mark, Point
from impasto.engine.watch.report.report import Report, check_report_path, surroundings

__all__ = ["MOST_POINTS", "Curve", "Mark", "Point", "Report", "check_report_path", "surroundings"]
