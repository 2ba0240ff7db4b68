"""Commands about finding faces: detect, train, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from facescore.cli.options import (
    Conf,
    Detector,
    Imgsz,
    Iou,
    LeftOutError,
    Precision,
    Strategy,
    Tile,
    flag,
    user_errors,
)
from illustkit.cli import given


def detect(
    pictures: Annotated[list[Path], typer.Argument(help="A folder, or files.")],
    detector: Detector = "cascade",
    conf: Conf = 0.25,
    iou: Iou = 0.5,
    imgsz: Imgsz = 640,
    tile: Tile = None,
    save_txt: Annotated[bool, flag("save-txt", "Write YOLO labels.")] = False,
    save_conf: Annotated[
        bool, flag("save-conf", "Write them with confidences: predictions, no labels.")
    ] = False,
    save_crop: Annotated[bool, flag("save-crop", "Write each face.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for what is saved.")] = Path(
        "runs/detect"
    ),
):
    """Find faces: a line for each, and files on request."""
    with user_errors():
        from facescore.detector.prediction import detect_folder

        whole = len(pictures) == 1 and pictures[0].is_dir()
        n_pictures = n_faces = 0
        left_out = []
        for path, faces in detect_folder(
            pictures[0] if whole else pictures,
            detector,
            output,
            save_txt=save_txt,
            save_conf=save_conf,
            save_crop=save_crop,
            left_out=left_out,
            conf=conf,
            iou=iou,
            imgsz=imgsz,
            tile=tile,
        ):
            for face in faces:
                box = " ".join(f"{v:.1f}" for v in face.box)
                print(f"{path}  {box}  {face.confidence:.3f}")
            if not faces:
                print(f"{path}  no face")
            n_pictures, n_faces = n_pictures + 1, n_faces + len(faces)
        print(f"{n_faces} faces in {n_pictures} pictures.")
        if save_txt or save_conf or save_crop:
            print(f"Written to {output}")
        if left_out:
            raise LeftOutError(left_out)


def train_detector(
    images: Annotated[
        list[Path], typer.Argument(help="Folders of pictures with YOLO labels.")
    ],
    run: Annotated[Path, typer.Option(help="Folder of the training.")] = Path(
        "runs/detector"
    ),
    preset: Annotated[str, typer.Option(help="tiny, small or full.")] = "small",
    epochs: Annotated[int | None, typer.Option(help="Passes.")] = None,
    epoch_size: Annotated[int | None, typer.Option(help="Pictures a pass.")] = None,
    batch: Annotated[
        int | None, typer.Option(help="Pictures a step, over all devices.")
    ] = None,
    imgsz: Annotated[
        int | None, typer.Option(help="Side of a training picture.")
    ] = None,
    lr0: Annotated[float | None, typer.Option(help="Greatest learning rate.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw or sgd.")] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Run whose weights to begin with.")
    ] = None,
    holdout: Annotated[float, typer.Option(help="Share held out.")] = 0.1,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for stored pictures, to share them.")
    ] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    seed: Annotated[int, typer.Option()] = 0,
):
    """Train a detector; the same command again resumes it."""
    with user_errors():
        from facescore.detector import training

        done = training.train_detector(
            images,
            run,
            preset=preset,
            start_from=start_from,
            strategy=strategy,
            seed=seed,
            holdout=holdout,
            cache=cache,
            **given(
                epochs=epochs,
                epoch_size=epoch_size,
                batch_size=batch,
                image_size=imgsz,
                learning_rate=lr0,
                optimizer=optimizer,
                precision=precision,
            ),
        )
        print_trained(done)


def print_trained(run):
    """Say what a training of a detector has reached."""
    ap, ap50 = max(run.history["val_ap"]), max(run.history["val_ap50"])
    print(
        f"Best on held-out pictures: AP50-95 {ap:.3f}, AP50 {ap50:.3f}. "
        f"The run is in {run.folder}"
    )


def evaluate_detector(
    images: Annotated[
        list[Path], typer.Argument(help="Folders of pictures with YOLO labels.")
    ],
    detector: Annotated[
        list[str] | None,
        typer.Option(help="cascade or a run folder; repeatable, side by side."),
    ] = None,
    conf: Annotated[float, typer.Option(help="For precision and recall.")] = 0.25,
    iou: Iou = 0.5,
    imgsz: Imgsz = 640,
    tile: Tile = None,
    shrink: Annotated[
        float, typer.Option(help="Factor on the cascade's boxes; 0.85 suits labels.")
    ] = 1.0,
    output: Annotated[Path, typer.Option(help="Folder for curves and examples.")] = (
        Path("runs/detector-evaluation")
    ),
):
    """Measure detectors on labelled pictures.

    AP50 and AP50-95 as COCO has them, precision-recall curves, and examples.
    """
    with user_errors():
        from facescore.detector import evaluation
        from facescore.detector.prediction import as_detector

        names = list(dict.fromkeys(detector or ["cascade"]))
        results = {}
        for number, (name, model) in enumerate(
            zip(names, list(map(as_detector, names)), strict=True)
        ):
            # Long paths would leave no room for what matters.
            short = name if len(name) <= 24 else f"{number}: ...{name[-18:]}"
            results[short] = evaluation.evaluate_detector(
                images,
                model,
                sheet_path=output / f"examples-{number}.png",
                conf=conf,
                iou=iou,
                imgsz=imgsz,
                tile=tile,
                shrunk=shrink if name == "cascade" else 1.0,
            )
        first = next(iter(results.values()))
        print(f"{first.n_faces} faces in {first.n_pictures} pictures")
        width = max(8, *map(len, results))
        print(f"{'':<{width}}    AP50  AP50-95  precision  recall  (at {conf:g})")
        for name, s in results.items():
            print(
                f"{name:<{width}}  {s.ap50:6.4f}   {s.ap50_95:6.4f}     "
                f"{s.precision:6.4f}  {s.recall:6.4f}"
            )
        curve = output / "precision-recall.png"
        evaluation.plot_precision_recall(results, curve)
        print(f"Curves and examples are in {output}")
