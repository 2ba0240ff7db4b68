"""Commands about data: crops, ratings, labels to and from COCO."""

from pathlib import Path
from typing import Annotated

import typer

from facescore.cli.options import (
    Browser,
    Confidence,
    ImageSize,
    Iou,
    Margin,
    Port,
    Square,
    Tile,
    margin_of,
    raise_left_out,
    user_errors,
)


def crop(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures.")],
    output: Annotated[Path, typer.Argument(help="Folder for crops and crops.csv.")],
    detector: Annotated[
        str, typer.Option(help="labels (the text files), cascade, or a run folder.")
    ] = "labels",
    margin: Margin = "0.3,0.15,0",
    square: Square = True,
    size: Annotated[int, typer.Option(help="Side of a crop, pixels.")] = 360,
    confidence: Confidence = 0.25,
    iou: Iou = 0.5,
    image_size: ImageSize = 640,
    tile: Tile = None,
) -> None:
    """Cut out all faces of a folder, and write a table."""
    with user_errors():
        from facescore.crops import crop_folder

        find = None
        if detector != "labels":
            from facescore.detector.prediction import as_detector, detect_faces

            model = as_detector(detector)

            def find(image):
                return detect_faces(
                    image,
                    model,
                    confidence=confidence,
                    iou=iou,
                    image_size=image_size,
                    tile=tile,
                )

        report = crop_folder(
            folder,
            output,
            detect=find,
            margin=margin_of(margin),
            square=square,
            size=size,
        )
        print(str(report).splitlines()[0])
        print(f"Written to {output}")
        raise_left_out(report.left_out)


def rate(
    folder: Annotated[Path, typer.Argument(help="Folder of pictures or crops.")],
    table: Annotated[
        Path | None, typer.Option(help="The CSV; ratings.csv in the folder by default.")
    ] = None,
    shuffle: Annotated[bool, typer.Option(help="Show them in a random order.")] = False,
    port: Port = 0,
    browser: Browser = True,
) -> None:
    """Rate pictures from 1 to 5 in the browser, one key each."""
    with user_errors():
        from facescore.annotation.rate import rate as serve

        written = serve(
            folder, table=table, shuffle=shuffle, port=port, open_browser=browser
        )
        print(f"The ratings are in {written}")


def export_coco(
    folder: Annotated[Path, typer.Argument(help="Folder of labelled pictures.")],
    path: Annotated[Path, typer.Argument(help="The JSON to write.")],
) -> None:
    """Write a folder's labels as one COCO file."""
    with user_errors():
        from facescore.labels import to_coco
        from illustkit.images import list_images

        n_pictures, n_faces = to_coco(list_images(folder), path, root=folder)
        print(f"{n_faces} faces in {n_pictures} labelled pictures: {path}")


def import_coco(
    path: Annotated[Path, typer.Argument(help="The JSON to read.")],
    folder: Annotated[
        Path, typer.Argument(help="Folder that its file names are relative to.")
    ],
    category: Annotated[
        str | None, typer.Option(help="Category to take, if there are several.")
    ] = None,
) -> None:
    """Write a COCO file's boxes as YOLO labels."""
    with user_errors():
        from facescore.labels import from_coco

        written = from_coco(path, folder, category=category)
        print(f"{len(written)} label files under {folder}")
