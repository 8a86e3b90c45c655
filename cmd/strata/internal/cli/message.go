package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
	"github.com/stratamq/stratamq/api/admin/v1/adminv1connect"
)

// maxShownBody is how much of a body a line shows, in characters.
const maxShownBody = 200

func (e *env) messageCommand() *cobra.Command {
	return family("message", "Send and look at messages", e.messageSend(), e.messageTail(), e.messageQuery())
}

func (e *env) messageSend() *cobra.Command {
	req := &adminv1.SendMessageRequest{}
	var properties []string
	var file string
	c := &cobra.Command{
		Use:   "send TOPIC [BODY]",
		Short: "Send a message",
		Long: `Send one message, and print its id and its place once it is as safe as its topic asks. The body
is the argument, or the contents of --file; - is standard input.`,
		Example: `  strata message send orders 'hello, 世界' --tag paid --key order-1
  strata message send orders --file invoice.pdf --property kind=invoice
  date | strata message send orders --file -`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usage("%s wants TOPIC and BODY, got %d arguments", c.CommandPath(), len(args))
			}
			return nil
		},
	}
	c.Flags().StringVar(&req.Tag, "tag", "", "the message's `TAG`")
	c.Flags().StringArrayVar(&req.Keys, "key", nil, "a `KEY` that finds the message later; may be repeated")
	c.Flags().StringArrayVar(&properties, "property", nil, "a property as `NAME=VALUE`; may be repeated")
	c.Flags().StringVar(&file, "file", "", "`FILE` with the body; - is standard input")
	c.RunE = func(c *cobra.Command, args []string) error {
		req.Topic = args[0]
		var err error
		if req.Body, err = e.body(args[1:], file); err != nil {
			return err
		}
		req.Properties = make(map[string]string)
		for _, p := range properties {
			name, value, ok := strings.Cut(p, "=")
			if !ok {
				return usage("--property: %q is not NAME=VALUE", p)
			}
			req.Properties[name] = value
		}
		res, err := call(e, c.Context(), func(ctx context.Context, client adminv1connect.AdminServiceClient) (*adminv1.SendMessageResponse, error) {
			return client.SendMessage(ctx, req)
		})
		if err != nil {
			return err
		}
		t := newTable("MESSAGE ID", "QUEUE", "OFFSET")
		t.row(res.GetMessageId(), res.GetQueue(), res.GetOffset())
		return e.print(res, t)
	}
	return c
}

// body returns the body from the arguments or from the file.
func (e *env) body(args []string, file string) ([]byte, error) {
	switch {
	case len(args) == 1 && file != "":
		return nil, usage("the body is given twice, as an argument and as --file")
	case len(args) == 1:
		return []byte(args[0]), nil
	case file == "-":
		return io.ReadAll(e.stdin)
	case file != "":
		return os.ReadFile(file)
	default:
		return nil, usage("no body: give it as an argument, or with --file")
	}
}

func (e *env) messageTail() *cobra.Command {
	var from, tag string
	var queues []uint
	var limit int
	var omitBody bool
	c := &cobra.Command{
		Use:   "tail TOPIC",
		Short: "Print messages as they come, without a group",
		Long: `Print the messages of a topic from a place on, and new ones as they come, until interrupted or
until --limit of them were printed. It changes no group's progress. With -o json every message is
one line, its body in base64.

FROM is last, first, a time (2026-01-02T03:04:05Z, '2026-01-02 03:04', 90m for 90 minutes ago),
or +N for the last N messages of each queue.`,
		Example: `  strata message tail orders
  strata message tail orders --from first --tag 'paid || refunded'
  strata message tail orders --from +10 --limit 10 -o json`,
		Args: exactArgs("TOPIC"),
	}
	c.Flags().StringVar(&from, "from", "last", "`PLACE` to begin at")
	c.Flags().StringVar(&tag, "tag", "", "only messages with these `TAGS`, such as 'a || b'")
	c.Flags().UintSliceVar(&queues, "queue", nil, "only these `QUEUES`")
	c.Flags().IntVar(&limit, "limit", 0, "end after `N` messages")
	c.Flags().BoolVar(&omitBody, "no-body", false, "without bodies")
	c.RunE = func(c *cobra.Command, args []string) error {
		req := &adminv1.TailMessagesRequest{Topic: args[0], Tag: tag, OmitBody: omitBody}
		for _, q := range queues {
			req.Queues = append(req.Queues, uint32(q))
		}
		if err := setStart(req, from); err != nil {
			return err
		}
		return e.tail(c.Context(), req, limit)
	}
	return c
}

func setStart(req *adminv1.TailMessagesRequest, from string) error {
	switch {
	case from == "first":
		req.Start = &adminv1.TailMessagesRequest_First{First: true}
	case from == "last":
		req.Start = &adminv1.TailMessagesRequest_Last{Last: true}
	case strings.HasPrefix(from, "+"):
		n, err := strconv.ParseUint(from[1:], 10, 32)
		if err != nil {
			return usage("--from: %q is not + and a number", from)
		}
		req.Start = &adminv1.TailMessagesRequest_Tail{Tail: uint32(n)}
	default:
		at, err := parseTime(from, time.Now())
		if err != nil {
			return usage("--from: %w", err)
		}
		req.Start = &adminv1.TailMessagesRequest_Timestamp{Timestamp: at}
	}
	return nil
}

func (e *env) tail(ctx context.Context, req *adminv1.TailMessagesRequest, limit int) (err error) {
	client, err := e.client()
	if err != nil {
		return err
	}
	stream, err := client.TailMessages(ctx, req)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := stream.Close(); err == nil && ctx.Err() == nil {
			err = closeErr
		}
	}()
	printed := 0
	for stream.Receive() {
		for _, m := range stream.Msg().GetMessages() {
			if err := e.printMessage(m); err != nil {
				return err
			}
			if printed++; printed == limit {
				return nil
			}
		}
	}
	if ctx.Err() != nil {
		return nil // interrupted, as the manual says
	}
	return stream.Err()
}

