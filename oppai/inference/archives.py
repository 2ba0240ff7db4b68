"""The pictures of a ZIP or CBZ: unpacked while they are used, and packed again."""

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from illustkit.errors import UserError
from illustkit.files import inside, replacing
from illustkit.images import EXTENSIONS
from oppai.data.archive import (
    MANIFEST,
    ArchiveError,
    extract_member,
    open_archive,
)

ARCHIVES = (".cbz", ".zip")
# Names that do not say their encoding: most are UTF-8, or of a Japanese Windows; what
# is neither is what the format says, a DOS of 1981.
_ENCODINGS = "utf-8", "cp932", "cp437"
# Times its own size that an archive may take unpacked, above the first bytes: pages of
# one colour reach 40, made-up files 1,000.
_TIMES, _SMALL = 200, 64 << 20
_BLOCK = 1 << 20  # bytes copied at a time


@dataclass(frozen=True)
class Pages:
    """The pictures of an archive while they are unpacked.

    Attributes:
        archive: The archive.
        folder: Temporary folder that holds the pictures, called as the archive.
        results: Temporary folder for what becomes of them.
        names: The pictures' names in the archive, in its order.
    """

    archive: Path
    folder: Path
    results: Path
    names: list[str]

    def in_archive(self, text: str) -> str:
        """Return a text in which the temporary folders are called as the archive."""
        for folder in (self.folder, self.results):
            text = text.replace(str(folder), str(self.archive))
        return text


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Return whether a file's name is that of a ZIP or CBZ."""
    return Path(path).suffix.lower() in ARCHIVES


def holds_pictures(archive: Path) -> bool:
    """Return whether a ZIP holds pictures, or is broken, which its restoring tells.

    Args:
        archive: The file.
    """
    try:
        with open_archive(archive, encodings=_ENCODINGS) as (_, members):
            return any(_is_picture(info.filename) for info in members)
    except UserError:
        return True


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Pages]:
    """Unpack the pictures of a ZIP or CBZ, and remove them in the end.

    Example:
    ```python
    with unpacked(Path("comic.cbz")) as pages:
        print(pages.names)    # ["01.png", "02.png"]
    ```

    Args:
        archive: The file.

    Yields:
        `Pages`.

    Raises:
        ArchiveError: If it is broken, or made to fill the disk; if a member would leave
            its folder, is a link, comes twice or is encrypted.
        UserError: If it holds no picture.
    """
    with (
        open_archive(archive, encodings=_ENCODINGS) as (file, members),
        tempfile.TemporaryDirectory(prefix="oppai-") as folder,
    ):
        if MANIFEST in file.namelist():
            raise UserError(
                f"{archive}: holds checksums, which no restored picture has. Take "
                "`oppai unpack`, restore the folder, and pack it again."
            )
        total = sum(info.file_size for info in members)
        times = total / max(archive.stat().st_size, 1)
        if total > _SMALL and times > _TIMES:
            raise ArchiveError(
                f"{archive}: would take {total / 1e9:.1f} GB, {times:.0f} times its "
                "own size. Unpack it yourself if it is to be trusted."
            )
        pictures = [info for info in members if _is_picture(info.filename)]
        if not pictures:
            raise UserError(f"{archive}: holds no pictures. Leave it away.")
        if sum(info.file_size for info in pictures) > shutil.disk_usage(folder).free:
            raise ArchiveError(
                f"{archive}: its {total / 1e9:.1f} GB do not fit into {folder}. Make "
                "room, or name another place in TMPDIR."
            )
        place, results = (Path(folder, name, archive.name) for name in ("in", "out"))
        for info in pictures:
            path = inside(place, info.filename, portable=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            extract_member(file, info, archive, path)
        yield Pages(archive, place, results, [info.filename for info in pictures])


def _is_picture(name):
    parts = PurePosixPath(name).parts
    # A Mac packs notes on each file beside it.
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and Path(name).suffix.lower() in EXTENSIONS


def pack_like(
    target: Path, archive: Path, replaced: Mapping[str, tuple[str, Path]]
) -> None:
    """Write an archive anew with some of its members replaced.

    Order, dates, comments and all other members stay.

    Args:
        target: The file to write, the whole of it or none.
        archive: The archive that it is like.
        replaced: For the name of each member to replace, its new name, and the file
            that holds its new content.

    Raises:
        ArchiveError: If the archive is broken.
        UserError: If two members would have one name.
    """
    with open_archive(archive, encodings=_ENCODINGS) as (file, _):
        infos = file.infolist()
        names = [replaced.get(info.filename, (info.filename,))[0] for info in infos]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UserError(
                f"{archive}: {twice[0]} would come twice. Choose another `format`."
            )
        with replacing(target) as part, zipfile.ZipFile(part, "x") as packed:
            packed.comment = file.comment
            for info, name in zip(infos, names, strict=True):
                _pack(packed, file, info, name, replaced.get(info.filename))


def _pack(packed, file, info, name, new):
    own = zipfile.ZipInfo(name, info.date_time)
    own.compress_type, own.comment = info.compress_type, info.comment
    own.external_attr, own.create_system = info.external_attr, info.create_system
    own.file_size = new[1].stat().st_size if new else info.file_size
    if info.is_dir():
        packed.writestr(own, b"")
        return
    with (
        open(new[1], "rb") if new else file.open(info) as source,
        packed.open(own, "w") as sink,
    ):
        shutil.copyfileobj(source, sink, _BLOCK)
