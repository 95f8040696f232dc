"""The agent `service`: starts, stops and restarts services and tells whether they run."""

import os
import re

from muster_plugin import ActionError, Agent
from systemd import Systemd
from sysv import SysV

agent = Agent("service", version="1.0.0")

#: The validator `service_name` of the original, and no option or folder.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,89}")


def services():
    provider = agent.config.get("plugin.service.provider", "auto")
    if provider in ("auto", "puppet"):
        # As sd_booted(3) has it: the folder is there if and only if systemd is what runs.
        provider = "systemd" if os.path.isdir("/run/systemd/system") else "sysv"
    return Systemd() if provider == "systemd" else SysV(agent.config.get("plugin.service.init_folder", "/etc/init.d"))


def checked(data):
    name = data["service"]
    if not NAME.fullmatch(name):
        raise ActionError("%r is not the name of a service" % name[:100], statuscode=4)
    return name


@agent.action
def status(data, call):
    return {"status": services().status(checked(data), call)}


@agent.action
def start(data, call):
    return change(checked(data), "start", "running", call)


@agent.action
def stop(data, call):
    return change(checked(data), "stop", "stopped", call)


@agent.action
def restart(data, call):
    return change(checked(data), "restart", None, call)


def change(name, verb, goal, call):
    """Does it unless it is as it should be, which ends the action as it does in the original."""
    manager = services()
    if manager.status(name, call) == goal:
        raise ActionError("%s is already %s" % (name, goal), data={"status": goal})
    problem = manager.change(name, verb, call)
    after = manager.status(name, call)
    if problem is not None:
        raise ActionError("could not %s %s: %s" % (verb, name, problem), data={"status": after})
    return {"status": after}


agent.run()
