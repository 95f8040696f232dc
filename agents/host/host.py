"""The agent `host`: disks, load, processes and users of this machine, as the kernel tells them."""

import os
import pwd
import time

from muster_plugin import ActionError, Agent

agent = Agent("host", version="1.0.0")

PSEUDO = {"proc", "sysfs", "devpts", "cgroup", "cgroup2", "mqueue", "securityfs", "debugfs", "tracefs", "bpf", "pstore", "configfs"}
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


@agent.action
def disks(data, call):
    wanted = data.get("path")
    if wanted is not None and not os.path.exists(wanted):
        raise ActionError("there is no %s on this machine" % wanted, statuscode=4)
    mounts = {}
    for line in read("/proc/mounts").splitlines():
        device, mount, kind = line.split(" ")[:3]
        if kind not in PSEUDO:
            mounts[mount.replace("\\040", " ")] = (device, kind)
    if wanted is not None:
        inside = [mount for mount in mounts if (os.path.realpath(wanted) + "/").startswith(mount.rstrip("/") + "/")]
        mounts = {max(inside, key=len): mounts[max(inside, key=len)]} if inside else {}
    found = []
    for mount, (device, kind) in sorted(mounts.items()):
        call.check()
        try:
            stat = os.statvfs(mount)
        except OSError:
            continue
        if stat.f_blocks == 0:
            continue
        size, free = stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize
        used = round(100 * (1 - stat.f_bfree / stat.f_blocks), 1)
        found.append({"mount": mount, "device": device, "type": kind, "size_bytes": size, "free_bytes": free, "used_percent": used})
    return {"disks": found, "fullest": max((disk["used_percent"] for disk in found), default=0)}


@agent.action
def load(data, call):
    one, five, fifteen = os.getloadavg()
    memory = {}
    for line in read("/proc/meminfo").splitlines():
        name, rest = line.split(":", 1)
        memory[name] = int(rest.split()[0]) * 1024
    return {
        "load1": round(one, 2),
        "load5": round(five, 2),
        "load15": round(fifteen, 2),
        "cpus": os.cpu_count(),
        "memory_bytes": memory["MemTotal"],
        "memory_available_bytes": memory.get("MemAvailable", memory["MemFree"]),
    }


@agent.action
def processes(data, call):
    pattern, limit = data.get("pattern", ""), data.get("limit", 20)
    boot = time.time() - float(read("/proc/uptime").split()[0])
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        call.check()
        try:
            process = describe(pid, boot)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked
        if pattern in process["command"]:
            found.append(process)
    found.sort(key=lambda process: process["memory_bytes"], reverse=True)
    return {"count": len(found), "processes": found[:limit]}


def describe(pid, boot):
    stat = read("/proc/%s/stat" % pid)
    name, fields = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
    command = read("/proc/%s/cmdline" % pid).replace("\0", " ").strip() or "[%s]" % name
    return {
        "pid": int(pid),
        "user": user_name(os.stat("/proc/%s" % pid).st_uid),
        "command": command[:200],
        "memory_bytes": int(fields[21]) * PAGE_BYTES,
        "cpu_seconds": round((int(fields[11]) + int(fields[12])) / CLOCK_TICKS, 2),
        "started": int(boot + int(fields[19]) / CLOCK_TICKS),
    }


def user_name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@agent.action
def users(data, call):
    people = data.get("people", False)
    entries = [entry for entry in pwd.getpwall() if not people or entry.pw_uid >= 1000 or entry.pw_uid == 0]
    names = [{"name": entry.pw_name, "uid": entry.pw_uid, "home": entry.pw_dir, "shell": entry.pw_shell} for entry in entries]
    return {"count": len(names), "users": sorted(names, key=lambda user: user["uid"])}


agent.run()
