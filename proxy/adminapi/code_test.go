package adminapi

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/message/filter"
	"github.com/stratamq/stratamq/meta"
	"github.com/stratamq/stratamq/proxy"
	"github.com/stratamq/stratamq/storelayer"
)

// sentinelsByName are all sentinels of the vocabularies, so that one that is new is not forgotten.
var sentinelsByName = map[string]error{
	"storelayer.ErrOverloaded": storelayer.ErrOverloaded, "storelayer.ErrDiskMark": storelayer.ErrDiskMark,
	"storelayer.ErrUnknown": storelayer.ErrUnknown, "storelayer.ErrFenced": storelayer.ErrFenced,
	"storelayer.ErrClosed": storelayer.ErrClosed, "storelayer.ErrInvalidHandle": storelayer.ErrInvalidHandle,
	"storelayer.ErrQueueNotFound": storelayer.ErrQueueNotFound, "storelayer.ErrGroupNotFound": storelayer.ErrGroupNotFound,
	"storelayer.ErrOffsetNotFound": storelayer.ErrOffsetNotFound, "storelayer.ErrNotReplicated": storelayer.ErrNotReplicated,
	"meta.ErrNotFound": meta.ErrNotFound, "meta.ErrConflict": meta.ErrConflict, "meta.ErrUnavailable": meta.ErrUnavailable,
	"meta.ErrUnknown": meta.ErrUnknown, "meta.ErrDamaged": meta.ErrDamaged, "meta.ErrTooLarge": meta.ErrTooLarge,
	"meta.ErrExists": meta.ErrExists, "meta.ErrInvalid": meta.ErrInvalid, "meta.ErrNotHolder": meta.ErrNotHolder,
	"proxy.ErrTopicNotFound": proxy.ErrTopicNotFound, "proxy.ErrGroupNotFound": proxy.ErrGroupNotFound,
	"proxy.ErrNoShard": proxy.ErrNoShard, "proxy.ErrHistory": proxy.ErrHistory, "proxy.ErrGone": proxy.ErrGone,
	"message.ErrInvalid": message.ErrInvalid, "message.ErrCorrupt": message.ErrCorrupt,
	"filter.ErrInvalid": filter.ErrInvalid,
}

func TestEverySentinelHasACode(t *testing.T) {
	for _, folder := range []string{"../../storelayer", "../../meta", "..", "../../message", "../../message/filter"} {
		for _, name := range exportedSentinels(t, folder) {
			err, known := sentinelsByName[name]
			if !known {
				t.Errorf("%s is not in the table of this test", name)
				continue
			}
			if code := codeOf(fmt.Errorf("somewhere: %w", err)); code == connect.CodeInternal {
				t.Errorf("%s has no code of its own", name)
			}
		}
	}
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

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want connect.Code
	}{
		{&storelayer.OffsetOutOfRangeError{}, connect.CodeOutOfRange},
		{fmt.Errorf("%w: %w", storelayer.ErrFenced, storelayer.ErrUnknown), connect.CodeUnknown},
		{context.DeadlineExceeded, connect.CodeDeadlineExceeded},
		{context.Canceled, connect.CodeCanceled},
		{fmt.Errorf("x: %w", invalid("y")), connect.CodeInvalidArgument},
		{errors.New("anything else"), connect.CodeInternal},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
