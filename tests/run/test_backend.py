"""What execution says: which backend, and how much of the machine."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from cnnlab.processes import CORES
from cnnlab.records import Trial
from cnnlab.run.backends import Work, local
from cnnlab.run.execute import BACKENDS
from cnnlab.run.job import Job, Part, Planned
from cnnlab.run.options import Execution


def execution(**changes):
    return Execution(
        **{
            "backend": "local",
            "workers": None,
            "device": "auto",
            "per_gpu": 1,
            "gpus": 0,
            **changes,
        }
    )


def test_every_backend_may_be_named_and_no_other():
    for name in BACKENDS.names():
        assert execution(backend=name).backend == name
    with pytest.raises(ValidationError, match=f"allowed: {', '.join(BACKENDS.names())}"):
        execution(backend="slurm")


@pytest.mark.parametrize(("gpus", "allowed"), [(0.25, True), (2, True), (1.5, False), (9, False)])
def test_trials_share_one_gpu_or_have_whole_ones(gpus, allowed):
    if allowed:
        assert execution(gpus=gpus).gpus == gpus
    else:
        with pytest.raises(ValidationError):
            execution(gpus=gpus)


@pytest.mark.parametrize(
    ("workers", "threads", "missing", "side_by_side"),
    [(None, 1, 9, 6), (None, 4, 9, 1), (None, 8, 9, 1), (8, 4, 9, 8), (None, 1, 2, 2)],
)
def test_workers_fill_the_cores(
    base, small_pool, monkeypatch, workers, threads, missing, side_by_side
):
    monkeypatch.setenv(CORES, "6")
    monkeypatch.setattr(local._Crew, "train", lambda crew, places: [places])
    job = Job("v", replace(base, threads=threads), small_pool, None, 1, 1, "cpu")
    parts = {name: Part(replace(job, name=name), [], Path(name)) for name in ("v", "w", "rest")}
    trials = [Trial("vw"[i % 2], 0, i, 0) for i in range(missing)]
    work = Work(parts, [Planned(t, 1, "", None, None) for t in trials], None, workers, gpus=0)
    assert local.train(work) == [side_by_side * [{"CUDA_VISIBLE_DEVICES": "-1"}]]
    assert [job.name for job in work.jobs] == ["v", "w"]  # nothing of the third is missing
    assert work.part(trials[1]) is parts["w"]
