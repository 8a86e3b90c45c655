package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
	"github.com/stratamq/stratamq/cmd/strata/internal/config"
)

func (e *env) topicCommand() *cobra.Command {
	return family("topic", "Manage topics", e.topicCreate(), e.topicList(), e.topicDescribe(), e.topicUpdate(), e.topicDelete())
}

// topicSettings are the flags of a topic's settings.
type topicSettings struct {
	queues         uint32
	ack, retention string
	kind           string
}

func (s *topicSettings) flags(flags *pflag.FlagSet) {
	flags.Uint32Var(&s.queues, "queues", 0, "`N` queues; it can grow later, never shrink (default 8)")
	flags.StringVar(&s.ack, "ack", "", "when a send is answered: durable, after the sync; local, after the write (default durable)")
	flags.StringVar(&s.retention, "retention", "", "how long, or how many bytes of, messages are kept: 7d, 100GiB, both as 7d,100GiB, or ever (default ever)")
	flags.StringVar(&s.kind, "type", "", "`TYPE` of messages; NORMAL is the only one so far (default NORMAL)")
}

// apply sets what was given, and returns the names of the fields.
func (s *topicSettings) apply(flags *pflag.FlagSet, t *adminv1.Topic) ([]string, error) {
	var fields []string
	if flags.Changed("queues") {
		if s.queues == 0 {
			return nil, usage("--queues: a topic has at least one queue")
		}
		t.Queues = s.queues
		fields = append(fields, "queues")
	}
	if flags.Changed("type") {
		v, ok := adminv1.MessageType_value["MESSAGE_TYPE_"+strings.ToUpper(s.kind)]
		if !ok || v == 0 {
			return nil, usage("--type: %q is none of NORMAL, FIFO, DELAY, TRANSACTION, LITE, PRIORITY", s.kind)
		}
		t.MessageType = adminv1.MessageType(v)
		fields = append(fields, "message_type")
	}
	if flags.Changed("ack") {
		v, ok := adminv1.AckMode_value["ACK_MODE_"+strings.ToUpper(s.ack)]
		if !ok || v == 0 {
			return nil, usage("--ack: %q is none of durable, local, replicated", s.ack)
		}
		t.AckMode = adminv1.AckMode(v)
		fields = append(fields, "ack_mode")
	}
	if flags.Changed("retention") {
		r, err := config.ParseRetention(s.retention, config.Ever)
		if err != nil {
			return nil, usage("--retention: %w", err)
		}
		if r.Age > 0 {
			t.RetentionAge = durationpb.New(r.Age)
		}
		t.RetentionBytes = r.Bytes
		fields = append(fields, "retention_age", "retention_bytes")
	}
	return fields, nil
}

func (e *env) topicCreate() *cobra.Command {
	var settings topicSettings
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a topic",
		Example: `  strata topic create orders
  strata topic create logs --queues 64 --ack local --retention 7d,100GiB`,
		Args: exactArgs("NAME"),
	}
	settings.flags(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		t := &adminv1.Topic{Name: args[0]}
		if _, err := settings.apply(c.Flags(), t); err != nil {
			return err
		}
		res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.CreateTopicResponse, error) {
			return client.CreateTopic(ctx, &adminv1.CreateTopicRequest{Topic: t})
		})
		if err != nil {
			return err
		}
		return e.print(res.GetTopic(), topicTable(res.GetTopic()))
	}
	return c
}

