"""Trials on a real Ray cluster of several nodes on this machine: nothing but Ray joins them to the
run, one of them is killed, and all comes out as with the local backend."""

import functools
import importlib.util
import os
import secrets
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from unittest import mock

import pytest

from cnnlab import records
from cnnlab.data import folds
from cnnlab.errors import UserError
from cnnlab.recipe.network import initial
from cnnlab.recipe.recipe import Phase
from cnnlab.run import device, worker
from cnnlab.run.backends import ray as ray_backend
from cnnlab.run.execute import run, run_all
from cnnlab.run.job import Job, Part

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed: pip install -r requirements-ray.txt",
)
LOCAL = {"backend": "local", "workers": 2}
RAY = {"backend": "ray"}
EPOCHS = 150  # so that trials on two nodes overlap


class Watcher:
    """Notes what it is told; `live` is called while trials run, with those that do."""

    def __init__(self, live=lambda trials: None):
        self.live, self.epochs, self.trained, self.retried = live, {}, [], []
        self.gone = []

    def epoch(self, trial, entry):
        self.epochs.setdefault(trial.key, []).append(entry["epoch"])
        if entry["epoch"] < EPOCHS:
            self.live(self.epochs.keys() - set(self.trained))

    def done(self, record, trained):
        assert trained
        self.trained.append(record.trial.key)

    def again(self, trial):
        self.retried.append(trial.key)

    def diverged(self, diverged):
        self.gone.append(diverged.trial.key)


@pytest.fixture(scope="module")
def make_job(base, pool_in):
    """Makes a small job that starts from a backbone, its files in a folder."""

    def make(folder):
        images = pool_in(folder / "pool")
        options = {**base.net_options, "filters": [4], "dense": [8]}
        recipe = replace(base, net_options=options, epochs=EPOCHS, batch_size=4)
        backbone = folder / "backbone.keras"
        records.save_model(initial(recipe, 1, (8, 8, 1), 3).model, backbone)
        split = folds.make(images.manifest, k=2, repeats=2, seed=1)
        recipe = recipe.phased(Phase(EPOCHS, 0.001, 1.0))
        kind = device.kind("ray", 0)
        return Job("v", recipe, images, split, 1, 1, kind, backbone, folder / "features")

    return make


@pytest.fixture(scope="module")
def job(make_job, tmp_path_factory):
    return make_job(tmp_path_factory.mktemp("job"))


def run_it(job, folder, execution, watcher=None, plan=None):
    watcher = watcher or Watcher()
    run(job, plan or job.plan(), folder, watcher, **execution)
    return watcher


def in_order(lists):
    return [sorted(epochs) for epochs in lists]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def local(job, tmp_path_factory):
    """What the local backend leaves."""
    folder = tmp_path_factory.mktemp("local")
    run_it(job, folder, LOCAL)
    return contents(folder)


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs, to which the run connects, and two nodes that train a trial at a time,
    each with a folder for temporary files of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex())
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "no_monitor": True}
        made = Cluster(initialize_head=True, head_node_args=head)
        folders = []
        try:
            for _ in range(2):
                folders.append(tempfile.mkdtemp(prefix="ray-"))
                made.add_node(num_cpus=1, temp_dir=folders[-1])
            patch.setenv("RAY_ADDRESS", made.address)
            yield made
        finally:
            made.shutdown()
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)


@needs_ray
def test_the_bytes_of_the_local_backend_and_each_network_without_a_file_of_the_run(
    cluster, make_job, local, tmp_path, monkeypatch
):
    job = make_job(tmp_path / "job")
    read = worker.Material.of_all

    def read_and_remove(jobs):
        materials = read(jobs)
        shutil.rmtree(tmp_path / "job")
        return materials

    monkeypatch.setattr(worker.Material, "of_all", read_and_remove)
    monkeypatch.setattr(Job, "keeps_networks", True)
    watcher = run_it(job, tmp_path / "out", RAY)
    after = contents(tmp_path / "out")
    keys = ["r0_f0_m0", "r0_f1_m0", "r1_f0_m0", "r1_f1_m0"]
    assert sorted(watcher.trained) == keys
    networks = {after.pop(f"{key}.keras") for key in keys}
    assert after == local
    assert len(networks) == 4 and after[records.MODEL] in networks
    assert in_order(watcher.epochs.values()) == [list(range(1, EPOCHS + 1))] * 4


@needs_ray
def test_several_jobs_are_as_each_is_alone(cluster, job, tmp_path):
    """Trials of one key in several jobs, of which none keeps a network and one diverges."""
    steep = replace(job.recipe.penalising("kernel", l2=1.0), optimizer="sgd")
    recipes = {
        "scratch": replace(job.recipe, phases=()),
        "begun": replace(job.recipe, phases=(Phase(4, 0.001, 1.0),)),
        "steep": replace(steep, phases=(Phase(4, 1e20, 1.0),)),
    }
    recipes = {name: replace(recipe, epochs=4) for name, recipe in recipes.items()}
    jobs = [replace(job, name=name, recipe=recipe) for name, recipe in recipes.items()]
    parts = [Part(one, one.plan()[:2], tmp_path / one.name) for one in jobs]
    watcher = Watcher()
    done = run_all(parts, watcher, **RAY)
    keys = [planned.trial.key for planned in job.plan()[:2]]
    assert sorted(watcher.trained) == sorted(2 * keys) and sorted(watcher.gone) == sorted(keys)
    for part in parts:
        run(part.job, part.plan, tmp_path / "alone" / part.job.name, Watcher(), **LOCAL)
        alone = contents(tmp_path / "alone" / part.job.name)
        alone.pop(records.MODEL, None)
        assert contents(part.folder) == alone
        trials = [] if part.job.name == "steep" else [p.trial for p in part.plan]
        assert [r.trial for r in done[part.job.name]] == trials


