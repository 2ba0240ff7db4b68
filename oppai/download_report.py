"""What became of each picture of a download, kept as a JSON file between runs."""

import json
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from illustkit.files import write_whole

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
