package sim

import (
	"strings"
	"testing"
)

// Each planted bug is found by the checkers, within a few seeds, for the
// reason that it should be found for.
func TestPlantedBugsAreFound(t *testing.T) {
	if underRace {
		t.Skip("one goroutine only, and slow under the race detector")
	}
	for _, tt := range []struct {
		name  string
		bug   bug
		found string // part of a violation
	}{
		{"the lease never ends", bugClockSleeps, "but forwards for its MAC"},
		{"speaks after a thaw", bugClockSleeps, "takes over"},
		{"serves as backup", bugGateOpen, "but forwards for its MAC"},
		{"delivers twice", bugGateOpen, "forwarded 2 times"},
		{"announces nothing", bugNoAnnounce, "without announcing"},
		{"never advertises", bugNoAdvert, "masters on island"},
		{"serves without a word", bugNoAdvert, "but sends from"},
		{"stops without priority 0", bugNoZero, "was lost"},
		{"advertises from its own MAC", bugOwnMAC, "from 0200"},
		{"forwards twice", bugTwice, "was delivered 2 times"},
		{"understands no advertisement", bugDeaf, "takes over"},
		{"two masters", bugDeaf, "has 2 masters"},
		{"serves nobody", bugGateShut, "was lost"},
		{"answers as backup", bugAnswers, "is not master of"},
		{"takes over too soon", bugHasty, "too early"},
		{"publishes after it speaks", bugLatePublish, "was lost"},
		{"speaks too seldom", bugSlow, "masters on island"},
		{"is late", bugSlow, "which is later than"},
		{"lives by the wall clock", bugWallClock, ""},
		{"keeps wills of mastership that is over", bugStaleWill, "a stale will"},
		{"leaves no will", bugNoWill, "no last will"},
		{"does not preempt", bugNoPreempt, "which preempts"},
		{"ignores what it tracks", bugNoTrack, ""},
		{"leaves members of its group behind", bugNoGroup, "members of the group"},
		{"does not drain", bugNoDrain, "was told to give up"},
		{"hands over at a reload", bugReloadDrops, "unasked"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const most = 200
			for seed := range uint64(most) {
				o := runSeed(seed+1, false, tt.bug)
				for _, v := range o.Lab.Violations() {
					if strings.Contains(v, tt.found) {
						t.Logf("seed %d: %s", seed+1, v)
						return
					}
				}
			}
			t.Errorf("%d seeds, and no violation says %q", most, tt.found)
		})
	}
}

// The same bugs in nobody: the seeds that find them are clean otherwise.
func TestRunsAreCleanWithoutABug(t *testing.T) {
	for seed := range uint64(20) {
		if found := runSeed(seed+1, false, noBug).Lab.Violations(); len(found) > 0 {
			t.Errorf("seed %d: %s", seed+1, found[0])
		}
	}
}
