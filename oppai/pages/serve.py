"""Serve the page on which pictures are restored with a brush, or translated."""

import contextlib
import hashlib
import json
import mimetypes
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from illustkit import progress
from illustkit.errors import UserError
from illustkit.files import check_writable, expand_user
from illustkit.images import list_images
from illustkit.images.formats import format_of
from illustkit.options import check_choice
from illustkit.web.requests import FileAnswer, RequestError, attachment
from illustkit.web.server import App
from illustkit.web.server import serve as serve_app
from illustkit.web.uploads import named, safe_name
from oppai.detection.find_censored import find_censored
from oppai.inference.files import restore_files
from oppai.inference.marks import NothingCensoredError
from oppai.inference.recompose import REACH
from oppai.inference.restore import load_once, restore
from oppai.inference.sources import FOLDER, SUFFIX
from oppai.pages.opened import OpenedPicture, encode_png
from oppai.pages.tabs import RESTORE, Translations

PORT = 7861  # what the browser keeps belongs to the address with its port
RESTORERS = "default", "sharp"
FORMATS = "", ".png", ".jpg", ".webp", ".tiff"
_MOST_BYTES = 256_000_000  # of a file
_MOST_STORED = 2_000_000_000  # bytes of files in the work folder
_MOST_OPEN = 3  # decoded pictures in memory
_UNKNOWN = "The server no longer holds this picture."


class CancelledError(Exception):
    """Ends a step that the page does not wait for any more."""


