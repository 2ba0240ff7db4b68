"""Serve the page that finds the faces of pictures that are dropped onto it."""

import hashlib
import io
import json
import tempfile
import threading
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facescore.detector import CONFIDENCE
from facescore.detector.folder import CSV, JSON
from facescore.detector.prediction import DEFAULT, as_detector, detect_faces
from facescore.detector.results import Faces, face_entry
from illustkit.errors import UserError
from illustkit.images import write_image
from illustkit.tables import write_table
from illustkit.web.pictures import ServedPictures
from illustkit.web.requests import FileAnswer, RequestError, attachment
from illustkit.web.server import App
from illustkit.web.server import serve as serve_app
from illustkit.web.uploads import named, safe_name

PORT = 7862
SHOWN = 1600  # longest side of what the page shows, pixels
_MOST_BYTES = 256_000_000  # of a file
_MOST_STORED = 2_000_000_000  # bytes of files in the work folder
_WRITTEN = ".png", ".jpg", ".jpeg", ".webp"
_COLUMNS = "file", "left", "top", "right", "bottom", "confidence"
_UNKNOWN = "The server no longer holds this picture."


@dataclass
class _Searched:
    path: Path
    faces: Faces
    size: tuple[int, int]
    shown: Path


class FacesApp(App):
    """Finds the faces of what the page sends, and writes them.

    A picture is known by the hash of its name and bytes.

    Args:
        detector: See `facescore.detect_faces`. Defaults to "default".
        confidence: Least confidence of a face. Defaults to 0.4.
        engine: See `facescore.load_detector`. Defaults to "auto".
    """

    name, pages, page = "facescore", Path(__file__).parents[1] / "pages", "faces.html"
    usual_port, most_bytes = PORT, _MOST_BYTES

    def __init__(
        self,
        detector: Any = DEFAULT,
        *,
        confidence: float = CONFIDENCE,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        self.detector = as_detector(detector, engine=engine)
        self.confidence = confidence
        self._work = tempfile.TemporaryDirectory(prefix="facescore-serve-")
        self._searched: OrderedDict[str, _Searched] = OrderedDict()
        self._turn = threading.Lock()
        self.gets = {"start": self.start}
        self.uploads = {"find": self.find, "archive": self.archive}
        self.files = {"shown": self.shown, "drawn": self.drawn}

    def close(self) -> None:
        """Wait for what runs, and remove the work folder."""
        with self._turn:
            self._work.cleanup()

    def start(self) -> dict[str, Any]:
        """Return the limits of the page."""
        return {"most": self.most_bytes}

    def find(self, data: bytes, texts: dict[str, str]) -> dict[str, Any]:
        """Find the faces of a picture's file.

        Returns:
            Dict of "key", "name", "width", "height" and "faces", a list of left, top,
            right, bottom in pixels and the confidence.
        """
        name = safe_name(texts.get("name", ""))
        key = hashlib.sha256(name.encode() + b"/" + data).hexdigest()[:32]
        with self._turn:
            if key not in self._searched:
                self._searched[key] = self._search(key, name, data)
                self._forget_old()
            self._searched.move_to_end(key)
            searched = self._searched[key]
        width, height = searched.size
        faces = [
            [*(round(float(v), 2) for v in face.box), round(float(face.confidence), 4)]
            for face in searched.faces
        ]
        known = {"key": key, "name": name, "width": width, "height": height}
        return {**known, "faces": faces}

    def shown(self, key: str) -> FileAnswer:
        """Return a picture as the page shows it."""
        return FileAnswer(self._get(key).shown.read_bytes(), "image/jpeg")

    def drawn(self, key: str) -> FileAnswer:
        """Return a picture with its faces drawn, as `facescore detect` writes it."""
        searched = self._get(key)
        with self._turn:
            name, data = self._drawn(searched)
        return FileAnswer(data, "application/octet-stream", attachment(name))

    def archive(self, data: bytes, texts: dict[str, str]) -> FileAnswer:
        """Return a ZIP of pictures with their faces drawn, each face, and the tables.

        Args:
            data: JSON of the list of the pictures' keys.
            texts: Nothing.

        Raises:
            UserError: If it is no such list.
        """
        try:
            keys = json.loads(data)
        except (ValueError, RecursionError):
            keys = None
        if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
            raise UserError("The pictures' keys are due.")
        pictures = [self._get(key) for key in dict.fromkeys(keys)]
        stream, names, entries = io.BytesIO(), set[str](), []
        with self._turn, zipfile.ZipFile(stream, "w") as file:
            for searched in pictures:
                name, drawn = self._drawn(searched)
                name = _unused(name, names)
                file.writestr(name, drawn)
                for number, crop in enumerate(searched.faces.crop()):
                    path = write_image(self._place("crop.png"), crop)
                    member = f"crops/{Path(name).stem}_{number}.png"
                    file.writestr(_unused(member, names), path.read_bytes())
                found = [face_entry(face) for face in searched.faces]
                entries.append({"file": name, "faces": found})
            file.writestr(JSON, json.dumps(entries, indent=1))
            file.writestr(CSV, self._table(entries))
        return FileAnswer(stream.getvalue(), "application/zip")

    def _search(self, key, name, data):
        path, shown = self._place(key) / name, self._place(f"{key}.jpg")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        try:
            with named(path):
                faces = detect_faces(path, self.detector, confidence=self.confidence)
                height, width = faces.picture.shape[:2]
                shown.write_bytes(ServedPictures([path]).encoded(0, SHOWN))
        except Exception:
            path.unlink()
            raise
        return _Searched(path, faces, (width, height), shown)

    def _drawn(self, searched):
        path = searched.path
        kept = path.suffix.lower() in _WRITTEN
        target = self._place(path.name if kept else f"{path.stem}.png")
        searched.faces.save(target)
        data = target.read_bytes()
        target.unlink()
        return target.name, data

    def _table(self, entries):
        rows = [
            (entry["file"], *face["box"], face["confidence"])
            for entry in entries
            for face in entry["faces"]
        ]
        path = self._place(CSV)
        write_table(path, _COLUMNS, rows)
        return path.read_bytes()

    def _place(self, name):
        return Path(self._work.name) / name

    def _get(self, key):
        if (searched := self._searched.get(key)) is None:
            raise RequestError(410, _UNKNOWN)
        return searched

    def _forget_old(self):
        """Remove the oldest files until the rest has room; the newest stays."""
        total = 0
        for key in reversed(list(self._searched)):
            searched = self._searched[key]
            files = searched.path, searched.shown
            total += sum(path.stat().st_size for path in files)
            if total > _MOST_STORED and key != next(reversed(self._searched)):
                del self._searched[key]
                for path in files:
                    path.unlink()


def _unused(name, names):
    """Return a name that is in no list of names yet, and add it."""
    path, number = Path(name), 2
    while name in names:
        name = path.with_stem(f"{path.stem}_{number}").as_posix()
        number += 1
    names.add(name)
    return name


def serve(
    detector: Any = DEFAULT,
    *,
    confidence: float = CONFIDENCE,
    engine: str = "auto",
    port: int | None = None,
    host: str = "127.0.0.1",
    open_browser: bool = True,
) -> None:
    """Serve the page on which the faces of dropped pictures are found, until Ctrl-C.

    Nothing leaves the machine.

    Example:
    ```python
    facescore.detector.serve.serve("runs/faces")
    ```

    Args:
        detector: See `facescore.detect_faces`. Defaults to "default".
        confidence: Least confidence of a face. Defaults to 0.4.
        engine: See `facescore.load_detector`. Defaults to "auto".
        port: TCP port. Defaults to `None`: 7862, or a free one if that is taken.
        host: Address to listen on; see `illustkit.web.server.LocalServer`. Defaults to
            "127.0.0.1".
        open_browser: Whether to open the user's browser. Defaults to `True`.

    Raises:
        UserError: If the detector cannot be opened, or the port cannot be used.
    """
    app = FacesApp(detector, confidence=confidence, engine=engine)
    try:
        serve_app(
            app,
            port=port,
            host=host,
            open_browser=open_browser,
        )
    finally:
        app.close()
