"""Runs the stock `az` as its user would."""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import world as worlds


class Failed(AssertionError):
    """An `az` that did not end well, with what it said."""


class Az:
    """`az` with a configuration of its own, logged in as the world's instructions say."""

    def __init__(self, world, recorder):
        self.folder = world.dir / "az"
        self.folder.mkdir()
        self.program = pathlib.Path(sys.executable).with_name("az")
        self.environment = worlds.environment(
            HOME=str(self.folder),
            PATH=f"{self.program.parent}:/usr/bin:/bin:/usr/sbin:/sbin",
            AZURE_CORE_COLLECT_TELEMETRY="no",
            AZURE_CORE_SURVEY_MESSAGE="no",
            AZURE_CORE_NO_COLOR="yes",
        )
        self._world, self._recorder = world, recorder

    def follow_instructions(self):
        """Does what the world told its user to type for az, with the recorder in place of the world."""
        text = self._world.instructions().replace(self._world["https"], self._recorder.https)
        part = re.search(r"^# az.*?\n(.*?)\n\n", text, re.S | re.M)
        assert part, f"the instructions have no part for az:\n{text}"
        for line in part[1].splitlines():
            words = shlex.split(line)
            if words[0] == "export":
                self.environment |= dict(word.split("=", 1) for word in words[1:])
            else:
                assert words[0] == "az", f"not for az: {line}"
                self._run(words[1:])

    def __call__(self, command, *more):
        """Runs one command and gives its answer; `more` are words that are not to be split."""
        words = [*shlex.split(command), *more]
        output = self._run([*words, "--output", "json"])
        return json.loads(output) if output.strip() else None

    def fails(self, command, *more):
        """Runs a command that is to be refused and gives what it said."""
        try:
            self._run([*shlex.split(command), *more])
        except Failed as error:
            return str(error)
        raise AssertionError(f"az {command} was not refused")

    def _run(self, words):
        done = subprocess.run(
            [self.program, *words], env=self.environment, capture_output=True, text=True, timeout=180, cwd=self.folder
        )
        if done.returncode:
            raise Failed(f"az {shlex.join(words)}: exit code {done.returncode}\n{done.stderr[-3000:]}")
        return done.stdout
