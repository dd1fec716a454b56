"""The stages of the pipeline: `python -m stages.NAME` in a study's folder, as dvc.yaml does.

A stage loads its params, reads its files, calls the library and writes its outputs.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
# DVC runs queued and temporary experiments in copies of the clone: with the code of the copy, not
# with that of the clone, which is installed and may have changed since.
NEAREST = next((f for f in Path.cwd().parents if (f / "stages/__init__.py").exists()), None)
if NEAREST and (NEAREST / "stages").resolve() != HERE and not (Path.cwd() / "stages").exists():
    path = os.pathsep.join(filter(None, [str(NEAREST), os.environ.get("PYTHONPATH")]))
    os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONPATH": path})

from cnnlab.errors import UserError  # noqa: E402
from cnnlab.run import nursery  # noqa: E402

nursery.hand_over()  # `make repro` has a process that has imported already what takes long


def run(main: Callable[..., None]) -> None:
    """Call a stage's `main` with the command line's arguments; bad input is one clear message."""
    try:
        main(*sys.argv[1:])
    except UserError as error:
        said = error
    except FileNotFoundError as error:
        if "DVC_STAGE" in os.environ or not error.filename:  # DVC runs none whose input is missing
            raise
        said = f"{error.filename} is not there: `dvc repro` runs the stages that make it first"
    else:
        return
    print(f"error: {said}", file=sys.stderr)
    sys.exit(2)
