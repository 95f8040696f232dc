"""The SDK for plugin authors in Python: one file, standard library only, Python 3.8 and later.

    from muster_plugin import Agent

    agent = Agent("greeter")

    @agent.action
    def hello(data, call):
        return {"text": "Hello, " + data["name"]}

    agent.run()

Handlers are plain functions and may block: while one runs, pings are answered, cancels arrive, and other calls run on
other threads. `print` goes to the log. The protocol is in core/protocol/README.md.
"""

import base64
import collections
import dataclasses
import inspect
import json
import logging
import os
import sys
import threading
import time
import types
import typing

PROTOCOL = 1
_get_ident = threading.get_ident
DEFAULT_MAX_LINE_BYTES = 4 * 1024 * 1024
# A handler that runs for longer than this no longer holds up what comes after it.
TAKE_OVER_SECONDS = 0.005
FLUSH_LINES = 512

_raw_decode = json.JSONDecoder().raw_decode


def _make_encoder():
    """`json.dumps` without what it does anew for each call; where Python has no C encoder, the ordinary one."""
    encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    parts = make(None, encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False)
    return lambda value: "".join(parts(value, 0))


_encode = _make_encoder()


def _decode(line):
    text = line.decode()
    try:
        value, end = _raw_decode(text)
        if end == len(text):
            return value
    except ValueError:
        pass
    return json.loads(text)

ERROR_CODES = {
    "PARSE": -32700, "INVALID": -32600, "UNKNOWN_METHOD": -32601, "INVALID_PARAMS": -32602, "INTERNAL": -32603,
    "BUSY": -32001, "DEADLINE": -32002, "NOT_GRANTED": -32003, "GONE": -32004, "DEPTH": -32005, "CONTRACT": -32006,
    "TOO_LARGE": -32007, "NOT_FOUND": -32008, "UNAVAILABLE": -32009, "CANCELLED": -32800,
}  # fmt: skip


