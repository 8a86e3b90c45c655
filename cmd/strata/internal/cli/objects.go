package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/message"
	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/drivers"
	"github.com/stratamq/stratamq/tiering/segment"
)

const objectStoreEnv = "STRATA_OBJECT_STORE"

// objectStoreFlag adds the flag that names a bucket.
func objectStoreFlag(c *cobra.Command, url *string) {
	c.Flags().StringVar(url, "object-store", "", "`URL` of the object store, read directly (default STRATA_OBJECT_STORE, else the one of the server at --server)")
}

// openObjects opens the object store that was named, else the server's. Nothing is written to it.
func (e *env) openObjects(ctx context.Context, url string) (tiering.ObjectStore, error) {
	if err := e.checkOutput(); err != nil {
		return nil, err
	}
	if url == "" {
		url = os.Getenv(objectStoreEnv)
	}
	if url == "" {
		client, err := e.client()
		if err != nil {
			return nil, err
		}
		status, err := client.GetStatus(ctx, &adminv1.GetStatusRequest{})
		if err != nil {
			return nil, fmt.Errorf("ask the server for its object store (or name one with --object-store): %w", err)
		}
		url = status.GetObjectStore()
	}
	location, err := tiering.ParseURL(url)
	if err != nil {
		return nil, err
	}
	if location.Scheme == tiering.SchemeFile {
		// The driver makes a folder that is not there; who only reads wants to hear that it is not.
		if _, err := os.Stat(location.Dir); err != nil {
			return nil, fmt.Errorf("object store %s: %w", url, err)
		}
	}
	return drivers.Open(ctx, location, drivers.DefaultConfig())
}

func (e *env) segmentDump() *cobra.Command {
	var url string
	var opts segment.DumpOptions
	c := &cobra.Command{
		Use:   "dump KEY",
		Short: "Print a sealed object",
		Long: `Print a sealed object of the object store: its head, its queues and, if asked, its blocks, records
and keys. Keys stand in strata segment list -o json. The object store is read directly; credentials
of an s3:// one come from the environment.`,
		Example: `  strata segment dump CLUSTER/00000/00000000000000000000/ever-0000000001-UUID
  strata segment dump KEY --records --object-store 's3://bucket/prefix?endpoint=http://127.0.0.1:9000'
  strata segment dump KEY --object-store file:///var/lib/strata/objects --blocks`,
		Args: exactArgs("KEY"),
	}
	objectStoreFlag(c, &url)
	c.Flags().BoolVar(&opts.Blocks, "blocks", false, "with a line per block")
	c.Flags().BoolVar(&opts.Records, "records", false, "with a line per record")
	c.Flags().BoolVar(&opts.Keys, "keys", false, "with a line per key hash")
	c.RunE = func(c *cobra.Command, args []string) error {
		store, err := e.openObjects(c.Context(), url)
		if err != nil {
			return err
		}
		opts.Describe = describeRecord
		return errors.Join(e.dump(c.Context(), store, args[0], opts), store.Close())
	}
	return c
}

func (e *env) dump(ctx context.Context, store tiering.ObjectStore, key string, opts segment.DumpOptions) error {
	info, err := store.Head(ctx, key)
	if err != nil {
		return err
	}
	r, err := segment.Open(ctx, objectSource{store, key}, info.Size)
	if err != nil {
		return err
	}
	return r.Dump(ctx, e.stdout, opts)
}

// objectSource is an object as the reader of its format needs it.
type objectSource struct {
	store tiering.ObjectStore
	key   string
}

func (s objectSource) GetRange(ctx context.Context, dst []byte, off int64) error {
	return s.store.GetRange(ctx, s.key, dst, off)
}

// describeRecord says of a message what finds it.
func describeRecord(r message.Record) string {
	m, err := message.DecodeStored(r.Body)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "topic %s", clean(m.Topic))
	for _, name := range []string{message.PropertyMessageID, message.PropertyTag, message.PropertyKeys} {
		if value, ok := message.Property(m.Properties, name); ok {
			fmt.Fprintf(&b, " %s=%s", name, clean(string(value)))
		}
	}
	fmt.Fprintf(&b, " body %d bytes", len(m.Body))
	return b.String()
}
