from oppai.data.metadata import Entry, find_pictures


def entry(name, filepath=None):
    return Entry(name, filepath or f"images/{name}", 1, 40, 30, ())


def test_pictures_are_found_in_any_layout_but_never_outside(tmp_path):
    root = tmp_path / "root"
    places = {
        "a.png": "images/a.png",
        "b.png": "b.png",
        "c.png": "set/images/c.png",
        "d.png": "x/y/d.png",
    }
    for place in [*places.values(), "x/y/z/d.png", "other/a.png"]:
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "secret.png").write_bytes(b"")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "inner.png").symlink_to(root / "b.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    entries = [entry(name, filepath=f"set/images/{name}") for name in places]
    entries += [entry("inner.png"), entry("link.png"), entry("loop.png")]
    entries += [
        entry("secret.png", filepath="../secret.png"),
        entry("../secret.png", filepath=str(tmp_path / "secret.png")),
        entry("folder.png", filepath="x"),
        entry("l" * 5000),
    ]
    found, missing = find_pictures(entries, root)
    assert found == {n: root / p for n, p in places.items()} | {
        "inner.png": root / "inner.png"
    }
    expected = ["link.png", "loop.png", "secret.png", "../secret.png", "folder.png"]
    assert missing == [*expected, "l" * 5000]
