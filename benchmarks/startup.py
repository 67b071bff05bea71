"""Start of the API to its first `/healthz`, beside importing fastapi, uvicorn and sqlalchemy alone."""

import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from pairs import paired, save

PORT = 8977
BAR = 2.2


def imports_alone() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import fastapi, uvicorn, sqlalchemy"], check=True)
    return time.perf_counter() - start


def to_healthz(data_dir: Path) -> float:
    heimdall = Path(sys.executable).with_name("heimdall")
    start = time.perf_counter()
    command = [heimdall, "up", "--port", str(PORT), "--data-dir", data_dir, "--slots", "0"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=5).close()
                return time.perf_counter() - start
            except (urllib.error.URLError, ConnectionError):
                if server.poll() is not None:
                    raise RuntimeError(f"heimdall up ended with {server.returncode}") from None
                time.sleep(0.005)
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ratio = paired(lambda: to_healthz(Path(folder)), imports_alone)
    print(f"start to /healthz ÷ imports alone: {ratio} (bar {BAR})")
    save("startup", {"start_over_imports": ratio, "bar": BAR})


if __name__ == "__main__":
    main()
