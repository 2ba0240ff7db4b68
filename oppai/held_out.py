"""Pictures that a run never trained on, for its evaluation."""

import json
from pathlib import Path

from oppai.dataset import build_patches, load_metadata
from oppai.shipped import SPLIT as SHIPPED

SPLIT = "split.json"


def write_split(run, training, held_out):
    """Write which pictures a run trains on into its folder.

    Args:
        run: `illustkit.runs.Run`.
        training: Names of the pictures to train on.
        held_out: Names of those held out.
    """
    text = json.dumps({"train": training, "held_out": held_out}, indent=1)
    (run.folder / SPLIT).write_text(text, encoding="utf-8")


def held_out_patches(run, images, metadata, *, cache=None, progress=True):
    """Cut the patches of all pictures that a run did not train on.

    Pictures are told apart by name: of the run's own folder these are the ones held
    out, of another folder all of them.

    Example:
    ```python
    patches = held_out_patches(run, "images", "oppai_meta.json")
    rows = oppai.evaluate(oppai.load_restorer(run), patches)
    ```

    Args:
        run: `illustkit.runs.Run` of a training, or "default" for the restorer that
            comes with the package, whose patches have 256 pixels.
        images: Folder of the pictures.
        metadata: Path of the JSON with their boxes.
        cache: Folder for the patches; the run's own by default, `runs/default` for the
            package's restorer.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `oppai.dataset.Patches`.

    Raises:
        ValueError: where the run knows no split, or trained on every picture.
    """
    path = SHIPPED if run == "default" else run.folder / SPLIT
    try:
        trained = set(json.loads(path.read_text("utf-8"))["train"])
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} does not say which pictures were trained on "
            f"({error}): train again to evaluate on held-out ones."
        ) from None
    entries = [e for e in load_metadata(metadata) if e.name not in trained]
    if not entries:
        raise ValueError(
            f"{metadata}: the run trained on every picture of it. "
            "Name other pictures to evaluate on."
        )
    folder, sizes = Path("runs/default"), {"size": 256, "minimum": 256}
    if run != "default":
        folder, settings = run.folder, run.settings
        sizes = {"size": settings.get("image_size", 256)}
        sizes["minimum"] = settings.get("minimum", 256)
    return build_patches(
        entries,
        images,
        **sizes,
        cache=cache or folder / "held_out_patches",
        progress=progress,
    )