class RestoreApp(App):
    """Finds, predicts and writes what the page asks for.

    A picture is known by the hash of its name and bytes. So two pages share nothing but
    work that is done already, and a server that was started again needs the bytes
    alone.

    Args:
        folder: Folder whose pictures the page lists, and under which it can save
            results. Defaults to `None`: pictures are dropped onto the page.
        engine: As in `oppai.load_restorer`. Defaults to "auto".
        runs: As in `oppai.pages.tabs.Translations`. Defaults to none.
    """

    name, pages, page = "oppai", Path(__file__).parent, "restore.html"
    usual_port, most_bytes = PORT, _MOST_BYTES

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        engine: str = "auto",
        runs: Sequence[str | os.PathLike[str]] = (),
    ) -> None:
        super().__init__()
        self.translations = Translations(runs)
        self.folder = None if folder is None else expand_user(folder)
        self.engine = engine
        self._listed = [] if self.folder is None else _pictures_in(self.folder)
        self._work = tempfile.TemporaryDirectory(prefix="oppai-serve-")
        self._stored: OrderedDict[str, Path] = OrderedDict()
        self._opened: OrderedDict[str, OpenedPicture] = OrderedDict()
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._jobs: dict[int, dict[str, Any]] = {}
        self.gets = {"start": self.start, "progress": self.progress}
        self.posts = {"cancel": self.cancel}
        self.files = {"original": self.original, "view": self.view, "found": self.found}
        self.uploads = {
            "picture": self.take,
            "find": self.find,
            "predict": self.predict,
            "result": self.result,
        }

    def close(self) -> None:
        """End what runs at its next tile, and remove the work folder."""
        for state in list(self._jobs.values()):
            state["cancelled"] = True
        with self._turn:  # a thread that still computes would end Python with an abort
            self._work.cleanup()

    def warm_up(self) -> None:
        """Load what the first picture needs, so that nobody waits for it."""
        from illustkit.samples import draw_character
        from oppai.censoring.censor import add_mosaic

        picture = draw_character(0, (128, 160)).image
        sample = add_mosaic(picture, (40, 40, 88, 88))
        with self._turn:
            find_censored(picture)
            restore(sample, restorer=load_once("default", engine=self.engine))

    def start(self) -> dict[str, Any]:
        """Return what the page offers: the folder's pictures, tabs and limits."""
        names = [path.relative_to(self.folder).as_posix() for path in self._listed]
        return {
            "folder": None if self.folder is None else self.folder.resolve().name,
            "names": names,
            "tabs": [RESTORE, *self.translations.names],
            "reach": REACH,
            "most": self.most_bytes,
        }

    def original(self, key: str) -> FileAnswer:
        """Return the bytes of the folder's picture with a number."""
        return FileAnswer(self._listed_path(key).read_bytes(), _OCTETS)

    def take(self, data: bytes, texts: dict[str, str]) -> dict[str, Any]:
        """Take a picture's file, and return its number and what it is."""
        name = safe_name(texts.get("name", ""))
        key = hashlib.sha256(name.encode() + b"/" + data).hexdigest()[:32]
        with self._lock:
            path = self._stored.get(key)
            if path is None or not path.exists():
                place = Path(self._work.name) / key
                place.mkdir(exist_ok=True)
                path = place / name
                path.write_bytes(data)
                self._stored[key] = path
                self._forget_old(key)
            self._stored.move_to_end(key)
        opened = self._open(key)
        return {"id": key, **opened.describe()}

    def view(self, key: str) -> FileAnswer:
        """Return the picture as the page shows it, a PNG without loss."""
        return FileAnswer(encode_png(self._open(key).view), "image/png")

    def find(self, _: bytes, texts: dict[str, str]) -> dict[str, Any]:
        """Find what is censored."""
        opened = self._open(texts.get("id", ""))
        with self._working(texts, opened.path):
            return opened.find()

    def found(self, key: str) -> FileAnswer:
        """Return a grey PNG: 0, or the number of the found region, from 1."""
        return FileAnswer(encode_png(self._open(key).labels()), "image/png")

    def predict(self, data: bytes, texts: dict[str, str]) -> Any:
        """Predict what the mask marks, or what a translation makes of the picture.

        Returns:
            A PNG with the prediction above and the distances below it, in sixteenths of
            a pixel; its box and notes are in the header `X-Answer`.
        """
        opened = self._open(texts.get("id", ""))
        with self._working(texts, opened.path):
            try:
                prediction = self._prediction(opened, data, texts)
            except NothingCensoredError as error:
                return {"nothing": str(error)}
        box, picture = opened.stacked(prediction)
        header = json.dumps({"box": box, "notes": list(prediction.notes)})
        return FileAnswer(encode_png(picture), "image/png", {"X-Answer": header})

    def result(self, data: bytes, texts: dict[str, str]) -> Any:
        """Write the restored picture as its file came, or in another format."""
        opened = self._open(texts.get("id", ""))
        blend = _number(texts, "blend", 0, 1, 1)
        feather = _number(texts, "feather", 0, REACH, 8)
        suffix = texts.get("format", "")
        check_choice("format", suffix, FORMATS)
        task = self._task(texts)
        more = SUFFIX if task == RESTORE else f"_{task}"
        name = opened.path.stem + more + (suffix or opened.path.suffix)
        target = opened.path.parent / "result" / name
        with self._working(texts, opened.path):
            target.parent.mkdir(exist_ok=True)
            format_of(target)
            if opened.is_animated and task == RESTORE:
                self._write_animation(opened, target, data, texts, blend, feather)
            else:
                prediction = self._prediction(opened, data, texts)
                opened.write(
                    target,
                    prediction,
                    blend=blend,
                    feather=feather,
                    noted=task == RESTORE,
                )
            written = target.read_bytes()
            target.unlink()
        if "save" in texts:
            return {"path": self._save(texts["save"], task, name, written)}
        kind = mimetypes.guess_type(name)[0] or _OCTETS
        return FileAnswer(written, kind, attachment(name))

    def progress(self, job: int) -> dict[str, Any]:
        """Return how far a step of the page is."""
        state = self._jobs.get(job, {})
        return {key: state.get(key) for key in ("stage", "done", "total")}

    def cancel(self, body: dict[str, Any]) -> dict[str, Any]:
        """End a step at its next tile."""
        if (state := self._jobs.get(body.get("job", 0))) is not None:
            state["cancelled"] = True
        return {"cancelled": state is not None}

    def _task(self, texts):
        task = texts.get("task", RESTORE)
        check_choice("task", task, (RESTORE, *self.translations.names))
        return task

    def _prediction(self, opened, data, texts):
        if (task := self._task(texts)) == RESTORE:
            name = texts.get("restorer", "default")
            fill = texts.get("fill") == "1"
            return opened.predict(data, self._restorer(name), name, fill=fill)
        return self.translations.predict(
            task,
            opened,
            data,
            style=self._open(texts["style"]) if texts.get("style") else None,
            strength=_number(texts, "strength", 0, 1, 1),
            keep_colours=texts.get("keep_colours") == "1",
        )

    def _restorer(self, name):
        check_choice("restorer", name, RESTORERS)
        return load_once(name, engine=self.engine)

    def _write_animation(self, opened, target, data, texts, blend, feather):
        """Restore every frame: as each is found, or as the edited mask says."""
        options: dict[str, Any] = {"blend": blend, "feather": feather}
        if (mask := opened.edited_mask(data)) is not None:
            options["masks"] = target.parent / "mask.png"
            options["masks"].write_bytes(encode_png(mask))
        report = restore_files(
            opened.path,
            restorer=self._restorer(texts.get("restorer", "default")),
            output=target,
            overwrite=True,
            progress=False,
            fill=texts.get("fill") == "1",
            **options,
        )
        if not report.written:
            reasons = [reason for _, reason in (*report.unmarked, *report.left_out)]
            raise NothingCensoredError(reasons[0])

    def _save(self, key, task, name, data):
        """Store a result under the folder, beside those that are there."""
        source = self._listed_path(key)
        folder = (self.folder / FOLDER / source.relative_to(self.folder)).parent
        check_writable(folder)
        folder.mkdir(parents=True, exist_ok=True)
        suffix = Path(name).suffix
        stem = source.stem if task == RESTORE else f"{source.stem}_{task}"
        for number in range(1, 10_000):
            more = "" if number == 1 else f"_{number}"
            path = folder / f"{stem}{more}{suffix}"
            with contextlib.suppress(FileExistsError), path.open("xb") as file:
                file.write(data)
                return path.relative_to(self.folder).as_posix()
        raise UserError(f"{folder}: holds 9,999 results of {source.name}. Remove some.")

    def _listed_path(self, key):
        if not key.isdigit() or int(key) >= len(self._listed):
            raise RequestError(404, f"There is no picture {key} in the folder.")
        return self._listed[int(key)]

    def _open(self, key):
        """Return a stored picture, decoded."""
        with self._lock:
            if key in self._opened:
                self._opened.move_to_end(key)
                return self._opened[key]
            path = self._stored.get(key)
        if path is None or not path.exists():
            raise RequestError(410, _UNKNOWN)
        with named(path):
            opened = OpenedPicture(path)
        with self._lock:
            opened = self._opened.setdefault(key, opened)
            while len(self._opened) > _MOST_OPEN:
                self._opened.popitem(last=False)
        return opened

    def _forget_old(self, newest):
        """Remove the oldest files, called with the lock, until the rest has room."""
        total = 0
        for key in reversed(list(self._stored)):
            path = self._stored[key]
            total += path.stat().st_size if path.exists() else 0
            if total > _MOST_STORED and key != newest:
                path.unlink(missing_ok=True)
                del self._stored[key]

    @contextlib.contextmanager
    def _working(self, texts: dict[str, str], path: Path) -> Iterator[None]:
        """Take turns in what needs the processor; listen for progress and an end."""
        job = texts.get("job", "")
        state: dict[str, Any] = {"stage": "waiting", "done": 0, "total": 0}
        number = int(job) if job.isascii() and job.isdigit() and len(job) < 10 else 0
        self._jobs[number] = state

        def listener(stage, done, total):
            if state.get("cancelled"):
                raise CancelledError
            state.update(stage=stage, done=done, total=total)

        try:
            while not self._turn.acquire(timeout=0.1):
                if state.get("cancelled"):
                    raise CancelledError
            try:
                with (
                    progress.listening(listener),
                    named(path, NothingCensoredError, CancelledError),
                ):
                    listener("working", 0, 0)
                    yield
            finally:
                self._turn.release()
        except CancelledError:
            raise RequestError(409, "Cancelled.") from None
        finally:
            self._jobs.pop(number, None)


