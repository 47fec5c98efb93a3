package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A command is a process that does one thing.
type command struct {
	name string
	args []string
}

// A cost is the resources that a process used.
type cost struct {
	wall, cpu time.Duration
	memory    int64 // maximum, in bytes
}

func (c cost) String() string {
	return fmt.Sprintf("%.3f s (%.3f s)", c.wall.Seconds(), c.cpu.Seconds())
}

// run runs the command. It passes on only the output of packbench's own
// children; the output of others is the data.
func (c command) run() (cost, error) {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	if filepath.IsAbs(c.args[0]) {
		cmd.Stdout = os.Stdout
	}
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return cost{}, fmt.Errorf("%v: %w", c.args, err)
	}
	p := cmd.ProcessState
	return cost{wall, p.UserTime() + p.SystemTime(), int64(p.SysUsage().(*syscall.Rusage).Maxrss) << 10}, nil
}

// turns runs the commands in turns, and returns the median of each figure for each
// command. A first round, which is not counted, fills the page cache.
func turns(commands []command) ([]cost, error) {
	costs := make([][]cost, len(commands))
	for round := range *rounds + 1 {
		for i := range commands {
			i := (i + round) % len(commands) // each is first in turn
			c, err := commands[i].run()
			if err != nil {
				return nil, err
			}
			if round > 0 {
				costs[i] = append(costs[i], c)
			}
		}
	}
	medians := make([]cost, len(commands))
	for i, list := range costs {
		medians[i] = cost{
			wall:   median(list, func(c cost) time.Duration { return c.wall }),
			cpu:    median(list, func(c cost) time.Duration { return c.cpu }),
			memory: median(list, func(c cost) int64 { return c.memory }),
		}
	}
	return medians, nil
}

func median[T time.Duration | int64](list []cost, of func(cost) T) T {
	var figures []T
	for _, c := range list {
		figures = append(figures, of(c))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}
