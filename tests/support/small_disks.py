"""A disk that is full after so many bytes: what each command does on it, and once there is room.

The disk is a tmpfs in a mount namespace of its own: `trials` starts this file there by `unshare`,
which needs no root where people may make namespaces. Ballast on the disk leaves as many bytes free
as are asked for; removing it is the repair.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from click.testing import Result

from tests.support.ballast import UNSHARE, ballast, room, temporary, watched

ROOT = Path(__file__).resolve().parents[2]
DISK_BYTES = 96 << 20
BLOCK = 4096
POURED = 250  # scores: their log is written back into the store once or twice
NEVER = "it never filled"


@dataclass(frozen=True)
class Trial:
    """What one command did with so many bytes free, and what was wrong with it, also afterwards."""

    command: str
    free: int
    code: int
    said: str
    problems: tuple[str, ...] = ()


def trials(folder: Path, scene: str, steps: int, *names: str) -> list[Trial]:
    """Play a scene of SCENES in a process that has the disk; `folder` keeps what can be reused."""
    told = [str(ROOT), os.environ.get("PYTHONPATH")]
    done = subprocess.run(
        [*UNSHARE, sys.executable, __file__, str(folder), scene, str(steps), *names],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, told))},
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [Trial(**line | {"problems": tuple(line["problems"])}) for line in lines]


def problems(of: Sequence[Trial]) -> list[str]:
    return [f"{one.command} with {one.free:,} bytes: {what}" for one in of for what in one.problems]


def filling(world: Any, disk: Path, name: str, steps: int) -> Iterator[Trial]:
    """A command with `steps` amounts of room, from none to nearly enough, each then with room."""
    from tests.support.fault_world import COMMANDS, invoke, outcome

    command = COMMANDS[name]
    words = world.words(command, world.put(command, disk))
    before, least = room(disk), [room(disk)]
    with temporary(disk / "tmp"), watched(disk, least):
        whole = invoke(words)
    assert whole.exit_code == 0, whole.output
    wanted = outcome(disk)
    needed = max(before - min(least), before - room(disk), BLOCK)
    for step in range(steps):
        world.put(command, disk)
        with temporary(disk / "tmp"):
            yield one(name, words, disk, needed * step // steps // BLOCK * BLOCK, wanted)


def one(name: str, words: list[str], disk: Path, free: int, wanted: dict[str, Any]) -> Trial:
    """The command with `free` bytes left, then again with room."""
    from tests.support.fault_world import COMMANDS, invoke, outcome, without_files

    wrong: list[str] = []
    try:
        had = outcome(disk)
        with ballast(disk, free):
            done = invoke(words)
        wrong += complaints(done, disk)
        if COMMANDS[name].reads and done.exit_code:
            wrong.append("it only reads, and stopped")
        now = outcome(disk)
        if now.get("sound", ["('ok',)"]) != ["('ok',)"]:
            wrong.append(f"the store is damaged: {now['sound']}")
        if lost := set(had.get("scores", ())) - set(now.get("scores", ())):
            wrong.append(f"scores are lost: {lost}")
        if name != "migrate" and "sound" in now and (gone := without_files(disk / "taste")):
            wrong.append(f"versions without their files: {gone}")
        again = invoke(words) if done.exit_code else done
        if again.exit_code:
            wrong.append(f"not mended by room: {again.output}")
        for part, value in outcome(disk).items():
            if value != wanted[part]:
                wrong.append(f"{part} differ: {differences(value, wanted[part])}")
        return Trial(name, free, done.exit_code, done.stderr.strip(), tuple(wrong))
    except Exception:
        return Trial(name, free, -1, "", (*wrong, traceback.format_exc()))


def differences(value: Any, wanted: Any) -> str:
    if isinstance(value, dict):
        value, wanted = value.items(), wanted.items()
    return f"too many {set(value) - set(wanted)}, missing {set(wanted) - set(value)}"[:600]


def complaints(done: Result, disk: Path) -> Iterator[str]:
    """What is wrong with how a command ended on a full disk."""
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        yield "".join(traceback.format_exception(done.exception))
    elif done.exit_code not in (0, 1):
        yield f"it ended with {done.exit_code}: {done.output}"
    elif done.exit_code == 1:
        said = done.stderr.strip()
        if str(disk) not in said or "make room" not in said or "Traceback" in done.output:
            yield f"it names no file or no next step: {said}"


def untemporary(world: Any, disk: Path, name: str, _steps: int) -> Iterator[Trial]:
    """A command whose project has all the room, but the disk for scratch files none."""
    from tests.support.fault_world import COMMANDS, invoke, outcome

    large = Path(tempfile.mkdtemp(dir=world.folder))
    try:
        words = world.words(COMMANDS[name], world.put(COMMANDS[name], large))
        with ballast(disk, 0), temporary(disk / "tmp"):
            done = invoke(words)
        wrong = list(complaints(done, disk))
        if done.exit_code:
            done = invoke(words)
        sound = outcome(large).get("sound")
        if done.exit_code or sound != ["('ok',)"]:
            wrong.append(f"not mended by room: {done.output} {sound}")
        yield Trial(name, 0, done.exit_code, done.stderr.strip(), tuple(wrong))
    finally:
        shutil.rmtree(large)


def pouring(world: Any, disk: Path, _name: str, steps: int) -> Iterator[Trial]:
    """Scores one after the other till the disk is full, the process killed there."""
    from tests.support.fault_world import COMMANDS, stored

    for step in range(steps):
        project = world.put(COMMANDS["label"], disk)
        # Early, and around where the log is long enough to be written back into the store.
        free = (160_000 + 150_000 * step) if step % 2 == 0 else (7_900_000 + 50_000 * step)
        told, telling = os.pipe()
        with ballast(disk, free):
            child = os.fork()
            if not child:
                pour(project, telling)
            os.close(telling)
            os.waitpid(child, 0)
        with os.fdopen(told) as pipe:
            *taken, said = pipe.read().splitlines()
        kept = set(stored(project)["scores"])
        lost = [one for one in taken if one not in kept]
        wrong = [f"acknowledged and lost: {lost}"] if lost else []
        if "make room" not in said and said != NEVER:
            wrong.append(f"it said: {said}")
        yield Trial("pouring", free, len(taken), said, tuple(wrong))


def pour(project: Path, telling: int) -> None:
    """Says what was acknowledged, then why no more was, and is gone without closing anything."""
    from labeler.core.project import Project
    from labeler.scoring.label import label_one

    said = NEVER
    try:
        opened = Project.open(project)
        for number in range(POURED):
            label_one(opened, str(1 + number % 34), float(number % 11), f"nobody {number}")
            row = f"({1 + number % 34}, {float(number % 11)}, None)"
            os.write(telling, f"{row}\n".encode())
    except Exception as error:
        said = str(error)
    os.write(telling, said.encode())
    os._exit(0)


def background(world: Any, disk: Path, _name: str, steps: int) -> Iterator[Trial]:
    """An import that the app started, on a disk that fills under it; its row says so afterwards."""
    from labeler.core.jobs import runner
    from labeler.core.project import Project
    from tests.support.fault_world import COMMANDS, outcome

    command = COMMANDS["import"]
    for step in range(steps):
        opened = Project.open(world.put(command, disk))
        params = {"paths": [str(world.pictures)], "embed": False}
        with ballast(disk, 400_000 + 150_000 * step):
            run = runner.start_run(opened, "import", params)
            while alive(run.pid) and room(disk) > 60_000:
                time.sleep(0.05)  # between two looks
        ended = runner.follow(opened, run.id)
        said = ended.message or ""
        wrong = [] if "make room" in said or ended.state == "done" else [f"its row says {said}"]
        again = runner.follow(opened, runner.start_run(opened, "import", params).id)
        known = outcome(disk)
        if again.state != "done" or known["sound"] != ["('ok',)"] or len(known["images"]) != 34:
            wrong.append(f"not mended by room: {again.message} {known}")
        opened.close()
        yield Trial("background", 0, int(ended.state != "done"), said, tuple(wrong))


def alive(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}/stat").exists()


SCENES = {
    "filling": filling,
    "untemporary": untemporary,
    "pouring": pouring,
    "background": background,
}


def main(folder: Path, scene: str, steps: int, names: Sequence[str]) -> None:
    """In the namespace: mount the disk and play, a line of JSON for each trial."""
    from tests.support.fault_world import World

    disk = folder / "disk"
    disk.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(disk)]
    subprocess.run(words, check=True)
    world = World(folder)
    for name in names:
        for trial in SCENES[scene](world, disk, name, steps):
            print(json.dumps(asdict(trial)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
