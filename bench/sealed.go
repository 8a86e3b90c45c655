package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
)

// sealed is a segment that was sealed into a bucket, and what that took.
type sealed struct {
	bucket  string
	url     string
	cluster string          // the first part of its objects' keys
	shard   message.ShardID // its shard
	key     string          // of its largest object
	object  string          // the file that the S3 server keeps it in

	cpu        float64 // seconds, of the broker
	seconds    float64
	puts       int     // counted by the S3 server
	records    float64 // bytes of records, uncompressed
	metaBytes  float64 // written into the metadata store, as the broker says
	metaGrowth float64 // bytes by which the folder of the metadata store grew
}

// sealOne fills a segment of one topic with that many queues and waits until it is sealed. Rows that need the same one
// share it.
func (b *bench) sealOne(ctx context.Context, codec string, queues int) (*sealed, error) {
	bucket := fmt.Sprintf("%s-%d", codec, queues)
	if s := b.sealed[bucket]; s != nil {
		return s, nil
	}
	store, err := b.objects(ctx)
	if err != nil {
		return nil, err
	}
	out := &sealed{bucket: bucket}
	if out.url, err = store.url(bucket); err != nil {
		return nil, err
	}
	s, err := b.startBroker(ctx, "seal-"+bucket, credentials(), "--object-store", out.url, "--seal-codec", codec,
		"--segment-size", strconv.FormatInt(b.settings.bulk>>20, 10)+"MiB", "--seal-max-age", "0")
	if err != nil {
		return nil, err
	}
	defer s.remove()
	if err := b.fillAndSeal(ctx, s, store, out, queues); err != nil {
		return nil, fmt.Errorf("seal with %s, %d queues: %w", codec, queues, err)
	}
	if err := out.locate(store.dir); err != nil {
		return nil, err
	}
	b.logf("  sealed with %s, %d queues: %.2f s of CPU in %.2f s, %d PUTs, %.0f bytes of metadata for %.0f of records",
		codec, queues, out.cpu, out.seconds, out.puts, out.metaBytes, out.records)
	b.sealed[bucket] = out
	return out, nil
}

// fillAndSeal sends until the log has moved on to its second segment, stops, and takes what the broker does from then
// on for the seal of the first.
func (b *bench) fillAndSeal(ctx context.Context, s *broker, store *objectStore, out *sealed, queues int) error {
	c, err := b.createDurable(ctx, s, "sealed", queues)
	if err != nil {
		return err
	}
	defer c.close()
	metaDir := filepath.Join(s.dir, "meta")
	metaBefore, err := folderSize(metaDir)
	if err != nil {
		return err
	}
	putsBefore, err := store.puts(out.bucket) // the probe's
	if err != nil {
		return err
	}
	if err := b.fillSegment(ctx, s, c); err != nil {
		return err
	}
	cpuBefore, err := s.cpu()
	if err != nil {
		return err
	}
	profiled := b.profile(ctx, s.http, "seal-"+out.bucket)
	start := time.Now()
	for {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
		n, err := s.metric(ctx, "strata_seals_total")
		if err != nil {
			return err
		}
		if n >= 1 {
			break
		}
		if err := s.ended(); err != nil {
			return err
		}
	}
	out.seconds = time.Since(start).Seconds()
	cpuAfter, err := s.cpu()
	if err != nil {
		return err
	}
	out.cpu = (cpuAfter - cpuBefore).Seconds()
	if err := <-profiled; err != nil {
		return err
	}
	if out.records, err = s.metric(ctx, "strata_seal_record_bytes_total"); err != nil {
		return err
	}
	if out.metaBytes, err = s.metric(ctx, "strata_seal_meta_bytes_total"); err != nil {
		return err
	}
	metaAfter, err := folderSize(metaDir)
	if err != nil {
		return err
	}
	out.metaGrowth = float64(metaAfter - metaBefore)
	puts, err := store.puts(out.bucket)
	out.puts = puts - putsBefore
	return err
}

