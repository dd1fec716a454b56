"""Data sources: one file each, named in params.yaml as `data.source`.

A file defines `open_source(raw) -> Source`, where `raw` is the path `data.raw` of the study; only
sources that read files use it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cnnlab.plugins import Registry

SOURCES = Registry(__name__, needs="open_source")


@dataclass(frozen=True)
class Source:
    """What there is, and how to read it.

    `table`: one row an image, in an order that does not depend on the machine, with columns
    `source` (where it came from, unique), `label` (class name) and `split` ("train" or "test" where
    the source comes split, else ""); optionally `group` (images that belong together, such as one
    person's or one specimen's; they never part company).
    `read`: row number -> uint8 array (height, width, channels), channels 1 or 3.
    """

    table: pd.DataFrame
    read: Callable[[int], np.ndarray]
