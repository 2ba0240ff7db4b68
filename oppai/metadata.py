"""The chapter's metadata: which pictures there are, and the boxes in them.

The file is a JSON list with one entry a picture:

```json
[{"name": "a.png", "filepath": "images/a.png", "id": 1,
  "size": {"width": 600, "height": 848},
  "image_url": "", "original_url": "",
  "bounding_boxes": [{"left": 57.4, "top": 258.2, "width": 286.4, "height": 212.8}],
  "n_bounding_boxes": 1}]
```

It may come from anywhere, so everything in it is checked before use, and no name in it
can lead out of the pictures' folder.

Reference:
    The chapter ("DeepCreamPyで学ぶモザイク除去", chapter 10), its `oppai_meta.json`.
"""

import json
import os
from collections import Counter
from pathlib import Path

from oppai._entries import Entry as Entry
from oppai._entries import as_item, parse_entries, parse_entry, short


class MetadataError(ValueError):
    """The metadata cannot be used; the message names the file and the entry.

    Args:
        problems: The message, or a list of them.

    Attributes:
        problems: List of messages, one line each.
    """

    def __init__(self, problems):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


def load_metadata(path):
    """Read and check a metadata file.

    Example:
    ```python
    entries = load_metadata("oppai_dataset/oppai_meta.json")
    ```

    Args:
        path: Path of the JSON file.

    Returns:
        List of `Entry`, in the file's order. Boxes that stick out of their picture by a
        pixel or less are cut at its edge.

    Raises:
        MetadataError: where the file cannot be read, is no JSON or no such list, or
            where an entry is wrong; the message names it.
    """
    entries, problems = parse_entries(read_items(path))
    if problems:
        more = len(problems) - 1
        more = f" ({more} more: `oppai check` lists them)" if more else ""
        raise MetadataError(f"{path}: {problems[0]}{more}")
    return entries


def read_items(path):
    """The objects of a metadata file, unchecked.

    Raises:
        MetadataError: where the file cannot be read, is no JSON or no such list.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise MetadataError(f"{path}: there is no such metadata file.") from None
    except OSError as error:
        raise MetadataError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise MetadataError(f"{path}: is no text in UTF-8, so no metadata.") from None
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"{path}: is no whole JSON file ({error}).") from None
    if not isinstance(data, list) or not data:
        raise MetadataError(
            f"{path}: metadata is a list with one entry a picture. "
            f"Received: {short(data)}"
        )
    return data


def save_metadata(entries, path):
    """Write entries in the chapter's format; `load_metadata` reads them back equal.

    Args:
        entries: Sequence of `Entry`.
        path: Path of the JSON file; it is replaced as a whole.

    Raises:
        ValueError: for an entry that `load_metadata` would refuse; nothing is written.
    """
    path = Path(path)
    data = [as_item(entry) for entry in entries]
    names = Counter(item["name"] for item in data)
    for item in data:
        try:
            parse_entry(item)
            if names[item["name"]] > 1:
                raise ValueError("has the name of another entry")
        except ValueError as error:
            raise ValueError(f"The entry {item['name']!r} {error}.") from None
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    part.write_text(json.dumps(data, indent=1, ensure_ascii=False), encoding="utf-8")
    part.replace(path)
