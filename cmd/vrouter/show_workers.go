package main

import (
	"fmt"
	"strconv"

	"vrouter/router"
)

// drawWorkers shows how busy each worker is, and what became of the frames that
// it has read.
func drawWorkers(s *screen, workers []router.WorkerStatus, all bool) {
	t := table{
		header: []string{"  WORKER", "BUSY", "FORWARDED", "PUNTED", "DROPPED", "LOST IN", "LOST OUT", "BATCH", "FRAME"},
		right:  []int{0, 1, 2, 3, 4, 5, 6, 7, 8},
	}
	sizes := table{header: []string{"  WORKER"}, right: []int{0}}
	for i := range workers {
		w := &workers[i]
		if w.Batches == 0 && w.Lost == (router.LostStatus{}) && !all {
			continue
		}
		t.add(workerRow(w)...)
		sizesRow(&sizes, w)
	}
	if len(t.rows) == 0 {
		return
	}
	t.render(s)
	if len(sizes.rows) > 0 {
		s.WriteString("  batches, by the number of frames read at once\n")
		sizes.render(s)
	}
	for i := range workers {
		w := &workers[i]
		if len(workers) > 1 && len(w.Drops) > 0 {
			fmt.Fprintf(s, "  worker %d dropped\n", w.Worker)
			drawNumbers(s, w.Drops, "    ", all)
		}
	}
}

// workerRow is a worker's line. Losses stand out: they are what is looked for.
func workerRow(w *router.WorkerStatus) []cell {
	var punted, dropped uint64
	for _, p := range w.Punts {
		punted += p.Accepted
		dropped += p.Dropped
	}
	for _, n := range w.Drops {
		dropped += n
	}
	perBatch, perFrame := "-", "-"
	if w.Batches > 0 {
		perBatch = fmt.Sprintf("%.1f", float64(w.Frames)/float64(w.Batches))
	}
	if w.Frames > 0 {
		perFrame = fmt.Sprintf("%d ns", w.BusyNS/w.Frames)
	}
	busy := text(fmt.Sprintf("%.1f%%", w.Busy))
	if w.Busy >= fullyBusy {
		busy.style = warn
	}
	return []cell{
		text(strconv.Itoa(w.Worker)), busy, number(w.Forwarded), number(punted), number(dropped),
		loss(w.Lost.Receiving), loss(w.Lost.Sending), text(perBatch), text(perFrame),
	}
}

// fullyBusy is the share of busy time from which a worker is at its limit, in
// percent.
const fullyBusy = 95

// sizesRow adds a worker's batch sizes, as shares of all its batches.
func sizesRow(t *table, w *router.WorkerStatus) {
	var total uint64
	for _, n := range w.BatchSizes.Counts {
		total += n
	}
	if total == 0 || len(w.BatchSizes.UpTo) != len(w.BatchSizes.Counts) {
		return
	}
	row, from := []cell{text(strconv.Itoa(w.Worker))}, 1
	for i, n := range w.BatchSizes.Counts {
		to := w.BatchSizes.UpTo[i]
		if len(t.header) <= i+1 {
			name := fmt.Sprintf("%d-%d", from, to)
			if from == to {
				name = strconv.Itoa(to)
			}
			t.header, t.right = append(t.header, name), append(t.right, i+1)
		}
		row, from = append(row, text(fmt.Sprintf("%.1f%%", 100*float64(n)/float64(total)))), to+1
	}
	t.add(row...)
}

func number(n uint64) cell { return text(strconv.FormatUint(n, 10)) }

// loss is a number that ought to be zero.
func loss(n uint64) cell {
	c := number(n)
	if n > 0 {
		c.style = warn
	}
	return c
}
