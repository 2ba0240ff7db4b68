import errno
import os
import struct

import pytest

from illustkit.errors import DivergedError, UserError, as_user_error, reading


def test_an_error_of_the_user_stays_itself():
    error = UserError(["a.png: is empty.", "b.png: is cut short."])
    assert as_user_error(error) is error
    assert as_user_error(error, "a.png") is error  # named already
    assert str(as_user_error(UserError("is empty."), "a.png")) == "a.png: is empty."


def test_a_diverged_training_is_both_errors():
    error = DivergedError("The loss became nan.")
    assert isinstance(error, FloatingPointError) and as_user_error(error) is error


@pytest.mark.parametrize(
    "action, name",
    [
        (lambda p: open(p / "none" / "a.txt"), "none/a.txt"),
        (lambda p: open(p), ""),
        (lambda p: open(p / "file" / "a.txt"), "file/a.txt"),
        (lambda p: open(p / ("a" * 300), "w"), "a" * 300),
        (lambda p: open(p / "loop"), "loop"),
        (lambda p: (p / "file").mkdir(exist_ok=True), "file"),
        (lambda p: os.replace(p / "none", p / "file"), "file"),
    ],
    ids=["missing", "folder", "below a file", "long", "loop", "exists", "replace"],
)
def test_errors_of_the_system_become_one_line_that_names_the_file(
    tmp_path, action, name
):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError) as caught:
        action(tmp_path)
    line = str(as_user_error(caught.value))
    assert line.startswith(f"{tmp_path / name}: ") and "\n" not in line
    assert line.endswith(".") and "Errno" not in line


def test_what_is_a_bug_stays_one():
    for error in (
        ValueError("x"),
        OSError("a library's own"),
        OSError(errno.EBADF, "Bad file descriptor"),
        KeyError("x"),
        IndexError(),
    ):
        assert as_user_error(error, "a.png") is None


def test_a_lack_of_memory_names_the_file():
    line = str(as_user_error(MemoryError(), "a.png"))
    assert line.startswith("a.png: not enough memory (MemoryError)")


def test_a_device_out_of_memory_is_known_without_its_library():
    kind = type(
        "ResourceExhaustedError",
        (Exception,),
        {"__module__": "tensorflow.python.framework.errors_impl"},
    )
    line = str(as_user_error(kind("OOM when allocating tensor\nHint: ...")))
    assert line.startswith("not enough memory (OOM when allocating tensor).")


def test_whatever_a_spoilt_file_raises_is_one_line_that_names_it():
    for error in (
        KeyError("a"),
        struct.error("x\ny"),
        RecursionError(),
        OSError("odd"),
    ):
        with pytest.raises(
            UserError, match=r"^a\.npz cannot be read \(.*Fetch it"
        ) as c:
            with reading("a.npz", "Fetch it again."):
                raise error
        assert c.value.__cause__ is error and "\n" not in str(c.value)
    with pytest.raises(UserError, match=r"^a\.npz: no such file or folder"):
        with reading("a.npz", "Fetch it again."):
            open("a.npz")
    with pytest.raises(UserError, match="^as it came$"):
        with reading("a.npz", "Fetch it again."):
            raise UserError("as it came")
