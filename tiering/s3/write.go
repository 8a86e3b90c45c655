package s3

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stratamq/stratamq/tiering"
)

// Put implements [tiering.ObjectStore].
func (s *Store) Put(ctx context.Context, key string, body io.ReaderAt, size int64, opts tiering.PutOptions) error {
	if err := s.check(ctx, "put", key); err != nil {
		return err
	}
	crc := opts.CRC32C
	if !opts.HasCRC32C {
		h := &checksum{}
		if _, err := io.Copy(h, io.NewSectionReader(body, 0, size)); err != nil {
			return &tiering.OpError{Op: "put", Key: key, Err: fmt.Errorf("read body: %w", err)}
		}
		crc = h.crc
	}
	return s.retry(ctx, "put", key, size, func(ctx context.Context, unknown bool) error {
		_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket:         aws.String(s.location.Bucket),
			Key:            aws.String(s.full(key)),
			Body:           io.NewSectionReader(body, 0, size),
			ContentLength:  aws.Int64(size),
			ContentType:    aws.String("application/octet-stream"),
			ChecksumCRC32C: encodeCRC(crc),
			IfNoneMatch:    ifNoneMatch(opts),
		})
		if err != nil && unknown && errors.Is(translate(ctx, err), tiering.ErrExists) {
			return s.confirm(ctx, key, size, crc, err)
		}
		return err
	})
}

// confirm decides whether an object that stands in the way is our own from an earlier attempt, by its bytes.
// If not it returns taken.
func (s *Store) confirm(ctx context.Context, key string, size int64, crc uint32, taken error) error {
	info, err := s.head(ctx, key)
	if err != nil {
		return fmt.Errorf("%w: look at the object that stands in the way: %w", tiering.ErrUnavailable, err)
	}
	if info.Size != size {
		return taken
	}
	if !info.HasCRC32C {
		info.CRC32C, err = tiering.ReadChecksum(ctx, s, key, size)
		if err != nil {
			return fmt.Errorf("%w: read the object that stands in the way: %w", tiering.ErrUnavailable, err)
		}
	}
	if info.CRC32C != crc {
		return taken
	}
	return nil
}

func ifNoneMatch(opts tiering.PutOptions) *string {
	if opts.IfAbsent {
		return aws.String("*")
	}
	return nil
}

// encodeCRC is the header form: base64 of four big-endian bytes.
func encodeCRC(crc uint32) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc)))
}

func decodeCRC(text *string, kind types.ChecksumType) (uint32, bool) {
	if text == nil || kind == types.ChecksumTypeComposite {
		return 0, false // composite: a checksum of the parts' checksums
	}
	b, err := base64.StdEncoding.DecodeString(*text)
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

type checksum struct{ crc uint32 }

func (c *checksum) Write(b []byte) (int, error) {
	c.crc = tiering.UpdateChecksum(c.crc, b)
	return len(b), nil
}

// upload is a multipart upload. Its object checksum is that of the whole object, not of the parts, where the server
// knows the difference.
type upload struct {
	store    *Store
	key      string
	id       string
	partSize int64
	wholeCRC bool // the server agreed to check the whole object's CRC32C at the end

	mu struct {
		sync.Mutex
		parts map[int]uploadedPart
		ended bool
	}
}

type uploadedPart struct {
	part types.CompletedPart
	size int64
}

// Create implements [tiering.ObjectStore].
func (s *Store) Create(ctx context.Context, key string, partSize int64) (tiering.Upload, error) {
	if err := s.check(ctx, "create", key); err != nil {
		return nil, err
	}
	if partSize < tiering.MinPartSize {
		return nil, &tiering.OpError{Op: "create", Key: key, Err: fmt.Errorf("%w: parts of %d bytes are below %d", tiering.ErrUnsupported, partSize, tiering.MinPartSize)}
	}
	u := &upload{store: s, key: key, partSize: partSize, wholeCRC: true}
	u.mu.parts = make(map[int]uploadedPart)
	err := u.create(ctx)
	if errors.Is(err, tiering.ErrUnsupported) {
		u.wholeCRC = false // an older server: the parts' checksums have to do
		err = u.create(ctx)
	}
	if err != nil {
		return nil, err
	}
	return u, nil
}

func (u *upload) create(ctx context.Context) error {
	in := &s3.CreateMultipartUploadInput{
		Bucket:      aws.String(u.store.location.Bucket),
		Key:         aws.String(u.store.full(u.key)),
		ContentType: aws.String("application/octet-stream"),
	}
	if u.wholeCRC {
		in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32c
		in.ChecksumType = types.ChecksumTypeFullObject
	}
	return u.store.retry(ctx, "create", u.key, 0, func(ctx context.Context, _ bool) error {
		out, err := u.store.client.CreateMultipartUpload(ctx, in)
		if err != nil {
			return err
		}
		if aws.ToString(out.UploadId) == "" {
			return fmt.Errorf("%w: the server gave no upload id", tiering.ErrUnavailable)
		}
		u.id = *out.UploadId
		return nil
	})
}

// Part implements [tiering.Upload].
func (u *upload) Part(ctx context.Context, number int, body []byte) error {
	if err := u.store.check(ctx, "part", u.key); err != nil {
		return err
	}
	if number < 1 || number > tiering.MaxParts || len(body) == 0 || int64(len(body)) > u.partSize {
		return &tiering.OpError{Op: "part", Key: u.key, Err: fmt.Errorf("%w: part %d of %d bytes", tiering.ErrUnsupported, number, len(body))}
	}
	crc := encodeCRC(tiering.Checksum(body))
	return u.store.retry(ctx, "part", u.key, int64(len(body)), func(ctx context.Context, _ bool) error {
		out, err := u.store.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket:         aws.String(u.store.location.Bucket),
			Key:            aws.String(u.store.full(u.key)),
			UploadId:       aws.String(u.id),
			PartNumber:     aws.Int32(int32(number)),
			Body:           bytes.NewReader(body),
			ContentLength:  aws.Int64(int64(len(body))),
			ChecksumCRC32C: crc,
		})
		if err != nil {
			return err
		}
		part := types.CompletedPart{PartNumber: aws.Int32(int32(number)), ETag: out.ETag}
		if u.wholeCRC {
			part.ChecksumCRC32C = crc
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.mu.parts[number] = uploadedPart{part: part, size: int64(len(body))}
		return nil
	})
}

