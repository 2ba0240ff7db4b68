"""What the scorers have to reach; minutes each."""

import keras
import numpy as np
import pytest

from facescore.crops import crop_face
from facescore.scorer.agreement import spearman
from facescore.scorer.model import Scorer, load_scorer
from facescore.scorer.networks import AlexNet
from facescore.scorer.prediction import score_crops
from facescore.scorer.training import train_scorer
from facescore.synthetic.taste import rated_characters
from illustkit.images import list_images, write_image

pytestmark = pytest.mark.large


def draw_crops(folder, per_score, first_seed, size=128):
    """Faces of rated characters in folders of scores."""
    drawn = rated_characters(per_score, first_seed=first_seed, size=(300, 424))
    for seed, character, score in drawn:
        crop = crop_face(character.image, character.face_box, size=size)
        write_image(folder / f"{score}/{seed}.png", crop)


def test_the_small_preset_learns_the_hidden_taste(tmp_path):
    draw_crops(tmp_path / "known", 400, first_seed=0)
    draw_crops(tmp_path / "unseen", 100, first_seed=10_000_000)
    run = train_scorer(tmp_path / "known", tmp_path / "run", verbose=2)
    paths = list_images(tmp_path / "unseen")
    true = np.array([int(path.parent.name) for path in paths])
    found = score_crops(paths, load_scorer(run))
    assert spearman(true, found) >= 0.80
    medians = [np.median(found[true == score]) for score in range(1, 6)]
    assert (np.diff(medians) > 0).all()


def test_alexnet_overfits_64_faces():
    drawn = list(rated_characters(13, first_seed=77_000_000))[:64]
    crops = np.stack([crop_face(c.image, c.face_box, size=360) for _, c, _ in drawn])
    scores = np.float32([score for *_, score in drawn])
    keras.utils.set_random_seed(0)
    network = AlexNet(360, hidden_units=1024, dropout=0.0)
    scorer = Scorer(network, mean=scores.mean(), scale=scores.std())
    rate = keras.optimizers.schedules.CosineDecay(2e-4, decay_steps=25 * 8)
    scorer.compile(keras.optimizers.Adam(rate))
    scorer.fit(crops, scores, batch_size=8, epochs=25, verbose=2)
    found = scorer.predict_scores(crops, batch_size=16)
    assert np.mean((found - scores) ** 2) < 0.05
