"""The former name of ``ltr.integrations``: specs that were written for it still name it."""

from ltr.integrations import LambdaMART

__all__ = ["LambdaMART"]