// Complete implements [tiering.Upload].
func (u *upload) Complete(ctx context.Context, n int, opts tiering.PutOptions) error {
	if err := u.store.check(ctx, "complete", u.key); err != nil {
		return err
	}
	parts, size, err := u.collect(n)
	if err != nil {
		return &tiering.OpError{Op: "complete", Key: u.key, Err: err}
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket:          aws.String(u.store.location.Bucket),
		Key:             aws.String(u.store.full(u.key)),
		UploadId:        aws.String(u.id),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
		IfNoneMatch:     ifNoneMatch(opts),
	}
	if u.wholeCRC {
		in.ChecksumType = types.ChecksumTypeFullObject
		if opts.HasCRC32C {
			in.ChecksumCRC32C = encodeCRC(opts.CRC32C)
		}
	}
	// The server may copy all bytes before it answers, so it is given the time of a transfer.
	err = u.store.retry(ctx, "complete", u.key, size, func(ctx context.Context, unknown bool) error {
		_, err := u.store.client.CompleteMultipartUpload(ctx, in)
		if err == nil || !unknown || !opts.HasCRC32C {
			return err
		}
		if meant := translate(ctx, err); errors.Is(meant, tiering.ErrExists) || errors.Is(meant, tiering.ErrNotFound) {
			return u.store.confirm(ctx, u.key, size, opts.CRC32C, err)
		}
		return err
	})
	if err == nil {
		u.mu.Lock()
		u.mu.ended = true
		u.mu.Unlock()
	}
	return err
}

// collect returns the parts 1 … n and the size of the whole.
func (u *upload) collect(n int) ([]types.CompletedPart, int64, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.mu.ended {
		return nil, 0, fmt.Errorf("%w: the upload has ended", tiering.ErrNotFound)
	}
	if n < 1 || n != len(u.mu.parts) {
		return nil, 0, fmt.Errorf("%w: %d parts to complete, %d uploaded", tiering.ErrCorrupt, n, len(u.mu.parts))
	}
	parts := make([]types.CompletedPart, 0, n)
	size := int64(0)
	for number := 1; number <= n; number++ {
		p, ok := u.mu.parts[number]
		if !ok || number < n && p.size != u.partSize {
			return nil, 0, fmt.Errorf("%w: part %d of %d is missing or has %d bytes", tiering.ErrCorrupt, number, n, p.size)
		}
		parts = append(parts, p.part)
		size += p.size
	}
	return parts, size, nil
}

// Abort implements [tiering.Upload].
func (u *upload) Abort(ctx context.Context) error {
	u.mu.Lock()
	ended := u.mu.ended
	u.mu.ended = true
	u.mu.Unlock()
	if ended {
		return nil
	}
	err := u.store.retry(ctx, "abort", u.key, 0, func(ctx context.Context, _ bool) error {
		_, err := u.store.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
			Bucket:   aws.String(u.store.location.Bucket),
			Key:      aws.String(u.store.full(u.key)),
			UploadId: aws.String(u.id),
		})
		return err
	})
	if errors.Is(err, tiering.ErrNotFound) {
		return nil
	}
	return err
}
