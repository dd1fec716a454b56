"""The figure of what training changed inside the backbone."""

from cnnlab.look.figure import save
from cnnlab.look.inside import change_figure


def test_changes_are_drawn_by_layer_with_gaps_where_there_is_none(tmp_path):
    layers = [f"conv{i}" for i in range(25)]
    rows = [
        {
            "variant": name,
            "layer": layer,
            "cka": 1 - slope * i,
            "change": float("nan") if i == 3 else slope * i,
        }
        for name, slope in (("freeze", 0.0), ("finetune", 0.01))
        for i, layer in enumerate(layers)
    ]
    picture = change_figure("a study", rows)
    assert "freeze: CKA 1.000 to 1.000, 1.000 at the top" in picture.alt
    assert "finetune: CKA 0.760 to 1.000, 0.760 at the top" in picture.alt
    alike, change = picture.figure.axes
    assert [len(line.get_xdata()) for line in alike.lines] == [25, 25]
    assert [len(line.get_xdata()) for line in change.lines] == [24, 24]
    save(picture, tmp_path / "changes.png")
