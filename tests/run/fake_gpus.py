"""GPUs that are not there: a program nvidia-smi that lists them."""

import os
from pathlib import Path


def nvidia_smi(folder: Path, monkeypatch, models, status=0, text=None) -> None:
    """Put an nvidia-smi on the PATH that lists GPUs of these models, or says `text`."""
    lines = [f"{i}, {model}, 81559 MiB, GPU-{i}aaa" for i, model in enumerate(models)]
    program = folder / "bin/nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text(
        f"#!/bin/sh\ncat <<'END'\n{text or chr(10).join(lines)}\nEND\nexit {status}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
