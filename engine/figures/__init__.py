"""The figures of Gatys et al., arXiv:1508.06576: their cells, how they are made and resumed, the sheet and the page."""

from impasto.engine.figures.figure import FIGURES, Cell, Figure, names_of_defaults, plan_figure
from impasto.engine.figures.making import Follower, make_figure

__all__ = ["FIGURES", "Cell", "Figure", "Follower", "make_figure", "names_of_defaults", "plan_figure"]
