// Package metrics is every metric of vrouter: its name, help, type and labels in
// one table, and how its values follow from what "show" tells. So a metric and
// the screen that shows the same cannot disagree.
package metrics

import (
	"runtime"
	"runtime/debug"

	"vrouter/bgp"
	"vrouter/router"
)

// Status is all that a scrape tells of, and the dashboard shows.
type Status struct {
	Build    Build
	Router   string // its name
	Restarts uint64 // of the router process by its guardian

	VirtualRouters []router.VirtualRouterStatus
	Interfaces     []router.InterfaceStatus
	Counters       router.CountersStatus
	Neighbors      []router.NeighborCount
	Routes         []router.RouteCount
	Checks         []router.CheckStatus
	BFD            []router.BFDSession
	BGP            []bgp.Session
}

// Build says which program this is.
type Build struct {
	Version   string
	Revision  string // the commit; empty where the build did not record it
	GoVersion string
}

// ThisBuild returns the running program's. The version is the linker's.
func ThisBuild(version string) Build {
	b := Build{Version: version, GoVersion: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Revision = s.Value
			}
		}
	}
	return b
}
