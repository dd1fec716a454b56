"""Which devices this machine has, and their kinds. Does not load TensorFlow.

Kinds round differently, so a trial's fingerprint holds the kind.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SMI = ("nvidia-smi", "--query-gpu=index,name,memory.total,uuid", "--format=csv,noheader")
NVIDIA = Path("/proc/driver/nvidia/gpus")  # a folder a GPU; there where nvidia-smi may not be
VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_GPU = {VISIBLE: "-1"}  # environment of a process that computes on the CPU
OF_CLUSTER = "of the cluster"  # a GPU whose model is not known where a run begins
ANY_GPU = f"gpu {OF_CLUSTER}"
# Each may change how sums are rounded.
CPU_SWITCHES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE")
GPU_SWITCHES = ("NVIDIA_TF32_OVERRIDE", "TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32")


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine."""

    number: str  # as nvidia-smi counts, or another name that CUDA_VISIBLE_DEVICES has for it
    model: str  # its maker's name for it
    uuid: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Of a process that sees this GPU alone. CUDA would count the fastest first."""
        return {VISIBLE: self.number, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def kind(backend: str, gpus: float) -> str:
    """The kind of device that trials of a run are computed on where GPUs are used if there are any,
    such as "cpu X86_V3 X86_V4".

    `backend`, `gpus`: of params' `execution`. A CPU by its instruction sets, a GPU of this machine
    by its model; what asks a cluster for a GPU gets just "gpu".
    """
    if backend == "local":
        return _of(_models())
    return _of(_models() or [OF_CLUSTER]) if gpus else cpu()


def cpu() -> str:
    """The kind of this machine's CPU."""
    return _of([])


def is_gpu(kind: str) -> bool:
    """Whether a kind is one of GPUs."""
    return kind.startswith("gpu")


def visible() -> list[Gpu]:
    """The GPUs that a program started here may use, which CUDA_VISIBLE_DEVICES may limit."""
    every, names = _installed(), os.environ.get(VISIBLE)
    if names is None:
        return every
    chosen = []
    for name in map(str.strip, names.split(",")):
        mig = every[:1] if name.startswith("MIG-") else []  # a part of a GPU, that has no number
        fit = [g for g in every if name == g.number or (name and g.uuid.startswith(name))] or mig
        if not fit:
            break  # CUDA too leaves out what follows a name that it does not know
        chosen.append(Gpu(name, fit[0].model, fit[0].uuid))
    return chosen


def alike(gpus: list[Gpu]) -> list[Gpu]:
    """Those of one model, the first one's: trials of a run are computed on one kind."""
    return [gpu for gpu in gpus if gpu.model == gpus[0].model]


def _installed() -> list[Gpu]:
    """All GPUs of this machine, as the driver's program lists them, or else the driver itself."""
    try:
        asked = subprocess.run(SMI, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        files = sorted(NVIDIA.glob("*/information"))
        texts = [file.read_text(errors="replace") for file in files]
        told = [dict(re.findall(r"(?m)^(Model|GPU UUID):\s*(.*?)\s*$", text)) for text in texts]
        known = [each for each in told if "Model" in each]
        return [Gpu(str(i), t["Model"], t.get("GPU UUID", "")) for i, t in enumerate(known)]
    fields = [[f.strip() for f in line.split(",")] for line in asked.stdout.splitlines()]
    return [Gpu(each[0], each[1], *each[3:4]) for each in fields if each[0].isdecimal()]


def _of(models: list[str]) -> str:
    switches = GPU_SWITCHES if models else CPU_SWITCHES
    parts = [f"gpu {models[0]}"] if models else ["cpu", *_instruction_sets()]
    return " ".join([*parts, *(f"{s}={os.environ[s]}" for s in switches if s in os.environ)])


def _instruction_sets() -> list[str]:
    """What this machine's CPU has beyond the least that NumPy needs."""
    return np.show_config(mode="dicts")["SIMD Extensions"]["found"]


def _models() -> list[str]:
    return [gpu.model for gpu in visible()]
