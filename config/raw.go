package config

import "time"

// The raw structs are the configuration as it is written: every table and key
// of the reference, with its type and its default. decode fills them in; the
// file named after a table checks its values and makes the validated struct.

// at is where a key or table stands and how messages call it.
type at struct {
	Key  string
	Line int
}

// field is one key. Without the key in the file, or with a value of the wrong
// type (Bad), Value is the default.
type field[T any] struct {
	at
	Value T
	Set   bool // the file has the key
	Bad   bool // an error of the key was noted
}

// given reports whether the file has a value that is worth a closer look.
func (f *field[T]) given() bool { return f.Set && !f.Bad }

// The types of keys.
type (
	text     = field[string]
	integer  = field[int64]
	boolean  = field[bool]
	duration = field[time.Duration] // text in the file, as "1s"
	list     = field[[]text]        // of texts; each element has its own line
	words    = field[listOrWord]    // a list of texts, or one word
)

// listOrWord is the value of a key that takes a list or a word.
type listOrWord struct {
	List []text
	Word text
}

// table is part of every raw struct.
type table struct {
	at
	Set bool
}

type rawConfig struct {
	table
	Router    rawRouter      `toml:"router"`
	Control   rawControl     `toml:"control"`
	Log       rawLog         `toml:"log"`
	Interface []rawInterface `toml:"interface"`
	VRRP      []rawVRRP      `toml:"vrrp"`
	Check     []rawCheck     `toml:"check"`
	Notify    []rawNotify    `toml:"notify"`
	Route     []rawRoute     `toml:"route"`
	BFD       []rawBFD       `toml:"bfd"`
	Import    rawImport      `toml:"import"`
	BGP       rawBGP         `toml:"bgp"`
}

type rawRouter struct {
	table
	Name     text     `toml:"name"`
	RouterID text     `toml:"router_id"`
	Engine   text     `toml:"engine" default:"fast"`
	User     text     `toml:"user"`
	Watchdog duration `toml:"watchdog" default:"100ms"`
	Workers  integer  `toml:"workers" default:"0"`
	BusyPoll duration `toml:"busy_poll" default:"2ms"`
}

type rawControl struct {
	table
	Socket text `toml:"socket" default:"/run/vrouter/vrouter.sock"`
	Listen text `toml:"listen"`
}

type rawLog struct {
	table
	Level  text `toml:"level" default:"info"`
	Format text `toml:"format" default:"text"`
}

type rawInterface struct {
	table
	Name      text    `toml:"name"`
	Attach    text    `toml:"attach" default:"af_packet"`
	Device    text    `toml:"device"` // default: the name
	Bridge    text    `toml:"bridge"`
	MAC       text    `toml:"mac"`
	MTU       integer `toml:"mtu"`
	Queues    integer `toml:"queues" default:"1"`
	Addresses words   `toml:"addresses"`
	HostTAP   boolean `toml:"host_tap" default:"false"`
	RA        rawRA   `toml:"ra"`
}

type rawRA struct {
	table
	Interval duration `toml:"interval" default:"10s"`
	Lifetime duration `toml:"lifetime" default:"30m"`
	Prefixes list     `toml:"prefixes"`
	RDNSS    list     `toml:"rdnss"`
	Managed  boolean  `toml:"managed" default:"false"`
	Other    boolean  `toml:"other" default:"false"`
}

type rawVRRP struct {
	table
	Name         text       `toml:"name"`
	Interface    text       `toml:"interface"`
	VRID         integer    `toml:"vrid"`
	Version      integer    `toml:"version" default:"3"`
	Addresses    list       `toml:"addresses"`
	Priority     integer    `toml:"priority" default:"100"`
	Interval     duration   `toml:"interval" default:"1s"`
	Preempt      boolean    `toml:"preempt" default:"true"`
	PreemptDelay duration   `toml:"preempt_delay" default:"0s"`
	Accept       boolean    `toml:"accept" default:"true"`
	Checksum     text       `toml:"checksum" default:"pseudo"`
	FastDetect   boolean    `toml:"fast_detect" default:"true"`
	Damping      boolean    `toml:"damping" default:"false"`
	GARPRepeat   integer    `toml:"garp_repeat" default:"5"`
	GARPRefresh  duration   `toml:"garp_refresh" default:"60s"`
	Peers        list       `toml:"peers"`
	Drain        duration   `toml:"drain" default:"1s"`
	Group        text       `toml:"group"`
	Auth         rawAuth    `toml:"auth"`
	Track        []rawTrack `toml:"track"`
}

