"""What a worker gets of a job, and what it makes of a trial."""

import errno
import os
import pickle
import tempfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cnnlab import records
from cnnlab.data import folds, pool
from cnnlab.errors import UserError
from cnnlab.recipe import blocks
from cnnlab.recipe.network import initial
from cnnlab.run import device, worker
from cnnlab.run.job import Job
from cnnlab.train import fit
from tests import made_up

SECTIONS = made_up.FROZEN.sections
VARIANTS = made_up.FROZEN.variants.every
N = 3000


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A pool whose pixels are much more than what is known of them."""
    folder = tmp_path_factory.mktemp("pool")
    pixels = np.random.default_rng(0).integers(0, 256, (N, 24, 24, 3), np.uint8)
    names = np.arange(N).astype(str)
    about = {"image_id": np.arange(N), "source": names, "group": names, "digest": names}
    manifest = pd.DataFrame(about).assign(label=(np.arange(N) % 2).astype(str), split="dev")
    pool.write(folder, pixels, manifest)
    return pool.read(folder)


@pytest.fixture(scope="module")
def job(images, tmp_path_factory):
    """Makes the job of a variant, with the backbone's file where it starts from one."""
    folder = tmp_path_factory.mktemp("study")
    records.save_model(
        initial(SECTIONS.pretraining(), 1, (24, 24, 3), 2).model, folder / "model.keras"
    )
    split = folds.make(images.manifest, k=2, repeats=1, seed=1)

    def make(name):
        recipe = SECTIONS.recipe(VARIANTS[name])
        backbone = folder / "model.keras" if recipe.phases else None
        kind = device.kind("local", 0)
        return Job(name, recipe, images, split, 1, 1, kind, backbone, folder / "features")

    return make


def bases(array):
    while array is not None:
        yield array
        array = getattr(array, "base", None)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_large_pool_stays_in_its_file_for_every_variant(job, name):
    material = worker.Material.of(job(name))
    assert any(isinstance(array, np.memmap) for array in bases(material.images))
    assert not material.images.flags.owndata and len(material.images) == N
    assert (material.backbone is not None) == bool(material.job.recipe.phases)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_job_travels_without_pixels(job, name):
    made = job(name)
    assert made.pool.images.nbytes > 5_000_000  # read, and still not sent
    sent = pickle.dumps(made)
    assert len(sent) < 500_000
    arrived = pickle.loads(sent)
    material = worker.Material.of(arrived)
    assert any(isinstance(array, np.memmap) for array in bases(material.images))
    np.testing.assert_array_equal(material.images[::500], made.pool.images[::500])
    assert [p.mark for p in arrived.plan()] == [p.mark for p in made.plan()]


def test_jobs_share_what_they_are_made_from(job):
    """However many there are, a worker has one pool and one backbone."""
    made = [job(name) for name in VARIANTS]
    assert len({id(each.pool) for each in made}) == 1
    sent = pickle.dumps(made)
    assert len(sent) < 500_000
    materials = worker.Material.of_all(pickle.loads(sent))
    assert list(materials) == list(VARIANTS)
    assert len({id(material.images) for material in materials.values()}) == 1
    backbones = [m.backbone for m in materials.values() if m.job.recipe.phases]
    assert len(backbones) > 1 and all(each is backbones[0] for each in backbones)
    for name, material in materials.items():
        assert (material.job.name, material.job.recipe) == (name, job(name).recipe)


def test_jobs_of_several_pools_have_each_its_own(job, images):
    some = replace(job("freeze"), name="some", pool=images.take(np.arange(5, 9)))
    materials = worker.Material.of_all([job("freeze"), some])
    assert len(materials["freeze"].images) == N
    np.testing.assert_array_equal(materials["some"].images, images.images[5:9])


def test_variants_with_and_without_a_start_have_the_same_trials(job):
    """But for a placebo, whose seeds are its own."""
    plans = [job(name).plan() for name, on in VARIANTS.items() if "placebo" not in on]
    assert len({SECTIONS.recipe(on).phases for on in VARIANTS.values()}) > 1
    for trials in zip(*plans, strict=True):
        one = trials[0]
        for other in trials[1:]:
            assert other.seed == one.seed and other.mark != one.mark
            np.testing.assert_array_equal(other.train, one.train)
            np.testing.assert_array_equal(other.held_out, one.held_out)


def test_a_saved_backbone_s_weights_are_read_from_its_bytes(job):
    made = job("finetune")
    expected = initial(SECTIONS.pretraining(), 1, (24, 24, 3), 2).model
    weights = worker._weights(worker.Material.of(made).backbone)
    assert weights.keys() == {layer.name for layer in expected.layers if layer.weights}
    for name, arrays in weights.items():
        for one, other in zip(arrays, expected.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_features_lie_apart_for_each_kind_of_device(job, tmp_path):
    made = replace(job("freeze"), features=tmp_path / "study/features")
    (tmp_path / "study").mkdir()
    folders = {
        worker._features(replace(made, device=kind))
        for kind in ("cpu X86_V3", "cpu X86_V3 X86_V4", "gpu NVIDIA H100")
    }
    assert len(folders) == 3 and {f.parent for f in folders} == {tmp_path / "study/features"}
    elsewhere = worker._features(replace(made, features=tmp_path / "gone/features"))
    assert not elsewhere.is_relative_to(tmp_path / "gone")


def test_early_stopping_that_can_hold_nothing_back_is_told(images, monkeypatch):
    monkeypatch.setattr(fit, "set_up", lambda *_: None)  # TensorFlow has computed
    recipe = made_up.sections().recipe(["early_stopping"])
    split = folds.make(images.manifest, k=2, repeats=1, seed=1)
    few = Job("stops", recipe, images, split, 1, 1, device.kind("local", 0), per_class=1)
    with pytest.raises(UserError, match="early_stopping: none of the 2 training images can be"):
        worker.train(worker.Material.of(few), few.plan()[0], None, print)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line_without_a_traceback(job, tmp_path, monkeypatch, error):
    def train(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(worker, "train", train)
    made = job("baseline")
    what = worker.train_for(lambda: {made.name: None}, made.plan()[0], tmp_path, False, print)
    assert what == ("failed", f"baseline r0_f0_m0: {tmp_path}: {os.strerror(error)}")
    monkeypatch.setattr(worker, "train", lambda *_: (None, None))
    monkeypatch.setattr(records, "save_model", train)
    _, said = worker.train_for(
        lambda: {made.name: worker.Material.of(made)}, made.plan()[0], tmp_path, True, print
    )
    assert said.startswith(f"baseline r0_f0_m0: {tempfile.gettempdir()}/")
    assert said.endswith(os.strerror(error)) and str(tmp_path) not in said


def test_a_device_that_tensorflow_has_not_is_refused(monkeypatch):
    monkeypatch.setattr(blocks, "on_gpu", lambda: True)
    worker._check_device("gpu of the cluster")
    monkeypatch.setattr(blocks, "on_gpu", lambda: False)
    worker._check_device("cpu X86_V3")
    with pytest.raises(UserError, match="planned for 'gpu of the cluster'"):
        worker._check_device("gpu of the cluster")
