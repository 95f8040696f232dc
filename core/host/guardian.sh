#!/bin/sh
# Outlives the host to end its children: reads "+ GROUP" and "- GROUP" lines, and when its input ends, which also
# happens when the host is killed by -9, signals every process group that is left.
trap '' HUP INT TERM
groups=' '
while read -r op group; do
  case "$op$groups" in
    +*) groups="$groups$group " ;;
    -*" $group "*) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
  esac
done
[ "$groups" = ' ' ] && exit 0
for group in $groups; do kill -TERM "-$group" 2>/dev/null; done
sleep 1
for group in $groups; do kill -KILL "-$group" 2>/dev/null; done
exit 0
