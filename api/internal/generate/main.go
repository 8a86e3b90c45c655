package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	// apiDir is the api module, seen from the folder the generator runs in.
	apiDir = "../.."
	// module is the Go module that the code belongs to.
	module = "github.com/stratamq/stratamq/api"
	// importRoot is what paths of .proto files begin with, for imports and in the registry.
	importRoot = "stratamq/"
)

// A plugin turns descriptors into Go files.
type plugin struct {
	name    string
	options string // beside paths, in the plug-in's own syntax
	// wants says whether the plug-in has something to say about a file.
	wants func(path string, file linker.File) bool
	// published shows the plug-in the files under their published packages.
	published bool
}

var plugins = []plugin{
	{name: "protoc-gen-go", wants: func(string, linker.File) bool { return true }},
	{
		name: "protoc-gen-go-grpc", published: true,
		wants: func(path string, f linker.File) bool { return f.Services().Len() > 0 && !servedByConnect(path) },
	},
	{
		// simple: handlers and clients take and return the messages themselves.
		name: "protoc-gen-connect-go", options: ",simple=true",
		wants: func(path string, f linker.File) bool { return f.Services().Len() > 0 && servedByConnect(path) },
	},
}

// publicPackages maps packages of ours to those that a service is served under.
var publicPackages = map[string]string{"stratamq.rocketmq.v2": "apache.rocketmq.v2"}

// servedByConnect tells the admin API, served over HTTP, from services served by gRPC alone.
func servedByConnect(path string) bool { return strings.HasPrefix(path, importRoot+"admin/") }

func main() {
	out := flag.String("out", apiDir, "write the code below this folder")
	flag.Parse()
	if err := run(context.Background(), *out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run generates the code of every .proto file of the module below out.
func run(ctx context.Context, out string) error {
	paths, err := protoFiles()
	if err != nil {
		return err
	}
	files, err := compile(ctx, paths, nil)
	if err != nil {
		return err
	}
	published, err := compile(ctx, paths, publicPackages)
	if err != nil {
		return err
	}
	for _, p := range plugins {
		var targets []string
		for i, path := range paths {
			if p.wants(path, files[i]) {
				targets = append(targets, path)
			}
		}
		if len(targets) == 0 {
			continue
		}
		from := files
		if p.published {
			from = published
		}
		if err := p.run(ctx, from, targets, out); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// protoFiles lists the module's .proto files by their import paths, sorted.
func protoFiles() ([]string, error) {
	var paths []string
	err := filepath.WalkDir(apiDir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".proto" {
			return err
		}
		rel, err := filepath.Rel(apiDir, path)
		paths = append(paths, importRoot+filepath.ToSlash(rel))
		return err
	})
	return paths, err
}

// compile compiles the files, with their package lines renamed.
func compile(ctx context.Context, paths []string, rename map[string]string) (linker.Files, error) {
	open := func(path string) (io.ReadCloser, error) {
		rel, ok := strings.CutPrefix(path, importRoot)
		if !ok {
			return nil, fs.ErrNotExist
		}
		text, err := os.ReadFile(filepath.Join(apiDir, filepath.FromSlash(rel)))
		if err != nil {
			return nil, err
		}
		for from, to := range rename {
			text = bytes.Replace(text, []byte("\npackage "+from+";"), []byte("\npackage "+to+";"), 1)
		}
		return io.NopCloser(bytes.NewReader(text)), nil
	}
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: open}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	return c.Compile(ctx, paths...)
}

// run has the plug-in generate the targets among files, and writes what it answers below out.
func (p plugin) run(ctx context.Context, files linker.Files, targets []string, out string) error {
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: targets,
		Parameter:      proto.String("module=" + module + p.options),
		ProtoFile:      withImports(files),
	})
	if err != nil {
		return err
	}
	binary, err := install(ctx, p.name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(request), os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, f := range response.GetFile() {
		path := filepath.Join(out, filepath.FromSlash(f.GetName()))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// withImports gives the descriptors of files and of all they import, each behind its imports.
func withImports(files linker.Files) []*descriptorpb.FileDescriptorProto {
	var all []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		all = append(all, protoutil.ProtoFromFileDescriptor(f))
	}
	for _, f := range files {
		add(f)
	}
	return all
}

// install builds a plug-in unless the cache has it, and returns the path of its binary.
func install(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(apiDir, "..", "tools", "install"), name)
	cmd.Stderr = os.Stderr
	path, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("tools/install: %w", err)
	}
	return string(bytes.TrimSpace(path)), nil
}
