"""params.yaml: a valid file is read, and what is not valid says which key, what it held and what is
allowed. The first half walks tests/params.yaml, so that every key is tested; the last is of files
that hold no more than they must."""

import copy
import io
import re
from itertools import product
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cnnlab import consistency, params
from cnnlab.data.sources import SOURCES
from cnnlab.errors import UserError
from cnnlab.plugins import Options, chosen
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.techniques import SCRATCH, TECHNIQUES, starts
from cnnlab.tasks import TASKS

yaml = YAML(typ="safe")
FILE = Path(__file__).with_name("params.yaml")
CONTENT = yaml.load(FILE.read_text())
NAMED = {"techniques": TECHNIQUES, "model": NETS}
DEFAULTS = yaml.load(params.DEFAULTS.read_text())
SECTIONS = [key for key in DEFAULTS if key not in ("networks", "tasks")]
ABSENT = object()
LITE = {"efficientnet_lite0": {"size": 32, "momentum": None, "dense": []}}


def groups(value, key=()):
    """Keys of all mappings whose keys are fixed, the whole file's being ()."""
    if isinstance(value, dict):
        if key[:1] != ("variants",) or len(key) == 1:
            yield key
        for name, inner in value.items():
            yield from groups(inner, (*key, name))


def leaves(value, key=()):
    """(key, value) of all that is not a mapping."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*key, name))
    else:
        yield key, value


LEAVES = dict(leaves(CONTENT))
NUMBERS = {k: v for k, v in LEAVES.items() if isinstance(v, int | float)}
dotted = ".".join


@pytest.fixture
def edited(tmp_path):
    """Writes tests/params.yaml with some keys changed (ABSENT: removed); returns the path."""

    def write(changes):
        content = copy.deepcopy(CONTENT)
        for key, value in changes.items():
            *parents, last = key if isinstance(key, tuple) else key.split(".")
            group = content
            for name in parents:
                group = group.setdefault(name, {})
            if value is ABSENT:
                del group[last]
            else:
                group[last] = copy.deepcopy(value)
        path = tmp_path / "params.yaml"
        with path.open("w") as file:
            yaml.dump(content, file)
        return path

    return write


@pytest.fixture
def refusal(edited):
    """The message with which an edit is refused."""

    def message(changes):
        path = edited(changes)
        with pytest.raises(UserError) as error:
            params.read(path)
        assert str(error.value).startswith(str(path))
        return str(error.value)

    return message


def test_an_unedited_copy_is_valid(edited):
    assert params.read(edited({})) == params.read(FILE)


@pytest.mark.parametrize("group", list(groups(CONTENT)), ids=lambda k: dotted(k) or "file")
def test_an_unknown_key_is_refused_at_every_level(refusal, group):
    message = refusal({(*group, "surprise"): 1})
    key, _, allowed = message.partition(": unknown key; allowed: ")
    assert key.endswith(": " + dotted((*group, "surprise")))
    there = CONTENT
    for name in group:
        there = there[name]
    assert set(there) <= set(allowed.split(", "))


@pytest.mark.parametrize("group", list(NAMED))
def test_an_unknown_plug_in_is_refused_with_those_there_are(refusal, group):
    message = refusal({f"{group}.nope": {}})
    assert f"{group}.nope" in message
    assert message.endswith(", ".join(NAMED[group].names()))


WRONG = {int: [True, "7", [1]], float: [True, "0.1", {}], str: [7, True, ["x"]]}
WRONG |= {bool: [7, "yes", []]}
WRONG |= {list: ["text", 7, {}], type(None): [True, 0.5, {}]}


@pytest.mark.parametrize("nth", range(3))
def test_a_wrong_type_is_refused_at_every_key(refusal, nth):
    bad = {key: WRONG[type(value)][nth] for key, value in LEAVES.items()}
    message = refusal(bad)
    assert [k for k, v in bad.items() if f"{dotted(k)} = {v!r}: should be" not in message] == []


WRITTEN = ["study", "code", "task", "seed", "data.raw", "data.pretrain.raw"]
WRITTEN += ["variants.train", "variants.transfer"]


def test_keys_without_a_default_are_missed_all_at_once(refusal):
    lines = refusal(dict.fromkeys(WRITTEN, ABSENT)).splitlines()
    said = [f"{key}: missing; it has no default" for key in WRITTEN]
    assert [line for line in said if not any(told.endswith(line) for told in lines)] == []
    assert len(lines) == len(WRITTEN)


def test_sections_that_are_missing_are_named_with_what_to_write(refusal):
    lines = refusal(dict.fromkeys(SECTIONS, ABSENT)).splitlines()
    for section in SECTIONS:
        said = f"{section}: missing; write `{section}: {{}}` for the defaults, as DVC reads it here"
        assert any(line.endswith(said) for line in lines), section
    assert len(lines) == len(SECTIONS)


@pytest.mark.parametrize("bad", [-1, float("inf"), float("nan")])
def test_a_number_below_its_range_or_not_finite_is_refused_at_every_key(refusal, bad):
    message = refusal(dict.fromkeys(NUMBERS, bad))
    assert [k for k in NUMBERS if f"{dotted(k)} = {bad!r}: should be" not in message] == []


@pytest.mark.parametrize(
    ("key", "bad", "allowed"),
    [
        ("study", "two words", "A-Za-z0-9"),
        ("study", "../up", "A-Za-z0-9"),
        ("seed", 2**31, "2147483648"),
        ("seed", 1.5, "valid integer"),
        ("data.source", "nope", ", ".join(SOURCES.names())),
        ("data.image_size", 3, "4"),
        ("data.image_size", 1025, "1024"),
        ("data.channels", 2, "1 or 3"),
        ("data.channels", 1.0, "1 or 3"),
        ("data.dev_per_class", 3, "4"),
        ("data.test_per_class", 0, "1"),
        ("data.pretrain.per_class", 0, "1"),
        ("folds.k", 1, "2"),
        ("folds.k", 21, "20"),
        ("folds.repeats", 0, "1"),
        ("folds.repeats", 101, "100"),
        ("train.epochs", 0, "1"),
        ("train.batch_size", 0, "1"),
        ("train.optimizer", "adamant", "'adam', 'sgd' or 'rmsprop'"),
        ("train.learning_rate", 0, "0"),
        ("train.members", 0, "1"),
        ("train.fill_mode", "wrap", "'constant', 'nearest' or 'reflect'"),
        ("compare.metric", "f1", "accuracy, nll, balanced"),
        ("compare.confidence", 0.4, "0.5"),
        ("compare.confidence", 1.0, "0.999"),
        ("compare.alpha", 0.6, "0.5"),
        ("compare.estimate", "bootstrap", "'crossed' or 'corrected_t'"),
        ("compare.guard", 0.9, "1"),
        ("compare.guard", 10.5, "10"),
        ("decide.max_repeats", 1, "2"),
        ("decide.max_repeats", 101, "100"),
        ("visualize.images", 0, "1"),
        ("visualize.images", 9, "8"),
        ("visualize.variants", [], "at least 1"),
        ("visualize.variants", ["nope"], "variants"),
        ("sizes.per_class", [0], "1"),
        ("sizes.steps", 1_000_001, "1000000"),
        ("data.pretrain.task", "jigsaw", "'labels' or 'rotation'"),
        ("data.pretrain.source", "nope", ", ".join(SOURCES.names())),
        ("backbone.sha256", "abc", "[0-9a-f]{64}"),
        ("backbone.features", 1001, "1000"),
        ("execution.gpus", 1.5, "whole number"),
        ("execution.device", "tpu", "'auto', 'cpu' or 'gpu'"),
        ("execution.per_gpu", 0, "1"),
        ("execution.per_gpu", 65, "64"),
        ("final.rule", "nope", "best, simplest"),
        ("model.vgg.filters", [], "at least 1"),
        ("model.vgg.filters", [16, 0], "1"),
        ("model.vgg.kernel", 16, "15"),
        ("techniques.augment.shift.fraction", 0.6, "0.5"),
        ("techniques.augment.rotation.degrees", 181, "180"),
        ("techniques.dropout.rate", 1, "less than 1"),
        ("techniques.dropout.rate", 0, "greater than 0"),
        ("techniques.batchnorm.momentum", 1, "less than 1"),
        ("techniques.l1.kernel", 1.1, "1"),
        ("techniques.flip", {"horizontal": False, "vertical": False}, "horizontal and vertical"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(refusal, key, bad, allowed):
    message = refusal({key: bad})
    assert key in message
    assert repr(bad) in message or repr(bad[-1]) in message
    assert allowed in message.rpartition(key)[2]


KNOWN = TECHNIQUES.names()
ANY, OTHER = [name for name in sorted(CONTENT["techniques"]) if name not in starts()][:2]
GROUPS = CONTENT["variants"]
FIRST = next(iter(GROUPS["train"]))
NO_STARTS = {"variants.transfer": {}, "visualize.variants": [FIRST], "sizes.variants": [FIRST]}
HEX = "0" * 64


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants.train.x": ["nope"]}, ["variants.train.x = 'nope'", ", ".join(KNOWN)]),
        ({"variants.transfer.x": ["nope"]}, ["variants.transfer.x = 'nope'", ", ".join(KNOWN)]),
        ({"backbone.techniques": ["nope"]}, ["backbone.techniques = 'nope'", ", ".join(KNOWN)]),
        ({f"techniques.{ANY}": None}, ["variants.train.", repr(ANY), OTHER]),
        ({"variants.train.x": [ANY, ANY]}, ["variants.train.x", f"['{ANY}', '{ANY}']", "once"]),
        (
            {"variants.train.a": [ANY, OTHER, "l2"], "variants.train.b": ["l2", OTHER, ANY]},
            ["variants.train.b", f"['l2', '{OTHER}', '{ANY}']", "another set than a's"],
        ),
        ({"variants.transfer.z": ["freeze"]}, ["variants.transfer.z", "than freeze's"]),
        (
            {"variants.train.x": ["finetune", ANY]},
            ["variants.train.x", "below variants.transfer, as it begins at the backbone"],
        ),
        (
            {"variants.transfer.x": ["l1", "dropout"]},
            ["variants.transfer.x", "below variants.train, as it begins at random weights"],
        ),
        (
            {
                "techniques.untrained": {"epochs": 5, "learning_rate": 0.01},
                "variants.transfer.x": ["untrained"],
            },
            ["variants.transfer.x", "below variants.train, as it begins at random weights"],
        ),
        (
            {"variants.transfer.x": ["freeze", "finetune"]},
            ["variants.transfer.x: finetune and freeze: a variant has one start at most"],
        ),
        (
            {"execution.backend": "ray", "execution.device": "cpu", "execution.gpus": 0.5},
            ["execution.gpus = 0.5", "allowed: 0, as execution.device is cpu"],
        ),
        (
            {"execution.backend": "ray", "execution.device": "gpu"},
            ["execution.gpus = 0", "allowed: more than 0, as execution.device is gpu"],
        ),
        (
            {"variants.transfer.x": ["augment", "freeze"]},
            ["variants.transfer.x: technique augment would do nothing", "stored features"],
        ),
        (
            {f"variants.transfer.{FIRST}": ["finetune", "dropout"]},
            ["variants = ", FIRST, "each name once"],
        ),
        ({"variants": {"train": {}, "transfer": {}}}, ["variants = {}", "at least one variant"]),
        ({"visualize.variants": ["nope"]}, ["visualize.variants = 'nope'", FIRST, "finetune"]),
        ({"visualize.variants": [FIRST] * 2}, ["visualize.variants", "each variant once"]),
        (
            {"variants.train.recommended": []},
            ["variants = 'recommended'", "another name", "visualize.variants"],
        ),
        ({"sizes.variants": ["nope"]}, ["sizes.variants = 'nope'", FIRST, "finetune"]),
        ({"sizes.variants": [FIRST] * 2}, ["sizes.variants", "each variant once"]),
        (
            {"model.resnet": {}},
            ["model = ['resnet', 'vgg']", "exactly one network of", ", ".join(NETS.names())],
        ),
        ({"data.pretrain.task": None}, ["data.pretrain.task = None", "labels or rotation where"]),
        (NO_STARTS, ["data.pretrain.task = 'rotation'", "else null"]),
        ({"data.pretrain.task": "labels"}, ["data.pretrain", "classes should name some"]),
        ({"data.pretrain.classes": ["1"]}, ["data.pretrain", "name at least 2"]),
        ({"backbone.weights": "a.h5"}, ["backbone.weights = 'a.h5'", "the backbone is a vgg"]),
        ({"backbone.weights": "imagenet"}, ["backbone.weights = 'imagenet'", "it is vgg"]),
        (
            {"backbone.weights": "package"},
            [
                "backbone.weights = 'package'",
                "where backbone.model is efficientnet_lite0; it is vgg",
            ],
        ),
        (
            {"backbone.weights": "imagenet", "backbone.model": LITE},
            ["backbone.weights = 'imagenet'", "is application; it is efficientnet_lite0"],
        ),
        ({"backbone.sha256": HEX}, [f"backbone.sha256 = '{HEX}'", "null where it is not"]),
        ({"backbone.model": {}}, ["backbone.model = {}", "null, or one network with its size"]),
    ],
)
def test_values_that_contradict_each_other_are_refused(refusal, changes, said):
    message = refusal(changes)
    for part in said:
        assert part in message


APPLICATION = {
    "application": {
        **{"name": "MobileNet", "cut": None, "size": 32, "preprocessing": "own"},
        **{"momentum": None, "dense": []},
    }
}
IMAGENET = {"backbone.model": APPLICATION, "backbone.weights": "imagenet"}
PACKAGED = {"backbone.model": LITE, "backbone.weights": "package"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (IMAGENET, ["data.pretrain.task = 'rotation'", "backbone.weights is pretrain, else null"]),
        (IMAGENET | {"data.pretrain.task": None}, None),
        ({**IMAGENET, "data.pretrain.task": None, **PACKAGED}, None),
        (PACKAGED, ["data.pretrain.task = 'rotation'", "backbone.weights is pretrain, else null"]),
        (
            {**PACKAGED, "data.pretrain.task": None, "backbone.sha256": HEX},
            ["backbone.sha256 = ", "null where it is not"],
        ),
        (
            {**IMAGENET, "data.pretrain.task": None, "backbone.weights": "https://x/y.h5"},
            ["backbone.sha256 = None", "where weights is a path or URL"],
        ),
        (
            {
                **IMAGENET,
                "data.pretrain.task": None,
                "backbone.weights": "y.h5",
                "backbone.sha256": HEX,
            },
            None,
        ),
        (NO_STARTS | {"data.pretrain.task": None}, None),
        ({"data.pretrain.task": "labels", "data.pretrain.classes": ["1", "2"]}, None),
        ({"data.pretrain.task": "labels", "data.pretrain.source": "npz"}, None),
        (
            {
                "techniques.untrained": {"epochs": 5, "learning_rate": 0.01},
                "variants.train.x": ["untrained"],
            },
            None,
        ),
        ({"variants.transfer.x": ["dropout", "finetune"]}, None),
        ({"backbone.features": None, "variants.transfer.x": ["augment", "freeze"]}, None),
        ({"train.techniques": ["dropout"]}, ["variants.train.", "none of train.techniques"]),
    ],
)
def test_what_is_learnt_beforehand_fits_what_begins_at_it(edited, refusal, changes, said):
    if said is None:
        params.read(edited(changes))
    else:
        message = refusal(changes)
        assert all(part in message for part in said)


def test_of_what_all_variants_have_each_acts(refusal, edited):
    depth = {"techniques.stochastic_depth": {"rate": 0.5}}
    for key in ("train.techniques", "backbone.techniques"):
        message = refusal(depth | {key: ["stochastic_depth"]})
        assert f"{key}: " in message and "vgg has no place 'branch'" in message
    nothing = {"techniques.flip": {"horizontal": True, "vertical": False}}
    params.read(edited(nothing | {"train.techniques": ["flip"]}))  # which stored features lack
    message = refusal(nothing | {"train.techniques": ["flip"], "variants.train.x": ["flip"]})
    assert "variants.train.x" in message and "which every variant has: flip" in message


@pytest.mark.parametrize("name", sorted(set(starts()) & set(KNOWN)))
def test_a_start_is_for_variants_alone(refusal, name):
    for key in ("train.techniques", "backbone.techniques", "design.techniques"):
        message = refusal({key: [name]})
        assert f"{key} = ['{name}']: allowed: no start" in message


def test_the_starts_of_a_design_are_scratch_and_those_with_hyperparameters(refusal, edited):
    known = [SCRATCH, *starts()]
    assert params.read(edited({"design.starts": known})).design.starts == known
    for bad in ("dropout", "nope"):
        message = refusal({"design.starts": [SCRATCH, bad]})
        assert f"design.starts = {bad!r}: allowed: starts: {', '.join(known)}" in message
    message = refusal({"techniques.lp_ft": None, "design.starts": [SCRATCH, "lp_ft"]})
    assert "design.starts = 'lp_ft': allowed: starts: scratch, discriminative" in message
    assert "each start once" in refusal({"design.starts": [SCRATCH] * 2})
    assert "design.starts = []" in refusal({"design.starts": []})


def test_two_nets_are_refused():
    class Nets(Options):
        vgg: int | None = None
        other: int | None = None

    two = params.Params.model_construct(model=Nets(vgg=1, other=2))
    (said,) = consistency.problems(two, lambda key: key == "model")
    assert said.startswith("model = ['vgg', 'other']: allowed: exactly one")


@pytest.mark.parametrize(
    ("key", "bad", "allowed"),
    [
        ("design.kind", "plan", "star, factorial, fraction, custom"),
        ("design.techniques", ["nope"], "techniques with hyperparameters"),
        ("design.techniques", [ANY, ANY], "each technique once"),
        ("design.resolution", 2, "3"),
        ("design.techniques", ["placebo"], "no placebo: design.placebo asks for it"),
        ("train.techniques", ["nope"], "techniques with hyperparameters"),
        ("train.techniques", [ANY, ANY], "each technique once"),
        ("train.techniques", [ANY], f"none of train.techniques, which every variant has: {ANY}"),
        ("compare.metric", "loss", "accuracy, nll, balanced_accuracy"),
        ("compare.probability", 0.5, "greater than 0.5"),
        ("compare.pairs", [[FIRST]], "at least 2"),
        ("compare.pairs", [[FIRST, "nope"]], "allowed: variants: "),
        ("compare.pairs", [[FIRST, FIRST]], "two different variants"),
    ],
)
def test_a_bad_design_or_comparison_is_refused(refusal, key, bad, allowed):
    message = refusal({key: bad})
    assert key in message and allowed in message


def test_a_placebo_needs_its_place_among_the_techniques(refusal, edited):
    absent = {"techniques.placebo": None, "variants.train.placebo": ABSENT}
    message = refusal(absent)
    assert "design.placebo = True: allowed: false, or placebo: {} under techniques" in message
    assert not params.read(edited(absent | {"design.placebo": False})).design.placebo


def test_repeats_are_only_added_to_those_that_all_have(refusal, edited):
    first = CONTENT["folds"]["repeats"]
    assert params.read(edited({"decide.max_repeats": None})).decide.max_repeats is None
    assert params.read(edited({"decide.max_repeats": first + 1})).decide.max_repeats == first + 1
    for most in range(2, first + 1):
        message = refusal({"decide.max_repeats": most})
        allowed = f"allowed: more than folds.repeats = {first}, or null"
        assert f"decide.max_repeats = {most}: {allowed}" in message


@pytest.mark.parametrize("name", ["a b", "../x", "-x", "x.y", "", "x" * 65])
def test_a_variant_name_that_is_no_file_name_is_refused(refusal, name):
    message = refusal({("variants", "train", name): []})
    assert "variants" in message
    assert repr(name) in message


@pytest.mark.parametrize("name", ["it's", 'a"b', "a#b", "50%", "a?b", "猫"])
def test_names_hold_nothing_that_mlflow_or_dvc_reads_otherwise(refusal, name):
    assert "study = " in refusal({"study": name})
    assert f"variants.train.{name}" in refusal({("variants", "train", name): ["dropout"]})


def test_networks_that_are_drawn_are_each_drawn_once_and_the_recommended_one_too(edited):
    asked = params.read(edited({"visualize.variants": ["recommended", "augment", FIRST]})).visualize
    every = [FIRST, "augment", "dropout"]
    assert asked.among(every, "dropout") == ["dropout", "augment", FIRST]
    assert asked.among(every, FIRST) == [FIRST, "augment"]
    assert asked.among([FIRST, "dropout"], "dropout") == ["dropout", FIRST]  # augment diverged
    only = params.read(edited({"visualize.variants": ["augment"]})).visualize
    assert only.among([FIRST, "dropout"], "dropout") == [FIRST]


def test_all_mistakes_are_told_at_once(refusal):
    message = refusal({"seed": -1, "folds.k": 1, "train.oops": 1})
    assert all(key in message for key in ("seed = -1", "folds.k = 1", "train.oops"))
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize(
    "content",
    [b"study: [", b"study: a\nstudy: b\n", b"", b"- a\n", b"text", b"\xff\xfe\x00", b"a: \x00"],
    ids=["open", "twice", "empty", "list", "text", "binary", "control"],
)
def test_what_is_not_yaml_of_the_right_kind_is_refused(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"params\.yaml: "):
        params.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml.*params\.yaml"):
        params.read(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("written", ["1e-3", "1.0e-3", "0.001"])
def test_a_number_may_be_written_with_an_exponent(tmp_path, written):
    old = f"learning_rate: {CONTENT['train']['learning_rate']}"
    text = FILE.read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, f"learning_rate: {written}"))
    assert params.load("train", path=path).learning_rate == 0.001


def test_whole_numbers_and_decimals_make_the_same_recipe(edited):
    recipes = set()
    for rate in (1, 1.0):
        read = params.read(edited({"train.learning_rate": rate}))
        recipes.add(read.sections.recipe([]).json())
    assert len(recipes) == 1


def test_load_gives_what_was_asked_for_in_order():
    seed, variant, strength = params.load(
        "seed", f"variants.train.{FIRST}", f"techniques.{ANY}", path=FILE
    )
    assert (seed, variant) == (CONTENT["seed"], GROUPS["train"][FIRST])
    assert strength == getattr(params.read(FILE).techniques, ANY)
    assert params.load("data.pretrain.classes", path=FILE) == CONTENT["data"]["pretrain"]["classes"]


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("nope", "variants"),
        ("variants.nope", "train"),
        ("variants.train.nope", FIRST),
        ("folds.nope", "repeats"),
        ("study.nope", ""),
        ("seed.nope", ""),
        (f"variants.train.{FIRST}.nope", ""),
    ],
)
def test_load_of_an_unknown_key_says_which_there_are(key, allowed):
    with pytest.raises(UserError, match=f"no {key}; allowed: .*{allowed}"):
        params.load(key, path=FILE)


def test_a_variant_is_found_whichever_group_it_is_in():
    for variants in GROUPS.values():
        for name, techniques in variants.items():
            assert params.variant(name, FILE) == techniques
    with pytest.raises(UserError, match=f"no variant nope; allowed: {FIRST}, .*finetune"):
        params.variant("nope", FILE)


def test_values_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        params.load("train", path=FILE).epochs = 3


SEGMENTING = {
    "task": "segmentation",
    "data.source": "canvases",
    "model.vgg.dense": [],
    "compare.metric": "iou",
    "compare.rope": dict.fromkeys(TASKS["segmentation"].METRICS, 0.01),
    "backbone.features": None,
}


def test_a_study_of_masks_is_valid(edited):
    whole = params.read(edited(SEGMENTING))
    assert (whole.task, whole.sections.task) == ("segmentation", "segmentation")
    for members in ({}, {"train.members": 3}):
        path = edited(SEGMENTING | members)
        assert params.read_parts((consistency.LAW, consistency.FIT), path)[1] == []


def test_an_ensemble_of_networks_that_find_objects_is_refused(refusal):
    ropes = dict.fromkeys(TASKS["detection"].METRICS, 0.01)
    finding = SEGMENTING | {"task": "detection", "compare.metric": "map", "compare.rope": ropes}
    (line,) = refusal(finding | {"train.members": 2}).splitlines()
    said = "allowed: 1, as answers of networks of task: detection are not averaged"
    assert f"train.members = 2: {said}" in line


def test_an_unknown_task_is_refused_with_those_there_are(refusal):
    message = refusal({"task": "detecting"})
    assert f"task = 'detecting': unknown task; allowed: {', '.join(TASKS.names())}" in message
    assert len(message.splitlines()) == 1  # and nothing that depends on it


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"compare.metric": "accuracy"},
            "compare.metric = 'accuracy': allowed: metrics of task: segmentation: iou, dice, ",
        ),
        ({"compare.rope.miou": None}, "compare.rope.miou: missing; task: segmentation has this"),
        (
            {"compare.rope.nll": 0.01},
            "compare.rope.nll = 0.01: allowed: none, as task: segmentation has other metrics: iou,",
        ),
        ({"final.flips": True}, "final.flips = True: allowed: false, as answers of networks of t"),
        ({"data.classes": ["1", "2"]}, "data.classes = ['1', '2']: allowed: null, as classes of"),
        ({"model.vgg.dense": [8]}, "model.vgg.dense = [8]: allowed: [], as networks of task: seg"),
        ({"backbone.features": 0}, "backbone.features = 0: allowed: null, as networks of task: s"),
        (
            {"techniques.mixup": {"alpha": 0.2}, "variants.train.x": ["mixup"]},
            "variants.train.x: technique mixup does not serve task: segmentation, only classific",
        ),
        (
            {"techniques.mixup": {"alpha": 0.2}, "train.techniques": ["mixup"]},
            "train.techniques: technique mixup does not serve task: segmentation",
        ),
        (
            {"techniques.mixup": {"alpha": 0.2}, "design.techniques": ["mixup"]},
            "design.techniques = 'mixup': allowed: techniques that serve task: segmentation",
        ),
    ],
)
def test_what_a_task_leaves_no_choice_of_is_refused(refusal, changes, said):
    (line,) = refusal(SEGMENTING | changes).splitlines()
    assert said in line


def test_features_that_no_variant_would_store_are_no_mistake(edited):
    alone = {name: on for name, on in GROUPS["transfer"].items() if "freeze" not in on}
    names = [FIRST]
    changes = {"backbone.features": 0, "variants.transfer": alone}
    params.read(
        edited(SEGMENTING | changes | {"visualize.variants": names, "sizes.variants": names})
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compare.metric": "iou"}, "metrics of task: classification: accuracy, nll, "),
        ({"compare.rope.ece": None}, "compare.rope.ece: missing; task: classification has this"),
        ({"compare.rope.iou": 0.1}, "compare.rope.iou = 0.1: allowed: none, as task: classific"),
        (
            {"techniques.dice_loss": {"smooth": 1.0}, "variants.train.x": ["dice_loss"]},
            "variants.train.x: technique dice_loss does not serve task: classification, only seg",
        ),
    ],
)
def test_what_other_tasks_have_is_refused_where_images_are_classified(refusal, changes, said):
    (line,) = refusal(changes).splitlines()
    assert said in line


def test_all_ropes_that_lack_are_named(refusal):
    names = TASKS["classification"].METRICS
    lines = refusal({"compare.rope": dict.fromkeys(names)}).splitlines()
    assert [line.partition("compare.rope.")[2].partition(":")[0] for line in lines] == [*names]


@pytest.mark.parametrize("source", SOURCES.names())
def test_a_source_has_what_its_task_learns_from(edited, source):
    """One with masks may be classified too, by labels."""
    path = edited(SEGMENTING | {"data.source": source})
    masks = "masks" in getattr(SOURCES[source], "TRUTH", ())
    said = params.read_parts((consistency.LAW, consistency.FIT), path)[1]
    able = ", ".join(n for n in SOURCES.names() if "masks" in getattr(SOURCES[n], "TRUTH", ()))
    needed = f"allowed: sources with masks, which task: segmentation needs: {able}"
    assert said == ([] if masks else [f"data.source = {source!r}: {needed}"])
    classified = edited({"data.source": source})
    assert params.read_parts((consistency.LAW, consistency.FIT), classified)[1] == []


# Short files --------------------------------------------------------------------------------------

SHORT = {
    "study": "short",
    "code": ".",
    "task": "classification",
    "seed": 7,
    "data": {"raw": "data/raw", "pretrain": {"raw": "data/raw_pretrain"}},
    "variants": {"train": {"baseline": []}, "transfer": {}},
}


def short(**groups):
    """The params of a file that holds no more than it must, and these groups."""
    content = {**SHORT, **{section: SHORT.get(section, {}) for section in SECTIONS}, **groups}
    text = io.StringIO()
    YAML().dump(content, text)
    return params.of_text(text.getvalue())


def test_what_is_not_written_is_the_default():
    whole = short().model_dump(exclude_unset=True)
    for key, value in leaves({section: DEFAULTS[section] for section in SECTIONS}):
        there = whole
        for name in key:
            there = there[name]
        assert there == value, key


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("study: 2024-31-12", "'2024-31-12' cannot be read"),  # a date that is none
        ("seed: !!int many", "'many' cannot be read"),
        ("seed: !!bool x", "'x' cannot be read"),
        ("? [a, {b: 1}]\n: 2", "unhashable"),
        ("study: [", "line 3"),
    ],
)
def test_text_that_holds_what_yaml_cannot_read_is_refused(line, said):
    with pytest.raises(UserError, match=r"params.yaml: not valid YAML: ") as refused:
        params.of_text(f"code: .\n{line}\n")
    assert said in str(refused.value)


def test_a_short_file_and_a_whole_one_are_the_same():
    text = io.StringIO()
    YAML().dump(short().model_dump(exclude_unset=True), text)
    assert params.of_text(text.getvalue()) == short()


def test_groups_are_merged_and_all_else_is_replaced():
    whole = short(
        data=SHORT["data"] | {"bad": {"limit": 0.5}, "near_duplicates": None},
        train={"techniques": [], "epochs": 3},
        compare={"rope": {"nll": 0.5}},
        techniques={"l2": {"kernel": 0.25}},
    )
    assert (whole.data.bad.limit, whole.data.bad.policy) == (0.5, "skip")
    assert whole.data.near_duplicates is None
    assert (whole.train.techniques, whole.train.epochs) == ([], 3)
    assert whole.train.optimizer == DEFAULTS["train"]["optimizer"]
    assert (whole.compare.rope.nll, whole.compare.rope.accuracy) == (0.5, 0.01)
    assert (whole.techniques.l2.kernel, whole.techniques.l2.bias) == (0.25, 0.0)
    merged = {"a": ["x"], "b": ["y", "z"]}
    assert short(data=SHORT["data"] | {"classes": merged}).data.classes == merged


def test_a_technique_that_is_written_as_null_is_none():
    whole = short(techniques={"dropout": None}, design={"placebo": False})
    assert whole.techniques.dropout is None and whole.techniques.mixup is not None
    with pytest.raises(UserError, match=r"variants.train.x = 'dropout': allowed: techniques with"):
        short(
            techniques={"dropout": None},
            variants={"train": {"baseline": [], "x": ["dropout"]}, "transfer": {}},
        )


def test_of_groups_that_name_what_they_hold_nothing_else_is_there():
    whole = short(
        model={"resnet": {"blocks": 2}},
        techniques={"augment": {"flip": {}, "shift": {"fraction": 0.2}}},
        backbone={"model": {"efficientnet_lite0": {"size": 96}}},
    )
    resnet = DEFAULTS["networks"]["resnet"] | {"blocks": 2}
    assert {n: o.model_dump() for n, o in chosen(whole.model).items()} == {"resnet": resnet}
    ops = {n: o.model_dump() for n, o in chosen(whole.techniques.augment).items()}
    assert ops == {"flip": DEFAULTS["techniques"]["flip"], "shift": {"fraction": 0.2}}
    (lite,) = chosen(whole.backbone.model).values()
    assert (lite.size, lite.momentum, lite.dense) == (96, None, [])
    bare = short(techniques={"augment": {}})
    assert set(chosen(bare.techniques.augment)) == set(DEFAULTS["techniques"]["augment"])
    assert list(chosen(bare.model)) == list(DEFAULTS["model"])


@pytest.mark.parametrize("task", TASKS.names())
def test_a_task_has_its_own_metrics_and_ropes(task):
    whole = short(task=task)
    assert whole.compare.metric == next(iter(TASKS[task].MEASURED))
    ropes = {name for name, rope in whole.compare.rope if rope is not None}
    assert ropes == set(TASKS[task].METRICS)
    assert (whole.backbone.features is None) == (not TASKS[task].FEATURES)


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"train": {"epoch": 3}}, "train.epoch: unknown key; allowed: balanced, batch_size"),
        ({"networks": {}}, "networks: unknown key; allowed: backbone, "),
        ({"train": None}, "train = None: should be a valid dictionary"),
        ({"train": {"epochs": 0}}, "train.epochs = 0: should be greater than or equal to 1"),
        ({"model": {"application": {}}}, "model.application.name: missing; it has no default"),
        ({"model": {"nope": {}}}, "model.nope: unknown key; allowed: application, "),
        ({"task": "nope"}, "task = 'nope': unknown task"),
    ],
)
def test_what_is_wrong_in_a_short_file_is_told_by_its_key(groups, said):
    with pytest.raises(UserError) as error:
        short(**groups)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"params.yaml: {said}")


def test_every_technique_and_network_has_its_defaults():
    assert set(DEFAULTS["techniques"]) == set(TECHNIQUES.names())
    assert set(DEFAULTS["networks"]) == set(NETS.names())
    assert set(DEFAULTS["tasks"]) == set(TASKS.names())
    assert list(DEFAULTS["techniques"]) == TECHNIQUES.names()  # in order, to be found
    whole = short()
    assert set(chosen(whole.techniques)) == set(TECHNIQUES.names())
    for net in NETS.names():
        name = {"name": "MobileNet"} if net == "application" else {}
        assert list(chosen(short(model={net: name}).model)) == [net]


def test_every_technique_s_defaults_do_something():
    """In a network that has a place for it."""
    for name, net in product(TECHNIQUES.names(), ("vgg", "resnet")):
        recipe = short(model={net: {}}).sections.alone(name)
        alike = name in ("placebo", "untrained")  # which learn as the study does
        assert recipe.techniques or alike, name


def test_each_default_is_explained():
    for line in params.DEFAULTS.read_text().splitlines():
        if re.match(r" +[\w-]+: \S", line) and not re.match(r" +[\w-]+: +#", line):
            assert " # " in line, line


def test_the_committed_studies_hold_what_differs(root):
    """Of the digits also what people edit first."""
    for file in root.glob("studies/*/params.yaml"):
        text = file.read_text()
        assert len(text.splitlines()) < 120 and "cnnlab/defaults.yaml" in text
        params.of_text(text)
    params.read(root / "params.yaml")
