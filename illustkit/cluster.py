"""Spread work on many files over a Ray cluster, or over the cores of this machine.

Results are Parquet files, so that those of an interrupted run are not lost: the next
run reads them first.
"""

import contextlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from illustkit.errors import UserError
from illustkit.files import expand_user

Worker = Callable[[list[str]], list[dict[str, Any]]]
RAY = "ray"
"""The `engine` that spreads work over a cluster."""
_PER_BLOCK = 64  # items that are lost with a process, and written as one file


def whole_path(
    name: str | os.PathLike[str] | None, known: Collection[str] = ()
) -> str | None:
    """Return a file or folder by its whole path, and any other name as it is.

    Processes have a working folder of their own.

    Args:
        name: What is here, such as a run, or a name such as "default"; or `None`.
        known: Names that stay names where a folder is called so. Defaults to none.
    """
    if name is None:
        return None
    if name in known:
        return str(name)
    path = expand_user(name)
    return os.path.abspath(path) if path.exists() else str(name)


def map_to_shards(
    items: Sequence[str],
    worker: Callable[..., Worker],
    arguments: Sequence[Any],
    folder: str | os.PathLike,
    *,
    batch_size: int = 8,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Work on items in processes of Ray, and write the results as Parquet files.

    Ray is taken as it runs (`RAY_ADDRESS`, `ray.init`), or started on this machine. On
    several machines they all see `folder` and the files that the items name. If a
    process dies, another does its part again.

    Example:
    ```python
    class Sizes:
        def __init__(self, folder):
            self.folder = folder

        def __call__(self, names):
            sizes = [(self.folder / name).stat().st_size for name in names]
            return [{"file": n, "bytes": s} for n, s in zip(names, sizes)]

    map_to_shards(["a.png", "b.png"], Sizes, [Path("pictures")], "shards")
    sizes = list(read_shards("shards"))
    ```

    Args:
        items: Texts, such as names of files.
        worker: Class of what does the work: each process makes one of `arguments` and
            calls it with a list of items; it returns as many dicts of JSON.
        arguments: What `worker` is made of; no large objects.
        folder: Folder for the Parquet files; those that are there stay.
        batch_size: Items that are handed over at once. Defaults to 8.
        workers: Number of processes. Defaults to one for each core of the cluster.
        progress: Whether Ray shows its progress. Defaults to `True`.

    Raises:
        UserError: If Ray is not installed.
    """
    if not items:
        return
    with _ray() as ray:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = progress
        cores = int(ray.cluster_resources().get("CPU", 1))
        # A row is a batch: the same pictures are computed together as in one process.
        rows = [
            {"items": json.dumps(items[i : i + batch_size])}
            for i in range(0, len(items), batch_size)
        ]
        processes = min(workers or cores, len(rows))
        blocks = max(processes, len(items) // _PER_BLOCK)
        (
            ray.data.from_items(rows, override_num_blocks=min(blocks, len(rows)))
            .map_batches(
                _Batches,
                fn_constructor_args=(worker, tuple(arguments)),
                batch_size=1,
                batch_format="numpy",
                compute=ray.data.ActorPoolStrategy(size=processes),
                num_cpus=1,
            )
            .write_parquet(str(Path(folder).resolve() / uuid.uuid4().hex))
        )


def read_shards(folder: str | os.PathLike) -> Iterator[dict[str, Any]]:
    """Read what `map_to_shards` wrote, in no particular order.

    A file that a killed process did not finish is left out.

    Args:
        folder: The folder.

    Yields:
        The dicts.
    """
    paths = sorted(Path(folder).rglob("*.parquet"))
    if not paths:
        return
    import pyarrow
    import pyarrow.parquet

    for path in paths:
        with contextlib.suppress(pyarrow.ArrowInvalid):
            for row in pyarrow.parquet.read_table(path)["record"].to_pylist():
                yield json.loads(row)


def remove_shards(folder: str | os.PathLike) -> None:
    """Remove the folder of shards whose records are kept elsewhere."""
    shutil.rmtree(folder, ignore_errors=True)


class _Batches:
    """What Ray makes once in each process, and calls with batches."""

    def __init__(self, worker: Callable[..., Worker], arguments: tuple[Any, ...]):
        import cv2

        cv2.setNumThreads(1)  # there is a process for each core
        self.work = worker(*arguments)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        records = [r for row in batch["items"] for r in self.work(json.loads(row))]
        return {"record": np.array([json.dumps(r) for r in records], dtype=object)}


@contextlib.contextmanager
def _ray() -> Iterator[Any]:
    """Return Ray, started if nobody has; what was started here ends here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError(
            f"`engine` ray needs Ray ({error}): pip install 'ray[data]'"
        ) from error
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    started = not ray.is_initialized()
    if started and "RAY_ADDRESS" in os.environ:
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
    elif started:
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    try:
        yield ray
    finally:
        if started:
            ray.shutdown()