func (e *env) topicList() *cobra.Command {
	var req adminv1.ListTopicsRequest
	c := &cobra.Command{
		Use:   "list",
		Short: "List topics",
		Example: `  strata topic list
  strata topic list --prefix %DLQ% --system -o json`,
		Args: noArgs,
	}
	c.Flags().StringVar(&req.Prefix, "prefix", "", "only names that begin with `TEXT`")
	c.Flags().BoolVar(&req.IncludeSystem, "system", false, "with the broker's own topics, such as dead letters")
	c.RunE = func(c *cobra.Command, _ []string) error {
		all, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.ListTopicsResponse, error) {
			all := &adminv1.ListTopicsResponse{}
			for {
				page, err := client.ListTopics(ctx, &req)
				if err != nil {
					return nil, err
				}
				all.Topics = append(all.Topics, page.GetTopics()...)
				if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
					return all, nil
				}
			}
		})
		if err != nil {
			return err
		}
		return e.print(all, topicTable(all.GetTopics()...))
	}
	return c
}

func (e *env) topicDescribe() *cobra.Command {
	return &cobra.Command{
		Use:     "describe NAME",
		Short:   "Show a topic and its queues",
		Example: `  strata topic describe orders`,
		Args:    exactArgs("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.DescribeTopicResponse, error) {
				return client.DescribeTopic(ctx, &adminv1.DescribeTopicRequest{Name: args[0]})
			})
			if err != nil {
				return err
			}
			if e.output == outputTable {
				if err := topicTable(res.GetTopic()).writeTo(e.stdout); err != nil {
					return err
				}
				fmt.Fprintln(e.stdout)
			}
			t := newTable("QUEUE", "SHARD", "FIRST", "NEXT", "MESSAGES", "LOCAL FROM", "LAST STORED")
			for _, q := range res.GetQueues() {
				t.row(q.GetQueue(), q.GetShard(), q.GetFirstOffset(), q.GetNextOffset(), q.GetNextOffset()-q.GetFirstOffset(), q.GetFirstLocalOffset(), showTime(q.GetLastStoreTime()))
			}
			return e.print(res, t)
		},
	}
}

func (e *env) topicUpdate() *cobra.Command {
	var settings topicSettings
	c := &cobra.Command{
		Use:     "update NAME",
		Short:   "Change a topic's settings",
		Example: `  strata topic update orders --queues 16 --retention 30d`,
		Args:    exactArgs("NAME"),
	}
	settings.flags(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		t := &adminv1.Topic{Name: args[0]}
		fields, err := settings.apply(c.Flags(), t)
		if err != nil {
			return err
		}
		if len(fields) == 0 {
			return usage("nothing to change: give at least one of --queues, --ack, --retention, --type")
		}
		res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.UpdateTopicResponse, error) {
			return client.UpdateTopic(ctx, &adminv1.UpdateTopicRequest{Topic: t, UpdateMask: &fieldmaskpb.FieldMask{Paths: fields}})
		})
		if err != nil {
			return err
		}
		return e.print(res.GetTopic(), topicTable(res.GetTopic()))
	}
	return c
}

func (e *env) topicDelete() *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a topic with its messages",
		Long: `Delete a topic with its messages and the progress of its groups. A topic that is created
later under the same name is another one.`,
		Example: `  strata topic delete orders`,
		Args:    exactArgs("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.DeleteTopicResponse, error) {
				return client.DeleteTopic(ctx, &adminv1.DeleteTopicRequest{Name: args[0]})
			})
			if err != nil {
				return err
			}
			t := newTable()
			t.note("topic %s deleted", args[0])
			return e.print(res, t)
		},
	}
}

func topicTable(topics ...*adminv1.Topic) *table {
	t := newTable("TOPIC", "ID", "QUEUES", "TYPE", "ACK", "RETENTION", "CREATED")
	for _, topic := range topics {
		retention := config.Retention{Age: topic.GetRetentionAge().AsDuration(), Bytes: topic.GetRetentionBytes()}
		t.row(topic.GetName(), topic.GetId(), topic.GetQueues(), strings.TrimPrefix(topic.GetMessageType().String(), "MESSAGE_TYPE_"),
			strings.ToLower(strings.TrimPrefix(topic.GetAckMode().String(), "ACK_MODE_")), retention.Text(config.Ever), showTime(topic.GetCreateTime()))
	}
	return t
}
