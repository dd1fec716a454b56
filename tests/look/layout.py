"""What tests of figures ask of any figure."""

import io
import itertools

from cnnlab.look import Picture, save


def png(picture: Picture) -> bytes:
    content = io.BytesIO()
    save(picture, content)
    return content.getvalue()


def words(picture: Picture) -> list[str]:
    """All texts, but for those of axes' ticks."""
    inside = [text for axes in picture.figure.axes for text in axes.texts]
    return [text.get_text() for text in (*picture.figure.texts, *inside)]


def nothing_collides(picture: Picture) -> bool:
    """No text is cut, leaves the figure, or lies on another one."""
    canvas = picture.figure.bbox
    picture.figure.canvas.draw()
    shown = [axes for axes in picture.figure.axes if axes.axison]
    ticks = [text for axes in shown for text in axes.get_xticklabels()]
    inside = [*ticks, *(text for axes in picture.figure.axes for text in axes.texts)]
    texts = [text for text in (*picture.figure.texts, *inside) if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    for text, box in boxes:
        assert "…" not in text
        assert box.x0 >= 0 and box.x1 <= canvas.width, text
        assert box.y0 >= 0 and box.y1 <= canvas.height, text
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        assert not a.padded(-1.5).overlaps(b.padded(-1.5)), (one, two)
    return True
