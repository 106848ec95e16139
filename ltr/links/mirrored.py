"""Links that are others turned round: steep where those are at the opposite scores."""

from __future__ import annotations

from torch import Tensor

from ltr.links.shaped import ShapedLink


class Mirrored(ShapedLink):
    """The shape -g(-x), g the shape of another link, by all that the other knows of itself.

    What a class says in constants (``shape_range``, ``shape_peaks``) it says of its own shape.
    """

    @property
    def mirror(self) -> ShapedLink:
        """The other link."""
        raise NotImplementedError(f"{type(self).__name__} must define mirror")

    def shape(self, x: Tensor) -> Tensor:
        return -self.mirror.shape(-x)

    def shape_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = self.mirror.shape_and_slope(-x)
        return -value, slope

    def shape_primitive(self, x: Tensor) -> Tensor:
        return self.mirror.shape_primitive(-x)

    def shape_slope(self, x: Tensor) -> Tensor:
        return self.mirror.shape_slope(-x)

    def shape_curvature(self, x: Tensor) -> Tensor:
        return -self.mirror.shape_curvature(-x)

    def shape_divergence(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return self.mirror.shape_divergence(-x, -y, -d)

    def shape_difference(self, x: Tensor, y: Tensor, d: Tensor) -> Tensor:
        return -self.mirror.shape_difference(-x, -y, -d)

    def shape_divergence_and_difference(self, x: Tensor, y: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        divergence, difference = self.mirror.shape_divergence_and_difference(-x, -y, -d)
        return divergence, difference.neg_()

    def shape_boundary(self, x: Tensor, upper: bool) -> Tensor:
        return self.mirror.shape_boundary(-x, not upper)

    def shape_inverse(self, v: Tensor) -> Tensor:
        return -self.mirror.shape_inverse(-v)
