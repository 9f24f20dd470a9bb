package main

import (
	"testing"

	"vrouter/router"
)

func TestEventTextSaysTheChangeOnce(t *testing.T) {
	for want, e := range map[string]router.Event{
		"a reason":                          {Reason: "a reason"},
		"up":                                {To: "up"},
		"down -> up":                        {From: "down", To: "up"},
		"a -> b: why":                       {From: "a", To: "b", Reason: "why"},
		"50 -> 45: dns":                     {From: "50", To: "45", Reason: "dns; effective 50 -> 45"},
		"50 -> 45: dns; effective 50 -> 40": {From: "50", To: "45", Reason: "dns; effective 50 -> 40"},
	} {
		if got := eventText(e); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
}