type rawAuth struct {
	table
	Type text `toml:"type" default:"none"`
	Key  text `toml:"key"`
}

type rawTrack struct {
	table
	Interface text    `toml:"interface"`
	Route     text    `toml:"route"`
	BGP       text    `toml:"bgp"`
	BFD       text    `toml:"bfd"`
	Check     text    `toml:"check"`
	Weight    integer `toml:"weight" default:"0"`
}

type rawCheck struct {
	table
	Name     text     `toml:"name"`
	Ping     text     `toml:"ping"`
	TCP      text     `toml:"tcp"`
	Exec     list     `toml:"exec"`
	Interval duration `toml:"interval" default:"1s"`
	Timeout  duration `toml:"timeout" default:"500ms"`
	Fall     integer  `toml:"fall" default:"3"`
	Rise     integer  `toml:"rise" default:"2"`
}

type rawNotify struct {
	table
	Exec    list     `toml:"exec"`
	Timeout duration `toml:"timeout" default:"10s"`
}

type rawRoute struct {
	table
	To     text    `toml:"to"`
	Via    list    `toml:"via"`
	Type   text    `toml:"type" default:"unicast"`
	Metric integer `toml:"metric" default:"1"`
}

type rawBFD struct {
	table
	Name       text     `toml:"name"`
	Peer       text     `toml:"peer"`
	Interval   duration `toml:"interval" default:"50ms"`
	Multiplier integer  `toml:"multiplier" default:"3"`
}

type rawImport struct {
	table
	KernelTable integer `toml:"kernel_table"`
	Mirror      boolean `toml:"mirror" default:"false"`
}

type rawBGP struct {
	table
	ASN         integer       `toml:"asn"`
	Networks    list          `toml:"networks"`
	Multipath   boolean       `toml:"multipath" default:"false"`
	RestartTime duration      `toml:"restart_time" default:"2m"`
	MemoryLimit text          `toml:"memory_limit"`
	API         text          `toml:"api"`
	Neighbor    []rawNeighbor `toml:"neighbor"`
}

type rawNeighbor struct {
	table
	Name            text         `toml:"name"`
	Address         text         `toml:"address"`
	ASN             integer      `toml:"asn"`
	LocalAddress    text         `toml:"local_address"`
	Password        text         `toml:"password"`
	TTLSecurity     boolean      `toml:"ttl_security" default:"false"`
	Multihop        integer      `toml:"multihop" default:"1"`
	Passive         boolean      `toml:"passive" default:"false"`
	BFD             rawBFDParams `toml:"bfd"`
	HoldTime        duration     `toml:"hold_time" default:"90s"`
	GracefulRestart boolean      `toml:"graceful_restart" default:"true"`
	ReflectorClient boolean      `toml:"route_reflector_client" default:"false"`
	NextHopSelf     boolean      `toml:"next_hop_self" default:"true"`
	AddPath         rawAddPath   `toml:"add_path"`
	Families        list         `toml:"families"`
	Import          rawImporting `toml:"import"`
	Export          rawExporting `toml:"export"`
	Follow          text         `toml:"follow"`
}

type rawBFDParams struct {
	table
	Interval   duration `toml:"interval" default:"50ms"`
	Multiplier integer  `toml:"multiplier" default:"3"`
}

type rawAddPath struct {
	table
	Receive boolean `toml:"receive" default:"true"`
	Send    integer `toml:"send" default:"0"`
}

type rawImporting struct {
	table
	LocalPreference integer `toml:"local_preference" default:"100"`
	Prefixes        list    `toml:"prefixes"`
	MaxPrefixes     integer `toml:"max_prefixes" default:"0"`
	Communities     list    `toml:"communities"`
}

type rawExporting struct {
	table
	Prefixes         list    `toml:"prefixes"`
	DefaultOriginate boolean `toml:"default_originate" default:"false"`
	Communities      list    `toml:"communities"`
	Prepend          integer `toml:"prepend" default:"0"`
	PrependBackup    integer `toml:"prepend_backup" default:"0"`
	MEDMaster        integer `toml:"med_master" default:"0"`
	MEDBackup        integer `toml:"med_backup" default:"0"`
}
