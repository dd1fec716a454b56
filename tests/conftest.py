"""What all tests share."""

import gc
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

import cnnlab  # noqa: F401  (its settings for TensorFlow too)

ROOT = Path(__file__).parents[1]

settings.register_profile("cnnlab", deadline=None, derandomize=True)
settings.load_profile("cnnlab")


# Their tests run stages, servers or clusters, some for minutes: what `-m "not slow"` leaves out.
SLOW = {
    *(
        "test_any_params",
        "test_bench",
        "test_decoder",
        "test_diverged",
        "test_docs",
        "test_execute",
    ),
    *("test_final_masks", "test_predict_boxes", "test_predict_masks", "test_task_studies"),
    *("test_export", "test_fit", "test_gpu", "test_launch", "test_makefile", "test_new_study"),
    *("test_packaged", "test_phases", "test_pipeline", "test_plugins", "test_predict", "test_ray"),
    *("test_resizing", "test_stages", "test_tracking", "test_tracking_decide"),
    *("test_tracking_figures", "test_tracking_server", "test_tryout", "test_ui"),
}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish():
    """Keras collects garbage before each training: not among all that is imported by now."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def mlflow_forgets():
    """MLflow keeps the address of its store for a whole process: not from a test to the next."""
    yield
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def frozen():
    """The params of tests/params.yaml: people edit the root's, and no test reads that."""
    from tests import made_up

    return made_up.FROZEN


@pytest.fixture(scope="session")
def base(frozen):
    """The recipe without techniques."""
    return frozen.sections.recipe([])


@pytest.fixture(scope="session")
def pool_in():
    """Writes twelve grey images of 8x8 pixels in three classes to a folder, and reads them."""
    from cnnlab.data import pool

    def make(folder):
        images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), np.uint8)
        manifest = pd.DataFrame(
            {
                "image_id": np.arange(12) * 10,
                "source": [f"s/{i}" for i in range(12)],
                "label": ["2", "10", "9"] * 4,
                "group": [f"s/{i}" for i in range(12)],
                "split": "dev",
            }
        )
        pool.write(folder, images, manifest)
        return pool.read(folder)

    return make


@pytest.fixture
def small_pool(tmp_path, pool_in):
    return pool_in(tmp_path / "small_pool")


@pytest.fixture(scope="session")
def record():
    """Makes the record of a trial from made-up numbers."""
    from cnnlab.records import Record, Trial

    def make(variant="dropout", repeat=0, fold=0, member=0, accuracy=0.75, mark="f00d"):
        entry = {"objective": 1.5, "train_accuracy": 0.9, "train_nll": 0.3, "nll": 0.8}
        probabilities = np.random.default_rng(fold).dirichlet([1, 1, 1], 4).astype(np.float32)
        return Record(
            trial=Trial(variant, repeat, fold, member),
            fingerprint=mark,
            seed=100 * repeat + 10 * fold + member,
            n_train=8,
            history=[
                {"epoch": 1, **entry, "accuracy": accuracy / 2},
                {"epoch": 2, **entry, "accuracy": accuracy},
            ],
            measured={k: v for k, v in {**entry, "accuracy": accuracy}.items() if k != "objective"},
            preactivations={"conv1": np.full((2, 2), fold, np.float32)},
            image_id=np.arange(4) + 4 * fold,
            labels=np.array([0, 1, 2, 0]),
            outputs=probabilities,
        )

    return make
