"""Download the chapter's pictures from Pixiv: politely, safely, and in as many runs as
it takes.

A picture's file appears only when it is whole and right, so that the files themselves
say how far a download came; the report adds what is gone or refused.
"""

import json
import re
import time
import unicodedata
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from illustkit.files import picture_size, write_whole
from oppai.data.metadata import Entry, MetadataError, load_metadata
from oppai.pixiv.client import (
    WORK_KEYS,
    BusyError,
    ClosedError,
    GoneError,
    LoginError,
    PixivError,
    RefusedError,
    Session,
    check_work,
    fetch_picture,
    patiently,
    remove_leftovers,
)

_ADDRESS = re.compile(
    r"https://i\.pximg\.net/(?:c/\w{1,40}/)?img-(?:master|original)/img"
    r"(?:/\d{2,4}){6}/(?P<work>[1-9]\d{0,17})(?:_p(?P<page>\d{1,4}))?"
    r"(?:_(?:master|square|custom)\d{1,5})?\.(?P<kind>jpg|png|gif)",
    re.ASCII,
)
_FORMATS = {".jpg": "JPEG", ".png": "PNG", ".gif": "GIF"}
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """A picture to fetch.

    Args:
        entry: Its `Entry`.
        path: Where it goes.
        page: Its place in the work, from 0.
        format: "JPEG", "PNG" or "GIF".
    """

    entry: Entry
    path: Path
    page: int
    format: str


def plan_downloads(metadata, folder):
    """Check that a metadata file leads to Pixiv's pictures and into one folder.

    The address has to be one of Pixiv's image host and of the very work that the entry
    names, for it is that work which is looked up.

    Example:
    ```python
    targets = plan_downloads("oppai_dataset/oppai_meta.json", ".")
    ```

    Args:
        metadata: Path of the JSON file.
        folder: Folder that the entries' `filepath` stands in.

    Returns:
        List of `Target`, in the file's order.

    Raises:
        MetadataError: with a line for each entry that is refused.
    """
    targets, problems, taken = [], [], {}
    for index, entry in enumerate(load_metadata(metadata)):
        try:
            targets.append(_target(entry, folder))
            key = unicodedata.normalize("NFC", entry.filepath).casefold()
            if key in taken:
                raise ValueError(f"has the filepath of entry {taken[key]}")
            taken[key] = index
        except ValueError as error:
            problems.append(f"{metadata}: entry {index} ({entry.name!r}) {error}.")
    if problems:
        raise MetadataError(problems)
    return targets


def _target(entry, folder):
    address = _ADDRESS.fullmatch(entry.image_url)
    if not address:
        raise ValueError(
            "has an image_url that is no picture at https://i.pximg.net/: "
            f"{entry.image_url[:120]!r}"
        )
    if int(address["work"]) != entry.id:
        raise ValueError(
            f"has the id {entry.id}, but an image_url of work {address['work']}"
        )
    parts = entry.filepath.split("/")
    if any(_RESERVED.fullmatch(p) or p.startswith(".") for p in parts):
        raise ValueError(f"has an unsafe 'filepath': {entry.filepath!r}")
    suffix = f".{address['kind']}"
    if not entry.filepath.lower().endswith(suffix):
        raise ValueError(
            f"has a filepath that does not end in {suffix}: {entry.filepath!r}"
        )
    return Target(
        entry, Path(folder, *parts), int(address["page"] or 0), _FORMATS[suffix]
    )


FETCHED, THERE, GONE, REFUSED, FAILED = STATUSES = (
    "fetched",
    "already there",
    "gone",
    "refused",
    "failed",
)
NOT_ASKED = "not asked yet"
_MEANING = {GONE: "deleted or private", REFUSED: "not marked all-ages"}


class DownloadReport:
    """What became of each picture.

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

    def __init__(self, metadata, entries):
        self.metadata = Path(metadata).name
        self.outcomes = {
            entry.name: {"id": entry.id, "status": NOT_ASKED} for entry in entries
        }

    def settle(self, name, status, reason="", *, asked=None, ask_again=False):
        """Note what became of a picture.

        Args:
            name: Its name.
            status: One of `STATUSES`.
            reason: Why, in a few words. Defaults to nothing.
            asked: When, as `outcomes` has it. Defaults to now.
            ask_again: Whether the next run should not rely on it. Defaults to `False`.
        """
        asked = asked or datetime.now(timezone.utc).isoformat(timespec="seconds")
        outcome = {"id": self.outcomes[name]["id"], "status": status}
        outcome |= {"reason": reason} if reason else {}
        outcome |= {"ask_again": True} if ask_again else {}
        self.outcomes[name] = outcome | {"asked": asked}

    def names(self, status):
        """Names of the pictures with this status, in the metadata's order."""
        return [n for n, o in self.outcomes.items() if o["status"] == status]

    def count(self, status):
        """Number of pictures with this status."""
        return len(self.names(status))

    def save(self, path):
        """Write the JSON file, as a whole."""
        counts = Counter(outcome["status"] for outcome in self.outcomes.values())
        data = {
            "metadata": self.metadata,
            "finished": not counts[NOT_ASKED],
            "counts": {s: counts[s] for s in (*STATUSES, NOT_ASKED)},
            "pictures": self.outcomes,
        }
        write_whole(path, json.dumps(data, indent=1, ensure_ascii=False))

    def __str__(self):
        rows = [(s, self.count(s), _MEANING.get(s, "")) for s in STATUSES]
        if left := self.count(NOT_ASKED):
            rows.append((NOT_ASKED, left, ""))
        rows.append(("together", len(self.outcomes), ""))
        return "\n".join(f"{a:<14}{n:>7,}  {why}".rstrip() for a, n, why in rows)


