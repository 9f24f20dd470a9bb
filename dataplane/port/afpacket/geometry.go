package afpacket

func (p *Port) geometry() geometry {
	return geometry{slotSize: 2048, slots: 2048, blockSize: 1 << 20, perBlock: 512}
}
