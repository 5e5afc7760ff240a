"""Pages of HTML from templates. Everything is in a page, and its policy forbids the browser to load anything else."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from impasto.engine.images import Picture, data_url

if TYPE_CHECKING:
    import jinja2


@dataclass(frozen=True)
class Input:
    """An input image as a page shows it.

    Attributes:
        kind: "content" or "style".
        name: of its file.
        height: px.
        width: px.
        url: that holds the image.
        id: its name in the page, where the page shows it more than once.
    """

    kind: str
    name: str
    height: int
    width: int
    url: str
    id: str = ""

    @classmethod
    def of(cls, kind: str, picture: Picture, most_px: int, identity: str = "") -> "Input":
        """Return a picture of that kind; its longer side is reduced to `most_px` where it is longer."""
        return cls(kind, picture.name, picture.height, picture.width, data_url(picture, most_px), identity)

    @property
    def alt(self) -> str:
        """What is to be seen, for readers who do not see it."""
        return f"The {self.kind} image {self.name}"

    @property
    def caption(self) -> str:
        """What stands below it."""
        return f"{self.kind} image: {self.name}, {self.width} × {self.height} px"


def render(package: str, template: str, **values: object) -> str:
    """Return a page: a template filled with values, which are escaped.

    Args:
        package: the template is a file of it; it may use those of this package.
        template: the name of the file.
        values: by the names that the template gives them.
    """
    return _environment(package).get_template(template).render(values)


@functools.cache
def _environment(package: str) -> "jinja2.Environment":
    import jinja2  # here, because a run without a page should not wait for it

    loaders = [jinja2.PackageLoader(name, "") for name in dict.fromkeys((package, __package__))]
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
