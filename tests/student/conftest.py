import pytest

from student.reading import ARCHITECTURES
from tiny import student


@pytest.fixture(scope="module", params=ARCHITECTURES)
def made(request):
    return student(request.param, trained=True)
