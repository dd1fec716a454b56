"""The stages of the pipeline: `python -m stages.NAME` in a study's folder, as dvc.yaml does.

A stage loads its params, reads its files, calls the library and writes its outputs.
"""

import os
import sys
from collections.abc import Callable

from cnnlab.errors import UserError

# TensorFlow's C++ side reports a missing GPU as an error, at each start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def run(main: Callable[..., None]) -> None:
    """Call a stage's `main` with the command line's arguments; bad input is one clear message."""
    try:
        main(*sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
