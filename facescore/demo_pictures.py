"""What a demo draws: labelled scenes for a detector, rated characters for a scorer."""

from pathlib import Path

from facescore.labels import label_path, write_labels
from facescore.ratings import TABLE, Rating, write_ratings
from facescore.scenes import draw_scene
from facescore.taste import rated_characters
from illustkit.images import write_image
from illustkit.samples import draw_character

SIZE = 300, 424  # pixels, width and height of a drawn character
SCENE = 320  # pixels, side of a drawn scene


def draw_scenes(folder, n, *, first_seed=0, progress=True):
    """Draw labelled scenes of 320 by 320 pixels; those that are there stay.

    Args:
        folder: Folder for the pictures and their labels.
        n: Number of scenes.
        first_seed: Seed of the first. Defaults to 0.
        progress: Show a progress bar. Defaults to `True`.
    """
    from tqdm import tqdm

    bar = tqdm(range(n), "Drawing scenes", disable=not progress)
    for path, seed in ((folder / f"scene-{i:04d}.png", first_seed + i) for i in bar):
        if path.exists():
            continue
        image, boxes = draw_scene(
            seed, size=(SCENE, SCENE), n_faces=(1, 5), face_size=(20, 210)
        )
        # First the label, so that no picture is left that seems unlabelled.
        write_labels(label_path(path), boxes, (SCENE, SCENE))
        write_image(path, image)


def draw_labelled(folder, n, *, first_seed=0):
    """Draw characters with labels of their faces; those that are there stay.

    Args:
        folder: Folder for the pictures and their labels.
        n: Number of characters.
        first_seed: Seed of the first. Defaults to 0.
    """
    for seed in range(first_seed, first_seed + n):
        path = folder / f"character-{seed:08d}.png"
        if path.exists():
            continue
        character = draw_character(seed, SIZE)
        write_labels(label_path(path), [character.face_box], SIZE)
        write_image(path, character.image)


def draw_characters(folder, per_score, *, first_seed=0, table=None, progress=True):
    """Draw characters and let the made-up person rate them.

    Args:
        folder: Folder for the pictures; those that are there stay.
        per_score: Number of characters of each score.
        first_seed: Seed of the first. Defaults to 0.
        table: CSV for the scores. Defaults to `ratings.csv` in the folder.
        progress: Show a progress bar. Defaults to `True`.

    Returns:
        Path of the CSV.
    """
    from tqdm import tqdm

    folder, ratings = Path(folder), []
    bar = tqdm(total=5 * per_score, desc="Drawing characters", disable=not progress)
    with bar:
        for seed, character, score in rated_characters(
            per_score, first_seed=first_seed, size=SIZE
        ):
            path = folder / f"character-{seed:08d}.png"
            if not path.exists():
                write_image(path, character.image)
            ratings.append(Rating(path, score))
            bar.update()
    table = Path(table) if table else folder / TABLE
    return write_ratings(table, ratings, table.parent)