_OCTETS = "application/octet-stream"


def _pictures_in(folder):
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder. Check the path.")
    results = folder / FOLDER
    return [path for path in list_images(folder) if results not in path.parents]


def _number(texts, name, least, most, default):
    try:
        value = float(texts.get(name, default))
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UserError(f"{name} is a number, {least}..{most}. Received: {texts[name]}")
    return value


def serve(
    folder: str | os.PathLike[str] | None = None,
    *,
    port: int | None = None,
    host: str = "127.0.0.1",
    engine: str = "auto",
    runs: Sequence[str | os.PathLike[str]] = (),
    open_browser: bool = True,
) -> None:
    """Serve the page on which pictures are restored, until Ctrl-C.

    Pictures are dropped onto the page, or listed from a folder. Nothing leaves the
    machine; the browser keeps pictures and masks, so that a page goes on where it was
    when the server is started again.

    Example:
    ```python
    oppai.pages.serve.serve("pictures")
    ```

    Args:
        folder: Folder of pictures. Results can be saved in its sub-folder `restored`.
            Defaults to `None`.
        port: TCP port. Defaults to `None`: 7861, or a free one if that is taken.
        host: Address to listen on; see `illustkit.web.server.LocalServer`. Defaults to
            "127.0.0.1".
        engine: As in `oppai.load_restorer`. Defaults to "auto".
        runs: Run folders of `oppai.train_translation`: each is the network of its
            task's tab. Defaults to none.
        open_browser: Whether to open the user's browser. Defaults to `True`.

    Raises:
        UserError: If the folder does not exist, a run is no translation's, or the port
            cannot be used.
    """
    app = RestoreApp(folder, engine=engine, runs=runs)
    warming = threading.Thread(target=app.warm_up, daemon=True)
    warming.start()
    try:
        serve_app(
            app,
            port=port,
            host=host,
            open_browser=open_browser,
        )
    finally:
        warming.join()
        app.close()
