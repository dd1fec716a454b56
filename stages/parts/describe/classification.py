"""describe, of classes: their images, which it shows anyway."""


def described(dev):
    return {}
