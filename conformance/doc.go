// Package conformance drives the official RocketMQ clients, each from its registry package and in a process of its
// own, against a broker, and says in one table what works.
//
//	broker ◄── grpc ── clients/{go,java,python,node,rust}   one program per client, one line per case
//	   ▲                       │ PASS, FAIL, SKIP
//	   └── topics, groups ── this package ──► table case × client
//
// The package has tests only. [TestClients] starts the built broker (or takes the one that runs at
// STRATA_ENDPOINT), makes topics and groups, runs the programs side by side and fails if a cell of the table is not a
// pass or one of the known skips. TestKeepalive is a raw HTTP/2 client that pings.
//
// Nothing is skipped quietly: a toolchain that is missing fails the run by its name, a case without a line is a
// failure, and so is a skip that the table of known skips does not have. The README says how to run a part of it.
package conformance
