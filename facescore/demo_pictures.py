"""What a demo draws: labelled scenes for a detector, rated characters for a scorer."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from facescore.labels import label_path, write_labels
from facescore.ratings import TABLE, Rating, write_ratings
from facescore.scenes import draw_scene
from facescore.taste import rated_characters
from illustkit.images import write_image

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

    def draw(i):
        path = folder / f"scene-{i:04d}.png"
        if not path.exists():
            size = SCENE, SCENE
            image, boxes = draw_scene(
                first_seed + i, size=size, n_faces=(1, 5), face_size=(20, 210)
            )
            _write(path, image, boxes)

    with ThreadPoolExecutor(2) as pool:
        bar = tqdm(total=n, desc="Drawing scenes", disable=not progress)
        for _ in pool.map(draw, range(n)):
            bar.update()
        bar.close()


def draw_characters(
    folder, per_score, *, first_seed=0, labelled=0, table=None, progress=True
):
    """Draw characters and let the made-up person rate them.

    Args:
        folder: Folder for the pictures; those that are there stay.
        per_score: Number of characters of each score.
        first_seed: Seed of the first. Defaults to 0.
        labelled: Of how many, the first ones, to label the face. Defaults to 0.
        table: CSV for the scores. Defaults to `ratings.csv` in the folder.
        progress: Show a progress bar. Defaults to `True`.

    Returns:
        Path of the CSV.
    """
    from tqdm import tqdm

    folder, ratings, writing = Path(folder), [], []
    bar = tqdm(total=5 * per_score, desc="Drawing characters", disable=not progress)
    with bar, ThreadPoolExecutor(1) as pool:  # draws one while the last is compressed
        for seed, character, score in rated_characters(
            per_score, first_seed=first_seed, size=SIZE
        ):
            path = folder / f"character-{seed:08d}.png"
            boxes = [character.face_box] if len(ratings) < labelled else None
            if not path.exists():
                writing.append(pool.submit(_write, path, character.image, boxes))
            ratings.append(Rating(path, score))
            bar.update()
        for job in writing:
            job.result()
    table = Path(table) if table else folder / TABLE
    return write_ratings(table, ratings, table.parent)


def _write(path, image, boxes):
    """Write a picture, its labels first: none is left that only seems unlabelled."""
    if boxes is not None:
        write_labels(label_path(path), boxes, image.shape[1::-1])
    write_image(path, image)
