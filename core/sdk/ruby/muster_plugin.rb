# frozen_string_literal: true

# The SDK for plugin authors in Ruby: one file, standard library only, Ruby 2.7 and later.
#
#   require "muster_plugin"
#
#   agent = Muster::Agent.new("greeter", version: "1.0.0")
#   agent.action("hello", name: String) do |data, call|
#     raise Muster::ActionError, "nobody is not somebody to greet" if data["name"] == "nobody"
#
#     { greeting: "Hello, #{data['name']}!" }
#   end
#   agent.run
#
# Handlers run on threads of their own and may block. `puts` goes to the log. The protocol is in core/protocol/README.md.

require "json"

module Muster
  PROTOCOL = 1
  MAX_LINE_BYTES = 4 * 1024 * 1024
  ERROR_NUMBERS = {
    "PARSE" => -32_700, "INVALID" => -32_600, "UNKNOWN_METHOD" => -32_601, "INVALID_PARAMS" => -32_602,
    "INTERNAL" => -32_603, "BUSY" => -32_001, "DEADLINE" => -32_002, "NOT_GRANTED" => -32_003, "GONE" => -32_004,
    "DEPTH" => -32_005, "CONTRACT" => -32_006, "TOO_LARGE" => -32_007, "NOT_FOUND" => -32_008,
    "UNAVAILABLE" => -32_009, "CANCELLED" => -32_800
  }.freeze
  NO_MESSAGE = "this line is no request, response or notification"

  # An error with a stable code. Raise it to answer a call with it; capability calls raise it.
  class Error < StandardError
    attr_reader :code, :data

    def initialize(code, message, data = {})
      super(message)
      @code = code
      @data = data || {}
    end

    def body
      { code: ERROR_NUMBERS.fetch(code, -32_603), message: message, data: data.merge("code" => code) }
    end
  end

  # What a handler can wait for: the end of its call, and answers of the host.
  class Signal
    def initialize
      @lock = Mutex.new
      @changed = ConditionVariable.new
      @answers = {}
      @cancelled = false
    end

    attr_reader :cancelled

    def cancel
      @lock.synchronize do
        @cancelled = true
        @changed.broadcast
      end
    end

    def answered(id, answer)
      @lock.synchronize do
        @answers[id] = answer
        @changed.broadcast
      end
    end

    # The answer to a request, :cancelled, or nil when the time is over. Without an id, only a cancel is waited for.
    def wait(timeout, id = nil)
      ends = timeout && (Muster.now + timeout)
      @lock.synchronize do
        loop do
          return @answers.delete(id) if @answers.key?(id)
          return :cancelled if @cancelled

          left = ends && (ends - Muster.now)
          return nil if left && left <= 0

          @changed.wait(@lock, left)
        end
      end
    end
  end

  # One call as its handler sees it.
  class Call
    # The request behind an agent's action: id, caller, sender, collective, time, ttl.
    attr_accessor :request
    attr_reader :signal

    def initialize(plugin, id, method, meta)
      @plugin = plugin
      @id = id
      @method = method
      @meta = meta
      @ends = meta["deadlineMs"] && (Muster.now + meta["deadlineMs"] / 1000.0)
      @signal = Signal.new
      @request = {}
    end

    # Trace id to pass on, or nil.
    def trace
      @meta["trace"]
    end

    # How deep this call is nested, from 0.
    def depth
      @meta["depth"] || 0
    end

    # The announced plugin that is meant, for a plugin that announced several.
    def plugin
      @meta["plugin"]
    end

    # Seconds that are left, or nil without a deadline.
    def remaining
      @ends && [@ends - Muster.now, 0].max
    end

    def cancelled?
      @signal.cancelled
    end

    # Raises when the caller gave up or the time is over; call it between steps of long work.
    def check
      raise Error.new("CANCELLED", "cancelled") if cancelled?
      raise Error.new("DEADLINE", "the time for it is over") if remaining&.zero?
    end

    # Sleeps, and raises at once when the caller gives up or the time is over.
    def sleep(seconds)
      @signal.wait([seconds, remaining].compact.min)
      check
    end

    # Sends a part of the answer, for methods that stream.
    def progress(value)
      @plugin.send_progress(@id, @method, value)
    end
  end

  def self.now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end

  # A plugin of any kind: register handlers with `handle`, then `run`.
  class Plugin
    # What the host said in `initialize`: bundle, plugin, kind, config, capabilities, stateFolder.
    attr_reader :info

    def initialize(version: "0.0.0")
      @version = version
      @handlers = {
        "initialize" => method(:greet), "activate" => ->(*) { @activate&.call }, "shutdown" => ->(*) { @shutdown&.call }
      }
      @info = {}
      @bytes = {}
      @running = {}
      @waiting = {}
      @queues = {}
      @last_id = 0
      @max_out = MAX_LINE_BYTES
      @lock = Mutex.new
      @out_lock = Mutex.new
    end

    # Registers a handler `|params, call|` for a method of the kind; its value is the result, nil an empty object.
    def handle(method, &handler)
      @handlers[method] = handler
    end

    # Declares what outlives the process: subscriptions, timers, announced plugins.
    def on_activate(&hook)
      @activate = hook
    end

    # The polite end.
    def on_shutdown(&hook)
      @shutdown = hook
    end

    # The configuration values that the manifest lists, validated and typed.
    def config
      @info["config"] || {}
    end

    # The durable folder of this plugin, or nil unless the manifest needs `state`.
    def state_folder
      @info["stateFolder"]
    end

    # Asks the host for a capability, such as `bus/publish`; on behalf of a call its trace, depth and time are passed on.
    def ask(method, params, call = nil, timeout: call&.remaining)
      meta = call ? { depth: call.depth + 1, trace: call.trace }.compact : {}
      meta[:deadlineMs] = [(timeout * 1000).to_i, 1].max if timeout
      # A call that is handed on carries the values of the method that it names.
      meant, values = method == "plugins/call" ? params.values_at(:method, :params) : [method, params]
      meant, values = params.values_at("method", "params") if meant.nil?
      answer = request(call&.signal || Signal.new, timeout) do |id|
        convert(meant, "params", values) { |value| [value].pack("m0") }
        send_line(jsonrpc: "2.0", id: id, method: method, params: params, _meta: meta)
      end
      raise Error.new(answer["error"].dig("data", "code") || "INTERNAL", answer["error"]["message"], answer["error"]["data"]) if answer["error"]

      convert(meant, "result", answer["result"]) { |value| value.unpack1("m0") }
      answer["result"]
    end

    # The fact of this machine at a gjson path, or all of them; nil if there is none. Needs `plugins: [facts]`.
    def facts(path = nil, call = nil)
      params = path ? { path: path } : {}
      ask("plugins/call", { kind: "facts", name: "node", method: "facts/get", params: params }, call)["value"]
    end

    # Writes to the host's log; level is debug, info, warn or error.
    def log(level, message, **fields)
      $stderr.write("#{JSON.generate(fields.merge(level: level, message: message))}\n")
    end

    # Serves the host until it is done. Does not return.
    def run
      input = $stdin.dup.binmode
      @out = $stdout.dup.binmode
      # Whatever prints goes to the log; whatever reads stdin finds its end.
      $stdout.reopen($stderr)
      $stdin.reopen(File::NULL)
      [$stdout, $stderr].each { |stream| stream.sync = true }
      read(input)
      @lock.synchronize { @running.values }.each { |call| call.signal.cancel }
      # What others write is whole before the end.
      @out_lock.synchronize { exit!(0) }
    end

    def send_progress(id, method, value)
      convert(method, "progress", value) { |bytes| [bytes].pack("m0") }
      send_line(jsonrpc: "2.0", method: "$/progress", params: { id: id, value: value })
    end

    private

    # Reading

    def read(input)
      while (line = input.gets("\n", MAX_LINE_BYTES + 2))
        if line.chomp("\n").chomp("\r").bytesize > MAX_LINE_BYTES
          refuse("TOO_LARGE", "this line is longer than was agreed", line)
          line = input.gets("\n", 65_536) until line.nil? || line.end_with?("\n")
        else
          take(line.strip)
        end
      end
    end

    def take(line)
      return if line.empty?

      line.force_encoding(Encoding::UTF_8)
      return refuse("PARSE", "this line is not UTF-8", line) unless line.valid_encoding?

      message = JSON.parse(line)
      return refuse("INVALID", NO_MESSAGE, line) unless message?(message)

      if message["method"].nil? then answered(message)
      elsif message.key?("id") then asked(message)
      else
        notified(message)
      end
    rescue JSON::ParserError, EncodingError, SystemStackError
      refuse("PARSE", "this line is not JSON", line)
    end

    def message?(message)
      return false unless message.is_a?(Hash) && message["jsonrpc"] == "2.0"
      return false unless [nil, String, Integer].any? { |kind| kind === message["id"] }

      message["method"].is_a?(String) || (!message.key?("method") && message.key?("id") && (message.key?("result") || message.key?("error")))
    end

    def answered(message)
      signal = @lock.synchronize { @waiting.delete(message["id"]) }
      signal&.answered(message["id"], message)
    end

    def notified(message)
      params = message["params"] || {}
      if message["method"] == "$/cancel"
        call = @lock.synchronize { @running[params["id"]] }
        call&.signal&.cancel
      elsif (handler = @handlers[message["method"]])
        start { outcome(message["method"], handler, params, Call.new(self, nil, message["method"], {})) }
      end
    end

    def asked(message)
      id, method = message.values_at("id", "method")
      params = message.fetch("params", {})
      return send_line(jsonrpc: "2.0", id: id, result: {}) if method == "ping"
      return answer_error(id, Error.new("INVALID_PARAMS", "params must be an object")) unless params.is_a?(Hash)

      handler = @handlers[method]
      return answer_error(id, Error.new("UNKNOWN_METHOD", "unknown method #{method}")) unless handler

      call = Call.new(self, id, method, message["_meta"] || {})
      @lock.synchronize { @running[id] = call }
      in_order(delivery_key(method, params)) { serve(id, method, handler, params, call) }
    end

    # Running

    def serve(id, method, handler, params, call)
      result = outcome(method, handler, params, call)
      @lock.synchronize { @running.delete(id) }
      return answer_error(id, result) if result.is_a?(Error)

      send_line(jsonrpc: "2.0", id: id, result: result.nil? ? {} : result)
    rescue Error, JSON::GeneratorError, EncodingError => e
      answer_error(id, e.is_a?(Error) ? e : Error.new("INTERNAL", "the answer is no JSON: #{e.message}"))
    end

    # The result, or the error that ended it. Whatever a handler raises ends its call and nothing else.
    def outcome(method, handler, params, call)
      convert(method, "params", params) { |value| value.unpack1("m0") }
      result = handler.call(params, call)
      convert(method, "result", result) { |value| [value].pack("m0") }
      result
    rescue Error => e
      e
    rescue StandardError, ScriptError, SystemStackError => e
      log("error", "#{method} failed: #{e.class}: #{e.message}", at: e.backtrace&.first, trace: call.trace)
      Error.new("INTERNAL", e.message.empty? ? e.class.name : e.message)
    end

    def start(&job)
      Thread.new(&job).report_on_exception = true
    end

    # Deliveries of one subscription come one after the other; all else side by side.
    def in_order(key, &job)
      return start(&job) if key.nil?

      first = @lock.synchronize do
        queue = @queues[key]
        queue ? queue.push(job) : @queues[key] = [job]
        queue.nil?
      end
      start { work_through(key) } if first
    end

    def work_through(key)
      loop do
        job = @lock.synchronize { @queues[key].shift || (@queues.delete(key) && nil) }
        return if job.nil?

        job.call
      end
    end

    # Names what has to keep its order; nil for ordinary calls.
    def delivery_key(method, params)
      case method
      when "bus/message" then ["bus", params["subscription"]]
      when "events/event", "timers/fire", "plugins/changed" then [method, params["id"], params["kind"]]
      when "process/output", "process/exit" then ["process", params["id"]]
      end
    end

    def request(signal, timeout)
      id = @lock.synchronize do
        @last_id += 1
        @waiting[@last_id] = signal
        @last_id
      end
      yield id
      answer = signal.wait(timeout, id)
      return answer if answer.is_a?(Hash)

      send_line(jsonrpc: "2.0", method: "$/cancel", params: { id: id })
      raise answer == :cancelled ? Error.new("CANCELLED", "cancelled") : Error.new("DEADLINE", "the host did not answer in time")
    ensure
      @lock.synchronize { @waiting.delete(id) }
    end

    def greet(params, _call)
      min, max = (params["protocol"] || {}).values_at("min", "max").map { |version| version || PROTOCOL }
      unless PROTOCOL.between?(min, max)
        raise Error.new("INVALID_PARAMS", "the host speaks protocol #{min} to #{max}, this plugin #{PROTOCOL} to #{PROTOCOL}")
      end

      @info = params
      @bytes = params["bytes"] || {}
      @max_out = params.dig("limits", "maxLineBytes") || MAX_LINE_BYTES
      { protocol: PROTOCOL, version: @version, activates: !@activate.nil? }
    end

    # Writing

    def refuse(code, reason, line)
      start = line.byteslice(0, 320).force_encoding(Encoding::UTF_8).scrub("?")[0, 80]
      answer_error(nil, Error.new(code, "#{reason}: #{start}"))
    end

    def answer_error(id, error)
      send_line(jsonrpc: "2.0", id: id, error: error.body)
    end

    def send_line(message)
      line = JSON.generate(message)
      if line.bytesize > @max_out
        raise Error.new("TOO_LARGE", "the message has #{line.bytesize} bytes, the other side accepts #{@max_out}; hand it over in a file")
      end

      @out_lock.synchronize { @out.write(line, "\n").tap { @out.flush } }
    rescue Errno::EPIPE
      exit!(0) # the host is gone
    end

    # Bytes are base64 on the pipe; `initialize` says where they are.
    def convert(method, part, value, &change)
      (@bytes.dig(method, part) || []).each { |path| change_at(value, path, &change) }
    end

    def change_at(value, path, &change)
      head, *rest = path
      keys_of(value, head).each do |key|
        if rest.empty? then value[key] = change.call(value[key]) unless value[key].nil?
        else
          change_at(value[key], rest, &change)
        end
      end
    end

    # `*` stands for every element; what a handler makes may have symbols as keys.
    def keys_of(value, head)
      return value.each_index if head == "*" && value.is_a?(Array)

      value.is_a?(Hash) ? [head, head.to_sym].select { |key| value.key?(key) } : []
    end
  end

  # Ends an action with a status: 1 aborted, 3 missing data, 4 invalid data, 5 unknown error.
  class ActionError < StandardError
    attr_reader :status, :data

    def initialize(message = "aborted", status: 1, data: {})
      super(message)
      @status = status
      @data = data
    end
  end

  # A plugin of kind `agent`: each action is a block `|data, call|` whose value is the data of the reply.
  class Agent < Plugin
    def initialize(name, version: "0.0.0")
      super(version: version)
      @name = name
      @actions = {}
      handle("agent/invoke") { |params, call| invoke(params, call) }
    end

    # Registers an action by its name in the DDL. Inputs that it needs may be named with what they have to match, such as
    # `pid: Integer`; a list of choices with nil in it may be missing: `signal: [String, nil]`.
    def action(name, **inputs, &block)
      @actions[name] = [block, inputs]
    end

    private

    def invoke(params, call)
      block, inputs = @actions[params["action"]]
      return reply(2, "Unknown action #{params['action']} for agent #{@name}") unless block

      call.request = params["request"] || {}
      data = params["data"] || {}
      inputs.each { |input, wanted| check(input.to_s, data[input.to_s], wanted.is_a?(Array) ? wanted : [wanted]) }
      reply(0, "OK", block.call(data, call) || {})
    rescue ActionError => e
      reply(e.status, e.message, e.data)
    end

    def check(input, value, wanted)
      return if wanted.any? { |kind| kind === value }
      raise ActionError.new("input #{input} is missing", status: 3) if value.nil?

      raise ActionError.new("input #{input} must be #{wanted.compact.join(' or ')}", status: 4)
    end

    def reply(status, message, data = {})
      { statuscode: status, statusmsg: message, data: data }
    end
  end
end
