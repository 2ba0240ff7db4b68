"""Pictures that look alike: a perceptual hash, near pairs of hashes, groups of them."""

from functools import lru_cache

import numpy as np

BITS = 64
_SIDE, _LOW = 32, 8
_BITS_SET = np.array([bin(i).count("1") for i in range(1 << 16)], np.uint8)


def perceptual_hash(image):
    """Hash a picture so that what looks alike differs in few bits.

    The picture in grey, 32×32, is taken apart into waves (DCT-II); each of the 64 of
    lowest frequency (8×8) gives a bit: whether it is over their median. Size, format,
    compression and slight changes of light hardly matter; mirroring and another
    cut of the picture do.

    Example:
    ```python
    distance = hamming(perceptual_hash(a), perceptual_hash(b))   # 0..64
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`; a thumbnail serves as well.

    Returns:
        int, 64 bits; 0 for a picture of one colour.

    Reference:
        Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions,
        2010, section 3.2.1.
    """
    from PIL import Image

    grey = Image.fromarray(image).convert("L")
    grey = grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    waves = _cosines()
    low = waves @ np.asarray(grey, np.float64) @ waves.T
    # The first is the mean: always the greatest, or nought on a black picture.
    ac = low.ravel()[1:]
    # Rounding alone must not tell the waves of one colour apart.
    bits = np.concatenate([[False], ac > np.median(ac) + 1e-6])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hamming(a, b):
    """Number of bits in which two hashes differ."""
    return bin(a ^ b).count("1")


def near_pairs(hashes, threshold):
    """Find all pairs of hashes that differ in few bits.

    Hashes are cut into `threshold + 1` bands: two that differ in `threshold` bits or
    fewer agree on one band at least, so only those that share a band are compared.
    None is missed, and the time grows far slower than the number of pairs.

    Args:
        hashes: ints of 64 bits, each once.
        threshold: Most bits that may differ, 0 to 31.

    Returns:
        int64 `(pairs, 2)`: indices, the smaller first, each pair once, sorted.

    Raises:
        ValueError: for another threshold.
    """
    if not 0 <= threshold < BITS // 2:
        raise ValueError(f"threshold is 0 to 31 of 64 bits. Received: {threshold}")
    hashes = np.asarray(hashes, np.uint64)
    ends = [round(i * BITS / (threshold + 1)) for i in range(threshold + 2)]
    found = [np.zeros((0, 2), np.int64)]
    for low, high in zip(ends, ends[1:], strict=False):
        band = hashes >> np.uint64(low)
        if high - low < BITS:
            band = band & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind="stable")
        edges = np.flatnonzero(np.diff(band[order])) + 1
        for bucket in np.split(order, edges):
            found.extend(_pairs_within(bucket, hashes, threshold))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def group_duplicates(hashes, colours=None, *, threshold=6, colour_distance=32):
    """Group pictures that look alike.

    A picture joins a group when it is near to any of its pictures.

    Example:
    ```python
    groups = group_duplicates([perceptual_hash(image) for image in images])
    # [0, 1, 0, 3]: the first and the third look alike
    ```

    Args:
        hashes: ints of 64 bits; equal ones may stand among them.
        colours: uint8 `(n, k)`, what `colour_signature` gives; pictures are alike only
            if these are near as well. Defaults to none.
        threshold: Most bits that may differ, 0 to 31. Defaults to 6.
        colour_distance: Greatest difference of any colour, 0 to 255. Defaults to 32.

    Returns:
        int64 `(n,)`: for each picture the index of the first one of its group.
    """
    hashes = np.asarray(hashes, np.uint64)
    if colours is None:
        colours = np.zeros((len(hashes), 1), np.uint8)
    colours = np.asarray(colours, np.uint8)
    # Equal pictures in thousands would make millions of pairs: one of each is enough.
    keys = np.concatenate([hashes[:, None].view(np.uint8), colours], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    pairs = near_pairs(hashes[first], threshold)
    shades = colours[first].astype(np.int16)
    apart = np.abs(shades[pairs[:, 0]] - shades[pairs[:, 1]]).max(axis=1, initial=0)
    roots = _united(len(first), pairs[apart <= colour_distance])
    earliest = np.full(len(first), len(hashes))
    np.minimum.at(earliest, roots, first)
    return earliest[roots][inverse.reshape(-1)]


def colour_signature(image):
    """Mean colours of a picture's quarters: what a hash of its forms does not see.

    Args:
        image: uint8 RGB `(height, width, 3)`; a thumbnail serves as well.

    Returns:
        bytes: red, green and blue of the four quarters, by rows.
    """
    from PIL import Image

    return Image.fromarray(image).resize((2, 2), Image.Resampling.BOX).tobytes()


def _pairs_within(bucket, hashes, threshold, block=1024):
    """Near pairs of one bucket, some rows at a time, so that memory stays small."""
    if len(bucket) < 2:
        return
    values = hashes[bucket]
    for start in range(0, len(bucket), block):
        rows = values[start : start + block, None]
        differ = np.ascontiguousarray(rows ^ values[None, start:]).view(np.uint16)
        bits = _BITS_SET[differ].reshape(len(rows), -1, 4).sum(axis=-1)
        i, j = np.nonzero(np.triu(bits <= threshold, 1))
        if len(i):
            yield np.stack([bucket[start + i], bucket[start + j]], axis=1)


def _united(n, pairs):
    """Union–find: for each of `n` the number of its tree's root."""
    parent = list(range(n))

    def root(i):
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for a, b in pairs.tolist():
        a, b = root(a), root(b)
        parent[max(a, b)] = min(a, b)
    return np.array([root(i) for i in range(n)], np.int64)


@lru_cache(maxsize=1)
def _cosines():
    """The eight DCT-II waves of lowest frequency over 32 samples, `(8, 32)`."""
    k, n = np.mgrid[:_LOW, :_SIDE]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * _SIDE))
