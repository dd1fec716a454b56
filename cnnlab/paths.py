"""Where the files of a study lie, and where its clone is.

A study is the folder that holds a params.yaml and, beside it, dvc.yaml: the root of the clone, or
studies/NAME. Stages run in it, so these are relative.
"""

import argparse
import os
from pathlib import Path

from cnnlab import CODE
from cnnlab.errors import UserError

TO_CODE = "../.."  # from a study below `studies`
CHECKED = Path("data/checked")  # that params.yaml is valid, by check
PREPARED = Path("data/prepared")
FOLDS = Path("data/folds.csv")
RUNS = Path("data/runs")
DECIDED = Path("data/decided")  # further repeats of variants, where effects were undecided
BACKBONE = Path("data/backbone")
SCREENED = Path("data/screened")  # trials of the screening
MIRRORED = Path("data/mirrored")  # networks of folds, asked about mirror images too
FEATURES = Path("data/features")  # of frozen backbones: a cache, unknown to DVC
REPORTS = Path("reports")
DATA_FACTS = REPORTS / "data.json"  # shape, classes and number of images, by prepare
INVENTORY = PREPARED / "inventory.csv"  # every image of the source, by prepare
FINDINGS = PREPARED / "findings.csv"  # what was skipped, doubled or odd, by prepare
DATA_FINDINGS = REPORTS / "data" / "findings.csv"  # what may be wrong with the images, by describe
DATA_REPORT = REPORTS / "data.md"
DATA_FIGURES = REPORTS / "data"
AUGMENT = REPORTS / "augment"
SCREEN = REPORTS / "screen"  # what the screening says
COMPARE = REPORTS / "compare"
RECORDS = COMPARE / "records.csv"  # which records stand behind the study: marks of its runs
FAILED = COMPARE / "failed.csv"  # what is not compared since its training diverged
PLOTS = REPORTS / "plots"  # what dvc.yaml's `plots` show
CURVES = REPORTS / "curves"
RECOMMENDED = COMPARE / "recommended.csv"  # which variant is recommended and why, by compare
INSPECTED = REPORTS / "findings"
ALL_FINDINGS = INSPECTED / "findings.csv"  # those of describe and of inspect
LOSSES = INSPECTED / "losses.csv"  # of every development image when it was held out
SAMPLES = Path("data/sample")  # images that come with a study, for a first question to its network
MODELS = Path("models")  # the network of the recommended variant
FINAL = REPORTS / "final"  # what it is worth on the test images
FINAL_FACTS = REPORTS / "final.json"
FINAL_REPORT = REPORTS / "final.md"
MODEL_CARD = REPORTS / "model_card.md"
FIGURES = REPORTS / "figures"
SHEETS = FIGURES / "sheets"  # what the HTML report's explorer lays side by side
DRAWN = (
    DATA_FIGURES,
    AUGMENT,
    COMPARE,
    CURVES,
    INSPECTED,
    FIGURES,
)  # where all figures but FINAL's are


def typed(path: str) -> Path:
    """A path as people write it, who may mean their home by ~, which no shell has seen where it
    follows a =. An empty one, as of a variable that is not set, would be the current folder."""
    if not path:
        raise argparse.ArgumentTypeError("an empty path; allowed: a file or a folder")
    return Path(path).expanduser()


def refuse_to_write(folder: Path) -> None:
    """Raise UserError, before anything is computed, where a folder for results, that --out names,
    cannot be made or written."""
    whole = folder.absolute()
    there = next(place for place in (whole, *whole.parents) if os.path.lexists(place))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"--out {folder}: {there} is no folder that can be written")


def workspace() -> Path:
    """The root of the user's clone, in all its studies.

    In a copy that DVC makes to run a queued or temporary experiment (below `.dvc/tmp/exps`), the
    root of the clone it was copied from: what outlives the copy, such as MLflow's store, is there.
    """
    root = Path(os.environ.get("DVC_ROOT") or CODE).resolve()
    parts = root.parts
    for i in range(len(parts) - 2):
        if parts[i : i + 3] == (".dvc", "tmp", "exps"):
            root = Path(*parts[:i])
            break
    below = root.parent.name == "studies" and (root.parents[1] / "cnnlab").is_dir()
    return root.parents[1] if below else root


def decoded() -> Path:
    """Where decoded images are kept from run to run, for all studies and experiments of a clone."""
    return workspace() / ".cache" / "decoded"
