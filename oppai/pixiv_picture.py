"""One picture of Pixiv's: whether it may be taken, and whether it came whole."""

import os
import re
import secrets

from oppai._patience import BusyError, GoneError, PixivError

WORK_KEYS = ("id", "visible", "x_restrict", "page_count")
_PART = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part")


class RefusedError(PixivError):
    """A work is not marked all-ages."""


def check_work(work, target):
    """Raise unless a work may be taken: the very one, visible, and for all ages.

    Args:
        work: dict of what Pixiv says of it.
        target: `Target`.

    Raises:
        GoneError: if it is deleted or private. Pixiv then gives a stand-in, whose
            `x_restrict` says nothing of the work.
        RefusedError: unless it is marked all-ages.
        PixivError: if it is another work.
    """
    if work.get("id") != target.entry.id:
        raise PixivError(f"the answer is about work {str(work.get('id'))[:20]!r}")
    if work.get("visible") is not True:
        raise GoneError("work deleted or private")
    restrict = work.get("x_restrict")
    if type(restrict) is not int or restrict != 0:
        raise RefusedError(f"work not marked all-ages (x_restrict {restrict!r:.20})")
    pages = work.get("page_count")
    if type(pages) is int and target.page >= pages:
        raise GoneError(f"no page {target.page} in a work of {pages}")


def fetch_picture(session, target):
    """Fetch a picture, check it, and only then give it its name.

    Args:
        session: `Session`.
        target: `Target`, whose work has been checked.

    Raises:
        BusyError: if it could not be had this time, or came broken.
        PixivError: if something else came.
    """
    from illustkit.images import ImageError, read_picture

    data = session.picture(target.entry.image_url)
    path = target.path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(data)
        try:
            picture = read_picture(part)
        except ImageError as error:
            reason = str(error).replace(str(part), "the picture")
            raise BusyError(reason) from None
        height, width = picture.rgb.shape[:2]
        if (width, height) != (target.entry.width, target.entry.height):
            raise PixivError(
                f"{width}×{height} came instead of "
                f"{target.entry.width}×{target.entry.height}"
            )
        if picture.format != target.format:
            raise PixivError(f"{picture.format} came instead of {target.format}")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_leftovers(targets):
    """Remove the temporary files that a killed download left behind.

    Args:
        targets: Sequence of `Target`.
    """
    names = {}
    for target in targets:
        names.setdefault(target.path.parent, set()).add(target.path.name)
    for parent, expected in names.items():
        for path in parent.glob(".*.part"):
            found = _PART.fullmatch(path.name)
            if found and found[1] in expected:
                path.unlink(missing_ok=True)
