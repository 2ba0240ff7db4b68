"""A model that is trained with attributes, and asked for them."""

import numpy as np
import pytest
from keras import ops

import diffusion
from diffusion.network.model import Diffuser, load_shipped, save_shipped
from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.samples import (
    FACE_ICON_ATTRIBUTES,
    describe_face_icon,
    draw_face_icon,
)
from illustkit.samples.heads import whole
from tests.diffusion.conftest import TINIEST

SCHEMA = {"colour": ["blue", "red"], "size": ["large", "small"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the slim network on icons in two folders."""
    from tests.diffusion.slim import Slim

    folder = tmp_path_factory.mktemp("steered")
    for i in range(6):
        colour = (0, 0, 200 - i) if i % 2 else (200 - i, 0, 0)
        icon = np.full((16, 16, 3), colour, np.uint8)
        write_image(folder / "icons" / ("blue" if i % 2 else "red") / f"{i}.png", icon)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion.network.model, "UNet", Slim)
        yield diffusion.train(
            folder / "icons", folder / "run", attributes="folders", **TINIEST
        )


def test_a_run_knows_its_attributes_and_resumes(run):
    assert run.settings["attributes"] == {"folder": ["blue", "red"]}
    icons = run.folder.parent / "icons"
    again = diffusion.train(
        icons, run.folder, attributes="folders", **{**TINIEST, "steps": 16}
    )
    assert again.epochs_done == 4
    with pytest.raises(UserError, match="attributes"):
        diffusion.train(icons, run.folder, **{**TINIEST, "steps": 16})


def test_a_shipped_model_is_the_run_to_float16(run, tmp_path):
    path = save_shipped(run, tmp_path / "default.npz")
    before, after = diffusion.load_diffuser(run), load_shipped(path)
    assert after.attributes == before.attributes
    for a, b in zip(before.average.weights, after.average.weights, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(a).astype("float16"), ops.convert_to_numpy(b)
        )


def test_wishes_reach_their_own_pictures(run):
    model = diffusion.load_diffuser(run)
    options = {"steps": 3, "sampler": "dpm++", "progress": False}
    blue, red = ({"folder": colour} for colour in ("blue", "red"))
    each = diffusion.sample(model, 3, attributes=[blue, red, blue], **options)
    alone = diffusion.sample(model, 1, first=1, attributes=red, batch_size=1, **options)
    unsaid = diffusion.sample(model, 3, **options)
    assert np.abs(each[1].astype(int) - alone[0]).max() <= 1
    assert not np.array_equal(each, unsaid)
    for wrong, said in (
        ({"folder": "green"}, "one of: blue, red"),
        ([blue, red], "2 dicts for 3 pictures"),
    ):
        with pytest.raises(UserError, match=said):
            diffusion.sample(model, 3, attributes=wrong, **options)


def test_guidance_moves_away_from_no_wish():
    network = {"image_size": (8, 8), "dim": 8, "dim_mults": (1, 2), "version": "2"}
    diffuser = Diffuser(network, attributes=SCHEMA, timesteps=20)
    rng = np.random.default_rng(0)
    x_t, t = rng.standard_normal((3, 8, 8, 3)).astype("f4"), np.array([2, 9, 19])
    wishes = np.eye(4, dtype="f4")[:3]
    wished = ops.convert_to_numpy(diffuser.average([x_t, t, wishes]))
    without = ops.convert_to_numpy(diffuser.average([x_t, t, 0 * wishes]))
    for guidance in (1.0, 3.0):
        found = diffuser.denoiser(wishes=wishes, guidance=guidance)(x_t, t)
        expected = without + guidance * (wished - without)
        np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(diffuser.denoiser()(x_t, t), without, atol=2e-5)
    assert np.abs(wished - without).max() > 1e-3


def test_a_model_without_attributes_has_no_wishes():
    network = {"image_size": (8, 8), "dim": 8, "dim_mults": (1,)}
    diffuser = Diffuser(network, timesteps=20)
    with pytest.raises(UserError, match="without attributes"):
        diffusion.sample(diffuser, 1, steps=2, attributes={"hair": "red"})


def test_an_icon_is_described_as_it_is_drawn(monkeypatch):
    assert set(describe_face_icon(5)) == set(FACE_ICON_ATTRIBUTES)
    drawn = []
    original = whole.draw_head_front

    def spy(canvas, head, pen):
        drawn.append(head)
        return original(canvas, head, pen)

    monkeypatch.setattr(whole, "draw_head_front", spy)
    for seed in range(12):
        draw_face_icon(seed, 32)
        said, head = describe_face_icon(seed), drawn[-1]
        assert said["hair"] == head.hair_name and said["eyes"] == head.eye_name
        assert (said["glasses"] == "yes") == head.glasses
        assert said["expression"] == head.face.expression
        for name, values in FACE_ICON_ATTRIBUTES.items():
            assert said[name] in values
