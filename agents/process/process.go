package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// What is shown of a command line.
const maxCommandLineBytes = 2048

// Process is one process, its members named as in the process table that clients know.
type Process struct {
	PID         int    `json:"pid"`
	Parent      int    `json:"ppid"`
	Group       int    `json:"pgrp"`
	Session     int    `json:"session"`
	UID         int    `json:"uid"`
	GID         int    `json:"gid"`
	User        string `json:"username"`
	State       string `json:"state"`
	Name        string `json:"comm"`
	CommandLine string `json:"cmdline"`
	Terminal    int    `json:"tty_nr"`
	Priority    int    `json:"priority"`
	Nice        int    `json:"nice"`
	Threads     int    `json:"nlwp"`
	// In clock ticks: time spent in user mode and in the kernel, and the start after that of the machine.
	UserTime   int `json:"utime"`
	SystemTime int `json:"stime"`
	StartTime  int `json:"starttime"`
	// In bytes.
	VirtualSize int `json:"vsize"`
	// In KiB, as the clients take it to be.
	ResidentSize int `json:"rss"`
}

var errFormat = errors.New("not in the format of proc(5)")

func readProcess(proc string, pid int) (*Process, error) {
	folder := filepath.Join(proc, strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return nil, err
	}
	process, err := parseStat(stat)
	if err != nil {
		return nil, err
	}
	if err := process.readOwner(filepath.Join(folder, "status")); err != nil {
		return nil, err
	}
	// Of a kernel thread and of a zombie it is empty; of one that just ended it can't be read.
	commandLine, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
	process.CommandLine = readable(commandLine)
	if process.CommandLine == "" {
		process.CommandLine = process.Name
	}
	return process, nil
}

// parseStat reads /proc/<pid>/stat. The name stands in parentheses and may itself have parentheses, spaces and newlines.
func parseStat(stat []byte) (*Process, error) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open || end+2 > len(stat) {
		return nil, errFormat
	}
	process := &Process{Name: strings.ToValidUTF8(string(stat[open+1:end]), "\ufffd")}
	rest := strings.Fields(string(stat[end+2:]))
	if len(rest) < 22 {
		return nil, errFormat
	}
	process.State = rest[0]
	var pages int
	// Numbers of proc(5), less the three that stand before what is left here.
	places := map[int]*int{
		1: &process.Parent, 2: &process.Group, 3: &process.Session, 4: &process.Terminal,
		11: &process.UserTime, 12: &process.SystemTime, 15: &process.Priority, 16: &process.Nice, 17: &process.Threads,
		19: &process.StartTime, 20: &process.VirtualSize, 21: &pages,
	}
	for place, value := range places {
		if _, err := fmt.Sscan(rest[place], value); err != nil {
			return nil, errFormat
		}
	}
	if _, err := fmt.Sscan(string(stat[:open]), &process.PID); err != nil {
		return nil, errFormat
	}
	process.ResidentSize = pages * os.Getpagesize() / 1024
	return process, nil
}

// readOwner finds the effective user and group. The owner of the folder would be root for a program that may not be dumped.
func (p *Process) readOwner(file string) error {
	status, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	found := 0
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 3 || (fields[0] != "Uid:" && fields[0] != "Gid:") {
			continue
		}
		id, err := strconv.Atoi(fields[2])
		if err != nil {
			return errFormat
		}
		if fields[0] == "Uid:" {
			p.UID = id
		} else {
			p.GID = id
		}
		found++
	}
	if found < 2 {
		return errFormat
	}
	return nil
}

// readable joins arguments, which end in NUL, by spaces.
func readable(commandLine []byte) string {
	text := strings.TrimRight(string(bytes.ReplaceAll(commandLine, []byte{0}, []byte{' '})), " ")
	if len(text) > maxCommandLineBytes {
		text = text[:maxCommandLineBytes] + "…"
	}
	return strings.ToValidUTF8(text, "\ufffd")
}
