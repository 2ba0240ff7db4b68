import pytest

from tests.illustkit import broken_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Files of many kinds, some damaged: dict from a name to a path."""
    return broken_pictures.make_odd_pictures(tmp_path_factory.mktemp("odd"))
