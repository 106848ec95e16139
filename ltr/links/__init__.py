"""Links: increasing functions of a score whose slope says where scores must be accurate.

``base`` is the contract, ``shaped`` what one's own derives from; inverses and areas without a closed form: ``numerics``.
"""

from __future__ import annotations

from ltr.links.base import Link
from ltr.links.combined import Scaled, Sum
from ltr.links.exponential import Exp, ReverseExp, Sinh
from ltr.links.numeric import Numeric
from ltr.links.piecewise import Piecewise
from ltr.links.scalar import Asinh, Identity, Sigmoid, Tanh
from ltr.links.shaped import ShapedLink
from ltr.links.softplus import ReverseSoftplus, Softplus

__all__ = [
    "Asinh",
    "Exp",
    "Identity",
    "Link",
    "Numeric",
    "Piecewise",
    "ReverseExp",
    "ReverseSoftplus",
    "Scaled",
    "ShapedLink",
    "Sigmoid",
    "Sinh",
    "Softplus",
    "Sum",
    "Tanh",
]
