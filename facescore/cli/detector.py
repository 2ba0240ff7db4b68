"""Commands about finding faces: detect, train, evaluate, export."""

from pathlib import Path
from typing import Annotated, Any

import typer

from facescore.cli.options import (
    BatchSize,
    Browser,
    Confidence,
    Detector,
    Engine,
    EngineOrRay,
    FaceClass,
    Holdout,
    ImageSize,
    Iou,
    LearningRate,
    Overwrite,
    Precision,
    Seed,
    Strategy,
    Tile,
    TrainingSize,
    end_with_left_out,
    finding,
    flag,
    user_errors,
)
from facescore.detector import CONFIDENCE
from illustkit.cli import (
    LOOPBACK,
    EarlyStopping,
    Host,
    TensorBoard,
    given,
    progress_bar,
)
from illustkit.errors import UserError
from illustkit.files import expand_user

Preset = Annotated[str, typer.Option(help="tiny, small or full.")]
Epochs = Annotated[int | None, typer.Option(help="Number of epochs.")]
EpochSize = Annotated[int | None, typer.Option(help="Pictures in an epoch.")]


def detect(
    pictures: Annotated[list[Path], typer.Argument(help="A folder, or files.")],
    detector: Detector = "default",
    confidence: Confidence = CONFIDENCE,
    iou: Iou = None,
    image_size: ImageSize = None,
    tile: Tile = "auto",
    engine: EngineOrRay = "auto",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes of --engine ray; by default one a core.", min=1),
    ] = None,
    save: Annotated[
        bool, typer.Option("--save/--no-save", help="Draw the faces on each picture.")
    ] = True,
    save_txt: Annotated[bool, flag("save-txt", "Write YOLO labels.")] = False,
    save_conf: Annotated[
        bool, flag("save-conf", "Write them with confidences: predictions, not labels.")
    ] = False,
    save_crop: Annotated[bool, flag("save-crop", "Write each face.")] = False,
    line_width: Annotated[
        int | None,
        typer.Option(
            *("--line-width", "--line_width"),
            help="Width of drawn lines, pixels; by the picture's size by default.",
            min=1,
        ),
    ] = None,
    hide_conf: Annotated[bool, flag("hide-conf", "Draw no confidences.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for all that is written, with faces.json and faces.csv; "
            "runs/detect/predict, predict2, ... by default."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find faces, and draw them: a line for each picture, and tables of all boxes."""
    with user_errors():
        from facescore.detector.folder import detect_folder, numbered_folder

        pictures = [expand_user(path) for path in pictures]
        single = len(pictures) == 1 and pictures[0].is_dir()
        if output is None and (save or save_txt or save_conf or save_crop):
            output = numbered_folder("runs/detect")
        n_pictures = n_faces = 0
        left_out: list[tuple[Path, str]] = []
        skipped: list[Path] = []
        for path, faces in detect_folder(
            pictures[0] if single else pictures,
            detector,
            output,
            save=save,
            save_txt=save_txt,
            save_conf=save_conf,
            save_crop=save_crop,
            line_width=line_width,
            hide_conf=hide_conf,
            overwrite=overwrite,
            engine=engine,
            workers=workers,
            left_out=left_out,
            skipped=skipped,
            progress=_nothing if engine == "ray" else None,  # Ray shows its own
            confidence=confidence,
            **finding(iou, image_size, tile),
        ):
            print(f"{path}: {_counted(len(faces), 'face')}")
            n_pictures, n_faces = n_pictures + 1, n_faces + len(faces)
        print(f"{_counted(n_faces, 'face')} in {_counted(n_pictures, 'picture')}.")
        if output is not None and n_pictures:
            kinds = {
                "drawn pictures": save,
                "labels": save_txt or save_conf,
                "crops": save_crop and n_faces,
                "faces.json": True,
            }
            what = ", ".join(kind for kind, written in kinds.items() if written)
            print(f"Written to {output}: {what} and faces.csv.")
        if skipped:
            print(f"{len(skipped)} skipped: done before. --overwrite does them again.")
        end_with_left_out(left_out)


def serve(
    detector: Detector = "default",
    confidence: Confidence = CONFIDENCE,
    engine: Engine = "auto",
    port: Annotated[
        int | None,
        typer.Option(help="TCP port; 7862 by default, or any if that is taken."),
    ] = None,
    browser: Browser = True,
    host: Host = LOOPBACK,
) -> None:
    """Open a page that finds the faces of pictures that are dropped onto it."""
    with user_errors():
        from facescore.detector.serve import serve as serve_page

        serve_page(
            detector,
            confidence=confidence,
            engine=engine,
            port=port,
            host=host,
            open_browser=browser,
        )


def _nothing(number: int) -> None:
    pass


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def export(
    path: Annotated[Path, typer.Argument(help="The .onnx or .tflite to write.")],
    detector: Annotated[
        str | None, typer.Option(help="default, or a run folder; default by default.")
    ] = None,
    scorer: Annotated[
        Path | None, typer.Option(help="Run folder of a scorer to export instead.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            *("--image-size", "--imgsz"),
            help="Side of the square pictures of a detector, a multiple of 32; "
            "by default any size for .onnx, 640 for .tflite.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a detector or a scorer as ONNX or TFLite, which start in a second.

    Such a file is given as --detector faces.onnx or --scorer taste.onnx.
    """
    with user_errors(goes_on=False):
        from illustkit.exported import check_export

        if scorer is not None and (detector is not None or image_size is not None):
            other = "detector" if detector is not None else "image_size"
            raise UserError(f"`scorer` and `{other}` exclude each other: name one.")
        path = check_export(path)
        if path.exists() and not overwrite:
            raise UserError(f"{path}: exists already; `overwrite` replaces it.")
        from facescore.export import export_detector, export_scorer

        if scorer is not None:
            export_scorer(scorer, path)
        else:
            export_detector(detector or "default", path, image_size=image_size)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def train_detector(
    images: Annotated[
        list[Path], typer.Argument(help="Folders of pictures with YOLO labels.")
    ],
    run: Annotated[Path, typer.Option(help="Folder of the training.")] = Path(
        "runs/detector"
    ),
    preset: Preset = "small",
    epochs: Epochs = None,
    epoch_size: EpochSize = None,
    batch_size: BatchSize = None,
    image_size: TrainingSize = None,
    learning_rate: LearningRate = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw or sgd.")] = None,
    start_from: Annotated[
        str | None,
        typer.Option(help="Run whose weights to begin with; or default, as it comes."),
    ] = None,
    holdout: Holdout = 0.1,
    face_class: FaceClass = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for stored pictures, to share them.")
    ] = None,
    precision: Precision = None,
    strategy: Strategy = "auto",
    early_stopping: EarlyStopping = None,
    tensorboard: TensorBoard = False,
    seed: Seed = 0,
) -> None:
    """Train a detector; the same command again resumes it."""
    with user_errors():
        from illustkit.images.listing import check_folder

        for folder in images:
            check_folder(folder)
        from facescore.detector import training
        from illustkit.training.watching import watching

        done = training.train_detector(
            images,
            run,
            preset=preset,
            start_from=start_from,
            strategy=strategy,
            seed=seed,
            callbacks=watching(early_stopping, tensorboard),
            holdout=holdout,
            face_class=face_class,
            cache=cache,
            **given(
                epochs=epochs,
                epoch_size=epoch_size,
                batch_size=batch_size,
                image_size=image_size,
                learning_rate=learning_rate,
                optimizer=optimizer,
                precision=precision,
            ),
        )
        print_trained(done)


def print_trained(run: Any) -> None:
    """Print what a training of a detector has reached."""
    from illustkit.training.runs import format_figure

    ap, ap50 = (format_figure(run.best(name)) for name in ("val_ap", "val_ap50"))
    print(
        f"Best on held-out pictures: AP50-95 {ap}, AP50 {ap50}. "
        f"The run is in {run.folder}"
    )


def evaluate_detector(
    images: Annotated[
        list[Path], typer.Argument(help="Folders of pictures with YOLO labels.")
    ],
    detector: Annotated[
        list[str] | None,
        typer.Option(
            help="default, cascade or a run folder; repeatable, side by side."
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option("--confidence", "--conf", help="Of precision and recall."),
    ] = CONFIDENCE,
    iou: Iou = None,
    image_size: ImageSize = None,
    tile: Tile = "auto",
    face_class: FaceClass = None,
    shrink: Annotated[
        float | None, typer.Option(help="Factor on the cascade's boxes; else 0.85.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for curves and examples.")] = (
        Path("runs/detector-evaluation")
    ),
) -> None:
    """Measure detectors on labelled pictures.

    Print AP50 and AP50-95 as in COCO, and draw precision-recall curves and examples.
    """
    with user_errors():
        from illustkit.images.listing import check_folder

        for folder in images:
            check_folder(folder)
        from facescore.detector import evaluation
        from facescore.detector.cascade import check_cascade
        from facescore.detector.prediction import as_detector, check_finding
        from illustkit.training.runs import format_figure

        names = list(dict.fromkeys(detector or ["cascade"]))
        models = {name: as_detector(name) for name in names}
        if shrink is not None:
            if "cascade" not in models:
                raise UserError("Only the cascade has `shrink`: leave it out.")
            check_cascade(shrink=shrink)
            cascade = models["cascade"]
            models["cascade"] = lambda image: cascade.detect(image, shrink=shrink)
        options = finding(iou, image_size, tile)
        trained = [m for m in models.values() if hasattr(m, "detect_all")]
        check_finding(trained[0] if trained else None, **options)
        results = {}
        left_out: dict[Path, str] = {}
        for number, (name, model) in enumerate(models.items()):
            if options and model not in trained:
                print(f"{name}: searched without {', '.join(options)}, which it lacks.")
            # Long paths would leave no room for the figures.
            short = name if len(name) <= 24 else f"{number}: ...{name[-18:]}"
            failed: list[tuple[Path, str]] = []
            with progress_bar(None) as progress:
                results[short] = evaluation.evaluate_detector(
                    images,
                    model,
                    sheet_path=output / f"examples-{number}.png",
                    face_class=face_class,
                    left_out=failed,
                    progress=progress,
                    confidence=confidence,
                    **(options if model in trained else {}),
                )
            left_out |= dict(failed)
        first = next(iter(results.values()))
        print(f"{first.n_faces} faces in {first.n_pictures} pictures")
        width = max(8, *map(len, results))
        heads = " ".join(f"{h:>9}" for h in ("AP50", "AP50-95", "precision", "recall"))
        print(f"{'':<{width}}  {heads}  (at {confidence:g})")
        for name, s in results.items():
            figures = (s.ap50, s.ap50_95, s.precision, s.recall)
            cells = [format_figure(figure, 4) for figure in figures]
            print(f"{name:<{width}}  {' '.join(f'{cell:>9}' for cell in cells)}")
        curve = output / "precision-recall.png"
        evaluation.plot_precision_recall(results, curve)
        print(f"Curves and examples are in {output}")
        end_with_left_out(left_out.items())
