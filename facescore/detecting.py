"""Find faces with a trained detector or the cascade, in one picture or a folder."""

from pathlib import Path

from facescore.detector_inference import Detector
from facescore.run_kinds import open_run
from illustkit.images import list_images, read_image


def load_detector(run):
    """Load a trained detector.

    Args:
        run: A run folder, or the `Run` that `train_detector` returned; its best weights
            are taken.

    Returns:
        A `Detector`.

    Raises:
        ValueError: where there is no run, or no weights in it.
    """
    return Detector(load_network(run))


def load_network(run):
    """Load the trained network of a run, with its batch normalisation."""
    from facescore.detector import DetectorNetwork
    from facescore.detector_losses import FaceDetector

    run = open_run(run, "detector")
    settings = run.settings
    if not run.weights_path.exists():
        raise ValueError(
            f"{run.folder} has no {run.weights_path.name} yet: wait for the training's "
            "first epoch to end, or train again."
        )
    network = DetectorNetwork(settings["widths"], settings["depths"], settings["head"])
    try:
        FaceDetector(network).load_weights(run.weights_path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{run.weights_path} does not hold this run's weights ({reason}): "
            "train again, or take another run."
        ) from error
    return network


def as_detector(detector):
    """Something that detects: "cascade", a run folder, a `Run`, or one already made."""
    if hasattr(detector, "detect"):
        return detector
    if detector == "cascade":
        from facescore.cascade import Cascade

        return Cascade()
    return load_detector(detector)


def detect_faces(
    image, detector="cascade", *, conf=0.25, iou=0.5, imgsz=640, tile=None
):
    """Find the faces of one picture.

    Example:
    ```python
    faces = facescore.detect_faces("picture.png", "runs/detector")
    ```

    Args:
        image: uint8 RGB `(height, width, 3)`, or a path.
        detector: "cascade", a run folder, or what `load_detector` returned; load it
            once where there are many pictures. Defaults to "cascade".
        conf: Least confidence. Defaults to 0.25, which lets all through that the
            cascade finds. The options that follow concern trained detectors.
        iou: Overlap up to which two boxes are two faces. Defaults to 0.5.
        imgsz: Side that the picture is scaled to, rounded up to a multiple of 32.
            Defaults to 640.
        tile: Side of windows to search as well, in pixels. Defaults to none.

    Returns:
        List of `Face`, best first.
    """
    detector = as_detector(detector)
    image = read_image(image)
    if not isinstance(detector, Detector):
        return [face for face in detector.detect(image) if face.confidence >= conf]
    return detector.detect(image, conf=conf, iou=iou, imgsz=imgsz, tile=tile)


def detect_folder(
    images,
    detector="cascade",
    out=None,
    *,
    save_txt=False,
    save_conf=False,
    save_crop=False,
    left_out=None,
    progress=None,
    **options,
):
    """Find the faces of every picture in a folder, and write what is asked for.

    Args:
        images: A folder, or a list of paths.
        detector: As in `detect_faces`.
        out: Folder for `labels/` and `crops/`. Needed where something is saved.
        save_txt: Write YOLO labels to `out/labels`; an empty file where no face is.
        save_conf: Add the confidence as the sixth column; such files are predictions
            and no labels.
        save_crop: Write each face to `out/crops`.
        left_out: List that pairs (path, reason) are put on, for pictures that cannot
            be read. Defaults to none: the first one ends it.
        progress: Called with the number of pictures done. Defaults to none.
        **options: `conf`, `iou`, `imgsz` and `tile` of `detect_faces`.

    Yields:
        `(path, faces)`, one picture at a time, as it is done.

    Raises:
        ValueError: where `out` is missing, two pictures would be saved by one name, or
            a picture cannot be read.
    """
    from facescore.crops import crop_face
    from facescore.labels import write_labels
    from illustkit.images import write_image

    if (save_txt or save_conf or save_crop) and out is None:
        raise ValueError("To save something, name a folder. Received: out=None")
    base = Path(images) if isinstance(images, (str, Path)) else None
    paths = list_images(base) if base else [Path(path) for path in images]
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: no such file. Check the path.")
    names = [path.relative_to(base) if base else Path(path.name) for path in paths]
    if save_txt or save_conf or save_crop:
        _check_stems(names)
    detector = as_detector(detector)
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):
        try:
            image = read_image(path)
            faces = detect_faces(image, detector, **options)
        except (ValueError, OSError, MemoryError) as error:
            if left_out is None:
                raise
            reason = str(error) or type(error).__name__
            named = reason if str(path) in reason else f"{path}: {reason}"
            left_out.append((path, named))
            continue
        if save_txt or save_conf:
            write_labels(
                Path(out, "labels", name).with_suffix(".txt"),
                [face.box for face in faces],
                image.shape[1::-1],
                [face.confidence for face in faces] if save_conf else None,
            )
        for i, face in enumerate(faces if save_crop else ()):
            crop = crop_face(image, face.box)
            write_image(Path(out, "crops", name.parent, f"{name.stem}-{i}.png"), crop)
        if progress is not None:
            progress(number + 1)
        yield path, faces


def _check_stems(names):
    owners = {}
    for name in names:
        other = owners.setdefault(name.with_suffix(""), name)
        if other is not name:
            raise ValueError(
                f"{other} and {name} would be saved by one name. Rename one of them."
            )
