"""Services that systemd runs."""

from commands import last_line, run
from muster_plugin import ActionError

#: Active states in which the service does its work.
RUNNING = ("active", "reloading", "refreshing")


class Systemd:
    def status(self, name, call):
        exitcode, said = run(["systemctl", "show", "--property=LoadState,ActiveState", "--", name], call)
        state = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        if exitcode != 0 or "ActiveState" not in state:
            raise ActionError("systemd was not reached: %s" % last_line(said))
        if state["LoadState"] == "not-found" and state["ActiveState"] == "inactive":
            raise ActionError("there is no service %s on this machine" % name)
        return "running" if state["ActiveState"] in RUNNING else "stopped"

    def change(self, name, verb, call):
        """What went wrong, or None. systemctl returns when the service is up, or down."""
        exitcode, said = run(["systemctl", "--no-ask-password", verb, "--", name], call)
        return None if exitcode == 0 else first_line(said)


def first_line(said):
    """systemctl tells the reason first and then where to read more."""
    return next((line.strip() for line in said.splitlines() if line.strip()), "it said nothing")
