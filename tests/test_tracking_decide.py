"""Further repeats in sight of a person: one bar, a run of MLflow for each variant, no network."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab import observed, paths, records, track, tracking
from cnnlab.data import folds
from cnnlab.errors import UserError
from cnnlab.observed import run_all_observed
from cnnlab.run import device
from cnnlab.run.job import Job
from cnnlab.run.options import Execution
from tests import made_up

SECTIONS = made_up.sections(epochs=2)
EXECUTION = Execution(backend="local", workers=1, device="cpu", per_gpu=1, gpus=0)
NAMES = ("baseline", "dropout")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A study's folder in a clone with a store of its own."""
    folder = tmp_path_factory.mktemp("clone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setattr(paths, "workspace", lambda: folder)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def jobs_of(workspace, pool_in):
    """Makes the jobs of both variants, for repeats of a study that is thought of as longer."""
    pool = pool_in(workspace / "pool")
    longer = folds.make(pool.manifest, k=2, repeats=5, seed=1)

    def make(*repeats, names=NAMES):
        return {
            paths.DECIDED / name: Job(
                name=name,
                recipe=SECTIONS.recipe([name] if name == "dropout" else []),
                pool=pool,
                folds=longer[longer["repeat"].isin(repeats)],
                members=1,
                seed=1,
                device=device.kind("local", 0),
            )
            for name in names
        }

    return make


def logged(study="some study"):
    """Name of each parent run -> the run and those below it, by the trial's key; asserts that no
    two have one name."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking.store())
    experiment = client.get_experiment_by_name(study).experiment_id
    runs = client.search_runs([experiment], max_results=1000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len({run.info.run_name for run in parents}) == len(parents)
    below = {run.info.run_id: {} for run in parents}
    for run in runs:
        if run not in parents:
            trials = below[run.data.tags["mlflow.parentRunId"]]
            assert trials.setdefault(run.data.tags["cnnlab.trial"], run) is run
    return {run.info.run_name: (run, below[run.info.run_id]) for run in parents}


@pytest.fixture(scope="module")
def rounds(jobs_of):
    """Two rounds, as the stage `decide` has them: one repeat of both variants, then one more of the
    variant that is still undecided. What each returned, and what MLflow had."""
    one = (
        run_all_observed(jobs_of(3), EXECUTION, "some study", "decide", "2 open: epochs"),
        logged(),
    )
    more = jobs_of(3, 4, names=["dropout"])
    return one, (
        run_all_observed(more, EXECUTION, "some study", "decide", "1 open: epochs"),
        logged(),
    )


def keys(*repeats):
    return [f"r{repeat}_f{fold}_m0" for repeat in repeats for fold in (0, 1)]


def test_each_variant_has_its_records_in_its_folder(rounds, jobs_of):
    (first, _), (second, _) = rounds
    assert {n: [r.trial.key for r in done] for n, done in first.items()} == dict.fromkeys(
        NAMES, keys(3)
    )
    assert [r.trial.key for r in second["dropout"]] == keys(3, 4)
    for folder, repeats in ((paths.DECIDED / "baseline", [3]), (paths.DECIDED / "dropout", [3, 4])):
        files = {f"{key}.{end}" for key in keys(*repeats) for end in ("json", "npz")}
        assert {path.name for path in folder.iterdir()} == files  # no network
    marks = {p.trial.key: p.mark for p in jobs_of(0, 3, 4)[paths.DECIDED / "dropout"].plan()}
    assert {r.trial.key: r.fingerprint for r in second["dropout"]}.items() <= marks.items()


def test_a_variant_has_one_run_of_the_kind_decide_that_grows(rounds):
    (_, first), (done, second) = rounds
    assert set(first) == set(second) == set(NAMES)
    for name in NAMES:
        run, trials = first[name]
        assert run.data.tags["cnnlab.kind"] == "decide" and run.data.tags["variant"] == name
        assert sorted(trials) == keys(3) and run.info.status == "FINISHED"
        assert {t.data.tags["cnnlab.of"] for t in trials.values()} == {"decide"}
        assert {t.info.status for t in trials.values()} == {"FINISHED"}
        again, later = second[name]
        assert again.info.run_id == run.info.run_id
        assert {k: later[k].info.run_id for k in trials} == {
            k: t.info.run_id for k, t in trials.items()
        }
    run, trials = second["dropout"]
    assert sorted(trials) == keys(3, 4)
    scores = records.scores(done["dropout"], "accuracy")
    assert scores.shape == (2, 2)
    assert run.data.metrics["accuracy"] == pytest.approx(scores.mean())
    assert run.data.tags[tracking.NOTE].startswith("Further repeats of **dropout**: accuracy")
    assert "over 4 trials" in run.data.tags[tracking.NOTE]
    assert run.data.params["members"] == "1" and run.data.params["epochs"] == "2"


def test_no_network_is_logged(rounds):
    for run, _ in rounds[-1][-1].values():
        assert not (run.outputs and run.outputs.model_outputs)


def test_the_mark_is_of_the_first_repeat_and_of_this_recipe(rounds, jobs_of):
    for folder, job in jobs_of(3).items():
        mark = tracking.digest(p.mark for p in job.plan())
        assert rounds[-1][-1][folder.name][0].data.tags["cnnlab.mark"] == mark


def test_the_rounds_again_train_nothing_and_log_nothing_twice(rounds, jobs_of, monkeypatch):
    """As `make track` has them: to the same store, and to one that has nothing yet."""
    before = {p: p.stat().st_mtime_ns for p in paths.DECIDED.rglob("*.*")}
    for store in (tracking.store(), f"sqlite:///{paths.workspace()}/late.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
        for _ in range(2):
            run_all_observed(jobs_of(3), EXECUTION, "some study", "decide", "2 open")
            run_all_observed(
                jobs_of(3, 4, names=["dropout"]), EXECUTION, "some study", "decide", "1 open"
            )
            assert {n: sorted(trials) for n, (_, trials) in logged().items()} == {
                "baseline": keys(3),
                "dropout": keys(3, 4),
            }
    assert before == {p: p.stat().st_mtime_ns for p in paths.DECIDED.rglob("*.*")}


def test_one_bar_has_the_title_and_counts_the_epochs_of_all(rounds, jobs_of, capfd):
    run_all_observed(jobs_of(3), EXECUTION, "some study", "decide", "still open: dropout")
    lines = [line for line in capfd.readouterr().out.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith("still open: dropout: 8 in ")  # 2 variants, 2 folds, 2 epochs


def test_the_bar_says_of_which_variant_an_epoch_is(record):
    notes = []

    class Silent:
        def advance(self, steps=1, note=""):
            notes.append((steps, note))

        def epoch(self, *_):
            pass

        trial = epoch

    two = observed._Watcher(Silent(), {"a": Silent(), "b": Silent()}, {"a": 5, "b": 2})
    trial = record("a", 3, 1).trial
    two.epoch(trial, {"epoch": 2, "accuracy": 0.5})
    two.done(record("a", 3, 1), trained=True)  # it has two epochs, so it stopped early
    two.done(record("b", 3, 1), trained=False)
    assert notes == [
        (1, "a repeat 3 fold 1 epoch 2/5 accuracy 0.500"),
        (3, "a r3_f1_m0 stopped early"),
        (2, "b r3_f1_m0 kept"),
    ]
    one = observed._Watcher(Silent(), {"a": Silent()}, {"a": 5})
    one.done(record("a", 3, 1), trained=False)
    assert notes[-1] == (5, "r3_f1_m0 kept")


def test_epochs_of_a_worker_that_died_are_counted_once(record):
    steps, told = [], []

    class Seen:
        def advance(self, count=1, note=""):
            steps.append(count)

        def say(self, line): ...

        def epoch(self, trial, entry):
            told.append(entry["epoch"])

        def trial(self, _): ...

    seen, made = Seen(), record("a", 3, 1)
    watcher = observed._Watcher(seen, {"a": seen}, {"a": 2})
    watcher.epoch(made.trial, {"epoch": 1})
    watcher.again(made.trial)
    for epoch in (1, 2):
        watcher.epoch(made.trial, {"epoch": epoch})
    watcher.done(made, trained=True)
    assert sum(steps) == 2 and told == [1, 2]


def test_a_store_that_is_away_costs_one_warning_for_all_variants(
    rounds, jobs_of, monkeypatch, capfd
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere/")
    done = run_all_observed(jobs_of(3), EXECUTION, "some study", "decide", "away")
    assert capfd.readouterr().err.count("warning: MLflow") == 1
    assert [len(done[name]) for name in NAMES] == [2, 2]


def test_several_runs_of_one_writer_are_each_watched_until_the_end(record, monkeypatch):
    """The machine's monitors end, whatever fails."""
    ended, begun = [], []

    class Monitor:
        def finish(self):
            ended.append(self)

    def begin(run_id):
        begun.append(run_id)
        return Monitor()

    monkeypatch.setattr(tracking, "_watch_machine", begin)
    with tracking.Writer() as writer:
        with (
            tracking.Run("watched", "decide", "a", "1", writer) as a,
            tracking.Run("watched", "decide", "b", "2", writer) as b,
        ):
            for run, name in ((a, "a"), (b, "b"), (a, "a")):
                trial = record(name, 3, 0)
                run.epoch(trial.trial, trial.history[0])
        a.attach([paths.workspace() / "no such file"], "")
        while writer.calls.qsize():
            pass
    assert len(set(begun)) == len(begun) == len(ended) == 2


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """What track runs, in the place of its stages: a command, which fails where it begins with
    "fails"; it has a store of its own."""
    ran = []

    def run(command, check=False, env=None):
        ran.append(command[1:])
        if env and "fails" in ran:
            with pytest.MonkeyPatch.context() as patch, tracking.Writer() as writer:
                patch.setenv(tracking.FAILURES, env[tracking.FAILURES])
                writer.calls.put(lambda: 1 / 0)
        return type("Done", (), {"returncode": 0})

    whole = made_up.FROZEN
    monkeypatch.setattr(track.subprocess, "run", run)
    monkeypatch.setattr(track.params, "load", lambda *names: [getattr(whole, n) for n in names])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return ran


def test_track_runs_the_stages_that_train_and_then_the_report(ran):
    track.main()
    asked, started = ran
    assert asked[-1] == "dvc.yaml" and started[:2] == ["-m", "stages"]
    trained = [f"train {name}" for name in made_up.FROZEN.variants.every]
    # Nothing is drawn again: `report` logs all figures that are there.
    assert started[2:] == ["pretrain", "screen", *trained, "decide", "final", "report"]


def test_track_ends_with_what_mlflow_failed_with_and_does_not_advise_itself(ran, capfd):
    ran.append("fails")
    with pytest.raises(UserError, match=r"failed \(ZeroDivisionError.*\nnot all is logged") as told:
        track.main()
    assert "make track" not in f"{told.value}{capfd.readouterr().err}"


@pytest.mark.parametrize("store", ["plain", "http://127.0.0.1:9"])
def test_track_runs_no_stage_where_mlflow_does_not_answer(ran, tmp_path, monkeypatch, store):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store if "://" in store else f"{tmp_path}/{store}")
    with pytest.raises(UserError, match=r"MLflow at .* failed"):
        track.main()
    assert len(ran) == 1  # dvc status


def test_track_says_where_no_study_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"params\.yaml"):
        track.main()


def test_a_summary_is_of_the_repeats_there_are(record):
    def of(*repeats):
        return [
            replace(
                record("v", repeat, fold),
                measured={**record().measured, "train_nll": 0.1 * i + fold},
            )
            for i, repeat in enumerate(repeats)
            for fold in (0, 1)
        ]

    values = tracking.summary(of(3, 4))
    assert values == tracking.summary(of(0, 1))
    assert values["train_nll"] == pytest.approx(0.55)
    assert values["accuracy_low"] <= values["accuracy"] <= values["accuracy_high"]
    np.testing.assert_allclose(records.scores(of(3, 4), "train_nll"), [[0, 1], [0.1, 1.1]])
    with pytest.raises(UserError, match="repeat 5, fold 0 has 0 of 1"):
        records.cells(of(3, 4, 6))
