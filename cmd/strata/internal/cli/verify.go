package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stratamq/stratamq/tiering"
	"github.com/stratamq/stratamq/tiering/verify"
)

// verifiedShard is what `strata segment verify -o json` says of a shard.
type verifiedShard struct {
	Shard       uint16            `json:"shard"`
	Entries     uint64            `json:"entries"`
	End         uint64            `json:"end"`
	Objects     int               `json:"objects"`
	Deleted     int               `json:"deleted"`
	Snapshots   int               `json:"snapshots"`
	Bytes       int64             `json:"bytes"`
	Records     uint64            `json:"records"`
	RecordBytes uint64            `json:"record_bytes"`
	Queues      int               `json:"queues"`
	Orphans     []string          `json:"orphans"`
	Problems    []verifiedProblem `json:"problems"`
}

type verifiedProblem struct {
	Key   string `json:"key"`
	Error string `json:"error"`
}

// verifiedCluster is what it says of a cluster.
type verifiedCluster struct {
	Cluster string          `json:"cluster"`
	OK      bool            `json:"ok"`
	Shards  []verifiedShard `json:"shards"`
}

func (e *env) segmentVerify() *cobra.Command {
	var url, cluster string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check everything that is in the object store",
		Long: `Check a whole bucket from its manifest alone: the chain of entries, every object, every block, and that
offsets have no holes. It reads every byte, changes nothing, and may run beside a broker. Exit code 7
says that something is damaged or missing; the report names it. Orphans are no damage: an object that
no entry names may belong to a seal that is under way.`,
		Example: `  strata segment verify
  strata segment verify --object-store file:///var/lib/strata/objects
  strata segment verify --object-store 's3://bucket/prefix?endpoint=http://127.0.0.1:9000' -o json`,
		Args: noArgs,
	}
	objectStoreFlag(c, &url)
	c.Flags().StringVar(&cluster, "cluster", "", "`ID` of the cluster, if the object store has several (default all of them)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		store, err := e.openObjects(c.Context(), url)
		if err != nil {
			return err
		}
		return errors.Join(e.verify(c.Context(), store, cluster), store.Close())
	}
	return c
}

func (e *env) verify(ctx context.Context, store tiering.ObjectStore, cluster string) error {
	clusters := []string{cluster}
	if cluster == "" {
		var err error
		if clusters, err = clustersOf(ctx, store); err != nil {
			return err
		}
	}
	damaged := false
	shown := []verifiedCluster{}
	for _, cluster := range clusters {
		report, err := verify.Run(ctx, store, cluster)
		if err != nil {
			return err
		}
		damaged = damaged || !report.OK()
		if e.output == outputTable {
			if err := report.Print(e.stdout); err != nil {
				return err
			}
			continue
		}
		shown = append(shown, showReport(report))
	}
	if e.output == outputJSON {
		if err := e.printJSON(shown, true); err != nil {
			return err
		}
	} else if len(clusters) == 0 {
		fmt.Fprintln(e.stdout, "nothing is sealed yet")
	}
	if damaged {
		return errDamageFound
	}
	return nil
}

// clustersOf returns the clusters that have something in a bucket. It steps from one to the next by lists
// that end after their first key.
func clustersOf(ctx context.Context, store tiering.ObjectStore) ([]string, error) {
	var clusters []string
	for after := ""; ; {
		key := ""
		for info, err := range store.List(ctx, "", after) {
			if err != nil {
				return nil, err
			}
			key = info.Key
			break
		}
		if key == "" {
			return clusters, nil
		}
		cluster, _, _ := strings.Cut(key, "/")
		if cluster != "probe" { // what a probe at a start left behind
			clusters = append(clusters, cluster)
		}
		after = cluster + "0" // the byte behind the slash: behind every key of this cluster
	}
}

func showReport(r verify.Report) verifiedCluster {
	out := verifiedCluster{Cluster: r.Cluster, OK: r.OK(), Shards: []verifiedShard{}}
	for _, s := range r.Shards {
		shard := verifiedShard{
			Shard: uint16(s.Shard), Entries: s.Entries, End: uint64(s.End), Objects: s.Objects, Deleted: s.Deleted, Snapshots: s.Snapshots,
			Bytes: s.Bytes, Records: s.Records, RecordBytes: s.RawBytes, Queues: s.Queues,
			Orphans: append([]string{}, s.Orphans...), Problems: []verifiedProblem{},
		}
		for _, p := range s.Problems {
			shard.Problems = append(shard.Problems, verifiedProblem{Key: p.Key, Error: p.Err.Error()})
		}
		out.Shards = append(out.Shards, shard)
	}
	return out
}
