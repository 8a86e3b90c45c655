// Package load is what a broker has to bear while it is tortured: producers, consumers of several groups, a
// reader that pulls, and the checks that follow every restart. All of them speak the public protocol and
// tell a [ledger.Ledger] what they did, what they were answered and what they saw.
//
// A [Load] lives as long as one data folder; [Load.Run] is one life of the broker. An error of the connection
// ends nothing and proves nothing: its outcome is unknown.
package load
