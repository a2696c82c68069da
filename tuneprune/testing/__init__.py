"""What the author of a plug-in needs to test it: small models that can be adapted."""

from tuneprune.testing.dummies import TinyAdaptable, TinySizes, zero_groups_

__all__ = ["TinyAdaptable", "TinySizes", "zero_groups_"]