// fillSegment sends JSON messages from many callers until there is a second segment.
func (b *bench) fillSegment(ctx context.Context, s *broker, c *client) error {
	const callers, batch, variants = 16, 32, 32
	var stop atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	for caller := range callers {
		random := fastRand(caller)
		requests := make([]*sendRequest, variants)
		for i := range requests {
			var err error
			if requests[i], err = newSendRequest("sealed", batch, func() []byte { return jsonBody(&random) }); err != nil {
				return err
			}
		}
		group.Go(func() error {
			ctx := callerContext(ctx, caller)
			answer := new(reply)
			for i := 0; !stop.Load(); i++ {
				if _, err := requests[i%variants].send(ctx, c.conn(caller), answer); err != nil {
					return fmt.Errorf("fill: %w", err)
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer stop.Store(true)
		for {
			segments, err := s.segments(ctx)
			if err != nil {
				return err
			}
			if len(segments) > 1 {
				return nil
			}
			if err := pause(ctx, 20*time.Millisecond); err != nil {
				return err
			}
		}
	})
	return group.Wait()
}

// jsonBody is a JSON document of about 1 KiB, as an order might look: names that repeat, values that do not.
func jsonBody(random *fastRand) []byte {
	states := [...]string{"created", "paid", "shipped", "delivered", "returned"}
	cities := [...]string{"Hangzhou", "Shanghai", "Berlin", "Nairobi", "São Paulo", "Osaka", "Toronto"}
	var body strings.Builder
	fmt.Fprintf(&body, `{"orderId":"%016x","userId":%d,"state":%q,"createdAt":"2026-%02d-%02dT%02d:%02d:%02d.%03dZ","city":%q,"items":[`,
		random.next(), random.next()%1e9, states[random.next()%5], random.next()%12+1, random.next()%28+1,
		random.next()%24, random.next()%60, random.next()%60, random.next()%1000, cities[random.next()%7])
	for i := 0; body.Len() < bodySize-130; i++ {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"sku":"SKU-%08d","title":"item %d of the catalogue","quantity":%d,"priceCents":%d,"currency":"CNY"}`,
			random.next()%1e8, random.next()%10000, random.next()%9+1, random.next()%1e6)
	}
	fmt.Fprintf(&body, `],"traceId":"%016x%016x"}`, random.next(), random.next())
	return []byte(body.String())
}

// metric reads a number from the broker's /metrics.
func (s *broker) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // errcheck: its end was read, or an error is returned
	return findMetric(resp.Body, name)
}

// locate finds the largest object of the bucket: the one with the records. Its key begins with cluster and shard.
func (s *sealed) locate(root string) error {
	base := filepath.Join(root, s.bucket)
	var largest int64
	err := filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil || info.Size() <= largest {
			return err
		}
		largest, s.object = info.Size(), path
		return nil
	})
	if err != nil {
		return err
	}
	if s.object == "" {
		return fmt.Errorf("bucket %s is empty: %w", s.bucket, os.ErrNotExist)
	}
	key, err := filepath.Rel(base, s.object)
	if err != nil {
		return err
	}
	s.key = filepath.ToSlash(key)
	parts := strings.Split(s.key, "/")
	if len(parts) < 3 {
		return fmt.Errorf("key %s has no cluster and shard", s.key)
	}
	shard, err := strconv.ParseUint(parts[1], 10, 16)
	if err != nil {
		return fmt.Errorf("key %s: %w", s.key, err)
	}
	s.cluster, s.shard = parts[0], message.ShardID(shard)
	return nil
}

// segments lists the segments of the log, oldest first.
func (s *broker) segments(ctx context.Context) ([]*adminv1.Segment, error) {
	answer, err := s.admin.ListSegments(ctx, new(adminv1.ListSegmentsRequest))
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	return answer.GetSegments(), nil
}
