"""Classes of whole images: the label is all."""

LEAST = 2


def truth(source, rows, shape, resize):
    return None
