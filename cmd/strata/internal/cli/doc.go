// Package cli is the command line: it parses, calls the admin API, and prints.
//
//	arguments ──► command ──► admin API (Connect over HTTP) ──► table, or JSON with -o json
//	                   └────► the server itself, for `strata server`
//
// Tables are for people and may change; the JSON is for programs: its field names are those of the admin
// API and stay. What went wrong goes to standard error as one sentence, and its kind into the exit code,
// see [Main].
package cli