func (e *env) messageQuery() *cobra.Command {
	var id, key, from, to, at string
	var limit uint32
	var omitBody bool
	c := &cobra.Command{
		Use:   "query TOPIC",
		Short: "Find messages by id, key, time or place",
		Long: `Find messages of a topic, wherever they are: on the server's disk or in the object store. By id
and by key the newest come first; by time each queue in its order. Exit code 3 says that there is
none. With -o json every message is one line, its body in base64.`,
		Example: `  strata message query orders --id 01AB00…
  strata message query orders --key order-1
  strata message query orders --from '2026-01-02 03:00' --to '2026-01-02 04:00'
  strata message query orders --at 3/1200`,
		Args: exactArgs("TOPIC"),
	}
	c.Flags().StringVar(&id, "id", "", "by message `ID`")
	c.Flags().StringVar(&key, "key", "", "by `KEY`")
	c.Flags().StringVar(&from, "from", "", "by time: stored at `TIME` or later")
	c.Flags().StringVar(&to, "to", "", "by time: stored before `TIME`")
	c.Flags().StringVar(&at, "at", "", "by place, as `QUEUE/OFFSET`")
	c.Flags().Uint32Var(&limit, "limit", 64, "at most `N` messages")
	c.Flags().BoolVar(&omitBody, "no-body", false, "without bodies")
	c.RunE = func(c *cobra.Command, args []string) error {
		req := &adminv1.QueryMessagesRequest{Topic: args[0], Limit: limit, OmitBody: omitBody}
		if err := setBy(req, id, key, from, to, at); err != nil {
			return err
		}
		return e.query(c.Context(), req)
	}
	return c
}

// setBy sets what is looked for: exactly one way of the four.
func setBy(req *adminv1.QueryMessagesRequest, id, key, from, to, at string) error {
	ways := 0
	if id != "" {
		ways++
		req.By = &adminv1.QueryMessagesRequest_MessageId{MessageId: id}
	}
	if key != "" {
		ways++
		req.By = &adminv1.QueryMessagesRequest_Key{Key: key}
	}
	if from != "" || to != "" {
		ways++
		span := &adminv1.TimeRange{}
		var err error
		if from != "" {
			if span.Start, err = parseTime(from, time.Now()); err != nil {
				return usage("--from: %w", err)
			}
		}
		if to != "" {
			if span.End, err = parseTime(to, time.Now()); err != nil {
				return usage("--to: %w", err)
			}
		}
		req.By = &adminv1.QueryMessagesRequest_Time{Time: span}
	}
	if at != "" {
		ways++
		queue, offset, _ := strings.Cut(at, "/")
		q, queueErr := strconv.ParseUint(queue, 10, 32)
		o, offsetErr := strconv.ParseInt(offset, 10, 64)
		if queueErr != nil || offsetErr != nil {
			return usage("--at: %q is not QUEUE/OFFSET, such as 3/1200", at)
		}
		req.By = &adminv1.QueryMessagesRequest_Position{Position: &adminv1.QueuePosition{Queue: uint32(q), Offset: o}}
	}
	if ways != 1 {
		return usage("say what to look for, in one way: --id, --key, --from and --to, or --at")
	}
	return nil
}

// errNoMessage says that a query found nothing.
var errNoMessage = errors.New("no message matches")

func (e *env) query(ctx context.Context, req *adminv1.QueryMessagesRequest) (err error) {
	client, err := e.client()
	if err != nil {
		return err
	}
	stream, err := client.QueryMessages(ctx, req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	found, truncated := 0, false
	for stream.Receive() {
		truncated = truncated || stream.Msg().GetTruncated()
		for _, m := range stream.Msg().GetMessages() {
			found++
			if err := e.printMessage(m); err != nil {
				return err
			}
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	if truncated {
		fmt.Fprintf(e.stderr, "there are more than %d; --limit raises that\n", req.GetLimit())
	}
	if found == 0 {
		return errNoMessage
	}
	return nil
}

// printMessage prints one message: as a line of JSON, or for people.
func (e *env) printMessage(m *adminv1.Message) error {
	if e.output == outputJSON {
		return e.printJSON(m, false)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %d/%d  %s", showTime(m.GetStoreTime()), m.GetQueue(), m.GetOffset(), clean(m.GetMessageId()))
	if m.GetTag() != "" {
		fmt.Fprintf(&b, "  tag=%s", clean(m.GetTag()))
	}
	if len(m.GetKeys()) > 0 {
		fmt.Fprintf(&b, "  keys=%s", clean(strings.Join(m.GetKeys(), ",")))
	}
	if m.GetCold() {
		b.WriteString("  (from the object store)")
	}
	if len(m.GetBody()) > 0 {
		fmt.Fprintf(&b, "  %s", showBody(m.GetBody()))
	}
	_, err := fmt.Fprintln(e.stdout, b.String())
	return err
}

// showBody shows a body in one line: text as it is, shortened; else its size.
func showBody(body []byte) string {
	if !utf8.Valid(body) {
		return fmt.Sprintf("(%d bytes that are no text)", len(body))
	}
	text := []rune(clean(string(body[:min(len(body), 4*maxShownBody)])))
	if len(text) > maxShownBody || len(body) > 4*maxShownBody {
		return fmt.Sprintf("%s… (%d bytes)", string(text[:min(len(text), maxShownBody)]), len(body))
	}
	return string(text)
}
