"""A folder of pictures as one ZIP, to keep it in Google Drive and bring it back."""

import contextlib
import hashlib
import json
import os
import secrets
import stat
import zipfile
from pathlib import Path

MANIFEST = "checksums.json"
# Compressed already; all else is deflated.
_COMPRESSED = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".npz", ".zip"}
_BLOCK = 1 << 20


def pack(folder, archive=None, *, overwrite=False, progress=True):
    """Write a folder into one ZIP, with the SHA-256 of each file.

    Hidden files and links are left out. The ZIP of an unchanged folder is the same,
    byte for byte. For oneself alone: the pictures belong to their illustrators.

    Example:
    ```python
    pack("oppai_dataset", "gdrive/MyDrive/oppai/oppai_dataset.zip")
    ```

    Args:
        folder: The folder; its name begins the names in the ZIP.
        archive: The ZIP. Defaults to the folder's name with `.zip`, beside it.
        overwrite: Whether to replace a ZIP that is there. Defaults to `False`.
        progress: Whether to show a progress bar. Defaults to `True`.

    Returns:
        `Path` of the ZIP; it appears when it is whole.

    Raises:
        ValueError: if there is no such folder, nothing in it, the ZIP is there
            already, or a file changed meanwhile.
    """
    folder = Path(folder)
    root = folder.resolve().name
    archive = Path(archive) if archive else folder.resolve().with_name(f"{root}.zip")
    if archive.exists() and not overwrite:
        raise ValueError(f"{archive}: is there already. Overwrite it, or name another.")
    files = [path for path in _files(folder) if path.resolve() != archive.resolve()]
    if not files:
        raise ValueError(f"{folder}: no such folder, or nothing in it to pack.")
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_name(f".{archive.name}.{secrets.token_hex(4)}.part")
    try:
        with zipfile.ZipFile(part, "x") as file, _bar(files, progress) as bar:
            known = {}
            for path in files:
                name = f"{root}/{path.relative_to(folder).as_posix()}"
                known[name] = _add(file, path, name, bar)
            manifest = json.dumps({"files": known}, ensure_ascii=False, indent=1)
            file.writestr(_info(MANIFEST, len(manifest)), manifest.encode("utf-8"))
        os.replace(part, archive)
    finally:
        part.unlink(missing_ok=True)
    return archive


def _files(folder):
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and stat.S_ISREG(path.lstat().st_mode):
                found.append(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _add(file, path, name, bar):
    digest, size = hashlib.sha256(), path.stat().st_size
    with open(path, "rb") as source, file.open(_info(name, size), "w") as target:
        done = 0
        while block := source.read(_BLOCK):
            digest.update(block)
            target.write(block)
            done += len(block)
            bar.update(len(block))
    if done != size:
        raise ValueError(f"{path}: changed while it was packed. Pack again.")
    return {"size": size, "sha256": digest.hexdigest()}


def _info(name, size):
    info = zipfile.ZipInfo(name)  # dated 1980, so that nothing but content counts
    packed = Path(name).suffix.lower() in _COMPRESSED
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.file_size = size
    return info


@contextlib.contextmanager
def _bar(files, progress):
    from tqdm import tqdm

    total = sum(path.stat().st_size for path in files)
    options = {"unit": "B", "unit_scale": True, "disable": not progress}
    with tqdm(total=total, desc="Packing", **options) as bar:
        yield bar
