"""The geometry of sliding windows, which convolution and pooling share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from impasto.export.vjp_rules.inspection import static_shape


@dataclass(frozen=True)
class Windows:
    """Where the windows of a convolution or pooling lie, one entry per spatial axis.

    Attributes:
        kernel: taps along the axis.
        strides: between neighbouring windows.
        dilations: between neighbouring taps.
        before: padding in front of the first element.
        after: padding behind the last, as the node says; with ceil_mode windows reach further (see `reach_after`).
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def extent(self) -> tuple[int, ...]:
        """Elements from the first to the last tap: d (k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def is_dense(self) -> bool:
        """Whether there is a window at every position, so that the transposed operation is of the same kind."""
        return all(stride == 1 for stride in self.strides)

    @property
    def is_partition(self) -> bool:
        """Whether the windows tile the axis from its first element: no overlap, no gap, no padding."""
        return self.kernel == self.strides and not any((*self.before, *self.after)) and set(self.dilations) == {1}

    def reach_after(self, sizes: Sequence[int], counts: Sequence[int]) -> tuple[int, ...]:
        """Return how far the last window reaches past the end of the axis; negative where it ends before it."""
        geometry = zip(sizes, counts, self.strides, self.extent, self.before, strict=True)
        return tuple(stride * (count - 1) + extent - size - before for size, count, stride, extent, before in geometry)

    def padded(self, totals: Sequence[int], *, is_upper: bool) -> "Windows":
        """Return them with a total padding per axis; an odd one is larger behind, with ``is_upper``, or in front."""
        small = tuple(max(total, 0) // 2 for total in totals)
        large = tuple(max(total, 0) - half for total, half in zip(totals, small, strict=True))
        before, after = (small, large) if is_upper else (large, small)
        return replace(self, before=before, after=after)

    def scatter_attributes(self, reach: Sequence[int], group: int | None = None) -> dict[str, object]:
        """Return the attributes of a ConvTranspose that adds windows up where they overlap, cropped to the axis."""
        return {
            "strides": self.strides,
            "dilations": self.dilations,
            "group": group,
            "pads": [*self.before, *(max(end, 0) for end in reach)],
            "output_padding": [max(-end, 0) for end in reach],
        }


def windows(node: ir.Node, kernel: Sequence[int], *, sizes_of: ir.Value | None, counts_of: ir.Value | None) -> Windows:
    """Read the attributes of Conv, ConvTranspose (as the convolution it transposes) or a pooling node.

    Args:
        node: with the attributes strides, dilations, pads and auto_pad.
        kernel: taps per spatial axis.
        sizes_of: the value that the windows slide over, [N, C, ...]; only read for auto_pad SAME.
        counts_of: the value with one element per window; only read for auto_pad SAME.
    """
    axes = len(kernel)
    strides = tuple(node.attributes.get_ints("strides", (1,) * axes))
    dilations = tuple(node.attributes.get_ints("dilations", (1,) * axes))
    auto_pad = node.attributes.get_string("auto_pad", "NOTSET")
    if auto_pad in ("NOTSET", "VALID"):
        pads = (0,) * (2 * axes)
        if auto_pad == "NOTSET":
            pads = tuple(node.attributes.get_ints("pads", pads))
        return Windows(tuple(kernel), strides, dilations, pads[:axes], pads[axes:])
    unpadded = Windows(tuple(kernel), strides, dilations, (0,) * axes, (0,) * axes)
    sizes, counts = static_shape(node, sizes_of)[2:], static_shape(node, counts_of)[2:]
    return unpadded.padded(unpadded.reach_after(sizes, counts), is_upper=auto_pad == "SAME_UPPER")
