// The agent process: lists the processes of this machine.
package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	muster "muster/sdk"
)

const (
	// A reply has to fit into a message of the broker, which is 1 MiB at most by default.
	maxReplyBytes   = 512 * 1024
	maxPatternBytes = 250
	maxUserBytes    = 250
)

// Output of the action list.
type Output struct {
	Processes []Process `json:"pslist"`
}

func main() {
	agent := muster.NewAgent("process", "1.0.0")
	agent.Action("list", func(ctx context.Context, request *muster.Request) (any, error) {
		wanted, err := readInput(request)
		if err != nil {
			return nil, err
		}
		return list(ctx, "/proc", wanted)
	})
	agent.Run()
}

// filter is an input that was found to make sense.
type filter struct {
	pattern     *regexp.Regexp
	justZombies bool
	user        *string
}

func readInput(request *muster.Request) (*filter, error) {
	var input struct {
		Pattern     string  `json:"pattern"`
		JustZombies bool    `json:"just_zombies"`
		User        *string `json:"user"`
	}
	if err := request.Bind(&input); err != nil {
		return nil, err
	}
	if len(input.Pattern) > maxPatternBytes || strings.ContainsRune(input.Pattern, 0) {
		return nil, &muster.ActionError{Status: 4, Message: fmt.Sprintf("a pattern has at most %d bytes, and no NUL", maxPatternBytes)}
	}
	// Go's regular expressions are RE2: no pattern takes more than linear time.
	pattern, err := regexp.Compile(input.Pattern)
	if err != nil {
		return nil, &muster.ActionError{Status: 4, Message: fmt.Sprintf("%.100q is no regular expression: %v", input.Pattern, err)}
	}
	if input.User != nil && (len(*input.User) > maxUserBytes || strings.ContainsAny(*input.User, "\x00\n:")) {
		return nil, &muster.ActionError{Status: 4, Message: fmt.Sprintf("%.100q is not the name of a user", *input.User)}
	}
	return &filter{pattern: pattern, justZombies: input.JustZombies, user: input.User}, nil
}
