"""What a process that serves the surface does not load."""

import subprocess
import sys

PROGRAM = """
import sys
import heimdall.api.app
from heimdall.sdk.registry import specs
assert specs()
heavy = {"torch", "numpy", "transformers", "pyarrow", "alembic", "celery", "aio_pika", "lightning_fabric"}
print(sorted(heavy & set(sys.modules)))
"""


def test_the_surface_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
