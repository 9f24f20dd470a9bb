// Command vrouter is a virtual router: VRRP and forwarding in one process.
package main

import "os"

func main() { os.Exit(main1(os.Args[1:], os.Stdout, os.Stderr)) }
