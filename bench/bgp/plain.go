package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	gobgpserver "github.com/osrg/gobgp/v4/pkg/server"
)

// plainMode makes this program the GoBGP that vrouter is measured beside: it
// takes all routes of one neighbour and does nothing with them.
const plainMode = "plain-gobgp"

// plain runs GoBGP until SIGTERM. It prints a line when the session is
// established, and one when all routes of both families are in its table, each
// with the time in nanoseconds.
func plain(args []string) error {
	set := flag.NewFlagSet(plainMode, flag.ContinueOnError)
	neighbor := set.String("neighbor", "", "address")
	asn := set.Uint("asn", 0, "our autonomous system")
	theirs := set.Uint("peer-asn", 0, "the neighbour's")
	id := set.String("id", "", "router identifier")
	if err := set.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	level := &slog.LevelVar{}
	level.Set(slog.LevelError)
	s := gobgpserver.NewBgpServer(gobgpserver.LoggerOption(slog.New(slog.NewTextHandler(io.Discard, nil)), level))
	go s.Serve()
	err := s.StartBgp(ctx, &api.StartBgpRequest{Global: &api.Global{
		Asn: uint32(*asn), RouterId: *id, ListenPort: gobgp.BGP_PORT, Families: []uint32{0, 1},
	}})
	if err != nil {
		return fmt.Errorf("StartBgp: %w", err)
	}
	progress := &progress{}
	err = s.WatchEvent(ctx, gobgpserver.WatchEventMessageCallbacks{OnPathEor: progress.complete, OnPeerUpdate: progress.changed},
		gobgpserver.WatchEor(false), gobgpserver.WatchPeer())
	if err != nil {
		return fmt.Errorf("WatchEvent: %w", err)
	}
	peer := &api.Peer{
		Conf:            &api.PeerConf{NeighborAddress: *neighbor, PeerAsn: uint32(*theirs)},
		Timers:          &api.Timers{Config: &api.TimersConfig{HoldTime: 90, ConnectRetry: 1, IdleHoldTimeAfterReset: 1}},
		GracefulRestart: &api.GracefulRestart{Enabled: true, RestartTime: 120},
	}
	for _, afi := range []api.Family_Afi{api.Family_AFI_IP, api.Family_AFI_IP6} {
		peer.AfiSafis = append(peer.AfiSafis, &api.AfiSafi{
			Config:            &api.AfiSafiConfig{Family: &api.Family{Afi: afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true},
			MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}},
		})
	}
	if err := s.AddPeer(ctx, &api.AddPeerRequest{Peer: peer}); err != nil {
		return fmt.Errorf("AddPeer: %w", err)
	}
	<-ctx.Done()
	return s.StopBgp(context.Background(), &api.StopBgpRequest{})
}

// progress tells how far the routes are.
type progress struct {
	mu       sync.Mutex
	families int // whose routes are all there
}

func (p *progress) changed(e *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
	if e.Peer.State.SessionState == gobgp.BGP_FSM_ESTABLISHED {
		fmt.Fprintln(os.Stdout, lineEstablished, at.UnixNano())
	}
}

// complete is told of a family's End-of-RIB, which GoBGP looks at once all routes
// before it are in its table.
func (p *progress) complete(*apiutil.Path, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.families++; p.families == 2 {
		fmt.Fprintln(os.Stdout, lineComplete, time.Now().UnixNano())
	}
}

// The lines that plain prints.
const (
	lineEstablished = "established"
	lineComplete    = "complete"
)