class PluginError(Exception):
    """An error with a stable code. Raise it to answer a call with it; capability calls raise it."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data or {}

    def body(self):
        return {"code": ERROR_CODES.get(self.code, -32603), "message": self.message, "data": {**self.data, "code": self.code}}


class Call:
    """One call as its handler sees it."""

    #: The request behind an agent's action: id, caller, sender, collective, time, ttl.
    request = {}
    _cancelled = False
    _wake = None

    def __init__(self, plugin, id_, method, meta, now):
        self._plugin = plugin
        self._id = id_
        self._method = method
        self._meta = meta
        self._since = now

    @property
    def trace(self):
        """Trace id to pass on, or None."""
        return self._meta.get("trace")

    @property
    def depth(self):
        """How deep this call is nested, from 0."""
        return self._meta.get("depth", 0)

    @property
    def plugin(self):
        """The announced plugin that is meant, for a plugin that announced several."""
        return self._meta.get("plugin")

    @property
    def cancelled(self):
        """True once the caller gave up."""
        return self._cancelled

    def remaining(self):
        """Seconds that are left, or None without a deadline."""
        deadline = self._meta.get("deadlineMs")
        return None if deadline is None else self._since + deadline / 1000 - time.monotonic()

    def check(self):
        """Raises when the caller gave up; call it between steps of long work."""
        if self._cancelled:
            raise PluginError("CANCELLED", "cancelled")

    def sleep(self, seconds):
        """Sleeps, and raises at once when the caller gives up."""
        self._plugin._step_aside()
        self._wake = threading.Event()
        if not self._cancelled:
            self._wake.wait(seconds)
        self.check()

    def _cancel(self):
        self._cancelled = True
        if self._wake is not None:
            self._wake.set()

    def progress(self, value):
        """Sends a part of the answer, for methods that stream."""
        self._plugin._send({"jsonrpc": "2.0", "method": "$/progress", "params": {"id": self._id, "value": value}})


class Plugin:
    """A plugin of any kind: register handlers with `@plugin.method(name)`, then `plugin.run()`.

    `activate` and `shutdown` may be given as functions without arguments.
    """

    def __init__(self, version="0.0.0", activate=None, shutdown=None):
        self.version = version
        self._activate = activate
        self._shutdown = shutdown
        self._methods = {}
        #: What the host said in `initialize`: config, capabilities, stateFolder, kind, plugin, bundle …
        self.info = {}
        self._bytes = {}
        self._running = {}
        self._waiting = {}
        self._last_id = 0
        self._max_line = DEFAULT_MAX_LINE_BYTES
        self._max_out = DEFAULT_MAX_LINE_BYTES
        # The one thread that reads is the leader; it also runs handlers, and gives the reading away when one takes long.
        self._leader = None
        self._lines = collections.deque()
        self._rest = b""
        self._skipping = False
        self._ended = False
        self._slow = set()
        self._current = None
        # Deliveries that wait for the one before; a key is there as long as a thread works on it.
        self._queues = {}
        self._spare = []
        self._lock = threading.Lock()
        self._out = collections.deque()
        self._out_lock = threading.Lock()
        self._turn = 0
        self._now = 0.0
        self._busy = False
        self._parked = True
        self._work = threading.Event()

    @property
    def config(self):
        """The configuration values that the manifest lists, validated and typed."""
        return self.info.get("config", {})

    @property
    def state_folder(self):
        """The durable folder of this plugin, or None unless the manifest needs `state`."""
        return self.info.get("stateFolder")

    def method(self, name):
        """Registers a handler `(params, call) -> result` for a method of the kind."""

        def register(handler):
            self._methods[name] = handler
            return handler

        return register

    def call(self, method, params, on_behalf_of=None, timeout=None):
        """Asks the host for a capability, such as `bus/publish`. Raises PluginError when it is refused or fails."""
        self._step_aside()
        meta = {}
        if on_behalf_of is not None:
            meta["depth"] = on_behalf_of.depth + 1
            if on_behalf_of.trace is not None:
                meta["trace"] = on_behalf_of.trace
            if timeout is None:
                timeout = on_behalf_of.remaining()
        if timeout is not None:
            meta["deadlineMs"] = max(1, int(timeout * 1000))
        answer = [threading.Event(), None]
        with self._lock:
            self._last_id += 1
            id_ = self._last_id
            self._waiting[id_] = answer
        # A call that is handed on carries the values of the method that it names.
        forwarded = method == "plugins/call"
        meant = params["method"] if forwarded else method
        self._convert(meant, "params", params["params"] if forwarded else params, _to_base64)
        self._send({"jsonrpc": "2.0", "id": id_, "method": method, "params": params, "_meta": meta})
        if not answer[0].wait(timeout):
            self._waiting.pop(id_, None)
            self._send({"jsonrpc": "2.0", "method": "$/cancel", "params": {"id": id_}})
            raise PluginError("DEADLINE", method + " was not answered in time")
        message = answer[1]
        if message is None:
            raise PluginError("GONE", "the host is gone")
        if "error" in message:
            error = message["error"]
            data = error.get("data") or {}
            raise PluginError(data.get("code", "INTERNAL"), error.get("message", ""), data)
        result = message.get("result")
        self._convert(meant, "result", result, base64.b64decode)
        return result

    def facts(self, path=None, on_behalf_of=None):
        """The fact of this machine at a gjson path, or all of them; None if there is none. Needs `plugins: [facts]`."""
        params = {} if path is None else {"path": path}
        asked = {"kind": "facts", "name": "node", "method": "facts/get", "params": params}
        return self.call("plugins/call", asked, on_behalf_of)["value"]

    def log(self, level, message, **fields):
        """Writes to the host's log; level is debug, info, warn or error."""
        sys.stderr.write(json.dumps({**fields, "level": level, "message": message}) + "\n")
        sys.stderr.flush()

    def run(self):
        """Serves the host until it is done. Does not return."""
        self._in = os.dup(0)
        self._to_host = os.dup(1)
        # Whatever prints goes to the log; whatever reads stdin finds its end.
        os.dup2(2, 1)
        # What was printed before this is still in the buffer.
        sys.stdout.flush()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        sys.stdout = sys.stderr
        if not logging.root.handlers:
            logging.basicConfig(level=logging.INFO, handlers=[_LogHandler(self)])
        threading.Thread(target=self._watch, daemon=True).start()
        self._leader = threading.get_ident()
        self._lead()
        # Led on by another thread; the process ends when the host closes the pipe.
        threading.Event().wait()

    # The reading thread

    def _lead(self):
        me = threading.get_ident()
        lines = self._lines
        while self._leader == me:
            line = lines.popleft() if lines else self._next_line()
            if line is None:
                self._leave()
            self._turn += 1
            self._busy = True
            self._take(line)
            with self._lock:
                if self._leader == me:
                    self._busy = False

    def _next_line(self):
        while not self._lines:
            self._flush()
            if self._ended:
                return None
            chunk = os.read(self._in, 65536)
            self._now = time.monotonic()
            if not chunk:
                self._ended = True
                if self._rest:
                    self._lines.append(self._rest)
                continue
            if self._parked:
                self._work.set()
            self._split(chunk)
        return self._lines.popleft()

    def _split(self, chunk):
        first, *more = chunk.split(b"\n")
        self._rest += first
        for piece in more:
            if self._skipping:
                self._skipping = False
            else:
                self._lines.append(self._rest)
            self._rest = piece
        if len(self._rest) > self._max_line:
            self._refuse("TOO_LARGE", "this line is longer than was agreed", self._rest)
            self._rest = b""
            self._skipping = True
        elif self._skipping:
            self._rest = b""

    def _take(self, line):
        if len(line) > self._max_line:
            self._refuse("TOO_LARGE", "this line is longer than was agreed", line)
            return
        try:
            message = _decode(line)
        except (ValueError, RecursionError):
            if line.strip():
                self._refuse("PARSE", "this line is not JSON", line)
            return
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self._refuse("INVALID", "this line is no request, response or notification", line)
        elif isinstance(message.get("method"), str):
            self._asked(message)
        elif "id" in message and ("result" in message or "error" in message):
            answer = self._waiting.pop(message["id"], None)
            if answer is not None:
                answer[1] = message
                answer[0].set()
        else:
            self._refuse("INVALID", "this line is no request, response or notification", line)

    def _asked(self, message):
        method = message["method"]
        params = message.get("params")
        if params is None:
            params = {}
        if "id" not in message:
            if method == "$/cancel" and isinstance(params, dict):
                call = self._running.get(params.get("id"))
                if call is not None:
                    call._cancel()
            return
        id_ = message["id"]
        if id_ is not None and not isinstance(id_, (int, str)):
            self._refuse("INVALID", "this line is no request, response or notification", _encode(message).encode())
        elif method == "ping":
            self._send({"jsonrpc": "2.0", "id": id_, "result": {}})
        elif not isinstance(params, dict):
            self._answer_error(id_, PluginError("INVALID_PARAMS", "params must be an object"))
        else:
            self._serve(id_, method, params, message.get("_meta") or {})

    def _serve(self, id_, method, params, meta):
        handler = self._methods.get(method)
        if handler is None:
            handler = {"initialize": self._initialize, "activate": self._activated, "shutdown": self._shut_down}.get(method)
        if handler is None:
            self._answer_error(id_, PluginError("UNKNOWN_METHOD", "unknown method " + method))
            return
        call = self._running[id_] = Call(self, id_, method, meta, self._now)
        key = _delivery_key(method, params)
        if key is None:
            self._perform(id_, method, handler, params, call)
            return
        with self._lock:
            if key in self._queues:
                self._queues[key].append((id_, method, handler, params, call))
                return
            queue = self._queues[key] = collections.deque([(id_, method, handler, params, call)])
        while True:
            with self._lock:
                if not queue:
                    del self._queues[key]
                    return
                job = queue.popleft()
            self._perform(*job)

    def _perform(self, id_, method, handler, params, call):
        self._current = call
        slow = method in self._slow
        if slow:
            started = time.monotonic()
            self._step_aside()
        try:
            if method in self._bytes:
                self._convert(method, "params", params, base64.b64decode)
            result = handler(params, call)
            if method in self._bytes:
                self._convert(method, "result", result, _to_base64)
            text = '{"jsonrpc":"2.0","id":%s,"result":%s}\n' % (id_ if type(id_) is int else _encode(id_), "{}" if result is None else _encode(result))
        except PluginError as error:
            self._answer_error(id_, error)
        except Exception as error:
            self.log("error", "%s failed: %s: %s" % (method, type(error).__name__, error), trace=call.trace)
            self._answer_error(id_, PluginError("INTERNAL", str(error) or type(error).__name__))
        else:
            if len(text) > self._max_out:
                reason = "the message has %d bytes, the other side accepts %d; hand it over in a file" % (len(text), self._max_out)
                self._answer_error(id_, PluginError("TOO_LARGE", reason))
            else:
                self._write(text)
        finally:
            self._running.pop(id_, None)
            if slow and time.monotonic() - started < TAKE_OVER_SECONDS:
                self._slow.discard(method)

    # Giving the reading away

    def _step_aside(self):
        """Lets another thread read on, if this one is the reader: it is about to wait."""
        if self._leader == threading.get_ident():
            self._hand_over(self._turn)

    def _hand_over(self, turn):
        with self._lock:
            if not self._busy or self._turn != turn:
                return
            self._busy = False
            if self._spare:
                self._leader, wake = self._spare.pop()
                wake.set()
            else:
                # It leads as soon as it runs; until then nobody reads.
                self._leader = None
                threading.Thread(target=self._follow, daemon=True).start()
        self._flush()

    def _follow(self):
        me = threading.get_ident()
        self._leader = me
        while True:
            self._lead()
            # Done with what took long: rest until the reading comes round again.
            wake = threading.Event()
            with self._lock:
                self._spare.append((me, wake))
            wake.wait()

    def _watch(self):
        """Takes the reading away from a handler that holds it for too long."""
        while True:
            self._parked = True
            self._work.wait()
            self._parked = False
            self._work.clear()
            idle = 0
            while idle < 100:
                turn = self._turn
                time.sleep(TAKE_OVER_SECONDS)
                if self._busy and self._turn == turn:
                    if self._current is not None:
                        # Next time it is known to take long, and steps aside by itself.
                        self._slow.add(self._current._method)
                    self._hand_over(turn)
                idle = 0 if self._turn != turn or self._busy else idle + 1

    # Life

    def _initialize(self, params, call):
        offered = params.get("protocol") or {}
        if not offered.get("min", 1) <= PROTOCOL <= offered.get("max", 1):
            raise PluginError("INVALID_PARAMS", "the host speaks protocol %s to %s, this plugin %d to %d" % (offered.get("min"), offered.get("max"), PROTOCOL, PROTOCOL))
        self.info = params
        self._bytes = params.get("bytes") or {}
        limits = params.get("limits") or {}
        self._max_out = limits.get("maxLineBytes", DEFAULT_MAX_LINE_BYTES)
        return {"protocol": PROTOCOL, "version": self.version, "activates": self._activate is not None}

    def _activated(self, params, call):
        if self._activate is not None:
            self._activate()
        return {}

    def _shut_down(self, params, call):
        if self._shutdown is not None:
            self._shutdown()
        return {}

    def _leave(self):
        for answer in list(self._waiting.values()):
            answer[0].set()
        for call in list(self._running.values()):
            call._cancel()
        self._flush()
        os._exit(0)

    # Writing

    def _refuse(self, code, reason, line):
        error = PluginError(code, "%s: %s" % (reason, line[:80].decode("utf-8", "replace")))
        self._answer_error(None, error)

    def _answer_error(self, id_, error):
        self._send({"jsonrpc": "2.0", "id": id_, "error": error.body()})

    def _send(self, message):
        self._write(_encode(message) + "\n")

    def _write(self, text):
        self._out.append(text)
        # The reader writes when it has nothing more to do; others at once.
        if len(self._out) >= FLUSH_LINES or self._leader != _get_ident():
            self._flush()

    def _flush(self):
        if not self._out:
            return
        with self._out_lock:
            lines = []
            while self._out:
                lines.append(self._out.popleft())
            data = memoryview("".join(lines).encode("ascii"))
            while data:
                try:
                    data = data[os.write(self._to_host, data) :]
                except BrokenPipeError:
                    os._exit(0)

    def _convert(self, method, part, value, change):
        for path in (self._bytes.get(method) or {}).get(part, ()):
            _at(value, path, change)


