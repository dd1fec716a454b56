"""params.yaml: the committed file is valid, and what is not says which key, what it held and what
is allowed. The first half walks the committed file, so that every new key is tested too."""

import copy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cnnlab import params
from cnnlab.data.sources import SOURCES
from cnnlab.errors import UserError
from cnnlab.plugins import Options
from cnnlab.strategies import STRATEGIES
from cnnlab.training.recipe import MODELS, TECHNIQUES, base

yaml = YAML(typ="safe")
FILE = Path(__file__).parents[1] / "params.yaml"
CONTENT = yaml.load(FILE.read_text())
NAMED = {"techniques": TECHNIQUES, "model": MODELS, "strategies": STRATEGIES}
ABSENT = object()


def groups(value, key=()):
    """Keys of all mappings whose keys are fixed, the whole file's being ()."""
    if isinstance(value, dict) and key != ("variants",):
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
    """Writes the committed params with some keys changed (ABSENT: removed); returns the path."""

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
                group[last] = value
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


def test_the_committed_file_is_valid(root):
    assert params.read(root / "params.yaml").study == CONTENT["study"]


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


def test_a_missing_key_is_refused_wherever_it_is(refusal):
    needed = [key for key in LEAVES if key[0] != "variants"]
    message = refusal(dict.fromkeys(needed, ABSENT))
    assert [key for key in needed if f"{dotted(key)}: missing" not in message] == []


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
        ("visualize.images", 0, "1"),
        ("visualize.images", 9, "8"),
        ("visualize.variants", [], "at least 1"),
        ("visualize.variants", ["nope"], "variants"),
        ("variants", {}, "at least 1"),
        ("model.vgg.filters", [], "at least 1"),
        ("model.vgg.filters", [16, 0], "1"),
        ("model.vgg.kernel", 16, "15"),
        ("techniques.shift.fraction", 0.6, "0.5"),
        ("techniques.rotation.degrees", 181, "180"),
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


STRONG = sorted(name for name, strength in CONTENT["techniques"].items() if strength)
ANY, OTHER = STRONG[:2]
FIRST = next(iter(CONTENT["variants"]))
PRETRAIN = CONTENT["data"]["pretrain"]["classes"]


@pytest.mark.parametrize(
    ("changes", "key", "value", "allowed"),
    [
        ({"variants.x": ["nope"]}, "variants.x", "'nope'", ", ".join(STRONG)),
        ({"transfer.techniques": ["nope"]}, "transfer.techniques", "'nope'", ", ".join(STRONG)),
        ({f"techniques.{ANY}": ABSENT}, "variants.", repr(ANY), OTHER),
        ({"variants.x": [ANY, ANY]}, "variants.x", f"['{ANY}', '{ANY}']", "once"),
        (
            {"variants": {"a": [ANY, OTHER], "b": [OTHER, ANY]}, "visualize.variants": ["a"]},
            "variants.b",
            f"['{OTHER}', '{ANY}']",
            "another set than a's",
        ),
        ({"visualize.variants": ["nope"]}, "visualize.variants", "'nope'", FIRST),
        ({"model": {}}, "model", "[]", "exactly one"),
        ({"strategies": {}}, "data.pretrain.classes", repr(PRETRAIN), "[]"),
        ({"data.pretrain.classes": []}, "data.pretrain.classes", "[]", "some where strategies"),
        ({"data.pretrain.classes": ["1"]}, "data.pretrain.classes", "['1']", "at least 2"),
        ({"transfer.weights": "a.h5"}, "transfer.weights", "'a.h5'", "is an application"),
        ({"transfer.sha256": "0" * 64}, "transfer.sha256", repr("0" * 64), "null where it is not"),
    ],
)
def test_values_that_contradict_each_other_are_refused(refusal, changes, key, value, allowed):
    message = refusal(changes)
    assert key in message
    assert value in message
    assert allowed in message


def test_two_nets_are_refused():
    class Nets(Options):
        vgg: int | None = None
        other: int | None = None

    two = params.Params.model_construct(model=Nets(vgg=1, other=2))
    with pytest.raises(ValueError, match=r"model = \['vgg', 'other'\]: allowed: exactly one"):
        params.Params._consistent(two)


@pytest.mark.parametrize(
    ("key", "bad", "allowed"),
    [
        ("design.kind", "plan", "star, factorial, fraction, custom"),
        ("design.techniques", ["nope"], "techniques with a strength"),
        ("design.techniques", [ANY, ANY], "each technique once"),
        ("design.resolution", 2, "3"),
        ("train.techniques", ["nope"], "techniques with a strength"),
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


@pytest.mark.parametrize("name", ["a b", "../x", "-x", "x.y", "", "x" * 65])
def test_a_variant_name_that_is_no_file_name_is_refused(refusal, name):
    message = refusal({("variants", name): []})
    assert "variants" in message
    assert repr(name) in message


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
        model, train = params.load("model", "train", path=edited({"train.learning_rate": rate}))
        recipes.add(base(model, train).json())
    assert len(recipes) == 1


def test_load_gives_what_was_asked_for_in_order():
    seed, variant, strength = params.load(
        "seed", f"variants.{FIRST}", f"techniques.{ANY}", path=FILE
    )
    assert (seed, variant) == (CONTENT["seed"], CONTENT["variants"][FIRST])
    assert strength == getattr(params.read(FILE).techniques, ANY)
    assert params.load("data.pretrain.classes", path=FILE) == CONTENT["data"]["pretrain"]["classes"]


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("nope", "variants"),
        ("variants.nope", FIRST),
        ("folds.nope", "repeats"),
        ("study.nope", ""),
        ("seed.nope", ""),
        (f"variants.{FIRST}.nope", ""),
    ],
)
def test_load_of_an_unknown_key_says_which_there_are(key, allowed):
    with pytest.raises(UserError, match=f"no {key}; allowed: .*{allowed}"):
        params.load(key, path=FILE)


def test_values_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        params.load("train", path=FILE).epochs = 3
