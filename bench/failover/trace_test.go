package main

import (
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// trace makes packets sent each millisecond from 1 ms on; what says for each
// what became of it: "." arrived after 0.1 ms, "x" lost, "2" and "3" that many
// copies, a letter from "a": arrived 1 ms times its place in the alphabet late.
func trace(what string) (packets []fate) {
	for i, c := range what {
		p := fate{sent: int64(i+1) * ms}
		switch {
		case c == 'x':
			packets = append(packets, p)
			continue
		case c == '2' || c == '3':
			p.copies, p.arrived = uint8(c-'0'), p.sent+ms/10
		case c >= 'a' && c <= 'w':
			p.copies, p.arrived = 1, p.sent+int64(c-'a'+1)*ms
		default:
			p.copies, p.arrived = 1, p.sent+ms/10
		}
		packets = append(packets, p)
	}
	return packets
}

func TestEvaluate(t *testing.T) {
	const transit = time.Millisecond / 10
	for _, c := range []struct {
		name, trace string
		want        figures
	}{
		{"nothing sent", "", figures{}},
		{"nothing happened", "......", figures{Sent: 6, Gap: transit}},
		{"one lost", "..x..", figures{Sent: 5, Lost: 1, Gap: time.Millisecond + transit}},
		{"three lost in a row", "..xxx..", figures{Sent: 7, Lost: 3, Gap: 3*time.Millisecond + transit}},
		{"two losses that are no run", "..x.xx.", figures{Sent: 7, Lost: 3, Gap: 2*time.Millisecond + transit}},
		{"lost from the first on", "xx.", figures{Sent: 3, Lost: 2, Gap: 2*time.Millisecond + transit}},
		{"lost to the end", "..xxx", figures{Sent: 5, Lost: 3, Gap: 2 * time.Millisecond, Open: true}},
		{"all lost", "xxx", figures{Sent: 3, Lost: 3, Gap: 2 * time.Millisecond, Open: true}},
		{"twice", ".2.3.", figures{Sent: 5, Duplicates: 3, Gap: transit}},
		{"kept for a while and then delivered in order", ".edcba.", figures{Sent: 7, Gap: 5 * time.Millisecond}},
		{"lost, then kept: the gap begins with the first that is lost", ".xxcba.", figures{Sent: 7, Lost: 2, Gap: 5 * time.Millisecond}},
		{"one overtaken by two", ".c...", figures{Sent: 5, Reordered: 2, Gap: 3 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := evaluate(trace(c.trace)); got != c.want {
				t.Errorf("%s: got %+v, want %+v", c.trace, got, c.want)
			}
		})
	}
}

func TestPauseOfTheSenderIsNoGap(t *testing.T) {
	packets := trace("......")
	for i := 3; i < len(packets); i++ {
		packets[i].sent += 500 * ms
		packets[i].arrived += 500 * ms
	}
	if f := evaluate(packets); f.Gap > time.Millisecond || f.Lost != 0 {
		t.Errorf("a sender that paused for 500 ms: %+v", f)
	}
}

func TestFiguresOfSeveralStreams(t *testing.T) {
	got := evaluate(trace("..xx.2")).add(evaluate(trace("3..x"))).add(evaluate(trace("....")))
	want := figures{Sent: 14, Lost: 3, Duplicates: 3, Gap: 2*time.Millisecond + time.Millisecond/10, Open: true}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestOwners(t *testing.T) {
	questions := []int64{20 * ms, 40 * ms, 60 * ms, 80 * ms}
	for _, c := range []struct {
		name    string
		answers []answer
		want    ownership
	}{
		{"nobody", nil, ownership{Asked: 4, None: 80 * time.Millisecond}},
		{
			"one always",
			[]answer{{21 * ms, 0}, {41 * ms, 0}, {61 * ms, 0}, {81 * ms, 0}},
			ownership{Asked: 4, Most: 1, Who: [numRouters]int{4, 0}},
		},
		{
			"one after the other is one owner",
			[]answer{{21 * ms, 0}, {41 * ms, 0}, {61 * ms, 1}, {81 * ms, 1}},
			ownership{Asked: 4, Most: 1, Who: [numRouters]int{2, 2}},
		},
		{
			"both to one question are two",
			[]answer{{21 * ms, 0}, {41 * ms, 1}, {42 * ms, 0}, {61 * ms, 1}, {81 * ms, 1}},
			ownership{Asked: 4, Most: 2, Together: 20 * time.Millisecond, Who: [numRouters]int{2, 3}},
		},
		{
			"one that answers twice is one",
			[]answer{{21 * ms, 0}, {22 * ms, 0}, {41 * ms, 0}, {61 * ms, 0}, {81 * ms, 0}},
			ownership{Asked: 4, Most: 1, Who: [numRouters]int{4, 0}},
		},
		{
			"a gap without an owner, and an answer to an older question",
			[]answer{{1 * ms, 1}, {21 * ms, 0}, {81 * ms, 1}},
			ownership{Asked: 4, Most: 1, None: 40 * time.Millisecond, Who: [numRouters]int{1, 1}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := owners(questions, c.answers, 20*time.Millisecond); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOwnersOfBothFamilies(t *testing.T) {
	a := ownership{Asked: 3, Most: 1, None: 20, Who: [numRouters]int{3, 0}}
	b := ownership{Asked: 4, Most: 2, Together: 40, Who: [numRouters]int{2, 2}}
	want := ownership{Asked: 7, Most: 2, Together: 40, None: 20, Who: [numRouters]int{5, 2}}
	if got := a.add(b); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The meter's streams keep what they need to be summed up.

func TestStreamNotesArrivals(t *testing.T) {
	s := &stream{}
	for i := range 6 {
		s.packets[i] = fate{sent: int64(i+1) * ms}
		s.next++
	}
	for _, number := range []uint64{0, 1, 1, 3, 5, 99} { // 99 was never sent
		s.arrived(number, int64(number+1)*ms+ms/10)
	}
	got := evaluate(s.between(ms, 6*ms)) // without the last one
	if got.Sent != 5 || got.Lost != 2 || got.Duplicates != 1 {
		t.Errorf("got %+v, want 5 sent, 2 lost, 1 twice", got)
	}
	if part := s.between(3*ms, 5*ms); len(part) != 2 || part[0].sent != 3*ms || part[1].sent != 4*ms {
		t.Errorf("from 3 to 5 ms: %+v", part)
	}
}

func TestStreamForgetsWhatIsTooOld(t *testing.T) {
	s := &stream{next: history + 10}
	for number := s.next - history; number < s.next; number++ {
		s.packets[number%history] = fate{sent: int64(number) * ms}
	}
	if s.arrived(9, ms); s.packets[9].copies != 0 {
		t.Error("an arrival of a forgotten packet was noted on a newer one")
	}
	if all := s.between(0, int64(history+100)*ms); len(all) != history || all[0].sent != 10*ms {
		t.Errorf("%d packets, the first sent at %d", len(all), all[0].sent)
	}
}
