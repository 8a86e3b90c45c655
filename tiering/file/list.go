package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/stratamq/stratamq/tiering"
)

// List implements [tiering.ObjectStore]. It holds the names of one directory per level in memory.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[tiering.ObjectInfo, error] {
	return func(yield func(tiering.ObjectInfo, error) bool) {
		err := tiering.ValidatePrefix(prefix)
		if err == nil {
			_, err = s.walk(ctx, ".", prefix, after, yield)
		}
		if err != nil {
			yield(tiering.ObjectInfo{}, opError("list", prefix, err))
		}
	}
}

// walk yields what lies below dir and reports whether the caller wants more.
func (s *Store) walk(ctx context.Context, dir, prefix, after string, yield func(tiering.ObjectInfo, error) bool) (bool, error) {
	if err := context.Cause(ctx); err != nil {
		return false, err
	}
	entries, err := fs.ReadDir(s.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) && dir != "." {
		return true, nil // emptied since its parent was read
	}
	if err != nil {
		return false, fmt.Errorf("%w: %w", tiering.ErrNoBucket, err)
	}
	// A directory sorts by what its keys look like: "a-b" comes before "a/b".
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return cmp.Compare(sortName(x), sortName(y)) })
	for _, entry := range entries {
		key := path.Join(dir, entry.Name())
		switch {
		case strings.HasPrefix(key, "."): // temporary files
			continue
		case entry.IsDir():
			sub := key + "/"
			if !strings.HasPrefix(sub, prefix) && !strings.HasPrefix(prefix, sub) || sub < after && !strings.HasPrefix(after, sub) {
				continue
			}
			more, err := s.walk(ctx, key, prefix, after, yield)
			if err != nil || !more {
				return false, err
			}
		case strings.HasPrefix(key, prefix) && key > after && entry.Type().IsRegular():
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since
			}
			if err != nil {
				return false, err
			}
			if !yield(describe(key, info), nil) {
				return false, nil
			}
		}
	}
	return true, nil
}

func sortName(entry fs.DirEntry) string {
	if entry.IsDir() {
		return entry.Name() + "/"
	}
	return entry.Name()
}
