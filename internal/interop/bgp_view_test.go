package interop

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// frrView is what FRR tells of its session with us.
type frrView struct {
	State    string     `json:"bgpState"`
	LocalID  netip.Addr `json:"localRouterId"`
	HoldMS   int64      `json:"bgpTimerHoldTimeMsecs"`
	UpMS     int64      `json:"bgpTimerUpMsec"`
	Families map[string]struct {
		Accepted int `json:"acceptedPrefixCounter"`
		Sent     int `json:"sentPrefixCounter"`
	} `json:"addressFamilyInfo"`
}

// ourView is what "show bgp" tells beside what bgpSession has.
type ourView struct {
	Name     string
	Since    time.Time
	RouterID netip.Addr `json:"router_id"`
	HoldMS   int64      `json:"hold_time_ms"`
	Families []struct{ Received, Advertised int }
}

// sameView compares what the two sides of a session say of it, which has one
// family. (FRR sends our own prefixes back to us, so what it sends is not only its
// own.)
func (v *vrouter) sameView(f *bgpFRR, name, address, family string) {
	v.t.Helper()
	waitFor(v.t, patience, "both sides say the same of "+name, func() error {
		text, err := f.ask("show bgp neighbors " + address + " json")
		if err != nil {
			return err
		}
		var told map[string]frrView
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			return fmt.Errorf("%w\n%s", err, text)
		}
		theirs, ours := told[address], ourView{}
		out, err := v.show("bgp")
		var list []ourView
		if err == nil {
			err = json.Unmarshal(out, &list)
		}
		if err != nil {
			return err
		}
		for _, x := range list {
			if x.Name == name {
				ours = x
			}
		}
		counts, ok := theirs.Families[family]
		if !ok || len(ours.Families) != 1 || theirs.State != "Established" {
			return fmt.Errorf("FRR: %+v, vrouter: %+v", theirs, ours)
		}
		n, between := ours.Families[0], time.Since(ours.Since)-time.Duration(theirs.UpMS)*time.Millisecond
		if n.Received != counts.Sent || n.Advertised != counts.Accepted ||
			ours.RouterID != theirs.LocalID || ours.HoldMS != theirs.HoldMS || between.Abs() > 5*time.Second {
			return fmt.Errorf("FRR: %+v, vrouter: %+v", theirs, ours)
		}
		return nil
	})
}
