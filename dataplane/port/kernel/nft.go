package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// This file speaks just enough nf_tables over nfnetlink to make one table
// (<linux/netfilter/nf_tables.h>, <linux/netfilter/nfnetlink.h>).

const (
	tableOwned = 0x2 // NFT_TABLE_F_OWNER (Linux 5.12): the table ends with the socket that made it
	verdictOK  = 1   // NF_ACCEPT
	policyDrop = 0   // NF_DROP
	cmpEqual   = 0   // NFT_CMP_EQ

	// Before every filter that somebody else may have on the device.
	hookPriority = -2000
)

// batch is a sequence of nfnetlink messages that the kernel carries out as one
// transaction.
type batch struct {
	b        []byte
	messages uint32
	family   byte // of tables
}

func newBatch() *batch { return newFamilyBatch(unix.NFPROTO_NETDEV) }

func newFamilyBatch(family byte) *batch {
	m := &batch{family: family}
	m.begin(unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	return m
}

// begin starts a message and returns where, for end.
func (m *batch) begin(kind, flags uint16, family byte, resource uint16) int {
	at := len(m.b)
	m.b = append(m.b, 0, 0, 0, 0) // length: by end
	m.b = binary.NativeEndian.AppendUint16(m.b, kind)
	m.b = binary.NativeEndian.AppendUint16(m.b, flags)
	m.b = binary.NativeEndian.AppendUint32(m.b, m.messages)
	m.b = append(m.b, 0, 0, 0, 0, family, 0) // from the kernel's choice of port; version 0
	m.b = binary.BigEndian.AppendUint16(m.b, resource)
	m.messages++
	m.end(at)
	return at
}

func (m *batch) end(at int) {
	binary.NativeEndian.PutUint32(m.b[at:], uint32(len(m.b)-at))
}

// message adds an nf_tables message; fill adds its attributes.
func (m *batch) message(kind, flags uint16, fill func()) {
	at := m.begin(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags, m.family, 0)
	fill()
	m.end(at)
}

func (m *batch) attribute(kind uint16, value []byte) {
	m.b = binary.NativeEndian.AppendUint16(m.b, uint16(4+len(value)))
	m.b = binary.NativeEndian.AppendUint16(m.b, kind)
	m.b = append(m.b, value...)
	for len(m.b)%4 != 0 {
		m.b = append(m.b, 0)
	}
}

func (m *batch) text(kind uint16, value string) { m.attribute(kind, append([]byte(value), 0)) }

func (m *batch) number(kind uint16, value uint32) {
	m.attribute(kind, binary.BigEndian.AppendUint32(nil, value))
}

func (m *batch) nested(kind uint16, fill func()) {
	at := len(m.b)
	m.attribute(kind|unix.NLA_F_NESTED, nil)
	fill()
	binary.NativeEndian.PutUint16(m.b[at:], uint16(len(m.b)-at))
}

// expression adds an element of a rule's list.
func (m *batch) expression(name string, fill func()) {
	m.nested(unix.NFTA_LIST_ELEM, func() {
		m.text(unix.NFTA_EXPR_NAME, name)
		m.nested(unix.NFTA_EXPR_DATA, fill)
	})
}

// table adds a table.
func (m *batch) table(name string, flags uint32) {
	m.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func() {
		m.text(unix.NFTA_TABLE_NAME, name)
		m.number(unix.NFTA_TABLE_FLAGS, flags)
	})
}

// dropAll adds a base chain that drops every frame at a hook of a device.
func (m *batch) dropAll(table, chain, device string, hook uint32) {
	priority := int32(hookPriority)
	m.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func() {
		m.text(unix.NFTA_CHAIN_TABLE, table)
		m.text(unix.NFTA_CHAIN_NAME, chain)
		m.nested(unix.NFTA_CHAIN_HOOK, func() {
			m.number(unix.NFTA_HOOK_HOOKNUM, hook)
			m.number(unix.NFTA_HOOK_PRIORITY, uint32(priority))
			m.text(unix.NFTA_HOOK_DEV, device)
		})
		m.number(unix.NFTA_CHAIN_POLICY, policyDrop)
		m.text(unix.NFTA_CHAIN_TYPE, "filter")
	})
}

// exceptMark adds a rule to a chain: accept frames with a mark.
func (m *batch) exceptMark(table, chain string, mark uint32) {
	m.rule(table, chain, func() {
		m.meta(unix.NFT_META_MARK)
		m.compare(cmpEqual, binary.NativeEndian.AppendUint32(nil, mark))
		m.verdict(verdictOK)
	})
}

// rule adds a rule to the end of a chain; fill adds its expressions.
func (m *batch) rule(table, chain string, fill func()) {
	m.message(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, func() {
		m.text(unix.NFTA_RULE_TABLE, table)
		m.text(unix.NFTA_RULE_CHAIN, chain)
		m.nested(unix.NFTA_RULE_EXPRESSIONS, fill)
	})
}

// meta loads something about the packet into the first register.
func (m *batch) meta(key uint32) {
	m.expression("meta", func() {
		m.number(unix.NFTA_META_KEY, key)
		m.number(unix.NFTA_META_DREG, unix.NFT_REG_1)
	})
}

// compare ends the rule unless the first register compares so with a value.
func (m *batch) compare(op uint32, value []byte) {
	m.expression("cmp", func() {
		m.number(unix.NFTA_CMP_SREG, unix.NFT_REG_1)
		m.number(unix.NFTA_CMP_OP, op)
		m.nested(unix.NFTA_CMP_DATA, func() { m.attribute(unix.NFTA_DATA_VALUE, value) })
	})
}

// verdict ends the chain.
func (m *batch) verdict(code uint32) {
	m.expression("immediate", func() {
		m.number(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		m.nested(unix.NFTA_IMMEDIATE_DATA, func() {
			m.nested(unix.NFTA_DATA_VERDICT, func() { m.number(unix.NFTA_VERDICT_CODE, code) })
		})
	})
}

// deleteTable deletes a table with all that is in it.
func (m *batch) deleteTable(name string) {
	m.message(unix.NFT_MSG_DELTABLE, 0, func() { m.text(unix.NFTA_TABLE_NAME, name) })
}

// nfnetlink opens a socket for batches.
func nfnetlink() (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, err
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil { // the kernel always answers; should it not, do not hang
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// send has the kernel carry out the batch, and returns the first error that it
// reports; then nothing was changed.
func (m *batch) send(fd int) error {
	m.begin(unix.NFNL_MSG_BATCH_END, unix.NLM_F_REQUEST, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	if err := unix.Sendto(fd, m.b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var first error
	buf := make([]byte, 16384)
	for answers := uint32(0); answers < m.messages-2; { // all but begin and end are answered
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("answer of nf_tables: %w", err)
		}
		for b := buf[:n]; len(b) >= unix.SizeofNlMsghdr; answers++ {
			size := int(binary.NativeEndian.Uint32(b))
			if size < unix.SizeofNlMsghdr+4 || size > len(b) || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
				return errors.New("answer of nf_tables not understood")
			}
			errno := unix.Errno(-int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])))
			if errno != 0 && first == nil {
				first = errno
			}
			if sequence := binary.NativeEndian.Uint32(b[8:]); sequence == 0 { // the batch as such was refused
				return first
			}
			b = b[min((size+3)&^3, len(b)):]
		}
	}
	return first
}
