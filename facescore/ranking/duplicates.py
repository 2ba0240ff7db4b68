"""Group pictures that look alike, by a perceptual hash and their colours."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from illustkit.errors import UserError

BITS = 64
_SIDE, _LOW = 32, 8
_BITS_SET = np.array([bin(i).count("1") for i in range(1 << 16)], np.uint8)


def perceptual_hash(image: np.ndarray) -> int:
    """Hash a picture so that pictures that look alike differ in few bits.

    The grey picture, 32×32, is transformed (DCT-II); each of the 64 coefficients of
    lowest frequency (8×8) gives a bit: whether it is over their median. Size, format,
    compression and slight changes of light hardly matter; mirroring and cropping do.

    Example:
    ```python
    distance = hamming(perceptual_hash(a), perceptual_hash(b))   # 0..64
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`; a thumbnail is enough.

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
    # The first is the mean: always the greatest, or zero for a black picture.
    ac = low.ravel()[1:]
    # Rounding must not set bits for a picture of one colour.
    bits = np.concatenate([[False], ac > np.median(ac) + 1e-6])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def hamming(a: int, b: int) -> int:
    """Return the number of bits in which two hashes differ."""
    return bin(a ^ b).count("1")


def near_pairs(hashes: Sequence[int] | np.ndarray, threshold: int) -> np.ndarray:
    """Find all pairs of hashes that differ in few bits.

    Hashes are cut into `threshold + shared` bands: two that differ in `threshold` bits
    or fewer agree on `shared` bands at least, so that only those that do are compared.
    No pair is missed. `shared` is what takes the least work: more bands make smaller
    buckets, and more choices of them.

    Args:
        hashes: ints of 64 bits, each once.
        threshold: Most bits that may differ, 0 to 31.

    Returns:
        int64 `(pairs, 2)`: indices, the smaller first, each pair once, sorted.

    Raises:
        UserError: If the threshold is out of range.

    Reference:
        Manku, Jain and Das Sarma, Detecting Near-Duplicates for Web Crawling, 2007,
        section 3.
    """
    if not 0 <= threshold < BITS // 2:
        raise UserError(f"`threshold` is 0 to 31 of 64 bits. Received: {threshold}")
    hashes = np.asarray(hashes, np.uint64)
    shared = min(range(1, 5), key=lambda n: _work(len(hashes), threshold, n))
    bands = _bands(hashes, threshold + shared)
    pairs = [np.zeros((0, 2), np.int64)]
    for chosen in combinations(bands, shared):
        keys = np.zeros_like(hashes)
        for width, band in chosen:
            keys = keys << np.uint64(width) | band
        order = np.argsort(keys, kind="stable")
        pairs.extend(_pairs_of_buckets(keys[order], order, hashes, threshold))
    return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)


def group_duplicates(
    hashes: Sequence[int] | np.ndarray,
    colours: Sequence[Sequence[int]] | np.ndarray | None = None,
    *,
    threshold: int = 6,
    colour_distance: int = 32,
) -> np.ndarray:
    """Group pictures that look alike.

    A picture belongs to a group if it is near to any of its pictures.

    Example:
    ```python
    groups = group_duplicates([perceptual_hash(image) for image in images])
    # [0, 1, 0, 3]: the first and the third look alike
    ```

    Args:
        hashes: ints of 64 bits; they may be equal.
        colours: uint8 `(n, k)` from `colour_signature`; pictures are alike only if
            these are near as well. Defaults to none.
        threshold: Most bits that may differ, 0 to 31. Defaults to 6.
        colour_distance: Greatest difference of any colour, 0 to 255. Defaults to 32.

    Returns:
        int64 `(n,)`: for each picture the index of the first one of its group.
    """
    hashes = np.asarray(hashes, np.uint64)
    if colours is None:
        colours = np.zeros((len(hashes), 1), np.uint8)
    colours = np.asarray(colours, np.uint8)
    # Thousands of equal pictures would make millions of pairs: one of each is enough.
    keys = np.concatenate([hashes[:, None].view(np.uint8), colours], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    pairs = near_pairs(hashes[first], threshold)
    shades = colours[first].astype(np.int16)
    apart = np.abs(shades[pairs[:, 0]] - shades[pairs[:, 1]]).max(axis=1, initial=0)
    near = pairs[apart <= colour_distance]
    links = sparse.coo_array(
        (np.ones(len(near), bool), (near[:, 0], near[:, 1])), shape=(len(first),) * 2
    )
    _, groups = csgraph.connected_components(links, directed=False)
    earliest = np.full(len(first), len(hashes))
    np.minimum.at(earliest, groups, first)
    return earliest[groups][inverse.reshape(-1)]


def colour_signature(image: np.ndarray) -> bytes:
    """Return the mean colours of a picture's quarters, which its hash does not see.

    Args:
        image: uint8 RGB `(height, width, 3)`; a thumbnail is enough.

    Returns:
        bytes: red, green and blue of the four quarters, by rows.
    """
    from PIL import Image

    return Image.fromarray(image).resize((2, 2), Image.Resampling.BOX).tobytes()


def _bands(hashes: np.ndarray, count: int) -> list[tuple[int, np.ndarray]]:
    """Return the bands of hashes: the bits of each, and their values."""
    ends = [round(i * BITS / count) for i in range(count + 1)]
    return [
        (high - low, hashes >> np.uint64(low) & np.uint64((1 << (high - low)) - 1))
        for low, high in pairwise(ends)
    ]


def _work(n: int, threshold: int, shared: int) -> float:
    """Return how many numbers are sorted and compared, if bands are random."""
    count = threshold + shared
    if count > BITS:
        return math.inf
    bucket = n / 2 ** (BITS * shared / count)
    return math.comb(count, shared) * n * (math.log2(n + 2) + bucket)


def _pairs_of_buckets(
    keys: np.ndarray, order: np.ndarray, hashes: np.ndarray, threshold: int
) -> Iterator[np.ndarray]:
    """Yield the near pairs of equal keys: each is compared with the next, but one, …"""
    values = hashes[order]
    places = np.arange(len(keys))
    for step in range(1, len(keys)):
        places = places[: np.searchsorted(places, len(keys) - step)]
        places = places[keys[places] == keys[places + step]]
        if not len(places):
            return
        differ = values[places] ^ values[places + step]
        bits = _BITS_SET[differ.view(np.uint16)].reshape(-1, 4).sum(axis=-1)
        near = places[bits <= threshold]
        if len(near):
            yield np.stack([order[near], order[near + step]], axis=1)


@lru_cache(maxsize=1)
def _cosines() -> np.ndarray:
    """Return the eight DCT-II waves of lowest frequency over 32 samples, `(8, 32)`.

    `scipy.fft.dctn` computes all 32 × 32 coefficients, of which 64 are needed.
    """
    k, n = np.mgrid[:_LOW, :_SIDE]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * _SIDE))
