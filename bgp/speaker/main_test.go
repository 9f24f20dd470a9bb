package speaker

import (
	"os"
	"testing"

	"vrouter/internal/netlab"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m)) }
