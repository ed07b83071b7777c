"""Kill commands at random moments, start several at once, press Ctrl-C, and count how it ends: `make kills`.

The commands are those of `small_commands.py`; each has a process of its own, forked from this one, which has imported
the library and no more. Ctrl-C goes to processes that begin with Python itself, as a reader's do.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from faults import check_readable, contents, whole_files
from small_commands import COMMANDS, WITHOUT_A_LOCK, small

from ganvae_lib.errors import CourseError

ROOT = Path(__file__).resolve().parents[1]
IN_USE = re.compile(r"(\S+ is in use by process \d+ on |.* holds a run: ).*")  # the other one has it, or had it first


def start(do, folder):
    """`do(folder)` in a process of its own, whose last words go to a file beside the folder. → its id."""
    words = Path(f"{folder}.{time.monotonic_ns()}.txt")
    pid = os.fork()
    if pid:
        return pid, words
    out = os.open(words, os.O_WRONLY | os.O_CREAT)
    os.dup2(out, 1)
    os.dup2(out, 2)
    code = 0
    try:
        do(folder)
    except CourseError as error:
        os.ftruncate(out, 0)
        os.pwrite(out, str(error).encode(), 0)
        code = error.exit_code
    except BaseException:
        os.write(out, traceback.format_exc().encode())
        code = 70
    os._exit(code)


def wait(process):
    """→ exit code (−9: killed), last words."""
    pid, words = process
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, words.read_text() if words.exists() else ""


def undisturbed(name, place):
    """What is there before a command, what is there after it, how long it takes."""
    before, after = place / f"{name} before", place / f"{name} after"
    before.mkdir()
    assert wait(start(COMMANDS[name].prepare, before))[0] == 0
    shutil.copytree(before, after)
    began = time.monotonic()
    code, words = wait(start(COMMANDS[name].run, after))
    assert code == 0, words
    return before, contents(after), time.monotonic() - began


def ended_well(name, here, after):
    """Faults, as text: what is half-written, or is not there in the end."""
    try:
        check_readable(here)
    except Exception:
        return [f"{name}: {traceback.format_exc(limit=-2)}"]
    now = contents(here)
    return [] if (whole_files(now) if name in WITHOUT_A_LOCK else now) == after else [f"{name}: another end"]


def kills(names, n, place, states):
    """SIGKILL at a moment anywhere in a command, then the command again."""
    counts, faults = Counter(), []
    for i in range(n):
        name = names[i % len(names)]
        before, after, seconds = states[name]
        here = shutil.copytree(before, place / f"kill {i}")
        process = start(COMMANDS[name].run, here)
        time.sleep(random.uniform(0, seconds))
        os.kill(process[0], signal.SIGKILL)
        code, _ = wait(process)
        changed = contents(here) != contents(before)
        counts[name, "had ended" if code == 0 else "in between" if changed else "before it wrote"] += 1
        try:
            check_readable(here)
        except Exception:
            faults.append(f"{name}: {traceback.format_exc(limit=-2)}")
        code, words = wait(start(COMMANDS[name].run, here))
        faults += [f"{name}, again: {words}"] if code else ended_well(name, here, after)
    return counts, faults


def writers(names, n, place, states):
    """Two or three at once into one folder."""
    counts, faults = Counter(), []
    for i in range(n):
        name, many = names[i % len(names)], 2 + i // len(names) % 2
        before, after, _ = states[name]
        here = shutil.copytree(before, place / f"writers {i}")
        ends = [wait(process) for process in [start(COMMANDS[name].run, here) for _ in range(many)]]
        for code, words in ends:
            refused = code in (3, 4) and len(words.splitlines()) == 1 and ("in use" in words or IN_USE.match(words))
            counts[name, f"of {many}: " + ("done" if code == 0 else "refused" if refused else "FAULT")] += 1
            faults += [] if code == 0 or refused else [f"{name}: {words}"]
        faults += [] if any(code == 0 for code, _ in ends) else [f"{name}: none was done"]
        faults += ended_well(name, here, after)
    return counts, faults


def interrupts(n, place):
    """Ctrl-C anywhere from the first moment on: one line and exit code 130, or nothing, or it had ended."""
    counts, faults, seconds = Counter(), [], None
    for i in range(-1, n):
        out = place / f"interrupted {i}"
        options = ["--variation=narrow", "--limit=256", "--epochs=2", f"--out={out}"]
        command = [sys.executable, "-m", "ganvae_lib", "train", "vae", *options]
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True,
                                   stdout=subprocess.DEVNULL)  # fmt: skip
        if i >= 0:
            time.sleep(random.uniform(0, seconds))
            process.send_signal(signal.SIGINT)
        words = process.communicate()[1]
        seconds = seconds or time.monotonic() - began
        stopped = process.returncode in (130, -signal.SIGINT)  # to a shell the same: Python may end as the signal does
        one_line = stopped and len(words.splitlines()) == 1 and "stopped" in words
        had_ended = process.returncode == 0 and not words
        unsaid = process.returncode == -signal.SIGINT and not words  # the system ended it before Python listened
        told = "one line" if one_line else "had ended" if had_ended else "nothing said" if unsaid else "FAULT"
        counts["Ctrl-C", told] += 1
        faults += [] if told != "FAULT" else [f"exit code {process.returncode}: {words[-1500:]}"]
    return counts, faults


def main():
    """Print the counts; exit 1 where something ended in another way than it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--writers", type=int, default=44, help="times that two or three start at once")
    parser.add_argument("--interrupts", type=int, default=12)
    parser.add_argument("--commands", default=",".join(COMMANDS), help="some of them, with commas")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    names, told = args.commands.split(","), []
    with small(), tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tempfile.tempdir = folder  # where processes that are killed or simply stop leave what they made
        states = {name: undisturbed(name, place) for name in names} if args.kills or args.writers else {}
        told += [kills(names, args.kills, place, states), writers(names, args.writers, place, states)]
        told += [interrupts(args.interrupts, place)] if args.interrupts else []
    for counts, _ in told:
        for (name, end), count in sorted(counts.items()):
            print(f"{name:18}{end:20}{count:4}")
    faults = [fault for _, some in told for fault in some]
    print(*faults, f"{len(faults)} faults", sep="\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
