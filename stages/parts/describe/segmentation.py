"""describe, of masks: some of them over their images, and how much of the images each class
covers."""

import numpy as np

from cnnlab.data.pool import Pool
from cnnlab.look import pixels_figure, targets_figure
from cnnlab.look.figure import Picture
from cnnlab.overlap import shares

SHOWN = 12  # images


def described(dev: Pool) -> dict[str, Picture]:
    """Pictures for the report on the data, by name."""
    picks = np.unique(np.linspace(0, len(dev.truth) - 1, SHOWN).astype(int))
    images, masks = dev.images[picks], dev.truth[picks]
    covered = shares(dev.truth, dev.classes)
    return {
        "masks": targets_figure("Development images and their masks", images, masks, dev.classes),
        "pixels": pixels_figure("How much of the images each class covers", covered),
    }
