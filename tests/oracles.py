"""Compute formulas by NumPy loops in float64, to compare the library with.

Here masks have one channel for each feature channel. The library has one channel for
each source, so the two share nothing.
"""

import numpy as np


def pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _windows(x, mask, kernel, strides, dilation):
    """Return masked x and mask, padded; output size; padding; a cutter of windows."""
    kh, kw = kernel.shape[:2]
    (sh, sw), (dh, dw) = pair(strides), pair(dilation)
    ph, pw = dh * (kh - 1) // 2, dw * (kw - 1) // 2
    pads = ((0, 0), (ph, ph), (pw, pw), (0, 0))
    x = np.where(mask >= 1, x, 0).astype("float64")
    x, mask = np.pad(x, pads), np.pad((mask >= 1).astype("float64"), pads)
    rows = (x.shape[1] - dh * (kh - 1) - 1) // sh + 1
    columns = (x.shape[2] - dw * (kw - 1) - 1) // sw + 1

    def window(array, i, j):
        top, left = i * sh, j * sw
        return array[
            :, top : top + dh * (kh - 1) + 1 : dh, left : left + dw * (kw - 1) + 1 : dw
        ]

    return x, mask, rows, columns, (ph, pw), window


def pconv2d(x, mask, kernel, bias, *, strides=1, dilation=1, book=False):
    """Compute a partial convolution (Liu et al. 2018, equations 1 and 2).

    Args:
        x: `(b, h, w, c)`; NaN allowed in holes.
        mask: `(b, h, w, c)`; values from 1 on are valid.
        kernel: `(kh, kw, c, filters)`, odd sizes.
        bias: `(filters,)`.
        strides, dilation: Integers or pairs.
        book: Whether to compute the chapter's formula, with its epsilon and its bias in
            holes.

    Returns:
        The features and the `(b, h', w', 1)` mask.
    """
    padded, valid, rows, columns, _, window = _windows(
        x, mask, kernel, strides, dilation
    )
    out = np.zeros((len(x), rows, columns, kernel.shape[3]))
    new_mask = np.zeros((len(x), rows, columns, 1))
    for b in range(len(x)):
        for i in range(rows):
            for j in range(columns):
                s = window(valid, i, j)[b].sum()
                raw = np.einsum("hwc,hwcf->f", window(padded, i, j)[b], kernel)
                k = kernel.shape
                if book:
                    ratio = k[0] * k[1] / (s + 1e-8) * np.clip(s, 0, 1)
                    out[b, i, j] = raw * ratio + bias
                elif s > 0:
                    out[b, i, j] = raw * (k[0] * k[1] * k[2] / s) + bias
                new_mask[b, i, j] = s > 0
    return out, new_mask


def pconv2d_gradients(x, mask, kernel, upstream, *, strides=1, dilation=1):
    """Compute the derivatives of `sum(upstream * pconv2d(...))`, worked out by hand.

    With ratio r and validity v of an output pixel p, and g = upstream at p,
    ∂bias += v·g, ∂kernel[t] += x⊙m[p + t] ⊗ (r·v·g), and where x is valid
    ∂x[p + t] += kernel[t] (r·v·g).

    Returns:
        The gradients on `x`, `kernel` and the bias.
    """
    padded, valid, rows, columns, (ph, pw), window = _windows(
        x, mask, kernel, strides, dilation
    )
    dx, dkernel = np.zeros_like(padded), np.zeros(kernel.shape)
    dbias = np.zeros(kernel.shape[3])
    for b in range(len(x)):
        for i in range(rows):
            for j in range(columns):
                s = window(valid, i, j)[b].sum()
                if s == 0:
                    continue
                g = upstream[b, i, j]
                dbias += g
                g = g * np.prod(kernel.shape[:3]) / s
                dkernel += window(padded, i, j)[b][..., None] * g
                window(dx, i, j)[b] += kernel @ g
    dx = (dx * valid)[:, ph : ph + x.shape[1], pw : pw + x.shape[2]]
    return dx, dkernel, dbias


def pconv2d_transpose(x, mask, kernel, bias, *, strides):
    """Compute a transposed partial convolution by spreading one input value at a time.

    The picture gets `size` more pixels on every side, to count how many values would
    reach an output pixel of an infinite plane.

    Args:
        x: `(b, h, w, c)`.
        mask: `(b, h, w, c)`.
        kernel: `(kh, kw, filters, c)`.
        bias: `(filters,)`.
        strides: Integer or pair.

    Returns:
        The features and the `(b, h * stride, w * stride, 1)` mask.
    """
    (kh, kw, filters, c), (sh, sw) = kernel.shape, pair(strides)
    b, h, w, _ = x.shape
    top, left = (kh - sh) // 2, (kw - sw) // 2
    out = np.zeros((b, h * sh, w * sw, filters))
    s, n = np.zeros((b, h * sh, w * sw, 1)), np.zeros((1, h * sh, w * sw, 1))
    for i in range(-kh, h + kh):
        for j in range(-kw, w + kw):
            for ki in range(kh):
                for kj in range(kw):
                    p, q = i * sh + ki - top, j * sw + kj - left
                    if not (0 <= p < h * sh and 0 <= q < w * sw):
                        continue
                    n[:, p, q] += c
                    if 0 <= i < h and 0 <= j < w:
                        m = mask[:, i, j] >= 1
                        value = np.where(m, x[:, i, j], 0).astype("float64")
                        out[:, p, q] += value @ kernel[ki, kj].T
                        s[:, p, q, 0] += m.sum(axis=-1)
    valid = s > 0
    return (out * n / np.maximum(s, 1) + bias) * valid, valid.astype("float64")


def hard_mosaic(picture, box, block):
    """Return a picture with a mosaic of whole blocks in a box.

    Args:
        picture: uint8 `(height, width, 3)`.
        box: `(left, top, right, bottom)`, whose sides are multiples of the block.
        block: Side of a block in pixels.
    """
    left, top, right, bottom = box
    rows, columns = (bottom - top) // block, (right - left) // block
    inside = picture[top:bottom, left:right]
    blocks = inside.reshape(rows, block, columns, block, 3).mean((1, 3)).round()
    result = picture.copy()
    result[top:bottom, left:right] = blocks.repeat(block, 0).repeat(block, 1)
    return result
