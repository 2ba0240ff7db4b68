"""The error for what a user can fix."""

from collections.abc import Sequence


class UserError(ValueError):
    """Report a mistake that a user can fix, in one line for each problem.

    The commands print the lines and end with exit code 2; any other exception is a
    bug and shows its traceback.

    Example:
    ```python
    raise UserError(f"{path}: no such folder. Check the path.")
    raise UserError(["a.txt, line 1: no number.", "a.txt, line 7: no number."])
    ```

    Args:
        problems: A line, or a list of them; each names the file or the option, and
            says how to fix it.

    Attributes:
        problems: List of the lines.
    """

    def __init__(self, problems: str | Sequence[str] = ()) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))
