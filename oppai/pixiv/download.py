"""Download the chapter's pictures from Pixiv: politely, safely, in one run or several.

A picture's file appears only when it is whole and right, so that the files themselves
say how far a download came; the report adds what is gone or refused.
"""

import json
import os
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from illustkit.errors import UserError
from illustkit.files import (
    expand_user,
    inside,
    remove_leftovers,
    replacing,
    write_whole,
)
from illustkit.options import check_number
from illustkit.tables import read_json
from oppai.data.metadata import Entry, MetadataError, load_metadata
from oppai.pixiv.client import (
    BusyError,
    ClosedError,
    GoneError,
    LoginError,
    PixivError,
    Session,
    ask_with_backoff,
)

REPORT = "download_report.json"
PAUSE_EVERY = 30  # pictures, as in the chapter
MOST_TROUBLE = 30  # in a row, after which no single picture is at fault
BUSY_TROUBLE = 6  # trouble of a picture whose tries have all failed

FETCHED, PRESENT, GONE, REFUSED, FAILED = STATUSES = (
    "fetched",
    "already there",
    "gone",
    "refused",
    "failed",
)
NOT_ASKED = "not asked yet"
_MEANING = {GONE: "deleted or private", REFUSED: "not marked all-ages"}

_ADDRESS = re.compile(
    r"https://i\.pximg\.net/(?:c/\w{1,40}/)?img-(?:master|original)/img"
    r"(?:/\d{2,4}){6}/(?P<work>[1-9]\d{0,17})(?:_p(?P<page>\d{1,4}))?"
    r"(?:_(?:master|square|custom)\d{1,5})?\.(?P<kind>jpg|png|gif)",
    re.ASCII,
)
_FORMATS = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF"}
_WORK_KEYS = ("id", "visible", "x_restrict", "page_count")


class RefusedError(PixivError):
    """A work is not marked all-ages."""


