module github.com/stratamq/stratamq/conformance

go 1.26.9

require golang.org/x/net v0.60.0

require golang.org/x/text v0.42.0 // indirect
