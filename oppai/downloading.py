"""Download the chapter's pictures from Pixiv: politely, safely, and in as many runs as
it takes.

A picture's file appears only when it is whole and right, so that the files themselves
say how far a download came; the report adds what is gone or refused.
"""

import time
from pathlib import Path

from illustkit.files import picture_size
from oppai._patience import (
    BusyError,
    ClosedError,
    GoneError,
    LoginError,
    PixivError,
    patiently,
)
from oppai.download_plan import plan_downloads
from oppai.download_report import (
    FAILED,
    FETCHED,
    GONE,
    REFUSED,
    THERE,
    DownloadReport,
    read_outcomes,
)
from oppai.pixiv_picture import (
    WORK_KEYS,
    RefusedError,
    check_work,
    fetch_picture,
    remove_leftovers,
)
from oppai.pixiv_session import Session

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
