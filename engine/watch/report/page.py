"""Pages of HTML from templates. Everything is in a page, and its policy forbids the browser to load anything else."""

import functools
from typing import TYPE_CHECKING

from impasto.engine.images import Picture, data_url
from impasto.models.errors import printable

if TYPE_CHECKING:
    import jinja2


class Input:
    """An input image as a page shows it.

    Attributes:
        kind: "content" or "style".
        name: of its file; what does not print is escaped.
        height: px.
        width: px.
        id: its name in the page, where the page shows it more than once.
        url: that holds the image.
        alt: what is to be seen, for readers who do not see it.
        caption: what stands below it.
    """

    def __init__(self, kind: str, picture: Picture, most_px: int, identity: str = "") -> None:
        """Take a picture of that kind; its longer side is reduced to `most_px` where it is longer."""
        self.kind, self.name, self.id = kind, printable(picture.name), identity
        self.height, self.width = picture.height, picture.width
        self.url = data_url(picture, most_px)
        self.alt = f"The {kind} image {self.name}"
        self.caption = f"{kind} image: {self.name}, {picture.width} × {picture.height} px"


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
