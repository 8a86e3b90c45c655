package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
)

func (e *env) segmentCommand() *cobra.Command {
	return family("segment", "Look at the segments of the log", e.segmentList(), e.segmentDump(), e.segmentVerify())
}

func (e *env) segmentList() *cobra.Command {
	var req adminv1.ListSegmentsRequest
	c := &cobra.Command{
		Use:   "list",
		Short: "List the segments of the log and where their bytes are",
		Long: `List the segments of the log. A segment is local while only the server's disk has it, sealed
once the object store has it as well, and trimmed when only the object store has it.`,
		Example: `  strata segment list`,
		Args:    noArgs,
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		all, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.ListSegmentsResponse, error) {
			all := &adminv1.ListSegmentsResponse{}
			for {
				page, err := client.ListSegments(ctx, &req)
				if err != nil {
					return nil, err
				}
				all.Segments = append(all.Segments, page.GetSegments()...)
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return all, nil
				}
			}
		})
		if err != nil {
			return err
		}
		t := newTable("SHARD", "BASE", "END", "STATE", "RECORDS", "BYTES", "OBJECTS", "SEQUENCE")
		for _, s := range all.GetSegments() {
			state := strings.ToLower(strings.TrimPrefix(s.GetState().String(), "SEGMENT_STATE_"))
			t.row(s.GetShard(), s.GetBase(), s.GetEnd(), state, s.GetRecords(), s.GetBytes(), len(s.GetObjects()), s.GetManifestSequence())
		}
		return e.print(all, t)
	}
	return c
}
