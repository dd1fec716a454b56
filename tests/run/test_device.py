"""The kind of device: it says what may change how sums are rounded, and nothing else."""

import pytest

from cnnlab.run import device

SWITCHES = (*device.CPU_SWITCHES, *device.GPU_SWITCHES)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine with some GPUs, as its driver lists them, and a CPU with two instruction sets."""
    for name in (*SWITCHES, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(device, "NVIDIA", tmp_path / "gpus")
    monkeypatch.setenv("PATH", str(tmp_path / "no nvidia-smi"))
    cpu(monkeypatch, "X86_V3", "AVX512_ICL")

    def with_gpus(*models):
        for i, model in enumerate(models):
            folder = tmp_path / f"gpus/0000:{i:02}:00.0"
            folder.mkdir(parents=True)
            (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 17\n")

    return with_gpus


def cpu(monkeypatch, *sets):
    simd = {"SIMD Extensions": {"baseline": ["X86_V2"], "found": list(sets)}}
    monkeypatch.setattr(device.np, "show_config", lambda mode: simd)


def test_a_machine_without_a_gpu_computes_on_its_cpu(monkeypatch):
    assert device.kind("local", 0) == "cpu X86_V3 AVX512_ICL"
    cpu(monkeypatch, "X86_V3")
    assert device.kind("local", 0) == "cpu X86_V3"


def test_the_real_cpu_has_a_name(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    first, *sets = device.kind("local", 0).split(" ")
    assert first == "cpu" and sets == [s for s in sets if s.isprintable() and s]
    assert device.kind("local", 0) == device.kind("ray", 0)


def test_a_gpu_is_told_by_its_model(machine):
    machine("NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3")
    assert device.kind("local", 0) == "gpu NVIDIA H100 80GB HBM3"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_may_not_be_used_is_none(machine, monkeypatch, hidden):
    machine("NVIDIA H100")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert device.kind("local", 0).startswith("cpu ")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert device.kind("local", 0) == "gpu NVIDIA H100"


@pytest.mark.parametrize("gpus", [0.5, 1])
def test_a_cluster_s_trials_are_on_what_they_ask_for(machine, gpus):
    assert device.kind("ray", 0).startswith("cpu ")
    assert device.kind("ray", gpus) == "gpu of the cluster"
    machine("NVIDIA H100")
    assert device.kind("ray", 0).startswith("cpu ")
    assert device.kind("ray", gpus) == "gpu NVIDIA H100"


@pytest.mark.parametrize("switch", SWITCHES)
def test_what_changes_the_rounding_of_a_device_is_said_of_that_device(machine, monkeypatch, switch):
    on_cpu = device.kind("local", 0)
    monkeypatch.setenv(switch, "some value")
    changed = device.kind("local", 0)
    assert (changed != on_cpu) == (switch in device.CPU_SWITCHES)
    assert changed.removeprefix(on_cpu) in ("", f" {switch}=some value")
    machine("NVIDIA H100")
    assert (f"{switch}=some value" in device.kind("local", 0)) == (switch in device.GPU_SWITCHES)


def test_the_known_switches_are_among_them():
    assert {"ONEDNN_MAX_CPU_ISA", "NVIDIA_TF32_OVERRIDE"} <= set(SWITCHES)


def test_nothing_else_changes_it(monkeypatch):
    before = device.kind("local", 0)
    for name in ("TF_CPP_MIN_LOG_LEVEL", "OMP_NUM_THREADS", "HOSTNAME"):
        monkeypatch.setenv(name, "3")
    assert device.kind("local", 0) == before
