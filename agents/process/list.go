package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"sort"
	"strconv"

	muster "muster/sdk"
)

// list reads the processes that fit. What ends meanwhile is left out; a user that this machine does not know has none.
func list(ctx context.Context, proc string, wanted *filter) (*Output, error) {
	uid := ""
	if wanted.user != nil {
		known, err := user.Lookup(*wanted.user)
		if err != nil {
			return &Output{Processes: []Process{}}, nil
		}
		uid = known.Uid
	}
	pids, err := processIDs(proc)
	if err != nil {
		return nil, err
	}
	names := userNames{}
	output := &Output{Processes: []Process{}}
	left, found := maxReplyBytes, 0
	for _, pid := range pids {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		process, err := readProcess(proc, pid)
		if err != nil || !wanted.fits(process, uid) {
			continue
		}
		found++
		process.User = names.of(process.UID)
		if left -= sizeOf(process); left >= 0 {
			output.Processes = append(output.Processes, *process)
		}
	}
	if left < 0 {
		const message = "%d processes fit and a reply has room for %d of them; ask with a pattern or a user"
		return output, &muster.ActionError{Status: 1, Message: fmt.Sprintf(message, found, len(output.Processes))}
	}
	return output, nil
}

func (f *filter) fits(process *Process, uid string) bool {
	return (!f.justZombies || process.State == "Z") &&
		(f.user == nil || strconv.Itoa(process.UID) == uid) &&
		f.pattern.MatchString(process.CommandLine)
}

func processIDs(proc string) ([]int, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	sort.Ints(pids)
	return pids, nil
}

func sizeOf(process *Process) int {
	text, _ := json.Marshal(process)
	return len(text) + 1
}

// userNames remembers names, since asking a directory for each process would take its time.
type userNames map[int]string

func (n userNames) of(uid int) string {
	name, known := n[uid]
	if !known {
		name = strconv.Itoa(uid)
		if found, err := user.LookupId(name); err == nil {
			name = found.Username
		}
		n[uid] = name
	}
	return name
}