def _delivery_key(method, params):
    """Names what comes one after the other; None for ordinary calls, which run side by side."""
    if method == "bus/message":
        return method, params.get("subscription")
    if method in ("events/event", "timers/fire", "plugins/changed"):
        return method, params.get("id"), params.get("kind")
    if method in ("process/output", "process/exit"):
        return "process", params.get("id")
    return None


class _LogHandler(logging.Handler):
    """Gives what is logged with the standard library to the host, with its level."""

    def __init__(self, plugin):
        super().__init__()
        self._plugin = plugin
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record):
        level = "error" if record.levelno >= 40 else "warn" if record.levelno >= 30 else "info" if record.levelno >= 20 else "debug"
        self._plugin.log(level, self.format(record), logger=record.name)


def _to_base64(value):
    return base64.b64encode(value).decode("ascii")


def _at(value, path, change):
    """Changes the values at a path in place; `*` stands for every element."""
    head, rest = path[0], path[1:]
    keys = range(len(value)) if head == "*" and isinstance(value, list) else (head,) if isinstance(value, dict) and head in value else ()
    for key in keys:
        if rest:
            _at(value[key], rest, change)
        elif value[key] is not None:
            value[key] = change(value[key])


class ActionError(Exception):
    """Ends an action with a status: 1 aborted, 3 missing data, 4 invalid data, 5 unknown error."""

    def __init__(self, message, statuscode=1, data=None):
        super().__init__(message)
        self.statuscode = statuscode
        self.data = data or {}