def read_outcomes(path):
    """What an earlier run found out.

    Args:
        path: The JSON file that `DownloadReport.save` wrote, or none.

    Returns:
        Dict from name to outcome; empty where there is no file.

    Raises:
        ValueError: naming the file, if it is something else.
    """
    try:
        outcomes = json.loads(Path(path).read_text("utf-8"))["pictures"]
        if not all(
            isinstance(o, dict) and isinstance(o["status"], str) and "id" in o
            for o in outcomes.values()
        ):
            raise ValueError("an outcome is none")
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path}: is no report of a download ({type(error).__name__}). "
            "Move it away."
        ) from None
    return outcomes


REPORT = "download_report.json"
PAUSE_EVERY = 30  # pictures, as in the chapter
MOST_TROUBLE = 30  # in a row, after which it is no picture's fault
BUSY_TROUBLE = 6  # what a picture counts whose tries have all failed


def download_all(
    session,
    metadata,
    folder=".",
    *,
    pause=1.0,
    report=None,
    again=False,
    progress=True,
    sleep=time.sleep,
):
    """Download the pictures of a metadata file, those marked all-ages only.

    The work of each picture is looked up first, and left out unless `x_restrict` is 0.
    What is there already is not fetched again; after a kill or Ctrl-C the same call
    goes on. One download at a time in one folder.

    Example:
    ```python
    session = login()
    report = download_all(session, "oppai_dataset/oppai_meta.json")
    print(report)
    ```

    Args:
        session: What `login` gave, a logged-in `pixivpy3.AppPixivAPI`, or `login`
            itself, which is called if there is something to fetch.
        metadata: Path of the JSON file.
        folder: Folder that the entries' `filepath` stands in. Defaults to the one one
            is in, so that the chapter's go to `oppai_dataset/images`.
        pause: Seconds to wait after every 30 pictures, at least 1. Defaults to 1.
        report: JSON file for the report. Defaults to `download_report.json` beside the
            metadata, so that `pack` takes it along.
        again: Whether to ask again for what an earlier report says is gone or refused.
            Defaults to `False`.
        progress: Whether to show a progress bar. Defaults to `True`.
        sleep: Function of seconds. Defaults to `time.sleep`.

    Returns:
        `DownloadReport`.

    Raises:
        MetadataError: with a line for each entry that is refused; nothing was asked.
        PixivError: where there is no session or Pixiv cannot be reached; the report is
            written.
        ValueError: for a pause under a second, or a broken report.
    """
    if not 1 <= pause < float("inf"):
        raise ValueError(f"`pause` is at least a second. Received: {pause}")
    targets = plan_downloads(metadata, folder)
    path = Path(report) if report else Path(metadata).with_name(REPORT)
    results = DownloadReport(metadata, [target.entry for target in targets])
    known = {} if again else read_outcomes(path)
    remove_leftovers(targets)
    left = [t for t in targets if not _settle_without_asking(t, known, results)]
    try:
        if left:
            if callable(session):
                session = session()
            elif not isinstance(session, Session):
                session = Session(session)
            _Run(session, results, path, pause, sleep, progress).fetch(left)
    finally:
        results.save(path)
    return results


def _settle_without_asking(target, known, results):
    entry, before = target.entry, known.get(target.entry.name, {})
    if target.path.exists():
        try:
            size = picture_size(target.path)
        except ValueError:
            size = None
        if size == (entry.width, entry.height):
            results.settle(entry.name, THERE)
        else:
            why = f"another file stands at {entry.filepath}; move it away"
            results.settle(entry.name, FAILED, why)
        return True
    asked_again = before.get("ask_again") or before.get("id") != entry.id
    if before.get("status") in (GONE, REFUSED) and not asked_again:
        reason, asked = before.get("reason", ""), before.get("asked")
        results.settle(entry.name, before["status"], reason, asked=asked)
        return True
    return False


class _Run:
    """One run over the pictures that are left."""

    def __init__(self, session, results, path, pause, sleep, progress):
        self.session, self.results, self.path = session, results, path
        self.pause, self.sleep, self.progress = pause, sleep, progress
        self.works = {}

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
                        f"Pictures in a row could not be had (the last: {reason}). "
                        "Run the same command later; it goes on from here."
                    )
                self.bar.update()
                if number % PAUSE_EVERY == 0 and number < len(targets):
                    self.results.save(self.path)
                    self.sleep(self.pause)

    def _fetch_one(self, target):
        """Fetch and settle a picture; how much trouble there was, and which."""
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
        """Raise unless the picture's work is there, visible and marked all-ages."""
        number = target.entry.id
        if number not in self.works:
            try:
                work = self._ask(lambda: self.session.work(number))
                work = {key: work.get(key) for key in WORK_KEYS}
            except GoneError as error:
                work = error
            self.works[number] = work
        work = self.works[number]
        if isinstance(work, GoneError):
            raise work
        check_work(work, target)

    def _ask(self, ask):
        return patiently(ask, sleep=self.sleep, tell=self._tell)

    def _tell(self, text):
        if self.progress:
            self.bar.write(text)
