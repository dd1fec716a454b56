"""On a GPU: the same bits again where training is deterministic, and the same answers where not.

Each training is a process of its own, as determinism is of a whole process. Skipped where
TensorFlow finds no GPU; the CPU's part is in test_fit.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAINING = """
import hashlib, json, sys
from dataclasses import replace
import tensorflow as tf
from cnnlab.train.fit import fit, set_up
from tests import made_up

names, deterministic = json.loads(sys.argv[1])
recipe = replace(
    made_up.sections().recipe(names), deterministic=deterministic, epochs=20, batch_size=16
)
set_up(1, deterministic)
fitted = fit(recipe, made_up.data(200), seed=1)
content = b"".join(w.tobytes() for w in fitted.model.get_weights())
print(json.dumps([
    len(tf.config.list_physical_devices("GPU")),
    hashlib.sha256(content + fitted.outputs.tobytes()).hexdigest(),
    fitted.final["accuracy"],
]))
"""
TECHNIQUES = {
    "plain": [],
    "all": ["augment", "batchnorm", "dropout", "l2", "mixup"],
}


def trained(names, deterministic):
    """Number of GPUs, digest of weights and probabilities, accuracy."""
    command = [sys.executable, "-c", TRAINING, json.dumps([names, deterministic])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def gpu():
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("TensorFlow finds no GPU")


@pytest.mark.parametrize("names", TECHNIQUES.values(), ids=TECHNIQUES)
def test_a_gpu_gives_the_same_bits_again(gpu, names):
    first, again = trained(names, True), trained(names, True)
    assert first[0] >= 1
    assert first == again


@pytest.mark.parametrize("names", TECHNIQUES.values(), ids=TECHNIQUES)
def test_what_is_not_deterministic_learns_as_much(gpu, names):
    assert trained(names, False)[2] == pytest.approx(trained(names, True)[2], abs=0.1)


def test_the_training_itself_runs_and_repeats_on_this_machine():
    """So that the script above is known to work where no GPU is."""
    first, again = trained(TECHNIQUES["all"], True), trained(TECHNIQUES["all"], True)
    assert first == again
    assert first[2] > 0.5
