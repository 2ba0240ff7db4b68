import pytest
from PIL import Image

from illustkit.images import ImageError, list_images, read_image


def test_list_images_in_natural_order(tmp_path):
    names = ["10.png", "2.PNG", "1.jpeg", "a2/1.webp", "a10/1.gif", "a2/b/3.tif"]
    hidden = [".x.png", "._1.png", ".trash/1.png", "notes.txt", "png"]
    for name in names + hidden:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = ["1.jpeg", "2.PNG", "10.png", "a2/1.webp", "a2/b/3.tif", "a10/1.gif"]
    assert list_images(tmp_path) == [tmp_path / name for name in expected]
    assert list_images(str(tmp_path), recursive=False) == [
        tmp_path / name for name in expected[:3]
    ]
    (tmp_path / "bare").mkdir()
    assert list_images(tmp_path / "bare", allow_empty=True) == []
    for folder, text in (
        ("bare", "no pictures"),
        ("no", "no such"),
        ("10.png", "a file"),
    ):
        with pytest.raises(ImageError, match=f"{folder}: .*{text}"):
            list_images(tmp_path / folder)


def test_linked_folders_are_walked_once_and_dead_links_are_named(tmp_path):
    for name in ("in/1.png", "in/sub/2.png", "out/3.png", "out/deep/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / name)
    folder = tmp_path / "in"
    (folder / "again").symlink_to(folder / "sub")  # lies in the folder
    (folder / "circle").symlink_to(tmp_path / "in")
    (folder / "linked").symlink_to(tmp_path / "out")
    (folder / "linked twice").symlink_to(tmp_path / "out")
    (tmp_path / "out" / "back").symlink_to(folder)
    (folder / "dead.png").symlink_to(tmp_path / "gone.png")
    (folder / "round.png").symlink_to(folder / "round.png")
    listed = [path.relative_to(folder).as_posix() for path in list_images(folder)]
    assert listed == [
        *("1.png", "dead.png"),
        *("linked/3.png", "linked/deep/4.png", "round.png", "sub/2.png"),
    ]
    (tmp_path / "link").symlink_to(folder)
    assert len(list_images(tmp_path / "link")) == len(listed)
    with pytest.raises(ImageError, match=r"dead\.png: is a link to .*gone\.png, which"):
        read_image(folder / "dead.png")
    with pytest.raises(ImageError, match=r"round\.png: "):
        read_image(folder / "round.png")


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path):
    (tmp_path / "a.png").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "a.png" / "1.png")
    assert list_images(tmp_path) == [tmp_path / "a.png" / "1.png"]
    with pytest.raises(ImageError, match="no pictures"):
        list_images(tmp_path, recursive=False)
