"""How programs are run here: without a shell, apart from this process, with nothing of its environment."""

import os
import subprocess
import tempfile

from muster_plugin import ActionError

#: The last bytes of what a program said; the reason of a failure is its last line.
SAID_BYTES = 4096


def run(argv, call):
    """Its exit code and what it said. A service that an init script starts inherits the output and the session: a file in
    place of a pipe does not wait for its end, and a session of its own does not end with this agent."""
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(
                argv, cwd="/", env=environment(), stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )
        except OSError as error:
            raise ActionError("%s could not be run: %s" % (argv[0], error.strerror)) from None
        try:
            exitcode = child.wait(call.remaining())
        except subprocess.TimeoutExpired:
            raise ActionError("%s did not end in time and is left to itself" % " ".join(argv)) from None
        said.seek(max(0, said.seek(0, os.SEEK_END) - SAID_BYTES))
        return exitcode, said.read().decode("utf-8", "replace")


def environment():
    path = "%s:/usr/sbin:/usr/bin:/sbin:/bin" % os.environ.get("PATH", "/usr/local/bin")
    return {"PATH": path, "LC_ALL": "C.UTF-8", "TERM": "dumb"}


def last_line(said):
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
