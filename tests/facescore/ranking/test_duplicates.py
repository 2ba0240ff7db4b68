import io

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from facescore.ranking.duplicates import (
    colour_signature,
    group_duplicates,
    hamming,
    near_pairs,
    perceptual_hash,
)
from illustkit.samples import draw_character


def as_jpeg(image, quality):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def scaled(image, size):
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def characters():
    return [draw_character(seed, (120, 170)).image for seed in range(8)]


def test_the_hash_against_scipy():
    rng = np.random.default_rng(1)
    for _ in range(5):
        grey = rng.integers(0, 256, (32, 32), np.uint8)
        low = dctn(grey.astype(float), type=2)[:8, :8].ravel()
        median = np.median(low[1:])
        wanted = "0" + "".join("1" if v > median else "0" for v in low[1:])
        image = np.repeat(grey[..., None], 3, axis=-1)
        assert f"{perceptual_hash(image):064b}" == wanted
    assert perceptual_hash(np.full((9, 7, 3), 200, np.uint8)) == 0


def test_what_looks_alike_is_near_and_what_does_not_is_far(characters):
    hashes = [perceptual_hash(image) for image in characters]
    for image, own in zip(characters, hashes, strict=True):
        for variant in (
            as_jpeg(image, 30),
            scaled(image, (60, 85)),
            scaled(image, (240, 340)),
            np.clip(image * 1.05, 0, 255).astype(np.uint8),
            image[1:-1, 1:-1].copy(),
        ):
            assert hamming(own, perceptual_hash(variant)) <= 6
    between = [hamming(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(between) > 6


@pytest.mark.parametrize("shared", [1, 2, 3])
@pytest.mark.parametrize("threshold", [0, 3, 6, 10])
def test_no_pair_is_missed(threshold, shared, monkeypatch):
    work = "facescore.ranking.duplicates._work"
    monkeypatch.setattr(work, lambda n, threshold, bands: bands != shared)
    rng = np.random.default_rng(threshold)
    base = rng.integers(0, 1 << 63, 250, dtype=np.uint64)
    # Copies with as many bits turned, or one more: just on either side.
    turned = [
        int(h) ^ sum(1 << int(b) for b in rng.choice(64, threshold + (i > 220), False))
        for i, h in enumerate(base)
    ]
    hashes = [*map(int, base), *turned]
    wanted = [
        (i, j)
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if bin(hashes[i] ^ hashes[j]).count("1") <= threshold
    ]
    assert near_pairs(hashes, threshold).tolist() == list(map(list, wanted))
    assert len(wanted) == 221


def test_groups_by_hand():
    # 0b111 is near to neither 0 nor 0b111111 by 2 bits, but links them by 3.
    hashes = [0, 0b111111, 1 << 40 | 0xFFF000, 0b111, 0]
    assert group_duplicates(hashes, threshold=3).tolist() == [0, 0, 2, 0, 0]
    assert group_duplicates(hashes, threshold=2).tolist() == [0, 1, 2, 3, 0]
    colours = [[10], [10], [10], [10], [200]]
    assert group_duplicates(hashes, colours, threshold=3).tolist() == [0, 0, 2, 0, 4]
    assert group_duplicates([], threshold=3).tolist() == []
    # A chain joins what no single pair does: 10, 40, 70.
    chain = group_duplicates([5, 5, 5, 5], [[70], [10], [40], [130]])
    assert chain.tolist() == [0, 0, 0, 3]
    with pytest.raises(ValueError, match="0 to 31"):
        group_duplicates(hashes, threshold=32)


def test_colours():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2, :3], image[2:, 3:] = (200, 100, 0), (0, 0, 50)
    wanted = [200, 100, 0, *[0] * 6, 0, 0, 50]
    assert list(colour_signature(image)) == wanted


def test_ten_thousand(characters):
    """Thousands of equal pictures, and thousands that differ, in little memory."""
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 1 << 63, 10_000, dtype=np.uint64)
    hashes[3000:6000] = hashes[0]
    groups = group_duplicates(hashes)
    assert (groups[3000:6000] == 0).all()
    assert len(np.unique(groups)) == 7000
