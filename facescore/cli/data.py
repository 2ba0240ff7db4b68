"""Commands about data: crops, ratings, labels to and from COCO."""

from pathlib import Path
from typing import Annotated, Any

import typer

from facescore.cli.options import (
    NAME,
    Browser,
    Confidence,
    Engine,
    FaceClass,
    Holdout,
    ImageSize,
    Iou,
    Margin,
    Overwrite,
    Port,
    Seed,
    Square,
    Tile,
    end_with_left_out,
    finding,
    margin_of,
    open_detector,
    user_errors,
)
from facescore.detector import CONFIDENCE
from illustkit import cli
from illustkit.cli import LOOPBACK, Host

Labelled = Annotated[Path, typer.Argument(help="Folder of labelled pictures.")]
Category = Annotated[
    str | None, typer.Option(help="Category to take, if there are several.")
]
OverLabels = Annotated[bool, typer.Option(help="Replace label files that exist.")]
OverFile = Annotated[bool, typer.Option(help="Replace another file that is there.")]


def crop(
    folder: Annotated[
        Path, typer.Argument(help="Folder of pictures; linked ones too.")
    ],
    output: Annotated[Path, typer.Argument(help="Folder for crops and crops.csv.")],
    detector: Annotated[
        str,
        typer.Option(
            help="labels (the text files), default, cascade, or a run folder."
        ),
    ] = "labels",
    margin: Margin = "0.3,0.15,0",
    square: Square = True,
    size: Annotated[int, typer.Option(help="Side of a crop, pixels.", min=1)] = 360,
    confidence: Confidence = CONFIDENCE,
    iou: Iou = None,
    image_size: ImageSize = None,
    tile: Tile = "auto",
    engine: Engine = "auto",
    face_class: FaceClass = None,
    overwrite: Overwrite = False,
) -> None:
    """Cut out all faces of a folder, and write a table."""
    with user_errors():
        from facescore.crops import crop_folder
        from facescore.detector.prediction import check_finding, detect_faces

        options = finding(iou, image_size, tile)
        model = open_detector(detector, engine, no_search="labels")
        check_finding(model, **options)

        def find(image):
            return detect_faces(image, model, confidence=confidence, **options)

        report = crop_folder(
            folder,
            output,
            detect=None if model is None else find,
            face_class=face_class,
            overwrite=overwrite,
            margin=margin_of(margin),
            square=square,
            size=size,
        )
        print(str(report).splitlines()[0])
        print(f"Written to {output}")
        end_with_left_out(report.left_out)


def rate(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures or crops.")],
    table: Annotated[
        Path | None, typer.Option(help="The CSV; ratings.csv in the folder by default.")
    ] = None,
    shuffle: Annotated[bool, typer.Option(help="Show them in a random order.")] = False,
    ask: Annotated[
        str | None,
        typer.Option(
            help="informative: next comes the picture whose score teaches most; "
            "random. Both show how well the scores predict each other."
        ),
    ] = None,
    port: Port = 0,
    browser: Browser = True,
    host: Host = LOOPBACK,
) -> None:
    """Rate pictures from 1 to 5 in the browser, one key each."""
    with user_errors():
        from facescore.annotation.rate import rate as serve

        written = serve(
            folder,
            table=table,
            shuffle=shuffle,
            ask=ask,
            port=port,
            host=host,
            open_browser=browser,
        )
        print(f"The ratings are in {written}")


def export_coco(
    folder: Annotated[Path, typer.Argument(help="Folder of labelled pictures.")],
    path: Annotated[Path, typer.Argument(help="The JSON to write.")],
    face_class: FaceClass = None,
    overwrite: OverFile = False,
) -> None:
    """Write a folder's labels as one COCO file."""
    with user_errors():
        from facescore.labels import to_coco

        _export(to_coco, folder, path, face_class=face_class, overwrite=overwrite)


def import_coco(
    path: Annotated[Path, typer.Argument(help="The JSON to read.")],
    folder: Annotated[
        Path, typer.Argument(help="Folder that its file names are relative to.")
    ],
    category: Category = None,
    overwrite: OverLabels = False,
) -> None:
    """Write a COCO file's boxes as YOLO labels: see `label_path` for where."""
    with user_errors():
        from facescore.labels import from_coco

        _import(from_coco, path, folder, category=category, overwrite=overwrite)


def _export(write: Any, folder: Path, output: Path, **options: Any) -> None:
    from illustkit.images import list_images

    left_out: list[str] = []
    n_pictures, n_faces = write(
        list_images(folder), output, root=folder, left_out=left_out, **options
    )
    print(f"{n_faces} faces in {n_pictures} labelled pictures: {output}")
    cli.end_with_left_out(NAME, left_out)


def _import(read: Any, source: Path, folder: Path, **options: Any) -> None:
    left_out: list[str] = []
    notes: list[str] = []
    written = read(source, folder, left_out=left_out, notes=notes, **options)
    places = sorted({str(target.parent) for target in written})
    print(f"{len(written)} label files written. {' '.join(places[:3])}".rstrip())
    for note in notes:
        print(note.replace("`overwrite`", "--overwrite"))
    cli.end_with_left_out(NAME, left_out)


def export_voc(
    folder: Labelled,
    output: Annotated[Path, typer.Argument(help="Folder for the XML files.")],
    face_class: FaceClass = None,
    overwrite: OverFile = False,
) -> None:
    """Write a folder's labels as Pascal VOC's XML files."""
    with user_errors():
        from facescore.exchange import to_voc

        _export(to_voc, folder, output, face_class=face_class, overwrite=overwrite)


def import_voc(
    source: Annotated[Path, typer.Argument(help="Folder of XML files.")],
    folder: Annotated[Path, typer.Argument(help="Folder of their pictures.")],
    category: Category = None,
    overwrite: OverLabels = False,
) -> None:
    """Write the boxes of Pascal VOC's XML files as YOLO labels."""
    with user_errors():
        from facescore.exchange import from_voc

        _import(from_voc, source, folder, category=category, overwrite=overwrite)


def export_data_yaml(
    folder: Labelled,
    path: Annotated[Path, typer.Argument(help="The data.yaml to write.")],
    holdout: Holdout = 0.1,
    seed: Seed = 0,
    overwrite: OverFile = False,
) -> None:
    """Write a data.yaml of a folder's labelled pictures, for Ultralytics."""
    with user_errors():
        from facescore.exchange import to_data_yaml
        from illustkit.images import list_images

        n_train, n_held = to_data_yaml(
            list_images(folder), path, holdout=holdout, seed=seed, overwrite=overwrite
        )
        print(f"{n_train} pictures to train on, {n_held} held out: {path}")


def import_data_yaml(
    path: Annotated[Path, typer.Argument(help="The data.yaml to read.")],
    folder: Annotated[
        Path, typer.Argument(help="Folder of its pictures, under the same names.")
    ],
    category: Category = None,
    overwrite: OverLabels = False,
) -> None:
    """Write the labels of a data.yaml's pictures as labels of one class."""
    with user_errors():
        from facescore.exchange import from_data_yaml

        _import(from_data_yaml, path, folder, category=category, overwrite=overwrite)
