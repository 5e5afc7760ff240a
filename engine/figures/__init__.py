"""The figures of Gatys et al., arXiv:1508.06576: their cells, how they are made and resumed, the sheet and the page."""

from impasto.engine.figures.defaults import names_of_defaults
from impasto.engine.figures.making import Follower, make_figure
from impasto.engine.figures.plan import FIGURES, Cell, Plan, plan_figure
from impasto.engine.figures.report import FigureReport

__all__ = ["FIGURES", "Cell", "FigureReport", "Follower", "Plan", "make_figure", "names_of_defaults", "plan_figure"]
