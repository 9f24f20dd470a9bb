package pcap

import (
	"encoding/binary"
	"time"
)

// Blocks and options of pcapng (IETF draft-ietf-opsawg-pcapng, sections 4.1 to
// 4.6), in little-endian byte order: a block is its type, its length, its body
// and its length again; body and options are padded to 4 bytes.
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockStatistics = 5
	blockPacket     = 6

	byteOrderMagic = 0x1a2b3c4d
	linkEthernet   = 1 // LINKTYPE_ETHERNET

	optionEnd         = 0
	optionIfName      = 2
	optionTsResol     = 9
	optionFlags       = 2
	optionIfReceived  = 4
	optionIfDropped   = 5
	resolutionNS      = 9 // 10^-9 s
	versionMajor      = 1
	sectionLenUnknown = -1
)

// Directions of a frame: bits 0 and 1 of the option epb_flags (4.3.1).
const (
	inbound  = 1
	outbound = 2
)

// blockLen returns the length of the block of a frame.
func blockLen(frame int) int { return 12 + 20 + padded(frame) + 12 }

func padded(n int) int { return (n + 3) &^ 3 }

// appendHead appends what a file starts with: the section, and the device that
// all its frames belong to.
func appendHead(b []byte, device string) []byte {
	at := len(b)
	b = begin(b, blockSection)
	b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
	b = binary.LittleEndian.AppendUint16(b, versionMajor)
	b = binary.LittleEndian.AppendUint16(b, 0)
	length := int64(sectionLenUnknown)
	b = binary.LittleEndian.AppendUint64(b, uint64(length))
	b = end(b, at)

	at = len(b)
	b = begin(b, blockInterface)
	b = binary.LittleEndian.AppendUint16(b, linkEthernet)
	b = binary.LittleEndian.AppendUint16(b, 0)
	b = binary.LittleEndian.AppendUint32(b, 0) // no limit of a frame's length
	b = option(b, optionIfName, []byte(device))
	b = option(b, optionTsResol, []byte{resolutionNS})
	b = option(b, optionEnd, nil)
	return end(b, at)
}

// appendFrame appends an enhanced packet block (4.3).
func appendFrame(b []byte, at time.Time, direction uint32, data []byte) []byte {
	start := len(b)
	b = begin(b, blockPacket)
	b = binary.LittleEndian.AppendUint32(b, 0) // the first and only interface
	b = timestamp(b, at)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data))) // captured
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data))) // on the wire
	b = append(b, data...)
	b = append(b, zeros[:padded(len(data))-len(data)]...)
	b = binary.LittleEndian.AppendUint16(b, optionFlags)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = binary.LittleEndian.AppendUint32(b, direction)
	b = option(b, optionEnd, nil)
	return end(b, start)
}

// appendStatistics appends how many frames there were and how many of them are
// not in the file (4.6).
func appendStatistics(b []byte, at time.Time, seen, lost uint64) []byte {
	start := len(b)
	b = begin(b, blockStatistics)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = timestamp(b, at)
	b = option(b, optionIfReceived, binary.LittleEndian.AppendUint64(nil, seen))
	b = option(b, optionIfDropped, binary.LittleEndian.AppendUint64(nil, lost))
	b = option(b, optionEnd, nil)
	return end(b, start)
}

// begin starts a block, for end.
func begin(b []byte, kind uint32) []byte {
	b = binary.LittleEndian.AppendUint32(b, kind)
	return append(b, zeros[:4]...)
}

func end(b []byte, start int) []byte {
	length := uint32(len(b) + 4 - start)
	binary.LittleEndian.PutUint32(b[start+4:], length)
	return binary.LittleEndian.AppendUint32(b, length)
}

func option(b []byte, kind uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, zeros[:padded(len(value))-len(value)]...)
}

// timestamp appends a time as the halves of a 64-bit number, upper half first.
func timestamp(b []byte, at time.Time) []byte {
	ns := uint64(at.UnixNano())
	b = binary.LittleEndian.AppendUint32(b, uint32(ns>>32))
	return binary.LittleEndian.AppendUint32(b, uint32(ns))
}

var zeros [4]byte
