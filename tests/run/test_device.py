"""The kind of device: it says what may change how sums are rounded, and nothing else."""

import pytest

from cnnlab.run import device
from cnnlab.run.device import Gpu
from tests.run.fake_gpus import nvidia_smi

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
            text = f"Model: \t\t {model}\nIRQ:   \t\t 17\nGPU UUID: \t GPU-{i}a\n"
            (folder / "information").write_text(text)

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


def test_a_gpu_is_found_by_its_uuid_where_the_driver_alone_tells_of_it(machine, monkeypatch):
    machine("NVIDIA T4", "NVIDIA H100")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1a")
    assert device.kind("local", 0) == "gpu NVIDIA H100"


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


# What nvidia-smi lists ----------------------------------------------------------------------------

TWO = ["NVIDIA A100", "Tesla T4"]


def numbers():
    return [gpu.number for gpu in device.visible()]


def test_gpus_are_those_that_nvidia_smi_lists(tmp_path, monkeypatch):
    nvidia_smi(tmp_path, monkeypatch, TWO)
    assert device.visible() == [
        Gpu("0", "NVIDIA A100", "GPU-0aaa"),
        Gpu("1", "Tesla T4", "GPU-1aaa"),
    ]
    assert device.kind("local", 0) == "gpu NVIDIA A100"
    assert device.alike(device.visible()) == device.visible()[:1]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("1", ["1"]),
        ("1,0", ["1", "0"]),
        (" 1 , 7, 0", ["1"]),  # CUDA leaves out all from the first that is not there
        ("GPU-1", ["GPU-1"]),
        ("MIG-4f", ["MIG-4f"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_cuda_visible_devices_limits_them(tmp_path, monkeypatch, named, expected):
    nvidia_smi(tmp_path, monkeypatch, TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert numbers() == expected
    if expected:
        first = "Tesla T4" if "1" in expected[0] else "NVIDIA A100"
        assert device.kind("local", 0) == f"gpu {first}"
        assert device.visible()[0].environment["CUDA_VISIBLE_DEVICES"] == expected[0]


def test_a_driver_that_does_not_answer_is_asked_by_its_files(machine, tmp_path, monkeypatch):
    nvidia_smi(tmp_path, monkeypatch, [], status=9)
    assert device.visible() == []
    machine("NVIDIA H100")
    assert device.visible() == [Gpu("0", "NVIDIA H100", "GPU-0a")]


def test_a_message_in_the_place_of_gpus_is_none(tmp_path, monkeypatch):
    nvidia_smi(tmp_path, monkeypatch, [], text="No devices were found")
    assert device.visible() == []


def test_an_older_nvidia_smi_without_the_last_field_does(tmp_path, monkeypatch):
    nvidia_smi(tmp_path, monkeypatch, [], text="0, NVIDIA H100 80GB HBM3, 81559 MiB")
    assert device.visible() == [Gpu("0", "NVIDIA H100 80GB HBM3")]
