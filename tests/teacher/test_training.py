import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import pair_table  # noqa: F401
