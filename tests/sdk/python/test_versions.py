"""The clients are the majors that this suite is about: an older one would prove something else."""

from importlib.metadata import version

import pytest
from conftest import CONTRACT


@pytest.mark.parametrize("package, major", CONTRACT["versions"]["python_packages"].items())
def test_major(package, major):
    assert int(version(package).split(".")[0]) == major
