"""On what kind of device trials are computed. Does not load TensorFlow.

Kinds round differently, so a trial's fingerprint holds the kind.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

NVIDIA = Path("/proc/driver/nvidia/gpus")  # a folder a GPU
# Each may change how sums are rounded.
CPU_SWITCHES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE")
GPU_SWITCHES = ("NVIDIA_TF32_OVERRIDE", "TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32")


def kind(backend: str, gpus: float) -> str:
    """The kind of device that trials of a run are computed on, such as "cpu X86_V3 X86_V4".

    `backend`, `gpus`: of params' `execution`. A CPU by its instruction sets, a GPU of this machine
    by its model; what asks a cluster for a GPU gets just "gpu".
    """
    if backend == "local":
        return _of(_models())
    return _of(_models() or ["of the cluster"]) if gpus else _of([])


def _of(models: list[str]) -> str:
    switches = GPU_SWITCHES if models else CPU_SWITCHES
    parts = [f"gpu {models[0]}"] if models else ["cpu", *_instruction_sets()]
    return " ".join([*parts, *(f"{s}={os.environ[s]}" for s in switches if s in os.environ)])


def _instruction_sets() -> list[str]:
    """What this machine's CPU has beyond the least that NumPy needs."""
    return np.show_config(mode="dicts")["SIMD Extensions"]["found"]


def _models() -> list[str]:
    """The GPUs that a program started here may use, by their makers' names."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return []
    lines = [
        line
        for file in sorted(NVIDIA.glob("*/information"))
        for line in file.open(errors="replace")
    ]
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
