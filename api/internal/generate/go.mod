// The generator is a module of its own so that the compiler of .proto files is no dependency of
// the api module.
module github.com/stratamq/stratamq/api/internal/generate

go 1.26.9

require (
	github.com/bufbuild/protocompile v0.14.1
	google.golang.org/protobuf v1.36.12
)

require golang.org/x/sync v0.8.0 // indirect
