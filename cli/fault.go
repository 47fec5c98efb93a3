package cli

import (
	"fmt"
	"strconv"

	"github.com/lunserve/lunserve/serve/console"
	"github.com/lunserve/lunserve/serve/control"
	"github.com/lunserve/lunserve/tcmu/scsi/fault"
)

// faultFlags make disks misbehave.
type faultFlags struct {
	Faults []faultRule `name:"fault" placeholder:"RULE" sep:"none" complete:"rule" help:"Make the disks misbehave by RULE; may be repeated. A rule is such as 'read lba 1000+8: medium', or map=FILE for the bad areas in a map of GNU ddrescue. FAULTS in the manual lists the words."`
	Track  bool        `name:"fault-track" help:"Remember what is not flushed, up to 64 MiB for each disk, so that lunserve powercut can take it back."`
	Seed   faultSeed   `name:"fault-seed" placeholder:"N" help:"Seed of what is random in faults, to repeat a run. Without it the seed is chosen, and printed."`
}

// A faultSeed is a seed on the command line. 0 is none.
type faultSeed uint64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *faultSeed) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not a number from 1 on", text)
	}
	*s = faultSeed(n)
	return nil
}

type faultCmd struct {
	Disk  string      `arg:"" name:"disk" complete:"export" help:"The disk, by name (see lunserve list), device or image."`
	Rules []faultRule `arg:"" optional:"" name:"rule" complete:"rule" help:"Rules to add behind those that there are."`
	Clear bool        `help:"Remove all rules first, and let the commands go that they hold back."`
}

// Run changes the rules of a disk in the process that serves it, and prints them.
func (c *faultCmd) Run(con *console.Console, out *console.Printer) error {
	_, found, err := find(con, []string{c.Disk})
	if err != nil {
		return err
	}
	client, err := found[0].dial()
	if err != nil {
		return err
	}
	defer client.Close()
	disk := found[0].Disk
	rules, err := readRules(c.Rules, disk.BlockSize)
	if err != nil {
		return err
	}
	if err := fault.NewSet(1).Add(rules...); err != nil { // rather than send more than a request may be
		return err
	}
	texts := make([]string, len(rules))
	for i, r := range rules {
		texts[i] = r.Text()
	}
	if c.Clear || len(rules) > 0 {
		if disk, err = client.Fault(disk.Name, c.Clear, texts); err != nil {
			return err
		}
	}
	return printFaults(out, &disk)
}

func printFaults(out *console.Printer, d *control.Disk) error {
	var lines []string
	for _, f := range d.Faults {
		lines = append(lines, f.Sentence())
	}
	if len(lines) > 0 {
		lines = append(lines, fmt.Sprintf("--fault-seed %d repeats them", d.FaultSeed))
	}
	return out.Lines(lines...)
}
