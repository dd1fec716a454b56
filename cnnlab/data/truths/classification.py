"""Classes of whole images: the label is all."""

LEAST = 2


def classes(source):
    return None


def truth(source, rows, shape, resize):
    return None
