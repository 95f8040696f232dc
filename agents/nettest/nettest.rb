# frozen_string_literal: true

# The agent `nettest`: whether other machines can be reached from this one, with the inputs and outputs of MCollective's.

require "muster_plugin"
require "securerandom"
require "socket"

# Time for one try, where the request leaves more.
LIMIT = 5
# How often a wait looks whether the caller gave up.
GLANCE = 0.1
# What is left of the time of a call to tell the caller that nothing came.
RESERVE = 0.5

# The time was over before the other side answered.
class TimedOut < StandardError; end

# An end that a wait keeps to: of the try, and of the call.
class Limit
  def initialize(call)
    @call = call
    left = call.remaining && call.remaining - RESERVE
    @ends = Muster.now + [LIMIT, left].compact.min
  end

  def left
    @call.check
    left = @ends - Muster.now
    raise TimedOut if left <= 0

    left
  end

  def readable(socket)
    nil until IO.select([socket], nil, nil, [left, GLANCE].min)
  end

  def writable(socket)
    nil until IO.select(nil, [socket], nil, [left, GLANCE].min)
  end

  # The system's resolver has a time limit of its own, which is longer than ours.
  def addresses(host, port, type)
    thread = Thread.new { Addrinfo.getaddrinfo(host, port, nil, type) }
    thread.report_on_exception = false
    nil until thread.join([left, GLANCE].min)
    thread.value
  end
end

# One ICMP echo and its answer, by a datagram socket, as `ping` does it without privileges, or by a raw one.
class Echo
  KINDS = {
    Socket::AF_INET => { protocol: Socket::IPPROTO_ICMP, request: 8, reply: 0 },
    Socket::AF_INET6 => { protocol: Socket::IPPROTO_ICMPV6, request: 128, reply: 129 }
  }.freeze

  def initialize(address)
    @address = address
    @kind = KINDS.fetch(address.afamily)
    # What the answer is known by: the kernel puts an id of its own into the packets of datagram sockets.
    @payload = SecureRandom.bytes(32)
  end

  # Milliseconds until the answer came.
  def round_trip(limit)
    socket = open
    started = Muster.now
    socket.send(packet, 0, @address)
    loop do
      limit.readable(socket)
      received, = socket.recvfrom(2048)
      return ((Muster.now - started) * 1000).round(3) if answer?(received)
    end
  ensure
    socket&.close
  end

  private

  def open
    Socket.new(@address.afamily, Socket::SOCK_DGRAM, @kind[:protocol])
  rescue Errno::EACCES, Errno::EPERM, Errno::EPROTONOSUPPORT
    Socket.new(@address.afamily, Socket::SOCK_RAW, @kind[:protocol])
  end

  def packet
    header = [@kind[:request], 0, 0, Process.pid & 0xffff, 1]
    header[2] = checksum((header.pack("CCnnn") + @payload).unpack("n*"))
    header.pack("CCnnn") + @payload
  end

  def checksum(words)
    sum = words.sum
    sum = (sum & 0xffff) + (sum >> 16) while sum > 0xffff
    ~sum & 0xffff
  end

  # A raw socket sees all that comes, of IPv4 with the header before it.
  def answer?(received)
    received.end_with?(@payload) && received.getbyte(received.bytesize - @payload.bytesize - 8) == @kind[:reply]
  end
end

def connect(address, limit)
  socket = Socket.new(address.afamily, Socket::SOCK_STREAM)
  return if socket.connect_nonblock(address, exception: false) != :wait_writable

  limit.writable(socket)
  problem = socket.getsockopt(Socket::SOL_SOCKET, Socket::SO_ERROR).int
  raise SystemCallError.new(nil, problem) unless problem.zero?
ensure
  socket&.close
end

# The first address that takes the connection; the problem of the last one if none does.
def connect_to_any(host, port, limit)
  addresses = limit.addresses(host, port, :STREAM)
  addresses.each_with_index do |address, index|
    return connect(address, limit)
  rescue SystemCallError
    raise if index == addresses.size - 1
  end
end

agent = Muster::Agent.new("nettest", version: "1.0.0")

agent.action("ping", fqdn: String) do |data, call|
  limit = Limit.new(call)
  address, = limit.addresses(data["fqdn"], nil, :DGRAM)
  { rtt: Echo.new(address).round_trip(limit) }
rescue TimedOut
  raise Muster::ActionError, "#{data['fqdn']} did not answer in time"
rescue Errno::EACCES, Errno::EPERM
  raise Muster::ActionError, "ICMP is not permitted to this process; the kernel parameter net.ipv4.ping_group_range may allow it"
rescue SocketError, SystemCallError => e
  raise Muster::ActionError, "#{data['fqdn']} can't be reached: #{e.message}"
end

agent.action("connect", fqdn: String, port: 1..65_535) do |data, call|
  started = Muster.now
  status = begin
    connect_to_any(data["fqdn"], data["port"], Limit.new(call))
    "Connected"
  rescue Errno::ECONNREFUSED
    "Connection Refused"
  rescue TimedOut, Errno::ETIMEDOUT
    "Connection timeout"
  rescue SocketError, SystemCallError => e
    e.message
  end
  { connect: status == "Connected", connect_status: status, connect_time: (Muster.now - started).round(6) }
end

agent.run