@needs_ray
def test_a_node_that_is_killed_costs_what_its_trial_did_since_the_checkpoint(
    cluster, job, local, tmp_path, monkeypatch
):
    train, first, found = ray_backend._train, job.plan()[0].trial.key, []

    def slowly(shared, planned, saved, *rest):
        """As `_train`, but the first trial cannot end before its node is killed."""
        inner = worker.train

        def slowed(material, planned, checkpoint, tell):
            return inner(material, planned, checkpoint, lambda told: (tell(told), time.sleep(0.3)))

        slow = saved is None and planned.trial.key == first
        with mock.patch.object(worker, "train", slowed if slow else inner):
            return train(shared, planned, saved, *rest)

    monkeypatch.setattr(ray_backend, "_train", slowly)
    monkeypatch.setattr(ray_backend, "CHECKPOINT_SECONDS", 0.2)

    def end_a_node():
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    def checkpoint(key):
        return tmp_path / f".{key}.checkpoint"

    def kill(running):
        if not killed and any(checkpoint(key).exists() for key in running):
            killed.extend(running)
            end_a_node()
            cluster.add_node(num_cpus=1)

    killed, watcher = [], Watcher(kill)
    watcher.again = lambda trial: found.append(checkpoint(trial.key).exists())
    end_a_node()  # what runs is then on the one that is left, however long each takes to start
    try:
        run_it(job, tmp_path, RAY, watcher)
    finally:
        cluster.add_node(num_cpus=1)
    assert found == [True]
    assert contents(tmp_path) == local
    assert in_order(watcher.epochs.values()) == [list(range(1, EPOCHS + 1))] * 4


@needs_ray
def test_an_error_of_a_trial_is_told_and_the_others_end(cluster, job, local, tmp_path):
    import ray

    plan = job.plan()
    plan[1] = replace(plan[1], held_out=plan[1].held_out + 1000)
    silence = functools.cache(lambda: ray.kill(ray.get_actor(ray_backend.MAILBOX)))
    watcher = Watcher(lambda running: silence())  # what it would have told comes with the records
    with pytest.raises(UserError, match=r"v r0_f1_m0: (?s:.*)Error: ") as error:
        run_it(job, tmp_path, RAY, watcher, plan)
    assert "1 trials failed" in str(error.value) and "\x1b" not in str(error.value)
    assert sorted(watcher.trained) == ["r0_f0_m0", "r1_f0_m0", "r1_f1_m0"]
    assert contents(tmp_path).items() < local.items()
    assert watcher.retried == []
    told = {key: epochs for key, epochs in watcher.epochs.items() if key in watcher.trained}
    assert in_order(told.values()) == [list(range(1, EPOCHS + 1))] * 3


@needs_ray
def test_a_node_has_the_code_of_the_run_and_must_have_its_libraries(cluster, job, root):
    import ray

    def look():

        import cnnlab

        return cnnlab.__file__, os.environ["CUDA_VISIBLE_DEVICES"]

    with ray_backend._cluster(1, 0):
        code, gpus = ray.get(ray.remote(look).remote())
        assert "working_dir" in code and not code.startswith(str(root))
        assert gpus == ""
        other = (worker.Material.of_all([job]), {**ray_backend.versions(), "keras": "1.2"}, 0)
        unpack = ray.remote(lambda shared: ray_backend._unpacked(shared[0]))
        with pytest.raises(UserError, match=r"has keras 3\..*the run has 1\.2"):
            ray.get(unpack.remote([ray.put(other)]))


@needs_ray
def test_a_trial_gets_the_gpus_that_it_asks_for_and_sees_no_other(
    cluster, job, tmp_path, monkeypatch
):
    """On a node that says it has two GPUs."""

    def look(*given):
        raise UserError(f"sees {os.environ['CUDA_VISIBLE_DEVICES']!r}")

    on_gpu = replace(job, device=device.kind("ray", 1))
    assert on_gpu.device.startswith("gpu ")
    node, one = cluster.add_node(num_cpus=1, num_gpus=2), on_gpu.plan()[:1]
    try:
        with pytest.raises(UserError, match="cannot use: `make gpu`"):  # as it has none
            run_it(on_gpu, tmp_path, RAY | {"gpus": 1.0}, plan=one)
        monkeypatch.setattr(ray_backend, "_train", look)
        for gpus, seen in ((0.5, "'[01]'"), (1.0, "'[01]'"), (2.0, "'0,1'|'1,0'")):
            with pytest.raises(UserError, match=rf"v r0_f0_m0: sees ({seen})(?m:$)"):
                run_it(on_gpu, tmp_path, RAY | {"gpus": gpus}, plan=one)
    finally:
        cluster.remove_node(node)


@needs_ray
def test_what_no_cluster_can_do_is_said(job, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=r"execution\.gpus = 8 GPUs; .* RAY_ADDRESS is not set"):
        run_it(job, tmp_path, RAY | {"gpus": 8.0})
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(UserError, match=r"RAY_ADDRESS = '127\.0\.0\.1:9'"):
        run_it(job, tmp_path, RAY)


def test_without_ray_its_requirements_are_named(job, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install -r requirements-ray\.txt"):
        run_it(job, tmp_path, RAY)
