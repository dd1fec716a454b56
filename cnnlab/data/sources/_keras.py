"""Sources that `keras.datasets` downloads once and keeps in Keras's cache folder."""

import importlib

import numpy as np
import pandas as pd

from cnnlab.data.sources import Source, of_array
from cnnlab.errors import UserError


def open_keras(name: str, classes: list[str]) -> Source:
    """The data set `keras.datasets.NAME` with its own train and test parts."""
    module = importlib.import_module(f"keras.datasets.{name}")
    try:
        parts = dict(zip(("train", "test"), module.load_data(), strict=True))
    except Exception as error:  # Keras raises bare Exceptions and URLErrors alike
        raise UserError(
            f"params.yaml: data.source = {name!r}: not in Keras's cache and could not be downloaded"
            f" ({error}). Connect to the network once, or copy the file into ~/.keras/datasets"
            " (KERAS_HOME moves that folder) from a machine that has it; `data.source: digits`"
            " needs no download"
        ) from error
    images = np.concatenate([x for x, _ in parts.values()])
    table = pd.concat(
        pd.DataFrame(
            {
                "source": [f"{name}/{part}/{i}" for i in range(len(y))],
                "label": [classes[k] for k in np.ravel(y)],
                "split": part,
            }
        )
        for part, (_, y) in parts.items()
    )
    return of_array(table.reset_index(drop=True), images)
