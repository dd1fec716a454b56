"""What only segmentation needs, where each pixel has a class."""

from stages.tasks.segmentation.compared import compared as compared
from stages.tasks.segmentation.described import described as described
from stages.tasks.segmentation.final import main as final
from stages.tasks.segmentation.inspect import main as inspect
from stages.tasks.segmentation.looked import looked as looked

__all__ = ["answers", "compared", "described", "final", "inspect", "looked"]


def answers(record):
    return None
