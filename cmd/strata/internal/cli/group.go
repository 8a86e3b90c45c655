package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
	"github.com/stratamq/stratamq/cmd/strata/internal/config"
)

func (e *env) groupCommand() *cobra.Command {
	return family("group", "Manage consumer groups", e.groupCreate(), e.groupList(), e.groupDescribe(), e.groupReset(), e.groupDelete())
}

func (e *env) groupCreate() *cobra.Command {
	var attempts uint32
	var backoff []string
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a consumer group before its first use",
		Long: `Create a consumer group with settings of its own. Without this a group comes into being on
its first use, with the defaults: 17 attempts, delays that grow from 1s to 2h.`,
		Example: `  strata group create billing
  strata group create billing --max-attempts 5 --backoff 1s,10s,1m`,
		Args: exactArgs("NAME"),
	}
	c.Flags().Uint32Var(&attempts, "max-attempts", 0, "`N` deliveries after which a message becomes a dead letter (default 17)")
	c.Flags().StringSliceVar(&backoff, "backoff", nil, "`DELAYS` before the second, third, … delivery; the last one repeats")
	c.RunE = func(c *cobra.Command, args []string) error {
		if c.Flags().Changed("max-attempts") && attempts == 0 {
			return usage("--max-attempts: a message is delivered at least once")
		}
		g := &adminv1.Group{Name: args[0], MaxAttempts: attempts}
		if len(backoff) > 0 {
			fixed := &adminv1.FixedBackoff{}
			for _, text := range backoff {
				d, err := config.ParseDuration(text)
				if err != nil {
					return usage("--backoff: %w", err)
				}
				fixed.Delays = append(fixed.Delays, durationpb.New(d))
			}
			g.BackoffPolicy = &adminv1.BackoffPolicy{Strategy: &adminv1.BackoffPolicy_Fixed{Fixed: fixed}}
		}
		res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.CreateGroupResponse, error) {
			return client.CreateGroup(ctx, &adminv1.CreateGroupRequest{Group: g})
		})
		if err != nil {
			return err
		}
		return e.print(res.GetGroup(), groupTable(res.GetGroup()))
	}
	return c
}

func (e *env) groupList() *cobra.Command {
	var req adminv1.ListGroupsRequest
	c := &cobra.Command{
		Use:     "list",
		Short:   "List consumer groups",
		Example: `  strata group list --prefix bill`,
		Args:    noArgs,
	}
	c.Flags().StringVar(&req.Prefix, "prefix", "", "only names that begin with `TEXT`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		all, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.ListGroupsResponse, error) {
			all := &adminv1.ListGroupsResponse{}
			for {
				page, err := client.ListGroups(ctx, &req)
				if err != nil {
					return nil, err
				}
				all.Groups = append(all.Groups, page.GetGroups()...)
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return all, nil
				}
			}
		})
		if err != nil {
			return err
		}
		return e.print(all, groupTable(all.GetGroups()...))
	}
	return c
}

func (e *env) groupDescribe() *cobra.Command {
	var topic string
	c := &cobra.Command{
		Use:   "describe NAME",
		Short: "Show a group's progress in each queue, and its clients",
		Long: `Show how far a group has come. READY is what a consumer would get at once, IN FLIGHT what
consumers have and have not acknowledged, LAG all that is not settled: ready, in flight, or
waiting for another attempt.`,
		Example: `  strata group describe billing
  strata group describe billing --topic orders -o json`,
		Args: exactArgs("NAME"),
	}
	c.Flags().StringVar(&topic, "topic", "", "only the progress in `TOPIC`")
	c.RunE = func(c *cobra.Command, args []string) error {
		res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.DescribeGroupResponse, error) {
			return client.DescribeGroup(ctx, &adminv1.DescribeGroupRequest{Name: args[0], Topic: topic})
		})
		if err != nil {
			return err
		}
		if e.output == outputTable {
			if err := groupTable(res.GetGroup()).writeTo(e.stdout); err != nil {
				return err
			}
			fmt.Fprintln(e.stdout)
			if len(res.GetClients()) > 0 {
				clients := newTable("CLIENT", "LANGUAGE")
				for _, client := range res.GetClients() {
					clients.row(client.GetClientId(), client.GetLanguage())
				}
				if err := clients.writeTo(e.stdout); err != nil {
					return err
				}
				fmt.Fprintln(e.stdout)
			}
		}
		return e.print(res, progressTable(res.GetProgress()))
	}
	return c
}

