"""What is under a mark: a mosaic, a blur, or nothing that is known."""

import numpy as np

from oppai.detection import recognise


def test_a_part_of_one_colour_is_no_blur(monkeypatch):
    # A white stroke that ends in a page's white gutter once passed for one.
    monkeypatch.setattr(recognise, "marked_sigma", lambda *_, **__: 4.0)
    picture = np.random.default_rng(0).integers(0, 200, (64, 64, 3)).astype(np.uint8)
    picture[:, 20:44] = 120, 140, 150
    hole = np.zeros((64, 64), bool)
    hole[20:30, 24:40] = True
    blurs, unknown = recognise.blurs_under(picture, hole, [])
    assert blurs == [] and (unknown == hole).all()
    picture[20:30, 24:40] = np.linspace(100, 160, 16).astype(np.uint8)[:, None]
    blurs, unknown = recognise.blurs_under(picture, hole, [])
    assert [blur.sigma for blur in blurs] == [4.0] and not unknown.any()
