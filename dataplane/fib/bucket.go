package fib

// BuildBuckets spreads flows evenly over hops next hops: see Rebucket.
func BuildBuckets(hops int) []uint8 { return nil }

// Rebucket returns the buckets of a group whose next hops have changed.
func Rebucket(old *Group, hops []NextHop) []uint8 { return nil }
