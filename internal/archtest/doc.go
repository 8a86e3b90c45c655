// Package archtest keeps the shape of the repository: it holds only tests.
//
//	arrows.txt ──┐
//	go list   ───┼──► imports that no arrow allows, packages without a doc
//	the source ──┴──► decoders without a fuzz target, sleeping tests, files that are too long
//
// Every check is a function from the facts to a list of complaints, and a test of its own feeds
// each of them a small tree that breaks the rule: a check that cannot fail keeps nothing.
package archtest
