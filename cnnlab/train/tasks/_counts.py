import tensorflow as tf


def counts(shares, masks, classes):
    known = tf.cast(masks != 255, tf.float32)
    truth = tf.one_hot(masks, classes) * known[..., None]
    said = tf.one_hot(tf.argmax(shares, -1), classes) * known[..., None]
    nll = -tf.reduce_sum(truth * tf.math.log(tf.maximum(shares, 1e-7)), [1, 2, 3])
    pixels = tf.reduce_sum(known, [1, 2])
    both, p, t = (tf.reduce_sum(x, [1, 2]) for x in (truth * said, said, truth))
    return tf.concat(
        [both, p, t, both * 0 - 1, (nll / tf.maximum(pixels, 1))[:, None], pixels[:, None]], 1
    )
