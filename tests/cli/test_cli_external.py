"""External commands as objectives: what they are given, what they may print, and every way to fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from blackbox.cli.external import CommandError, ExternalCommand, kill_running, last_json
from blackbox.cli.lifeline import Lifeline
from blackbox.errors import SettingError
from blackbox.objective import Objective
from blackbox.problem import parse_outcome

ROOT = Path(__file__).parents[2]
CONFIG = {"x": 1.5, "kernel": "a b", "on": True}
NAMES = ("x", "kernel", "on", "inactive")


def run(*arguments, **options):
    return ExternalCommand(arguments, NAMES, **options)(CONFIG)


def shell(script, **options):
    return run("sh", "-c", script, **options)


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_configuration_comes_on_stdin_in_the_environment_and_in_placeholders():
    expected = {"x": 1.5, "kernel": "a b", "on": True}
    assert shell('read line; printf \'{"values": 1, "in": %s}\' "$line"')["in"] == expected
    assert shell('printf \'{"values": 1, "in": %s}\' "$BLACKBOX_CONFIG"')["in"] == expected
    script = "import json, sys; print(json.dumps(sys.argv[1:]))"
    arguments = ["{x}", "{kernel}", "{on}", "{inactive}", "--x={x},{kernel}", "{{x}}", "$HOME `ls`"]
    expected_arguments = ["1.5", "a b", "true", "", "--x=1.5,a b", "{x}", "$HOME `ls`"]
    assert run(sys.executable, "-I", "-S", "-c", script, *arguments) == expected_arguments


def test_a_configuration_of_a_megabyte_comes_on_stdin_only():
    config = {f"x{i}": i / 7 for i in range(50_000)}
    command = ExternalCommand(("sh", "-c", 'test -z "${BLACKBOX_CONFIG:-}" && wc -c'), tuple(config))
    assert command(config) > 1_000_000
    assert ExternalCommand(("echo", "1"), tuple(config))(config) == 1  # one that does not read it


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        (b"3\n", 3),
        (b"log\n[1, 2]\nbye\n", [1, 2]),
        (b'{"a": 1}\n{"a": 2}\n', {"a": 2}),
        (b'{\n  "a": [\n    1\n  ]\n}\n', {"a": [1]}),
        (b"\xff\n0.5", 0.5),
        (b"", None),
        (b'true\nnull\n"text"\n', None),
    ],
)
def test_the_last_json_of_the_output_counts(printed, value):
    assert last_json(printed) == value


def test_an_object_of_objectives_violations_and_extras_is_an_outcome():
    objectives = [Objective("loss"), Objective("accuracy", maximize=True)]
    printed = '{"loss": 0.5, "accuracy": 0.9, "violations": [-1], "variance": null, "extras": {"epochs": 7}}'
    evaluation = parse_outcome(run("echo", *[printed.replace("{", "{{").replace("}", "}}")]), objectives, 1)
    assert evaluation.values.tolist() == [[0.5, 0.9]]
    assert evaluation.violations.tolist() == [[-1.0]]
    assert evaluation.extras["epochs"].tolist() == [7]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 1; echo no luck >&2; exit 3", "command ended with code 3; standard error: no luck$"),
        ("echo progress; echo '{x'", "command printed no JSON$"),
        ("kill -SEGV $$", "command was killed by SIGSEGV"),
        ('echo \'{"failed": "diverged"}\'', "command reported a failure: diverged"),
        ('echo \'{"values": 1, "extras": {"note": "text"}}\'', "extras: expected an object of numbers"),
        ("i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1", r"error: \.\.\..*line 2999$"),
    ],
)
def test_failures_say_why_with_the_end_of_standard_error(script, message):
    with pytest.raises(CommandError, match=f"(?s){message}"):
        shell(script)


def test_a_program_that_cannot_be_started_fails():
    with pytest.raises(CommandError, match="'no-such-program' cannot be started: No such file"):
        run("no-such-program")


def test_a_hundred_megabytes_of_output_fail_quickly():
    for stream in ("", " >&2"):
        started = time.monotonic()
        with pytest.raises(CommandError, match="more than 16 MiB"):
            shell(f"head -c 100000000 /dev/zero{stream}; echo 1; sleep 60")
        assert time.monotonic() - started < 10


def test_the_whole_process_group_is_killed_at_the_deadline(tmp_path):
    script = f"echo started >&2; sleep 60 & echo $! > {tmp_path}/child; sleep 60"
    started = time.monotonic()
    with pytest.raises(CommandError, match=r"killed at its deadline of 0.5 seconds; standard error: started"):
        shell(script, deadline=0.5)
    assert time.monotonic() - started < 5
    wait_until(lambda: not is_alive(int((tmp_path / "child").read_text())))


def test_what_a_command_leaves_behind_is_killed_and_not_waited_for(tmp_path):
    started = time.monotonic()
    assert shell(f"sleep 60 & echo $! > {tmp_path}/child; echo 2") == 2
    assert time.monotonic() - started < 5
    wait_until(lambda: not is_alive(int((tmp_path / "child").read_text())))


def test_running_commands_can_be_killed():
    failures = []

    def evaluate():
        try:
            shell("sleep 60")
        except CommandError as error:
            failures.append(str(error))

    thread = threading.Thread(target=evaluate)
    thread.start()
    while thread.is_alive():
        kill_running()
        thread.join(0.05)
    assert failures == ["command was killed by SIGKILL"]


def test_commands_die_with_a_process_that_was_killed(tmp_path):
    code = (
        "import threading, time\n"
        "from blackbox.cli import external\n"
        "command = external.ExternalCommand(('sleep', '60'), ())\n"
        "threading.Thread(target=command, args=({},), daemon=True).start()\n"
        "while not external._lifeline.held: time.sleep(0.01)\n"
        "print(*external._lifeline.held, flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    )
    child = int(process.stdout.readline())
    assert is_alive(child)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: not is_alive(child))


def test_a_lifeline_forgets_what_was_released():
    processes = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2)]
    held, released = processes
    lifeline = Lifeline()
    lifeline.start()
    for process in processes:
        lifeline.hold(process.pid)
    lifeline.release(released.pid)
    lifeline.close()
    assert held.wait(10) == -signal.SIGKILL
    assert released.poll() is None
    released.kill()
    released.wait()


def test_a_placeholder_of_no_parameter_is_refused():
    with pytest.raises(SettingError, match=r"command: \{lr\} names no parameter; expected one of x, "):
        ExternalCommand(("train", "--lr={lr}"), NAMES)
    with pytest.raises(SettingError, match=r"\{HOME\} names no parameter.*write \{\{ and \}\} for braces"):
        ExternalCommand(("sh", "-c", "echo ${HOME}"), NAMES)
    with pytest.raises(SettingError, match="command: expected a program"):
        ExternalCommand((), NAMES)
