"""Named settings: the painting that people want, the paper, and other programs."""

from impasto.engine.presets.reading import DEFAULT as DEFAULT
from impasto.engine.presets.reading import NAMES as NAMES
from impasto.engine.presets.reading import preset as preset
