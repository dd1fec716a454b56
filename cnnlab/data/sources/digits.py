"""scikit-learn's handwritten digits: 1,797 grey images of 8x8 pixels, part of the package.

A copy of the test set of UCI's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak
1998), where each pixel counts 0 to 16 dark ones of a 4x4 square.
"""

import numpy as np
import pandas as pd

from cnnlab.data.sources import of_array


def open_source(place):
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    table = pd.DataFrame(
        {
            "source": [f"digits/{i}" for i in range(len(images))],
            "label": digits.target.astype(str),
            "split": "",
        }
    )
    return of_array(table, images)
