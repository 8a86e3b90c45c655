package cli

import (
	"context"

	"github.com/spf13/cobra"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
)

func (e *env) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show what a server is, where it listens, and whether its parts are ready",
		Example: `  strata status --server 127.0.0.1:8090 -o json`,
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.GetStatusResponse, error) {
				return client.GetStatus(ctx, &adminv1.GetStatusRequest{})
			})
			if err != nil {
				return err
			}
			t := newTable()
			t.row("version", res.GetVersion(), "")
			t.row("cluster", res.GetCluster(), "")
			t.row("started", showTime(res.GetStartTime()), "")
			t.row("data", res.GetDataDir(), "")
			t.row("objects", res.GetObjectStore(), "")
			for _, l := range res.GetListeners() {
				advertised := ""
				if l.GetAdvertisedAddress() != "" {
					advertised = "advertised as " + l.GetAdvertisedAddress()
				}
				t.row(l.GetName(), l.GetAddress(), advertised)
			}
			for _, p := range res.GetParts() {
				state := "ready"
				if !p.GetReady() {
					state = "not ready"
				}
				t.row(p.GetName(), state, p.GetReason())
			}
			if !res.GetReady() {
				t.note("the server is not ready")
			}
			return e.print(res, t)
		},
	}
}
