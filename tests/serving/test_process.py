"""The command itself, in a process of its own."""

import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import Request, urlopen

import pytest

from flipkd.cli.main import main


def ask(url, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url + path, data, {"Content-Type": "application/json"}), timeout=60) as answer:
        return answer.read().decode()


def test_sigterm_drains_and_ends_with_status_0(folders, tmp_path):
    words = ["serve", "--model", folders["cards"], "--port", "0", "--batch-tokens", "16", "--device", "cpu"]
    said = tmp_path / "stderr"
    with said.open("w") as stderr, ThreadPoolExecutor(1) as pool:
        process = subprocess.Popen([sys.executable, "-m", "flipkd.cli.main", *words], stderr=stderr)
        try:
            while not (url := re.search(r"serving: (http://127.0.0.1:\d+)", said.read_text())):
                assert process.poll() is None, said.read_text()
                time.sleep(0.1)
            many = pool.submit(ask, url[1], "/score", {"text_1": "lost", "text_2": [f"stolen {n}" for n in range(60)]})
            # Until some of it waits: what is over before the signal shows no draining.
            while not re.search(r"^flipkd_queue_rows [1-9]", ask(url[1], "/metrics"), re.MULTILINE):
                assert not many.done(), "answered before it could be drained: give it more rows"
                time.sleep(0.005)
            process.send_signal(signal.SIGTERM)
            assert len(json.loads(many.result())["data"]) == 60
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    found = said.read_text()
    assert re.search(r"id=\w+ method=POST route=/score status=200", found)
    assert "Traceback" not in found
    assert "stolen" not in found


SLOW = """
import sys, time
from flipkd.cli.main import main
from flipkd.serving.models import Served
Served.compute = lambda *_, **__: time.sleep(60)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("signals", "drain"), [([signal.SIGTERM], "0.5"), ([signal.SIGTERM] * 2, "60")])
def test_a_batch_without_end_does_not_keep_the_process(folders, tmp_path, signals, drain):
    words = ["serve", "--model", folders["cards"], "--port", "0", "--drain-seconds", drain, "--device", "cpu"]
    said = tmp_path / "stderr"
    with said.open("w") as stderr, ThreadPoolExecutor(1) as pool:
        process = subprocess.Popen([sys.executable, "-c", SLOW, *words], stderr=stderr)
        try:
            while not (url := re.search(r"serving: (http://127.0.0.1:\d+)", said.read_text())):
                assert process.poll() is None, said.read_text()
                time.sleep(0.1)
            pool.submit(ask, url[1], "/score", {"text_1": "lost", "text_2": "stolen"})
            while "flipkd_queue_seconds_count 1.0" not in ask(url[1], "/metrics"):
                time.sleep(0.05)
            for each in signals:
                process.send_signal(each)
                time.sleep(0.5)
            assert process.wait(15) == 0
        finally:
            process.kill()
            process.wait()
    assert "what was still at work was not waited for" in said.read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--model is missing"),
        (["--model", "nowhere"], "is no flipkd artefact"),
        (["--model", "x", "--host", "0.0.0.0"], "--allow-anonymous"),
        (["--model", "x", "--models.x", "y"], "Two artefacts are called 'x'"),
        (["--model", "x", "--batch-tokens", "0"], "--batch-tokens is 0"),
        (["--model", "x", "--max-wait-ms", "-1"], "--max-wait-ms is -1"),
        (["--model", "x", "--port", "70000"], "--port is 70000"),
    ],
)
def test_settings_that_cannot_be_are_told_in_one_line(words, message, capsys):
    assert main(["serve", "--port", "0", *words]) in (1, 2)
    assert message in " ".join(capsys.readouterr().err.split())
