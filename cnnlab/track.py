"""Log what MLflow lacks: `python -m cnnlab.track` in a study's folder (`make track`).

For a study that ran while MLflow was away. Runs again, outside DVC, the stages that train, and
`report`, which logs all figures; as every trial is there, nothing is trained and no output changes,
and what is logged already is left alone.
"""

from __future__ import annotations

import subprocess
import sys

from cnnlab import params
from cnnlab.errors import UserError


def main() -> None:
    """Raises UserError where the study is not up to date, since its stages would then train."""
    behind = subprocess.run(["dvc", "status", "--quiet", "dvc.yaml"], check=False).returncode
    if behind:
        raise UserError("the study is not up to date (see `dvc status`); run `dvc repro` first")
    trained = [f"train {name}" for name in params.load("variants").every]
    stages = ["pretrain", "screen", *trained, "decide", "final", "report"]
    subprocess.run([sys.executable, "-m", "stages", *stages], check=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
