package rib

import (
	"reflect"
	"testing"
)

// TestCountIsWhatEachShows compares the counts with the routes themselves.
func TestCountIsWhatEachShows(t *testing.T) {
	tab := newScaleTable()
	load(tab, internet(500, 300))
	tab.Add(static("198.51.100.0/24", 1, "192.0.2.1"))
	tab.Add(static("2001:db8:9::/48", 1, "203.0.113.77")) // of the other family: may be out of use
	v := tab.View()
	want4, want6 := map[Source]int{}, map[Source]int{}
	v.Each(func(b *Best, _ int) {
		if b.Prefix.Addr().Is4() {
			want4[b.Source]++
		} else {
			want6[b.Source]++
		}
	})
	got4, got6 := v.Count()
	if !reflect.DeepEqual(got4, want4) || !reflect.DeepEqual(got6, want6) {
		t.Errorf("%v and %v, want %v and %v", got4, got6, want4, want6)
	}
	if len(want4) < 2 || len(want6) < 2 {
		t.Errorf("the table has too little: %v, %v", want4, want6)
	}
}

func TestEverySourceHasANameAndADistance(t *testing.T) {
	seen := map[string]bool{}
	for s := range NumSources {
		if seen[s.String()] {
			t.Errorf("%v is twice", s)
		}
		seen[s.String()] = true
		_ = s.Distance() // must know it
	}
}