_JSON_TYPES = {str: "text", bool: "true or false", int: "a whole number", float: "a number", list: "a list", dict: "an object"}


def _fits(value, wanted):
    """Whether a JSON value has a type of Python's; of a generic one only the outside is looked at."""
    outer = typing.get_origin(wanted) or wanted
    if wanted is typing.Any:
        return True
    if outer is typing.Union or outer is getattr(types, "UnionType", None):
        return any(_fits(value, choice) for choice in typing.get_args(wanted))
    if outer is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if outer is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return not isinstance(outer, type) or isinstance(value, outer)


def _input_of(function):
    """What makes the first argument of an action: its data as it is, or the dataclass that the action asks for."""
    first = next(iter(inspect.signature(function).parameters), None)
    try:
        wanted = typing.get_type_hints(function).get(first)
    except NameError:
        # Names that only type checkers import.
        wanted = None
    if not dataclasses.is_dataclass(wanted):
        return lambda data: data
    hints = typing.get_type_hints(wanted)
    fields = [field for field in dataclasses.fields(wanted) if field.init]

    def make(data):
        given = {}
        for field in fields:
            if field.name in data:
                hint = hints[field.name]
                if not _fits(data[field.name], hint):
                    kind = _JSON_TYPES.get(typing.get_origin(hint) or hint, hint)
                    raise ActionError("input %s must be %s" % (field.name, kind), statuscode=4)
                given[field.name] = data[field.name]
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise ActionError("input %s is missing" % field.name, statuscode=3)
        return wanted(**given)

    return make


class Agent(Plugin):
    """A plugin of kind `agent`: each action is a function `(data, call) -> data`, named as in the DDL.

    `data` is a dict, or of the dataclass that the function's annotation names.
    """

    def __init__(self, name, version="0.0.0", **options):
        super().__init__(version=version, **options)
        self.name = name
        self._actions = {}
        self._methods["agent/invoke"] = self._invoke

    def action(self, function=None, name=None):
        """Registers an action, as `@agent.action` or `@agent.action(name="restart")`."""
        if function is None:
            return lambda inner: self.action(inner, name)
        self._actions[name or function.__name__] = (function, _input_of(function))
        return function

    def _invoke(self, params, call):
        action, input_of = self._actions.get(params.get("action"), (None, None))
        if action is None:
            return {"statuscode": 2, "statusmsg": "Unknown action %s for agent %s" % (params.get("action"), self.name), "data": {}}
        call.request = params.get("request") or {}
        try:
            data = action(input_of(params.get("data") or {}), call)
            return {"statuscode": 0, "statusmsg": "OK", "data": {} if data is None else data}
        except ActionError as error:
            return {"statuscode": error.statuscode, "statusmsg": str(error), "data": error.data}