def download_all(
    session: Any,
    metadata: str | os.PathLike,
    folder: str | os.PathLike = ".",
    *,
    pause: float = 1.0,
    report: str | os.PathLike | None = None,
    again: bool = False,
    progress: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> "DownloadReport":
    """Download the pictures of a metadata file, those marked all-ages only.

    The work of each picture is looked up first, and left out unless `x_restrict` is 0.
    A picture that exists is not fetched again; after a kill or Ctrl-C the same call
    goes on. Run one download at a time in one folder.

    Example:
    ```python
    session = login()
    report = download_all(session, "oppai_dataset/oppai_meta.json")
    print(report)
    ```

    Args:
        session: What `login` returned, a logged-in `pixivpy3.AppPixivAPI`, or `login`
            itself, which is called if there is something to fetch.
        metadata: Path of the JSON file.
        folder: Folder that the entries' `filepath` is relative to. Defaults to the
            current one, so that the chapter's go to `oppai_dataset/images`.
        pause: Seconds to wait after every 30 pictures, at least 1. Defaults to 1.
        report: JSON file for the report. Defaults to `download_report.json` beside the
            metadata, so that `pack` includes it.
        again: Whether to ask again for what an earlier report calls gone or refused.
            Defaults to `False`.
        progress: Whether to show a progress bar. Defaults to `True`.
        sleep: Function of seconds. Defaults to `time.sleep`.

    Returns:
        `DownloadReport`.

    Raises:
        MetadataError: If an entry is refused, with a line for each; nothing was asked.
        PixivError: If there is no session or Pixiv cannot be reached; the report is
            written.
        UserError: If the pause is under a second, or the report is broken.
    """
    check_number("pause", pause, least=1)
    targets = plan_downloads(metadata, folder)
    path = expand_user(report or Path(metadata).with_name(REPORT))
    results = DownloadReport(metadata, [target.entry for target in targets])
    earlier = {} if again else read_outcomes(path)
    remove_leftovers(target.path for target in targets)
    open_targets = [t for t in targets if not _settled_before(t, earlier, results)]
    try:
        if open_targets:
            if callable(session):
                session = session()
            elif not isinstance(session, Session):
                session = Session(session)
            download = _Download(session, results, path, pause, sleep, progress)
            download.fetch(open_targets)
    finally:
        results.save(path)
    return results


def _settled_before(target, earlier, results):
    """Settle a picture from its file or an earlier report; return whether it was."""
    from illustkit.images import picture_size

    entry, before = target.entry, earlier.get(target.entry.name, {})
    if target.path.exists():
        try:
            size = picture_size(target.path)
        except ValueError:
            size = None
        if size == (entry.width, entry.height):
            results.settle(entry.name, PRESENT)
        else:
            why = f"another file is at {entry.filepath}; move it away"
            results.settle(entry.name, FAILED, why)
        return True
    asked_again = before.get("ask_again") or before.get("id") != entry.id
    if before.get("status") in (GONE, REFUSED) and not asked_again:
        reason, asked = before.get("reason", ""), before.get("asked")
        results.settle(entry.name, before["status"], reason, asked=asked)
        return True
    return False


@dataclass(frozen=True)
class Target:
    """Hold a picture to fetch.

    Args:
        entry: Its `Entry`.
        path: Path to write to.
        page: Its place in the work, from 0.
        format: "JPEG", "PNG" or "GIF".
    """

    entry: Entry
    path: Path
    page: int
    format: str


def plan_downloads(
    metadata: str | os.PathLike, folder: str | os.PathLike
) -> list[Target]:
    """Check that a metadata file leads to Pixiv's pictures and into one folder.

    The address has to be one of Pixiv's image host and of the work that the entry
    names, since that is the work that is looked up.

    Example:
    ```python
    targets = plan_downloads("oppai_dataset/oppai_meta.json", ".")
    ```

    Args:
        metadata: Path of the JSON file.
        folder: Folder that the entries' `filepath` is relative to.

    Returns:
        List of `Target`, in the file's order.

    Raises:
        MetadataError: If an entry is refused, with a line for each.
    """
    folder = expand_user(folder)
    targets, problems = [], []
    numbers: dict[str, int] = {}  # of the filepath as a system without case sees it
    for index, entry in enumerate(load_metadata(metadata)):
        try:
            targets.append(_target(entry, folder))
            key = unicodedata.normalize("NFC", entry.filepath).casefold()
            if key in numbers:
                raise UserError(f"has the filepath of entry {numbers[key]}")
            numbers[key] = index
        except ValueError as error:
            problems.append(f"{metadata}: entry {index} ({entry.name!r}) {error}.")
    if problems:
        raise MetadataError(problems)
    return targets


def _target(entry, folder):
    address = _ADDRESS.fullmatch(entry.image_url)
    if not address:
        raise UserError(
            "has an image_url that is no picture at https://i.pximg.net/: "
            f"{entry.image_url[:120]!r}"
        )
    if int(address["work"]) != entry.id:
        raise UserError(
            f"has the id {entry.id}, but an image_url of work {address['work']}"
        )
    if any(part.startswith(".") for part in entry.filepath.split("/")):
        raise UserError(f"has an unsafe 'filepath': {entry.filepath!r}")
    suffix = f".{address['kind']}"
    if not entry.filepath.lower().endswith(suffix):
        raise UserError(
            f"has a filepath that does not end in {suffix}: {entry.filepath!r}"
        )
    path = inside(folder, entry.filepath, portable=True)
    return Target(entry, path, int(address["page"] or 0), _FORMATS[suffix])


class _Download:
    """Fetch the pictures of one run."""

    def __init__(self, session, results, path, pause, sleep, progress):
        self.session, self.results, self.path = session, results, path
        self.pause, self.sleep, self.progress = pause, sleep, progress
        self.works: dict[int, Any] = {}

    def fetch(self, targets):
        from tqdm import tqdm

        trouble = 0
        with tqdm(
            total=len(targets),
            desc="Downloading",
            unit=" pictures",
            disable=not self.progress,
        ) as self.bar:
            for number, target in enumerate(targets, 1):
                more, reason = self._fetch_one(target)
                trouble = trouble + more if more else 0
                if trouble >= MOST_TROUBLE:
                    raise PixivError(
                        f"Pictures in a row could not be fetched (the last: {reason}). "
                        "Run the same command later; it goes on from here."
                    )
                self.bar.update()
                if number % PAUSE_EVERY == 0 and number < len(targets):
                    self.results.save(self.path)
                    self.sleep(self.pause)

    def _fetch_one(self, target):
        """Fetch and settle a picture; return how much trouble there was, and which."""
        settle, name = self.results.settle, target.entry.name
        try:
            self._look_up(target)
            self._ask(lambda: fetch_picture(self.session, target))
        except LoginError:
            raise
        except RefusedError as error:
            settle(name, REFUSED, str(error))
        except ClosedError as error:
            settle(name, GONE, str(error), ask_again=True)
            return 1, str(error)
        except GoneError as error:
            settle(name, GONE, str(error))
        except PixivError as error:
            settle(name, FAILED, str(error))
            return BUSY_TROUBLE if isinstance(error, BusyError) else 1, str(error)
        else:
            settle(name, FETCHED)
        return 0, ""

    def _look_up(self, target):
        """Raise unless the picture's work exists, is visible and marked all-ages."""
        number = target.entry.id
        if number not in self.works:
            try:
                work = self._ask(lambda: self.session.work(number))
                self.works[number] = {key: work.get(key) for key in _WORK_KEYS}
            except GoneError as error:
                self.works[number] = error
        work = self.works[number]
        if isinstance(work, GoneError):
            raise work
        check_work(work, target)

    def _ask(self, ask):
        log = self.bar.write if self.progress else None
        return ask_with_backoff(ask, sleep=self.sleep, log=log)


def check_work(work: dict[str, Any], target: Target) -> None:
    """Raise unless a work is the one meant, visible, and marked for all ages.

    Args:
        work: Dict of what Pixiv says of it.
        target: `Target`.

    Raises:
        GoneError: If it is deleted or private. Pixiv then gives a stand-in, whose
            `x_restrict` says nothing of the work.
        RefusedError: If it is not marked all-ages.
        PixivError: If it is another work.
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


def fetch_picture(session: Session, target: Target) -> None:
    """Fetch a picture, check it, and only then give it its name.

    Args:
        session: `Session`.
        target: `Target`, whose work has been checked.

    Raises:
        BusyError: If it is not available now, or came broken.
        PixivError: If something else came.
    """
    from illustkit.images import ImageError, read_picture

    data = session.picture(target.entry.image_url)
    with replacing(target.path) as part:
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


class DownloadReport:
    """Say what became of each picture.

    Example:
    ```python
    report = download_all(login(), "oppai_dataset/oppai_meta.json")
    print(report)                   # the table
    report.names("failed")          # their names
    ```

    Args:
        metadata: Name of the metadata file.
        entries: Sequence of `Entry`.

    Attributes:
        outcomes: Dict from name to `{"id", "status", "reason", "asked"}`; "asked" is
            the time in UTC.
    """

    def __init__(self, metadata: str | os.PathLike, entries: Sequence[Entry]) -> None:
        self.metadata = Path(metadata).name
        self.outcomes: dict[str, dict[str, Any]] = {
            entry.name: {"id": entry.id, "status": NOT_ASKED} for entry in entries
        }

    def settle(
        self,
        name: str,
        status: str,
        reason: str = "",
        *,
        asked: str | None = None,
        ask_again: bool = False,
    ) -> None:
        """Record what became of a picture.

        Args:
            name: Its name.
            status: One of `STATUSES`.
            reason: Why, in a few words. Defaults to nothing.
            asked: When, as in `outcomes`. Defaults to now.
            ask_again: Whether the next run asks again. Defaults to `False`.
        """
        asked = asked or datetime.now(timezone.utc).isoformat(timespec="seconds")
        outcome = {"id": self.outcomes[name]["id"], "status": status}
        outcome |= {"reason": reason} if reason else {}
        outcome |= {"ask_again": True} if ask_again else {}
        self.outcomes[name] = outcome | {"asked": asked}

    def names(self, status: str) -> list[str]:
        """Return the names of the pictures of a status, in the metadata's order."""
        return [n for n, o in self.outcomes.items() if o["status"] == status]

    def count(self, status: str) -> int:
        """Return the number of pictures of a status."""
        return len(self.names(status))

    def save(self, path: str | os.PathLike) -> None:
        """Write the JSON file, whole or not at all."""
        counts = Counter(outcome["status"] for outcome in self.outcomes.values())
        data = {
            "metadata": self.metadata,
            "finished": not counts[NOT_ASKED],
            "counts": {s: counts[s] for s in (*STATUSES, NOT_ASKED)},
            "pictures": self.outcomes,
        }
        write_whole(path, json.dumps(data, indent=1, ensure_ascii=False))

    def __str__(self) -> str:
        rows = [(s, self.count(s), _MEANING.get(s, "")) for s in STATUSES]
        if n := self.count(NOT_ASKED):
            rows.append((NOT_ASKED, n, ""))
        rows.append(("together", len(self.outcomes), ""))
        return "\n".join(f"{a:<14}{n:>7,}  {why}".rstrip() for a, n, why in rows)


def read_outcomes(path: str | os.PathLike) -> dict[str, dict[str, Any]]:
    """Read the outcomes of an earlier run.

    Args:
        path: The JSON file that `DownloadReport.save` wrote; it need not exist.

    Returns:
        Dict from name to outcome; empty without a file.

    Raises:
        UserError: If the file is something else; the message names it.
    """
    if not expand_user(path).exists():
        return {}
    try:
        outcomes = read_json(path)["pictures"]
        if not all(
            isinstance(o, dict) and isinstance(o["status"], str) and "id" in o
            for o in outcomes.values()
        ):
            raise UserError("an outcome lacks its status or id")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: is no report of a download ({type(error).__name__}). "
            "Move it away."
        ) from None
    return outcomes
