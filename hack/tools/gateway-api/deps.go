//go:build deps

// Package deps names what is built here, so that `go mod tidy` keeps its modules.
package deps

import (
	_ "sigs.k8s.io/gateway-api/conformance"
	_ "sigs.k8s.io/gateway-api/conformance/echo-basic"
)
