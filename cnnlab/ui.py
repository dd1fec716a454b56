"""MLflow's pages, at the runs of a study's variants: `python -m cnnlab.ui` (`make ui`).

Starts MLflow on the store that the study logs to, prints the page that shows the variants, best
first, and opens it where there is a browser. Where MLFLOW_TRACKING_URI names a server, its page is
shown, and none is started. MLFLOW_HOST and MLFLOW_PORT say where MLflow answers.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
import webbrowser
from urllib.error import URLError

from cnnlab import params, tracking
from cnnlab.errors import UserError, run_command

HOST, PORT = "127.0.0.1", "5000"  # MLflow's own defaults
# For one person one worker is enough, and no page of a study needs the processes that judge texts.
SMALL = {"MLFLOW_WORKERS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
SECONDS = 300  # that a start may take on a busy machine


def main() -> int:
    """Returns MLflow's exit status. Raises UserError where MLflow does not answer."""
    study, options = params.load("study", "compare")
    server = tracking.store()
    if server.startswith(("http://", "https://")):
        _say(server.rstrip("/"), tracking.page(study, options.metric), study)
        return 0
    host, port = os.environ.get("MLFLOW_HOST", HOST), os.environ.get("MLFLOW_PORT", PORT)
    address = f"http://{host}:{port}"
    path = tracking.page(study, options.metric)  # before: it brings the store up to date
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", server]
    command += ["--host", host, "--port", port]
    with subprocess.Popen(command, env=SMALL | os.environ) as process:
        try:
            _wait(process, address)
            _say(address, path, study)
            return process.wait()
        except KeyboardInterrupt:  # which MLflow is told of too
            return process.wait()
        except BaseException:  # leaving the context waits for it
            process.terminate()
            raise


def _wait(process: subprocess.Popen, address: str) -> None:
    """Until MLflow answers."""
    # A proxy is not for this machine's own addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise UserError(f"MLflow ended (see above); is another program at {address}?")
        with contextlib.suppress(URLError, OSError):
            opener.open(f"{address}/health", timeout=5).close()
            return
        time.sleep(0.5)
    raise UserError(f"MLflow did not answer at {address} within {SECONDS} seconds")


def _say(address: str, path: str, study: str) -> None:
    """Print the page, and open it where a browser has a screen."""
    if not path:
        print(f"{study} is not in MLflow yet: `dvc repro` or `make track` logs it", file=sys.stderr)
    page = f"{address}/{path}"
    print(f"\nthe variants of {study}: {page}\n" if path else page, flush=True)
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in screens):
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(page)


if __name__ == "__main__":
    run_command(main)
