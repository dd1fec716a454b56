"""The comment of a pull request, from two revisions of temporary repositories without a forge."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from ruamel.yaml import YAML

from cnnlab import pull_request
from cnnlab.compare import tables
from cnnlab.compare.contrasts import Contrast
from cnnlab.compare.inference import Split
from cnnlab.compare.metrics import METRICS
from cnnlab.errors import UserError
from cnnlab.look.figure import Picture, save

URL = "https://forge.example/o/r"
IMAGES, REPEATS, FOLDS = 300, 3, 5
SPLIT = Split(
    fold=np.array([np.random.default_rng(i).permutation(IMAGES) % FOLDS for i in range(REPEATS)]),
    group=np.arange(IMAGES),
)
BASELINE = np.random.default_rng(0).normal(0.5, 0.1, (REPEATS, IMAGES))


class Repository:
    """A clone with a study, whose reports are written as the compare stage writes them."""

    def __init__(self, root, source):
        self.root = root
        self.git("init", "-q", "-b", "main")
        (root / "params.yaml").write_text((source / "tests/params.yaml").read_text())

    def git(self, *arguments):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", *who, *arguments]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def params(self, of=".", **changed):
        """Set params by dotted key."""
        yaml, path = YAML(), self.root / of / "params.yaml"
        p = yaml.load(path)
        for key, value in changed.items():
            *groups, last = key.split("__")
            group = p
            for name in groups:
                group = group[name]
            group[last] = value
        yaml.dump(p, path)

    def reports(self, gains, study=".", seed=1, lock=True, dev="a", backbone="b", code="c"):
        """Reports of a study in which each technique gains so much over the baseline."""
        folder = self.root / study / "reports"
        (folder / "compare").mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        scores = {"baseline": BASELINE}
        for name, gain in gains.items():
            scores[name] = BASELINE + gain + rng.normal(0, 0.08, BASELINE.shape)
        rules = tables.Rules(
            metric="accuracy",
            higher_is_better=True,
            rope=0.01,
            confidence=0.95,
            alpha=0.05,
            probability=0.95,
        )
        asked = [Contrast(n, "alone", {n: 1.0, "baseline": -1.0}) for n in gains]
        effects = pd.DataFrame(tables.effect_rows(asked, scores, SPLIT, rules))
        effects.to_csv(folder / "ablation.csv", index=False, float_format="%.6g")
        of = {name: [] for name in scores}
        rows = tables.variant_rows({"accuracy": scores}, of, SPLIT, rules)
        pd.DataFrame(rows).to_csv(folder / "compare/ablation_scores.csv", index=False)
        (folder / "report.md").write_text(f"# {gains}\n")
        (folder / "data.json").write_text(json.dumps({"images": {"dev": 300}}))
        figure = Figure(figsize=(1, 1))
        figure.subplots().bar(list(gains), list(gains.values()))
        alt = "; ".join(f"{n} {g:+.2f}" for n, g in gains.items())
        save(Picture(figure, alt), folder / "compare/ablation_effects.png")
        if lock:
            locked = YAML(typ="safe").load(self.root / study / "params.yaml")
            compare = {"params": {"params.yaml": {"compare": locked["compare"]}}}
            variants = {"train@l2": ["l2"], "transfer@freeze": ["freeze"], "train@gone": ["gone"]}
            trained = {}
            for stage, on in variants.items():
                asked = {"train": locked["train"], f"variants.{stage.replace('@', '.')}": on}
                deps = [{"path": "cnnlab/train", "md5": code}, {"path": "data/folds.csv"}]
                trained[stage] = {"params": {"params.yaml": asked}, "deps": deps}
            prepare = {"outs": [{"path": "data/prepared/dev", "md5": dev}]}
            kfold = {"outs": [{"path": "data/folds.csv", "md5": "f"}]}
            stages = {"compare": compare, "prepare": prepare, "kfold": kfold}
            stages["pretrain"] = {"outs": [{"path": "data/backbone", "md5": backbone}]}
            stages |= trained
            YAML().dump({"stages": stages}, self.root / study / "dvc.lock")

    def comment(self, base="main", head="HEAD", **options):
        return pull_request.comment(self.root, base, head, URL, **options)


@pytest.fixture
def repository(tmp_path, root):
    made = Repository(tmp_path, root)
    made.reports({"dropout": 0.02, "l2": 0.0})
    made.before = made.commit()
    made.git("checkout", "-q", "-b", "branch")
    return made


def row(text, label):
    (found,) = re.findall(rf"(?m)^\| \*\*{label}\*\* \|(.*)\|$", text)
    return [cell.strip() for cell in found.split("|")]


def test_params_and_effects_before_and_after_with_a_verdict(repository):
    repository.params(techniques__dropout__rate=0.5, train__epochs=90)
    repository.reports({"dropout": 0.09, "l2": 0.0})
    after = repository.commit()
    text = repository.comment()
    assert text.startswith(pull_request.MARK + "\n")
    assert (
        "| techniques.dropout.rate | 0.3 | 0.5 |" in text and "| train.epochs | 60 | 90 |" in text
    )
    before, now, change, verdict = row(text, "dropout alone")
    number = r"[+−][\d.]+ \[−?[\d.]+, −?[\d.]+\]"
    assert re.fullmatch(rf"helps: {number}", before) and re.fullmatch(rf"helps: {number}", now)
    assert re.fullmatch(number, change)
    assert change.startswith("+7.0 ")
    assert f"- **dropout** {now.replace(' [', ' points [')}, added to the baseline.\n" in text
    assert verdict == "**real change, better**"
    assert row(text, "l2 alone")[-1] == row(text, "baseline")[-1] == "unchanged"
    assert "**Real change: dropout alone.** Unchanged: 1." in text
    assert "The same development images, folds, backbone." in text
    assert f"[The full report]({URL}/blob/{after}/reports/report.md)" in text
    assert f"[as it was]({URL}/blob/{repository.before}/reports/report.md)" in text


def test_figures_stand_side_by_side_by_revision_with_their_alt_text(repository):
    repository.reports({"dropout": 0.05, "l2": 0.0})
    after = repository.commit()
    path = "reports/compare/ablation_effects.png"
    assert (
        f"| ![dropout +0.02; l2 +0.00]({URL}/raw/{repository.before}/{path}) "
        f"| ![dropout +0.05; l2 +0.00]({URL}/raw/{after}/{path}) |" in repository.comment()
    )
    # What only this run has drawn is not on the forge: no link to something else.
    repository.reports({"dropout": 0.07, "l2": 0.0})
    repository.commit()
    text = repository.comment(pushed=after)
    assert f"{URL}/raw/{after}" not in text and "drawn in this run, not pushed" in text
    assert f"[The full report]({URL}/blob/{after}/reports/report.md)" in text


def test_figures_of_others_have_their_name(repository):
    Image.new("L", (4, 4)).save(repository.root / "reports/mine.png")
    (repository.root / "reports/pointer.png").write_text("version 1")
    after = repository.commit()
    text = repository.comment()
    for name in ("mine.png", "pointer.png"):
        assert f"| – | ![{name}]({URL}/raw/{after}/reports/{name}) |" in text


def test_another_seed_alone_is_noise(repository):
    repository.params(seed=21)
    repository.reports({"dropout": 0.02, "l2": 0.0}, seed=2)
    repository.commit()
    text = repository.comment()
    assert "**No effect changed beyond noise.**" in text
    assert "real change, " not in text


def test_other_images_are_named_as_a_cause(repository):
    repository.params(data__dev_per_class=50)
    repository.reports({"dropout": 0.09, "l2": 0.0}, dev="b")
    (repository.root / "reports/data.json").write_text('{"images": {"dev": 500}}')
    repository.commit()
    text = repository.comment()
    assert "**Other development images**, so a change below may be theirs." in text
    assert "| images.dev | 300 | 500 |" in text


def test_reports_older_than_params_are_said_to_be(repository):
    repository.params(train__epochs=90)
    repository.commit()
    text = repository.comment()
    assert "reports are older than `params.yaml`: train.epochs changed" in text
    repository.reports({"dropout": 0.02, "l2": 0.0})
    repository.commit()
    assert "older" not in repository.comment()


def test_variants_of_both_groups_are_known_and_those_that_are_gone_are_not_stale(repository):
    repository.params(variants__train__l2=["l1"], variants__transfer__freeze=["finetune"])
    repository.commit()
    (line,) = (line for line in repository.comment().splitlines() if "are older than" in line)
    assert "variants.train.l2" in line and "variants.transfer.freeze" in line and "gone" not in line


def test_another_backbone_and_other_code_of_training_are_named(repository):
    repository.reports({"dropout": 0.02, "l2": 0.0}, backbone="other", code="other")
    repository.commit()
    text = repository.comment()
    assert "**Other backbone**" in text and "The same development images, test images" not in text
    assert "Code that training rests on changed: cnnlab/train." in text
    repository.params(variants__transfer={})
    repository.commit()
    assert "backbone**" not in repository.comment()  # nothing begins at it


def test_scores_are_compared_by_their_standard_error_not_their_lopsided_interval(repository):
    """Intervals of shares are asymmetric near 1, so that their ends do not give the error back."""
    repository.reports({"dropout": 0.47, "l2": 0.0})
    study = pull_request.Study(
        pull_request.Revision.named(repository.root, repository.commit()), ""
    )
    score = pull_request.scores(study, "accuracy")["dropout"]
    assert score["high"] < 1 and score["high"] - score["effect"] < score["effect"] - score["low"]
    table = study.table(pull_request.paths.COMPARE / "ablation_scores.csv").set_index("name")
    assert score["se"] == table.loc["dropout", "accuracy_se"]
    assert score["df"] == REPEATS * (FOLDS - 1)
    base = {**score, "effect": score["effect"] - 0.1}
    rules = {"confidence": 0.95, "alpha": 0.05, "rope": 0.01}
    change = pull_request.compared({"x": base}, {"x": score}, rules)["x"]
    half = 2.1788128 * 2**0.5 * score["se"]  # t, 0.975, of 12 degrees of freedom
    assert (change.mean, change.high - change.mean) == pytest.approx((0.1, half))


def test_effects_are_compared_by_the_tables_errors_and_degrees_of_freedom(repository):
    study = pull_request.Study(pull_request.Revision.named(repository.root, "HEAD"), "")
    row = pull_request.effects(study, "accuracy")["alone", "dropout"]
    other = {**row, "effect": row["effect"] + 0.1, "df": 7.5}
    rules = {"confidence": 0.95, "alpha": 0.05, "rope": 0.01}
    change = pull_request.compared({"x": row}, {"x": other}, rules)["x"]
    half = 2.3330396 * 2**0.5 * row["se"]  # t, 0.975, of 7.5 degrees of freedom
    assert change.high - change.mean == pytest.approx(half, rel=1e-4)
    flat = {**other, "why": "all folds are alike"}
    assert pull_request.compared({"x": row}, {"x": flat}, rules)["x"].verdict == "cannot be told"


def test_tables_are_read_by_the_confidence_they_were_made_with(repository):
    before = repository.comment()
    repository.params(compare__confidence=0.5)
    repository.commit()
    text = repository.comment()
    assert "older than `params.yaml`: compare.confidence" in text and "[95% CI]" in text
    assert row(text, "dropout alone")[-1] == "unchanged" and "No params" in before


def test_params_that_did_not_reach_the_reports_make_no_change(repository):
    repository.params(train__epochs=90)
    repository.commit()
    text = repository.comment()
    assert row(text, "dropout alone")[-1] == "unchanged"


def test_what_came_and_what_went(repository):
    repository.reports({"dropout": 0.02, "cutmix": 0.01})
    repository.commit()
    text = repository.comment()
    assert row(text, "cutmix alone")[0] == "–" and row(text, "cutmix alone")[-1] == "new"
    assert row(text, "l2 alone")[1] == "–" and row(text, "l2 alone")[-1] == "gone"


def earlier(reports):
    """Make tables what an earlier version wrote: of folds, effects without standard errors."""
    table = reports / "ablation.csv"
    rows = pd.read_csv(table, keep_default_na=False)
    new = ["se", "h", "e", "u", "why", "more", "images_needed", "look", "aliases", "approximate"]
    rows.drop(columns=new).assign(n=15, degenerate=False).to_csv(table, index=False)
    table = reports / "compare/ablation_scores.csv"
    rows = pd.read_csv(table, keep_default_na=False)
    rows.drop(columns="repeats").assign(n=15).to_csv(table, index=False)


@pytest.mark.parametrize("side", ["before", "after", "both"])
def test_tables_of_an_earlier_version_are_shown_and_said_to_be(repository, side):
    shas = []
    for gain, old in ((0.02, side != "after"), (0.12, side != "before")):
        repository.reports({"dropout": gain, "l2": 0.0})
        if old:
            earlier(repository.root / "reports")
        repository.params(seed=len(shas))
        shas.append((repository.commit(), old))
    text = repository.comment(base=shas[0][0])
    for sha, old in shas:
        said = f"{sha[:10]}: tables made by an earlier version, without standard errors"
        assert (said in text) == old
    assert row(text, "dropout alone")[2:] == ["", "made by an earlier version"]
    assert row(text, "baseline")[2:] == ["", "made by an earlier version"]
    assert row(text, "dropout alone")[1].startswith("helps: +11" if side == "before" else "+11")
    assert "real change" not in text.split("How this tells")[0]
    assert ("The answers now" in text) == (side == "before")


def test_reports_that_hold_no_effects_are_said_so_and_nothing_is_made_up(repository):
    table = repository.root / "reports/ablation.csv"
    pd.read_csv(table).drop(columns="effect").to_csv(table, index=False)
    after = repository.commit()
    text = repository.comment()
    assert f"{after[:10]}: no effects on accuracy that can be read" in text
    assert "real change" not in text.split("How this tells")[0]


@pytest.mark.parametrize("study", ["cifar10", "transfer"])
def test_committed_studies_of_an_earlier_layout_can_be_told_about(repository, root, study):
    folder = repository.root / "studies" / study
    for name in ("params.yaml", "dvc.lock", "reports/ablation.csv", "reports/data.json",
                 "reports/compare/ablation_scores.csv"):  # fmt: skip
        source = root / "studies" / study / name
        if source.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(source.read_bytes())
    defaults = "cnnlab/defaults.yaml"  # of what their params do not say
    (repository.root / defaults).parent.mkdir(exist_ok=True)
    (repository.root / defaults).write_bytes((root / defaults).read_bytes())
    before = repository.commit()
    (folder / "params.yaml").write_text((folder / "params.yaml").read_text() + "\n# x\n")
    repository.commit()
    assert "### " in repository.comment(base=before)


def test_several_studies_each_for_itself(repository):
    repository.git("checkout", "-q", "main")
    for name in ("photos", "still", "old"):
        (repository.root / f"studies/{name}").mkdir(parents=True)
        text = (repository.root / "params.yaml").read_text()
        (repository.root / f"studies/{name}/params.yaml").write_text(text)
        repository.params(of=f"studies/{name}", study=name)
        repository.reports({"dropout": 0.0}, study=f"studies/{name}")
    repository.commit()
    repository.git("checkout", "-q", "-B", "branch")
    repository.reports({"dropout": 0.2}, study="studies/photos")
    repository.git("rm", "-rq", "studies/old")
    (repository.root / "studies/fresh").mkdir()
    (repository.root / "studies/fresh/params.yaml").write_text(text)
    repository.reports({"dropout": 0.1}, study="studies/fresh")
    repository.commit()
    text = repository.comment()
    assert re.findall(r"(?m)^### .*\(`(.*)`\)$", text) == ["studies/fresh", "studies/photos"]
    assert "A new study." in text and "Removed: studies/old." in text
    assert "As they were: digits, still." in text
    assert f"{URL}/raw/" in text and "/studies/photos/reports/compare/ablation_effects.png" in text


def test_compared_is_the_commit_where_the_branch_left(repository):
    repository.params(train__epochs=90)
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.params(seed=5)
    repository.commit()
    text = repository.comment(head="branch")
    assert "| train.epochs | 60 | 90 |" in text and "| seed |" not in text


def test_nothing_of_a_study_changed(repository):
    (repository.root / "README.md").write_text("x")
    repository.commit()
    assert "No params, reports or lock file of a study changed." in repository.comment()


def test_names_from_outside_do_no_harm(repository):
    repository.params(data__classes=["<img src=x>", "a|b"])
    repository.commit()
    text = repository.comment()
    assert "<img" not in text.replace("\\<img", "") and "a\\|b" in text


def test_a_comment_fits_where_it_is_posted(repository):
    for i in range(40):
        file = repository.root / f"reports/figures/{i:02}.png"
        file.parent.mkdir(exist_ok=True)
        save(Picture(Figure(figsize=(1, 1)), "w" * 300), file)
    repository.reports({f"technique_{i}": 0.01 * i for i in range(40)})
    repository.commit()
    text = repository.comment()
    assert len(text) < 65536 and "9 of 40" in text


def test_the_command_prints_it_the_same_each_time_also_from_a_study_s_folder(repository, root):
    repository.params(train__epochs=90)
    repository.commit()
    (repository.root / "elsewhere").mkdir()
    said = [
        subprocess.run(
            [sys.executable, "-m", "cnnlab.pull_request", "--base", "main", "--url", URL],
            cwd=folder,
            env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for folder in (repository.root, repository.root / "elsewhere")
    ]
    assert said[0] == said[1] == repository.comment()


@pytest.mark.parametrize("base", ["nowhere", "--all", ""])
def test_a_revision_that_is_not_there_is_named(repository, base):
    with pytest.raises(UserError, match=re.escape(repr(base))):
        repository.comment(base=base)


def test_params_that_cannot_be_read_are_named_with_their_revision(repository):
    (repository.root / "params.yaml").write_text("a: [")
    after = repository.commit()
    with pytest.raises(UserError, match=f"{after[:10]}:params.yaml"):
        repository.comment()


@pytest.mark.parametrize(
    "path", ["reports/data.json", "reports/ablation.csv", "reports/compare/ablation_scores.csv"]
)
def test_a_damaged_file_is_named_with_its_revision(repository, path):
    (repository.root / path).write_text("")
    after = repository.commit()
    with pytest.raises(UserError, match=f"{after[:10]}:{path}: it is no valid"):
        repository.comment()


def test_a_name_that_is_no_text_is_shown_as_well_as_can_be(repository):
    folder = repository.root / "reports/figures"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    (folder / name).write_bytes(
        (repository.root / "reports/compare/ablation_effects.png").read_bytes()
    )
    repository.reports({"dropout": 0.1})
    repository.commit()
    text = repository.comment()
    assert text.encode() and "figures/caf\ufffd.png" in text and "figures/caf%E9.png" in text


def test_without_a_commit_in_common_the_cure_is_named(repository):
    repository.git("checkout", "-q", "--orphan", "other")
    repository.reports({"dropout": 0.1})
    repository.commit()
    with pytest.raises(UserError, match=r"no commit in common here; .*git fetch --unshallow"):
        repository.comment()


def test_without_git_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git: No such file"):
        pull_request.main([])


def shorten(repository, source):
    """What is written of params no longer holds the section `compare`; with the defaults there."""
    (repository.root / "cnnlab").mkdir()
    (repository.root / "cnnlab/defaults.yaml").write_bytes(
        (source / "cnnlab/defaults.yaml").read_bytes()
    )
    yaml, path = YAML(), repository.root / "params.yaml"
    p = yaml.load(path)
    p["compare"] = {}
    del p["techniques"]["l1"]["bias"]
    yaml.dump(p, path)


def test_params_that_are_not_written_are_those_of_the_revision_s_defaults(repository, root):
    shorten(repository, root)
    repository.reports({"dropout": 0.02, "l2": 0.0})
    repository.commit()
    text = repository.comment()
    assert "#### Params\n\nAs they were." in text and "[95% CI]" in text
    defaults = repository.root / "cnnlab/defaults.yaml"
    changed = defaults.read_text().replace("confidence: 0.95", "confidence: 0.9")
    defaults.write_text(changed.replace("  mixup:                 #", "  mixup:  #"))
    repository.reports({"dropout": 0.02, "l2": 0.0})
    repository.commit()
    text = repository.comment()
    assert "| compare.confidence | 0.95 | 0.9 |" in text and "mixup" not in text


def test_a_metric_that_is_none_is_refused(repository):
    repository.params(compare__metric="luck")
    repository.reports({"dropout": 0.1})
    repository.commit()
    with pytest.raises(UserError, match=r"compare.metric = 'luck'; allowed: accuracy"):
        repository.comment()
    assert "luck" not in METRICS
