"""The comparison of packages reports what was replaced."""

from tests.colab.run import compare, is_allowed


def test_replaced_removed_and_new_packages_are_distinguished():
    before = ["numpy==2.1.3", "opencv-python==5.0.0.93", "keras==3.13.2", "wheel==1"]
    after = ["opencv-python==4.14.0.94", "keras==3.15.1", "numpy==2.1.3", "oppai==0.1"]
    replaced, added = compare(before, after)
    assert replaced == [
        *("- keras==3.13.2", "+ keras==3.15.1"),
        *("- opencv-python==5.0.0.93", "+ opencv-python==4.14.0.94"),
        "- wheel==1",
    ]
    assert added == ["+ oppai==0.1"]
    assert [line for line in replaced if not is_allowed(line)] == [
        *("- keras==3.13.2", "+ keras==3.15.1", "- wheel==1"),
    ]
    assert compare(after, after[::-1]) == ([], [])
