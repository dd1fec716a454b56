"""What trials leave behind, and the one place that writes and reads it."""

from cnnlab.records.checkpoint import Checkpoint, Saved
from cnnlab.records.models import (
    AS_TRAINED,
    MODEL,
    Answering,
    count_weights,
    load_model,
    save_model,
    write_model,
)
from cnnlab.records.store import (
    cells,
    cost,
    curve,
    diverged,
    network_of,
    of_size,
    prune,
    read,
    read_all,
    scores,
    without_diverged,
    write,
    write_diverged,
)
from cnnlab.records.trial import Diverged, Record, Trial

__all__ = [
    "AS_TRAINED",
    "MODEL",
    "Answering",
    "Checkpoint",
    "Diverged",
    "Record",
    "Saved",
    "Trial",
    "cells",
    "cost",
    "count_weights",
    "curve",
    "diverged",
    "load_model",
    "network_of",
    "of_size",
    "prune",
    "read",
    "read_all",
    "save_model",
    "scores",
    "without_diverged",
    "write",
    "write_diverged",
    "write_model",
]
