#!/bin/sh
# The agent `uptime`, one process a call: params on stdin, the reply on stdout. It has one action, so it need not read them.
set -eu
read -r seconds _ < /proc/uptime
seconds=${seconds%.*}
printf '{"statuscode":0,"statusmsg":"OK","data":{"seconds":%s,"days":%s,"kernel":"%s"}}\n' \
  "$seconds" "$((seconds / 86400))" "$(uname -r)"
