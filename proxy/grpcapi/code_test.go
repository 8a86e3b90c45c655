package grpcapi

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	pb "github.com/stratamq/stratamq/api/rocketmq/v2"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// sentinels are the errors that can reach this package, by name. The test compares them with the sources.
var sentinels = map[string]struct {
	err  error
	code pb.Code
}{
	"storelayer.ErrOverloaded":     {storelayer.ErrOverloaded, pb.Code_TOO_MANY_REQUESTS},
	"storelayer.ErrDiskMark":       {storelayer.ErrDiskMark, pb.Code_TOO_MANY_REQUESTS},
	"storelayer.ErrUnknown":        {storelayer.ErrUnknown, pb.Code_MASTER_PERSISTENCE_TIMEOUT},
	"storelayer.ErrFenced":         {storelayer.ErrFenced, pb.Code_HA_NOT_AVAILABLE},
	"storelayer.ErrClosed":         {storelayer.ErrClosed, pb.Code_HA_NOT_AVAILABLE},
	"storelayer.ErrInvalidHandle":  {storelayer.ErrInvalidHandle, pb.Code_INVALID_RECEIPT_HANDLE},
	"storelayer.ErrQueueNotFound":  {storelayer.ErrQueueNotFound, pb.Code_TOPIC_NOT_FOUND},
	"storelayer.ErrGroupNotFound":  {storelayer.ErrGroupNotFound, pb.Code_CONSUMER_GROUP_NOT_FOUND},
	"storelayer.ErrOffsetNotFound": {storelayer.ErrOffsetNotFound, pb.Code_OFFSET_NOT_FOUND},
	"storelayer.ErrNotReplicated":  {storelayer.ErrNotReplicated, pb.Code_UNSUPPORTED},
	"proxy.ErrTopicNotFound":       {proxy.ErrTopicNotFound, pb.Code_TOPIC_NOT_FOUND},
	"proxy.ErrGroupNotFound":       {proxy.ErrGroupNotFound, pb.Code_CONSUMER_GROUP_NOT_FOUND},
	"proxy.ErrNoShard":             {proxy.ErrNoShard, pb.Code_INTERNAL_SERVER_ERROR},
	"proxy.ErrHistory":             {proxy.ErrHistory, pb.Code_INTERNAL_SERVER_ERROR},
	"proxy.ErrGone":                {proxy.ErrGone, pb.Code_ILLEGAL_OFFSET},
	"meta.ErrNotFound":             {meta.ErrNotFound, pb.Code_NOT_FOUND},
	"meta.ErrNotHolder":            {meta.ErrNotHolder, pb.Code_HA_NOT_AVAILABLE},
	"meta.ErrConflict":             {meta.ErrConflict, pb.Code_INTERNAL_SERVER_ERROR},
	"meta.ErrUnavailable":          {meta.ErrUnavailable, pb.Code_TOO_MANY_REQUESTS},
	"meta.ErrUnknown":              {meta.ErrUnknown, pb.Code_INTERNAL_SERVER_ERROR},
	"meta.ErrDamaged":              {meta.ErrDamaged, pb.Code_INTERNAL_SERVER_ERROR},
	"meta.ErrTooLarge":             {meta.ErrTooLarge, pb.Code_BAD_REQUEST},
	"meta.ErrExists":               {meta.ErrExists, pb.Code_BAD_REQUEST},
	"meta.ErrInvalid":              {meta.ErrInvalid, pb.Code_BAD_REQUEST},
	"message.ErrInvalid":           {message.ErrInvalid, pb.Code_BAD_REQUEST},
	"message.ErrCorrupt":           {message.ErrCorrupt, pb.Code_INTERNAL_SERVER_ERROR},
	"filter.ErrInvalid":            {filter.ErrInvalid, pb.Code_ILLEGAL_FILTER_EXPRESSION},
}

// exportedSentinels returns the names of the Err… variables that the package in a folder declares.
func exportedSentinels(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources in %s: %v", folder, err)
	}
	var out []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			vars, ok := decl.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(name.Name, "Err") {
						out = append(out, parsed.Name.Name+"."+name.Name)
					}
				}
			}
		}
	}
	return out
}

func TestEverySentinelHasItsCode(t *testing.T) {
	seen := map[string]bool{}
	for _, folder := range []string{"../../storelayer", "../../meta", "../../message", "../../message/filter", ".."} {
		for _, name := range exportedSentinels(t, folder) {
			seen[name] = true
			want, ok := sentinels[name]
			if !ok {
				t.Errorf("%s has no code", name)
				continue
			}
			if got := codeOf(fmt.Errorf("somewhere: %w", want.err)); got != want.code {
				t.Errorf("%s: %v, want %v", name, got, want.code)
			}
			if s := statusOf(fmt.Errorf("somewhere: %w", want.err)); s.GetMessage() != "somewhere: "+want.err.Error() {
				t.Errorf("%s: text %q", name, s.GetMessage())
			}
		}
	}
	for name := range sentinels {
		if !seen[name] {
			t.Errorf("%s is not declared anywhere", name)
		}
	}
}

func TestCodeOf(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code pb.Code
	}{
		"no error":                  {nil, pb.Code_OK},
		"a fenced unknown":          {fmt.Errorf("%w: %w", storelayer.ErrFenced, storelayer.ErrUnknown), pb.Code_MASTER_PERSISTENCE_TIMEOUT},
		"an offset out of range":    {fmt.Errorf("pull: %w", &storelayer.OffsetOutOfRangeError{}), pb.Code_ILLEGAL_OFFSET},
		"a refusal":                 {fmt.Errorf("x: %w", refuse(pb.Code_ILLEGAL_TOPIC, "no")), pb.Code_ILLEGAL_TOPIC},
		"something never heard of":  {errors.New("boom"), pb.Code_INTERNAL_SERVER_ERROR},
		"history that has gone":     {fmt.Errorf("%w: %w", proxy.ErrHistory, proxy.ErrGone), pb.Code_ILLEGAL_OFFSET},
		"a handle of another shard": {fmt.Errorf("%w: %w", storelayer.ErrInvalidHandle, proxy.ErrNoShard), pb.Code_INVALID_RECEIPT_HANDLE},
	} {
		if got := codeOf(c.err); got != c.code {
			t.Errorf("%s: %v, want %v", name, got, c.code)
		}
	}
}

func TestCombine(t *testing.T) {
	ok, dead := statusOf(nil), statusOf(storelayer.ErrInvalidHandle)
	if got := combine([]*pb.Status{ok, ok}).GetCode(); got != pb.Code_OK {
		t.Error(got)
	}
	if got := combine([]*pb.Status{dead}).GetCode(); got != pb.Code_INVALID_RECEIPT_HANDLE {
		t.Error(got)
	}
	if got := combine([]*pb.Status{ok, dead}).GetCode(); got != pb.Code_MULTIPLE_RESULTS {
		t.Error(got)
	}
}
