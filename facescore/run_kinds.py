"""Telling a detector's run from a scorer's, and both from others."""

from illustkit.training.runs import SETTINGS, Run

_TOLD_BY = {
    "detector": {"widths", "depths", "head"},
    "scorer": {"network", "objective", "margin"},
}


def open_run(run, kind):
    """Open a run of one kind.

    Args:
        run: A run folder, or a `Run`.
        kind: "detector" or "scorer".

    Returns:
        The `Run`.

    Raises:
        ValueError: where there is no run, or one of something else.
    """
    run = run if isinstance(run, Run) else Run(run)
    if not _TOLD_BY[kind] <= set(run.settings):
        raise ValueError(
            f"{run.folder} holds a run of something else than a {kind}. "
            "Name another folder."
        )
    return run


def may_train(folder, kind):
    """Refuse to train where a run of another kind stands.

    Args:
        folder: `Path` of the run to be.
        kind: "detector" or "scorer".

    Raises:
        ValueError: as `open_run`; a folder without a run is fine.
    """
    if (folder / SETTINGS).exists():
        open_run(folder, kind)
