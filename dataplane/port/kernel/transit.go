package kernel

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// NoTransit keeps the kernel from forwarding: of what comes in by Ethernet
// devices, only what is addressed to the host goes further than the device. It
// is an nf_tables table that belongs to our netlink socket, so the kernel
// forwards again as soon as the process is gone, however it ends; the sysctls
// stay as they are.
type NoTransit struct {
	fd    int // nfnetlink socket
	table string
}

const (
	transitTable = "vrouter-transit"
	transitChain = "prerouting"
	cmpUnequal   = 1    // NFT_CMP_NEQ
	etherType    = 1    // ARPHRD_ETHER
	beforeAll    = -450 // before defragmentation (NF_IP_PRI_CONNTRACK_DEFRAG is -400)
)

// ForbidTransit makes one in the calling thread's namespace. Fragments are
// judged one by one, so nothing is put together that is not for the host.
func ForbidTransit() (*NoTransit, error) {
	return forbid(transitTable, func(m *batch) {
		m.meta(unix.NFT_META_IIFTYPE)
		m.compare(cmpUnequal, binary.NativeEndian.AppendUint16(nil, etherType))
	})
}

// ForbidTransitFrom does so for what comes in by one device, whether there is
// one of this name yet or not.
func ForbidTransitFrom(device string) (*NoTransit, error) {
	return forbid(transitTable+"-"+device, func(m *batch) {
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, device)
		m.meta(unix.NFT_META_IIFNAME)
		m.compare(cmpUnequal, name)
	})
}

// forbid makes the table; elsewhere is an expression that packets match which are
// let alone.
func forbid(table string, elsewhere func(*batch)) (*NoTransit, error) {
	fd, err := nfnetlink()
	if err != nil {
		return nil, Permission("keep the kernel from forwarding", err)
	}
	m := newFamilyBatch(unix.NFPROTO_INET)
	m.table(table, tableOwned)
	m.chain(table)
	m.rule(table, transitChain, func() {
		elsewhere(m)
		m.verdict(verdictOK)
	})
	for _, kind := range []uint32{unix.RTN_LOCAL, unix.RTN_BROADCAST, unix.RTN_ANYCAST, unix.RTN_MULTICAST} {
		m.rule(table, transitChain, func() {
			m.expression("fib", func() {
				m.number(unix.NFTA_FIB_DREG, unix.NFT_REG_1)
				m.number(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE)
				m.number(unix.NFTA_FIB_FLAGS, unix.NFTA_FIB_F_DADDR)
			})
			m.compare(cmpEqual, binary.NativeEndian.AppendUint32(nil, kind))
			m.verdict(verdictOK)
		})
	}
	m.rule(table, transitChain, func() { m.verdict(policyDrop) })
	if err := m.send(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("nf_tables: %w", err)
	}
	return &NoTransit{fd, table}, nil
}

// chain adds the base chain.
func (m *batch) chain(table string) {
	priority := int32(beforeAll)
	m.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func() {
		m.text(unix.NFTA_CHAIN_TABLE, table)
		m.text(unix.NFTA_CHAIN_NAME, transitChain)
		m.nested(unix.NFTA_CHAIN_HOOK, func() {
			m.number(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_PRE_ROUTING)
			m.number(unix.NFTA_HOOK_PRIORITY, uint32(priority))
		})
		m.number(unix.NFTA_CHAIN_POLICY, verdictOK)
		m.text(unix.NFTA_CHAIN_TYPE, "filter")
	})
}

// closeWait is for how long Close waits at most.
const closeWait = time.Second

// Close lets the kernel forward again, and returns as soon as it does. What it
// takes the kernel to forget the table (RCU, long on a busy machine) is waited
// for by nobody.
func (n *NoTransit) Close() {
	go unix.Close(n.fd)
	for end := time.Now().Add(closeWait); transitForbidden(n.table) && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
}

// transitForbidden reports whether the namespace of the calling thread has the
// table.
func transitForbidden(table string) bool {
	fd, err := nfnetlink()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	m := &batch{family: unix.NFPROTO_INET}
	at := m.begin(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETTABLE, unix.NLM_F_REQUEST, unix.NFPROTO_INET, 0)
	m.text(unix.NFTA_TABLE_NAME, table)
	m.end(at)
	if unix.Sendto(fd, m.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) != nil {
		return false
	}
	buf := make([]byte, 4096)
	got, _, err := unix.Recvfrom(fd, buf, 0)
	return err == nil && got >= unix.SizeofNlMsghdr && binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR
}
