"""Which device trials are computed on, what is said of that, and what each worker sees: with GPUs
that are not there."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from cnnlab.errors import UserError
from cnnlab.processes import CORES
from cnnlab.recipe.network import network
from cnnlab.records import Trial
from cnnlab.run import choice, device
from cnnlab.run.backends import Work, local
from cnnlab.run.job import Job, Part, Planned
from cnnlab.run.options import Execution
from cnnlab.train.tasks import LEARNING
from tests import made_up
from tests.run.fake_gpus import nvidia_smi

SHAPE = (32, 32, 3)
CPU = "cpu X86_V3"


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """A machine without a GPU, of one kind of CPU, with four cores."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device, "NVIDIA", tmp_path / "gpus")
    monkeypatch.setattr(device, "_instruction_sets", lambda: ["X86_V3"])
    monkeypatch.setattr(device, "CPU_SWITCHES", ())
    monkeypatch.setattr(device, "GPU_SWITCHES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(CORES, "4")
    choice._say.cache_clear()


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Adds GPUs of these models; says whether TensorFlow can use them, and what networks cost."""

    def make(*models, usable=True, count=38_800_000):
        nvidia_smi(tmp_path, monkeypatch, models)
        monkeypatch.setattr(choice, "asked", lambda recipe, shape, task: (usable, count))

    return make


def execution(**changes):
    given = {"backend": "local", "workers": None, "device": "auto", "per_gpu": 1, "gpus": 0}
    return Execution(**given | changes)


def chosen(base, capsys, **changes):
    """The kind, and the lines that say so."""
    kind = choice.kind(execution(**changes), base, SHAPE, "classification")
    return kind, capsys.readouterr().err.splitlines()


def test_without_a_gpu_it_is_the_cpu(base, capsys):
    assert chosen(base, capsys) == (CPU, ["CPU: there is no GPU"])
    assert chosen(base, capsys) == (CPU, [])  # once a process


def test_a_network_that_gains_from_the_gpu_is_trained_there(base, capsys, gpus):
    gpus("NVIDIA H100")
    expected = "gpu NVIDIA H100", ["GPU 0: NVIDIA H100, 1 trial at a time"]
    assert chosen(base, capsys) == expected


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "GPU 0, 1: NVIDIA H100, 2 trials at a time"),
        ({"per_gpu": 3}, "GPU 0, 1: NVIDIA H100, 6 trials at a time"),
        ({"workers": 1}, "GPU 0, 1: NVIDIA H100, 1 trial at a time"),
    ],
)
def test_how_many_at_a_time_is_said(base, capsys, gpus, changes, line):
    gpus("NVIDIA H100", "NVIDIA H100")
    assert chosen(base, capsys, **changes) == ("gpu NVIDIA H100", [line])


def test_gpus_of_another_model_are_left_out_aloud(base, capsys, gpus):
    gpus("NVIDIA H100", "Tesla T4", "NVIDIA H100")
    kind, (line,) = chosen(base, capsys)
    assert kind == "gpu NVIDIA H100"
    assert line.startswith("GPU 0, 2: NVIDIA H100, 2 trials at a time")
    assert line.endswith("not used, as another model: GPU 1: Tesla T4")


@pytest.mark.parametrize(("count", "on"), [(2_999_999, "cpu"), (3_000_000, "gpu")])
def test_a_small_network_is_trained_on_the_cpu_unless_the_gpu_is_asked_for(
    base, capsys, gpus, count, on
):
    gpus("NVIDIA H100", count=count)
    kind, (line,) = chosen(base, capsys)
    assert kind.startswith(on)
    if on == "cpu":
        assert line.startswith("CPU: the network is too small to gain from the GPU")
        assert line.endswith("million multiply-adds an image, and 3 are enough")
    assert chosen(base, capsys, device="gpu")[0] == "gpu NVIDIA H100"
    assert chosen(base, capsys, device="cpu") == (CPU, [])


def test_a_gpu_that_tensorflow_cannot_use_is_a_warning_with_what_mends_it(base, capsys, gpus):
    gpus("NVIDIA H100", usable=False)
    kind, (warning, line) = chosen(base, capsys)
    assert kind == CPU and line == "CPU: TensorFlow cannot use the GPU"
    assert warning.startswith("warning: TensorFlow cannot use GPU 0: NVIDIA H100: `make gpu`")


def test_a_gpu_that_is_asked_for_and_cannot_be_used_is_an_error(base, gpus):
    wrong = r"params\.yaml: execution\.device = 'gpu': "
    with pytest.raises(UserError, match=f"{wrong}neither nvidia-smi.*allowed: auto, cpu"):
        choice.kind(execution(device="gpu"), base, SHAPE, "classification")
    gpus("NVIDIA H100", usable=False)
    with pytest.raises(UserError, match=f"{wrong}TensorFlow cannot use GPU 0.*`make gpu`"):
        choice.kind(execution(device="gpu"), base, SHAPE, "classification")


def test_a_cluster_s_trials_are_on_what_they_ask_for(base, capsys):
    ray = {"backend": "ray"}
    assert chosen(base, capsys, **ray) == (CPU, ["CPU: a trial asks the cluster for no GPU"])
    expected = "gpu of the cluster", ["GPU: a trial asks the cluster for 0.5 GPUs"]
    assert chosen(base, capsys, gpus=0.5, **ray) == expected


def test_all_variants_of_a_network_have_one_device(base, capsys, gpus, monkeypatch):
    gpus("NVIDIA H100")
    asked = []
    monkeypatch.setattr(choice, "asked", lambda *given: asked.append(given) or (True, 10**8))
    variants = [base, base.inserting("conv", "BatchNormalization"), replace(base, stream=3)]
    for variant in [*variants, replace(base, epochs=99, learning_rate=0.5)]:
        choice.kind(execution(), variant, SHAPE, "classification")
    assert len(set(asked)) == 1


# What TensorFlow is asked, really -----------------------------------------------------------------


def test_tensorflow_is_asked_in_a_process_of_its_own(base, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    usable, count = choice.asked(base, (8, 8, 1), "classification")
    assert not usable
    assert count == choice.multiply_adds(network(base, (8, 8, 1), 2).model) > 0


def test_of_masks_the_whole_network_counts(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    recipe = replace(made_up.sections(), task="segmentation").recipe([])
    counts = [choice.asked(recipe, (16, 16, 1), task)[1] for task in LEARNING.names()]
    whole = LEARNING["segmentation"].network(recipe, (16, 16, 1), 2).model
    assert counts[LEARNING.names().index("segmentation")] == choice.multiply_adds(whole)
    assert len(set(counts)) == len(counts)


def test_multiply_adds_are_each_weight_once_for_each_place(base):
    options = {"filters": [4, 8], "convs": 1, "kernel": 3, "dense": [5]}
    made = network(replace(base, net="vgg", net_options=options), (8, 8, 1), 3)
    # 8x8 places x 9 x 1 x 4, 4x4 places x 9 x 4 x 8, 2x2x8 -> 5 -> 3
    assert choice.multiply_adds(made.model) == 64 * 36 + 16 * 288 + 32 * 5 + 15


def test_the_networks_that_were_measured_are_on_the_right_sides(root):
    from cnnlab import params

    digits = {"filters": [16, 16, 16], "convs": 2, "kernel": 3, "dense": [32]}
    recipe = replace(params.read(root / "tests/params.yaml").sections.recipe([]), net="vgg")
    small = network(replace(recipe, net_options=digits), (8, 8, 1), 10).model
    cifar = {"filters": [32, 64, 128], "convs": 2, "kernel": 3, "dense": [128]}
    large = network(replace(recipe, net_options=cifar), SHAPE, 10).model
    assert choice.multiply_adds(small) < choice.ENOUGH / 10
    assert choice.multiply_adds(large) > 10 * choice.ENOUGH


# Which workers there are --------------------------------------------------------------------------


@pytest.fixture
def sent(base, small_pool, monkeypatch):
    """What a crew gets for trials of two jobs on these devices: (trials, workers' environments)."""

    def of(*devices, missing=8, workers=None, per_gpu=1):
        crews = []
        monkeypatch.setattr(
            local._Crew,
            "train",
            lambda crew, places: crews.append((len(crew._work.missing), places)) or [],
        )
        jobs = [Job(f"v{i}", base, small_pool, None, 1, 1, kind) for i, kind in enumerate(devices)]
        parts = {job.name: Part(job, [], Path(job.name)) for job in jobs}
        trials = [Trial(job.name, 0, fold, 0) for fold in range(missing) for job in jobs]
        planned = [Planned(trial, 1, "", None, None) for trial in trials]
        assert local.train(Work(parts, planned, None, workers, 0, per_gpu)) == []
        return crews

    return of


def seen(places):
    return [place["CUDA_VISIBLE_DEVICES"] for place in places]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ["0", "2"]),
        ({"per_gpu": 2}, ["0", "2", "0", "2"]),
        ({"workers": 3}, ["0", "2", "0"]),
        ({"per_gpu": 2, "missing": 1}, ["0"]),
    ],
)
def test_so_many_workers_a_gpu_each_of_which_sees_one(gpus, sent, given, expected):
    gpus("NVIDIA H100", "Tesla T4", "NVIDIA H100")
    ((_, places),) = sent("gpu NVIDIA H100", **given)
    assert seen(places) == expected
    assert {place["CUDA_DEVICE_ORDER"] for place in places} == {"PCI_BUS_ID"}


