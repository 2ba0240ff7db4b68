"""Deconvolution: the picture of little total variation whose blur is what is seen."""

import numpy as np

_FLATNESS = 0.15  # weight of the total variation against squared levels


def deconvolve(
    seen: np.ndarray,
    data: np.ndarray,
    kernel: np.ndarray,
    *,
    flatness: float = _FLATNESS,
    steps: int = 80,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the picture of little total variation whose blur is what is seen.

    It minimises `½ Σ_data (k * x − seen)² + flatness · Σ |∇x|` over `0 ≤ x ≤ 255`,
    where the gradient's length takes all channels together, by the alternating
    direction method of multipliers; each step is exact in the Fourier domain.

    Example:
    ```python
    from oppai.censoring.filters import blur_kernel

    blurred = np.full((64, 64, 3), 93, np.float32)
    sharp, again = deconvolve(blurred, np.ones((64, 64), bool), blur_kernel(3.0))
    ```

    Args:
        seen: float32 `(height, width, channels)`, 0 to 255.
        data: bool `(height, width)`: where `seen` counts; the rest is free.
        kernel: Of both axes, of odd length with sum 1. It is symmetric.
        flatness: Weight of the total variation. Defaults to 0.15.
        steps: Number of steps. Defaults to 80.

    Returns:
        `(x, k * x)`, float32 of the shape of `seen`. Beyond the edges the picture goes
        on freely, too: they are no mirrors.

    Reference:
        Almeida and Figueiredo, "Deconvolving images with unknown boundaries using the
        alternating direction method of multipliers" (2013).
    """
    from scipy import fft

    height, width = data.shape
    reach = len(kernel) // 2 + 2
    sizes = [fft.next_fast_len(n + reach, real=True) for n in (height, width)]
    pad = (0, sizes[0] - height), (0, sizes[1] - width)
    seen = np.pad(seen, (*pad, (0, 0)), mode="edge").astype(np.float32)
    counts = np.pad(data, pad)[..., None].astype(np.float32)
    # Weights of the splits: of the blurred and the clipped picture, and of gradients.
    near, slope = np.float32(0.03), np.float32(flatness / 16)
    half = sizes[1] // 2 + 1
    transfer = np.outer(_transfer(kernel, sizes[0]), _transfer(kernel, sizes[1])[:half])
    waves = [2 - 2 * np.cos(2 * np.pi * np.arange(n) / n) for n in sizes]
    laplacian = waves[0][:, None] + waves[1][:half]
    inverse = 1 / (near * transfer**2 + near + slope * laplacian)
    transfer, inverse = (a[..., None].astype(np.float32) for a in (transfer, inverse))

    def forward(a):
        return fft.rfft2(a, axes=(0, 1), workers=-1)

    def back(a):
        return fft.irfft2(a, sizes, axes=(0, 1), workers=-1)

    x = seen
    blurred = back(forward(x) * transfer)
    u = v = p = q = np.float32(0)  # scaled multipliers
    for _ in range(steps):
        z = blurred + u
        z -= counts * (z - seen) / (near + counts)
        w = np.clip(x + v, 0, 255)
        right = np.roll(x, -1, 1) - x + p
        down = np.roll(x, -1, 0) - x + q
        length = np.sqrt((right**2 + down**2).sum(2, keepdims=True))
        kept = np.maximum(1 - (flatness / slope) / np.maximum(length, 1e-6), 0)
        u, v = u + blurred - z, v + x - w
        p, q = right - kept * right, down - kept * down
        gx, gy = 2 * kept * right - right, 2 * kept * down - down
        sums = near * (w - v)
        sums += slope * (np.roll(gx, 1, 1) - gx + np.roll(gy, 1, 0) - gy)
        spectrum = (near * transfer * forward(z - u) + forward(sums)) * inverse
        x, blurred = back(spectrum), back(spectrum * transfer)
    inner = np.s_[:height, :width]
    return w[inner], blurred[inner]


def _transfer(kernel, n):
    """Return the real transfer function of a symmetric kernel on a circle of n."""
    circle = np.zeros(n)
    np.add.at(circle, (np.arange(len(kernel)) - len(kernel) // 2) % n, kernel)
    return np.fft.fft(circle).real
