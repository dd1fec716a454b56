"""Benchmarks: what they say, and one of them end to end. What they measure is in bench/results."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import bench
from bench import gpu, tasks, throughput

TORCH = bench.installed("torch")


def test_the_benchmark_of_gpus_runs_whole_on_a_cpu(root):
    command = [sys.executable, "-m", "bench.gpu", "--cpu"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said, _, rest = done.stdout.partition("{")
    assert ("PyTorch is not installed: left out" in said) == (not TORCH)
    result = json.loads("{" + rest)
    ((where, rates),) = result["images_per_second"].items()
    assert where == "bfloat16, batch 16"
    assert list(rates) == [n for n in gpu.TIMED if TORCH or n not in gpu.TORCH]
    assert all(len(each) == 1 and each[0] > 0 for each in rates.values())
    (ours,), (theirs,) = rates["cnnlab"], rates["bare_step"]
    assert result["ratios"][where]["cnnlab / bare_step"] == pytest.approx(ours / theirs)


def test_without_a_gpu_one_line_says_what_lacks(root):
    command = [sys.executable, "-m", "bench.gpu"]
    env = bench.without_gpus()
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("bench.gpu lacks a GPU that TensorFlow can use") and "--cpu" in line
    assert ("PyTorch (pip install -r requirements-bench.txt)" in line) == (not TORCH)


@pytest.mark.parametrize(
    ("card", "torch", "torch_sees", "lacks"),
    [
        ("NVIDIA H100", True, True, []),
        (None, True, True, ["a GPU that TensorFlow"]),
        ("NVIDIA H100", False, False, ["PyTorch (pip"]),
        ("NVIDIA H100", True, False, ["a GPU that PyTorch"]),
        (None, False, False, ["a GPU that TensorFlow", "PyTorch (pip"]),
    ],
)
def test_what_lacks_is_named(monkeypatch, card, torch, torch_sees, lacks):
    monkeypatch.setattr(gpu, "installed", lambda package: torch)
    named = gpu.lacking({"card": card, "torch": torch_sees})
    assert len(named) == len(lacks)
    assert all(text.startswith(start) for text, start in zip(named, lacks, strict=True))


def test_the_gpu_s_numbers_are_held_against_the_card_and_against_what_is_to_be_reached():
    rates = {"cnnlab": 60, "keras_fit": 40, "torch_eager": 20, "matmul": 600}
    rates = {name: [rate - 1, rate, 10 * rate] for name, rate in rates.items()}
    result = gpu.compared({"float32, batch 128": rates, "float32, batch 1024": rates})
    for where in ("float32, batch 128", "float32, batch 1024"):
        assert result["ratios"][where] == {
            "cnnlab / keras_fit": 1.5,
            "cnnlab / torch_eager": 3.0,
            "cnnlab / matmul": 0.1,
        }
        shares = result["share_of_matrix_product"][where]
        assert shares["cnnlab"] == 0.1 and "matmul" not in shares
    reach = {one["ratio"]: (one["at_least"], one["is"]) for one in result["reach"]}
    assert reach == {"cnnlab / torch_eager": (2.5, 3.0), "cnnlab / keras_fit": (2.0, 1.5)}


def test_what_is_to_be_reached_is_measured():
    settings = [gpu.setting(work) for work in gpu.FULL]
    assert len(settings) == 4
    for where, ratio, _ in gpu.REACH:
        assert where in settings and ratio.removeprefix("cnnlab / ") in gpu.TIMED


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        ("fpu avx avx2 avx512f amx_bf16", "amx"),
        ("avx2 avx512f", "avx512"),
        ("avx avx2", "avx2"),
        ("", "aarch64"),
    ],
)
def test_results_are_kept_by_the_kind_of_machine(monkeypatch, tmp_path, flags, best):
    monkeypatch.setattr(bench, "RESULTS", tmp_path)
    monkeypatch.setattr(bench, "_cpuinfo", lambda key: flags if key == "flags" else "a CPU")
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(bench.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(throughput, "need", lambda package: None)
    names = iter(range(1, 1000))
    rates = {name: [next(names)] for name in throughput.CONTENDERS}
    monkeypatch.setattr(throughput, "alternate", lambda *arguments: rates)
    throughput.main(1)
    (file,) = tmp_path.iterdir()
    assert file.name == f"throughput_16-cores_{best}.json"
    result = json.loads(file.read_text())
    assert result["macs"] == 38_765_184 and result["cnnlab / keras_fit"] == 1 / 2
    assert result["machine"]["kind"] == f"16-cores_{best}"


def test_what_is_not_installed_is_said_in_one_line_before_anything_is_measured():
    with pytest.raises(SystemExit, match=r"^no_such_thing is not installed: pip install -r \S+$"):
        bench.need("no_such_thing")


def test_a_stopwatch_tells_ours_from_what_others_used(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    readings = iter([(10.0, 1.0, 50.0), (20.0, 13.0, 72.0)])  # seconds, ours, all but idle
    monkeypatch.setattr(bench.Stopwatch, "_now", staticmethod(lambda: next(readings)))
    read = bench.Stopwatch().read()
    assert read == {"seconds": 10.0, "cpu_seconds": 12.0, "others": 10 / 10 / 4}


def test_a_stopwatch_counts_the_processes_that_have_ended():
    watch = bench.Stopwatch()
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    read = watch.read()
    assert 0.02 < read["cpu_seconds"] < read["seconds"] + 1
    assert 0 <= read["others"] <= 1.05


@pytest.mark.parametrize("task", tasks.STUDIES)
def test_a_peer_is_scored_by_the_study_s_own_metric(tmp_path, task):
    tasks.prepared(tasks.STUDIES[task], tmp_path)
    truth = np.array(tasks.parts(tmp_path)[1].truth)
    right, wrong = truth.copy(), np.zeros_like(truth)
    if task == "detection":
        right = np.full((len(truth), tasks.DETECTIONS, 6), -1, np.float32)
        right[:, :10, 0], right[:, :10, 1] = truth[:, :10, 0], 1
        right[:, :10, 2:] = truth[:, :10, 1:] / 32  # shares of the image's side
        wrong = right.copy()
        wrong[..., 2:] = wrong[..., 2:] / 2
    assert tasks.scored(task, tmp_path, right) == pytest.approx(1)
    assert tasks.scored(task, tmp_path, wrong) < 0.3


@pytest.mark.skipif(not bench.installed("torchvision"), reason="torchvision is not installed")
def test_surest_boxes_are_kept():
    import torch

    tasks.load_torchvision()
    boxes = torch.tensor([[0.0, 0, 9, 10], [0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 10, 20]])
    assert tasks.nms(boxes, torch.tensor([0.7, 0.9, 0.1, 0.8]), 0.55).tolist() == [1, 3, 2]
