"""Log what MLflow lacks: `python -m cnnlab.track` in a study's folder (`make track`).

For a study that ran while MLflow was away. Runs again, outside DVC, the stages that train, and
`report`, which logs all figures; as every trial is there, nothing is trained and no output changes,
and what is logged already is left alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cnnlab import params, tracking
from cnnlab.errors import UserError, run_command


def main() -> None:
    """Raises UserError where the study is not up to date, since its stages would then train, and
    where something could not be logged."""
    study, variants, compare = params.load("study", "variants", "compare")
    behind = subprocess.run(["dvc", "status", "--quiet", "dvc.yaml"], check=False).returncode
    if behind:
        raise UserError("the study is not up to date (see `dvc status`); run `dvc repro` first")
    tracking.page(study, compare.metric)  # no stage need run where MLflow does not answer
    trained = [f"train {name}" for name in variants.every]
    stages = ["pretrain", "screen", *trained, "decide", "final", "report"]
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "told")
        env = {**os.environ, tracking.FAILURES: str(told)}
        done = subprocess.run([sys.executable, "-m", "stages", *stages], check=False, env=env)
        if told.exists():
            lines = dict.fromkeys(told.read_text(encoding="utf-8").splitlines())
            raise UserError("\n".join([*lines, "not all is logged: mend the store first"]))
    if done.returncode:
        raise UserError("a stage failed, see above: not all is logged")


if __name__ == "__main__":
    run_command(main)
