// A current etcd, built from its Go module for the tests: `make etcd-current`.
//
// etcd's own main module cannot be installed by `go install`, because it replaces its parts;
// the server module can be required and started like this.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