def test_where_a_gpu_is_hidden_no_worker_sees_it(gpus, sent, monkeypatch):
    gpus("NVIDIA H100", "NVIDIA H100")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert seen(sent("gpu NVIDIA H100", per_gpu=2)[0][1]) == ["1", "1"]


def test_on_the_cpu_no_worker_sees_a_gpu_that_is_there(gpus, sent):
    gpus("NVIDIA H100")
    assert sent(CPU) == [(8, [{"CUDA_VISIBLE_DEVICES": "-1"}] * 4)]


def test_trials_for_gpus_and_for_cpus_have_workers_of_their_own(gpus, sent):
    gpus("NVIDIA H100")
    (on_gpu, places), (on_cpu, others) = sent("gpu NVIDIA H100", CPU, missing=3)
    assert (on_gpu, seen(places)) == (3, ["0"]) and (on_cpu, seen(others)) == (3, ["-1"] * 3)


def test_a_worker_has_its_environment_before_anything_is_imported(base, small_pool, tmp_path):
    job = Job("v", base, small_pool, None, 1, 1, CPU)
    trial = Planned(Trial("v", 0, 0, 0), 1, "", None, None)
    work = Work({"v": Part(job, [], tmp_path)}, [trial], None, 1, 0)
    gpu = device.Gpu("3", "NVIDIA H100")
    read_at_import = {"KERAS_HOME": str(tmp_path / "keras")}
    process = local._Crew(work)._worker(tmp_path / "log", gpu.environment | read_at_import)
    try:
        process.train(trial, tmp_path, False, print, threading.Event())  # what it says comes after
        assert (tmp_path / "keras/keras.json").exists()
    finally:
        process.end()
