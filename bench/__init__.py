"""Side-by-side measurements against peers, each one command: `python -m bench.NAME`.

Machines are noisy: the contenders run in turns, each in a process of its own, and what is quoted is
the ratio of medians. Results, with machine and versions, are saved in bench/results.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"


def alternate(
    contenders: Mapping[str, Sequence[str]],
    rounds: int,
    what: str,
    env: Mapping[str, str] | None = None,
) -> dict[str, list[float]]:
    """Run the commands in turns, `rounds` times; each prints a number on its last line."""
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name, command in contenders.items():
            done = subprocess.run(command, capture_output=True, text=True, env=env)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
            values[name].append(float(done.stdout.split()[-1]))
            print(f"round {turn + 1}: {name}: {values[name][-1]:.4g} {what}", flush=True)
    return values


def watched(
    command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None
) -> tuple[str, int]:
    """What a command prints, and the most memory (PSS, bytes) that its processes had at once."""
    process = psutil.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, text=True)
    most = 0
    while process.poll() is None:
        family, memory = [process], 0
        with contextlib.suppress(psutil.NoSuchProcess):
            family += process.children(recursive=True)
            memory = sum(p.memory_full_info().pss for p in family)
        most = max(most, memory)
        time.sleep(0.1)
    assert process.returncode == 0, command
    return process.stdout.read(), most


class Stopwatch:
    """Measures what runs from its making to `read`, all of it in processes that have ended."""

    def __init__(self):
        self._began = self._now()

    def read(self) -> dict[str, float]:
        """Seconds, CPU seconds, and the share of all cores' time that went to others."""
        seconds, ours, busy = (b - a for a, b in zip(self._began, self._now(), strict=True))
        others = max(0.0, busy - ours) / seconds / (os.cpu_count() or 1)
        return {"seconds": seconds, "cpu_seconds": ours, "others": others}

    @staticmethod
    def _now() -> tuple[float, float, float]:
        children, machine = os.times(), psutil.cpu_times()
        ours = children.children_user + children.children_system
        waits = machine.idle + getattr(machine, "iowait", 0.0)
        return time.perf_counter(), ours, sum(machine) - waits


def save(name: str, result: Mapping) -> None:
    """Print a result and write it to bench/results/NAME.json."""
    packages = ("tensorflow", "keras", "numpy", "torch", "torchvision", "mlflow", "dvc", "ray")
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    about = {
        "kind": machine_kind(),
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "python": platform.python_version(),
    }
    text = json.dumps({**result, "machine": about, "versions": versions}, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def installed(package: str) -> bool:
    """Whether a package is there."""
    return importlib.util.find_spec(package) is not None


def need(package: str) -> None:
    """End with one line where a package is not there, and not in the middle of a measurement."""
    if not installed(package):
        sys.exit(f"{package} is not installed: pip install -r requirements-bench.txt")


def without_gpus() -> dict[str, str]:
    """The environment, in which no GPU is seen: for what is measured on CPUs."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}


def machine_kind() -> str:
    """How many cores, and the best instructions that matter to a network, as part of a file's
    name: results of one kind of machine do not take the place of another's."""
    flags = _cpuinfo("flags").split()
    names = {"amx_bf16": "amx", "avx512f": "avx512", "avx2": "avx2"}
    best = next((name for flag, name in names.items() if flag in flags), platform.machine())
    return f"{os.cpu_count()}-cores_{best}"


def _cpu() -> str:
    return _cpuinfo("model name") or platform.machine()


def _cpuinfo(key: str) -> str:
    """What Linux says of the first core; "" elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.partition(":")[2].strip() for x in lines if x.startswith(key)), "")