func (e *env) groupReset() *cobra.Command {
	var topic, to string
	var queues []uint
	c := &cobra.Command{
		Use:   "reset-offset NAME",
		Short: "Put a group to another place in a topic",
		Long: `Put a group to another place in a topic, forward or back. Messages that consumers have at that
moment are let go: their receipt handles are invalid afterwards.

TO is first, last, an offset, or a time: 2026-01-02T03:04:05Z, '2026-01-02 03:04', or 90m for
90 minutes ago.`,
		Example: `  strata group reset-offset billing --topic orders --to first
  strata group reset-offset billing --topic orders --queue 3 --to 1200
  strata group reset-offset billing --topic orders --to 2h`,
		Args: exactArgs("NAME"),
	}
	c.Flags().StringVar(&topic, "topic", "", "`TOPIC` to move in (required)")
	c.Flags().StringVar(&to, "to", "", "`PLACE`: first, last, an offset, or a time (required)")
	c.Flags().UintSliceVar(&queues, "queue", nil, "only these `QUEUES`")
	c.RunE = func(c *cobra.Command, args []string) error {
		if topic == "" || to == "" {
			return usage("--topic and --to are required")
		}
		req := &adminv1.ResetOffsetRequest{Group: args[0], Topic: topic}
		for _, q := range queues {
			req.Queues = append(req.Queues, uint32(q))
		}
		switch offset, err := strconv.ParseInt(to, 10, 64); {
		case to == "first":
			req.Target = &adminv1.ResetOffsetRequest_First{First: true}
		case to == "last":
			req.Target = &adminv1.ResetOffsetRequest_Last{Last: true}
		case err == nil:
			req.Target = &adminv1.ResetOffsetRequest_Offset{Offset: offset}
		default:
			at, err := parseTime(to, time.Now())
			if err != nil {
				return usage("--to: %w", err)
			}
			req.Target = &adminv1.ResetOffsetRequest_Timestamp{Timestamp: at}
		}
		res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.ResetOffsetResponse, error) {
			return client.ResetOffset(ctx, req)
		})
		if err != nil {
			return err
		}
		return e.print(res, progressTable(res.GetProgress()))
	}
	return c
}

func (e *env) groupDelete() *cobra.Command {
	return &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a consumer group with its progress",
		Long:    `Delete a consumer group with its progress. Its dead letters, the topic %DLQ%NAME, stay.`,
		Example: `  strata group delete billing`,
		Args:    exactArgs("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.DeleteGroupResponse, error) {
				return client.DeleteGroup(ctx, &adminv1.DeleteGroupRequest{Name: args[0]})
			})
			if err != nil {
				return err
			}
			t := newTable()
			t.note("group %s deleted", args[0])
			return e.print(res, t)
		},
	}
}

func groupTable(groups ...*adminv1.Group) *table {
	t := newTable("GROUP", "MAX ATTEMPTS", "BACKOFF", "CREATED")
	for _, g := range groups {
		var delays []string
		for _, d := range g.GetBackoffPolicy().GetFixed().GetDelays() {
			delays = append(delays, config.FormatDuration(d.AsDuration()))
		}
		if len(delays) > 4 {
			delays = []string{delays[0], delays[1], "…", delays[len(delays)-1]}
		}
		t.row(g.GetName(), g.GetMaxAttempts(), strings.Join(delays, ","), showTime(g.GetCreateTime()))
	}
	return t
}

func progressTable(progress []*adminv1.GroupProgress) *table {
	t := newTable("TOPIC", "QUEUE", "COMMITTED", "NEXT", "READY", "IN FLIGHT", "LAG")
	for _, p := range progress {
		t.row(p.GetTopic(), p.GetQueue(), p.GetCommittedOffset(), p.GetNextOffset(), p.GetReady(), p.GetInFlight(), p.GetLag())
	}
	return t
}
