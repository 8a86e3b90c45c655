package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stratamq/stratamq/tiering"
)

// GetRange implements [tiering.ObjectStore].
func (s *Store) GetRange(ctx context.Context, key string, dst []byte, off int64) error {
	if err := s.check(ctx, "get", key); err != nil {
		return err
	}
	if off < 0 {
		return &tiering.OpError{Op: "get", Key: key, Err: fmt.Errorf("%w: range from %d", tiering.ErrCorrupt, off)}
	}
	if len(dst) == 0 {
		return s.getNothing(ctx, key, off)
	}
	return s.retry(ctx, "get", key, int64(len(dst)), func(ctx context.Context, _ bool) error {
		out, err := s.client.GetObject(ctx, &s3.GetObjectInput{
			Bucket: aws.String(s.location.Bucket),
			Key:    aws.String(s.full(key)),
			Range:  aws.String(fmt.Sprintf("bytes=%d-%d", off, off+int64(len(dst))-1)),
		})
		if err != nil {
			return err
		}
		err = readBody(out, dst, off)
		if closeErr := out.Body.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("%w: %w", tiering.ErrUnavailable, closeErr)
		}
		return err
	})
}

// getNothing answers an empty range, which HTTP cannot ask for.
func (s *Store) getNothing(ctx context.Context, key string, off int64) error {
	info, err := s.Head(ctx, key)
	if err != nil {
		return err
	}
	if off > info.Size {
		return &tiering.OpError{Op: "get", Key: key, Err: fmt.Errorf("%w: range from %d in an object of %d bytes", tiering.ErrCorrupt, off, info.Size)}
	}
	return nil
}

// readBody checks that the answer is the range that was asked for, and fills dst with it.
func readBody(out *s3.GetObjectOutput, dst []byte, off int64) error {
	n := int64(len(dst))
	got, total := aws.ToString(out.ContentRange), int64(0)
	if got == "" {
		// A server may answer the whole object if that is what the range covers.
		if off != 0 || aws.ToInt64(out.ContentLength) != n {
			return fmt.Errorf("%w: asked for range [%d, %d), got an answer without a range", errDamaged, off, off+n)
		}
	} else {
		var first, last int64
		if _, err := fmt.Sscanf(got, "bytes %d-%d/%d", &first, &last, &total); err != nil {
			return fmt.Errorf("%w: content range %q", errDamaged, got)
		}
		if first == off && last == total-1 && off+n > total {
			return fmt.Errorf("%w: range [%d, %d) of an object of %d bytes", tiering.ErrCorrupt, off, off+n, total)
		}
		if first != off || last != off+n-1 {
			return fmt.Errorf("%w: asked for range [%d, %d), got %q", errDamaged, off, off+n, got)
		}
	}
	if length := out.ContentLength; length != nil && *length != n {
		return fmt.Errorf("%w: range of %d bytes has content length %d", errDamaged, n, *length)
	}
	if read, err := io.ReadFull(out.Body, dst); err != nil {
		return fmt.Errorf("%w: body ended after %d of %d bytes: %w", tiering.ErrUnavailable, read, n, err)
	}
	var more [1]byte
	if k, _ := out.Body.Read(more[:]); k != 0 {
		return fmt.Errorf("%w: body is longer than the %d bytes asked for", errDamaged, n)
	}
	return nil
}

// Head implements [tiering.ObjectStore].
func (s *Store) Head(ctx context.Context, key string) (tiering.ObjectInfo, error) {
	if err := s.check(ctx, "head", key); err != nil {
		return tiering.ObjectInfo{}, err
	}
	var info tiering.ObjectInfo
	err := s.retry(ctx, "head", key, 0, func(ctx context.Context, _ bool) error {
		var err error
		info, err = s.head(ctx, key)
		return err
	})
	return info, err
}

func (s *Store) head(ctx context.Context, key string) (tiering.ObjectInfo, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket:       aws.String(s.location.Bucket),
		Key:          aws.String(s.full(key)),
		ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return tiering.ObjectInfo{}, err
	}
	if out.ContentLength == nil {
		return tiering.ObjectInfo{}, fmt.Errorf("%w: the server gave no length", tiering.ErrUnavailable)
	}
	info := tiering.ObjectInfo{Key: key, Size: *out.ContentLength, ETag: aws.ToString(out.ETag)}
	info.CRC32C, info.HasCRC32C = decodeCRC(out.ChecksumCRC32C, out.ChecksumType)
	return info, nil
}

// Delete implements [tiering.ObjectStore].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.check(ctx, "delete", key); err != nil {
		return err
	}
	err := s.retry(ctx, "delete", key, 0, func(ctx context.Context, _ bool) error {
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{
			Bucket: aws.String(s.location.Bucket),
			Key:    aws.String(s.full(key)),
		})
		return err
	})
	if errors.Is(err, tiering.ErrNotFound) {
		return nil
	}
	return err
}

// List implements [tiering.ObjectStore]. Objects of other makers, whose keys are not ours, are left out.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[tiering.ObjectInfo, error] {
	return func(yield func(tiering.ObjectInfo, error) bool) {
		fail := func(err error) { yield(tiering.ObjectInfo{}, err) }
		if err := s.check(ctx, "list", "x"); err != nil {
			fail(err)
			return
		}
		if err := tiering.ValidatePrefix(prefix); err != nil {
			fail(&tiering.OpError{Op: "list", Key: prefix, Err: err})
			return
		}
		for more := true; more; {
			page, truncated, err := s.page(ctx, prefix, after)
			if err != nil {
				fail(err)
				return
			}
			more = truncated && len(page) > 0
			for i := range page {
				key, ok := s.short(aws.ToString(page[i].Key))
				// The next page begins behind the last key seen, whatever it is.
				if ok && after < key {
					after = key
				} else if ok {
					continue // a server that begins at the start-after key itself
				}
				if !ok || tiering.ValidateKey(key) != nil {
					continue
				}
				info := tiering.ObjectInfo{Key: key, Size: aws.ToInt64(page[i].Size), ETag: aws.ToString(page[i].ETag)}
				if !yield(info, nil) {
					return
				}
			}
		}
	}
}

func (s *Store) page(ctx context.Context, prefix, after string) ([]types.Object, bool, error) {
	in := &s3.ListObjectsV2Input{Bucket: aws.String(s.location.Bucket)}
	if full := s.fullPrefix(prefix); full != "" {
		in.Prefix = aws.String(full)
	}
	if after != "" {
		in.StartAfter = aws.String(s.full(after))
	}
	var page []types.Object
	truncated := false
	err := s.retry(ctx, "list", prefix, 0, func(ctx context.Context, _ bool) error {
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return err
		}
		page, truncated = out.Contents, aws.ToBool(out.IsTruncated)
		return nil
	})
	return page, truncated, err
}

func (s *Store) fullPrefix(prefix string) string {
	if s.location.Prefix == "" {
		return prefix
	}
	return s.location.Prefix + "/" + prefix
}
