package config

import "math"

// mainTable is the kernel's routing table "main" (ip-route(8)).
const mainTable = 254

// Import is the table [import]: what is taken over from the host's kernel.
type Import struct {
	Table  uint32 // the routing table whose routes are imported; never 0
	Mirror bool   // every device with its addresses is an interface
}

// importing checks [import].
func (c *checker) importing(r *rawImport) *Import {
	table := c.within(&r.KernelTable, 1, math.MaxUint32)
	if r.KernelTable.given() && table == localTable {
		c.add(r.KernelTable.Line, "kernel_table %d is the kernel's table of its own addresses; write %d for the table main", localTable, mainTable)
	}
	i := &Import{Table: uint32(table), Mirror: r.Mirror.Value}
	switch {
	case r.KernelTable.Set:
		return i
	case i.Mirror:
		i.Table = mainTable
		return i
	}
	return nil
}

// localTable is the kernel's routing table "local".
const localTable = 255
