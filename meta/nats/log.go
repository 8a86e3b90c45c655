package nats

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// serverLog turns the server's log lines into records. What NATS calls a notice is of no concern
// to the operator of a broker, so it appears at debug level.
type serverLog struct{ log *slog.Logger }

func (l serverLog) line(level slog.Level, format string, args []any) {
	ctx := context.Background()
	if l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "nats server", "line", strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (l serverLog) Noticef(format string, v ...any) { l.line(slog.LevelDebug, format, v) }
func (l serverLog) Warnf(format string, v ...any)   { l.line(slog.LevelWarn, format, v) }
func (l serverLog) Errorf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l serverLog) Fatalf(format string, v ...any)  { l.line(slog.LevelError, format, v) }
func (l serverLog) Debugf(string, ...any)           {}
func (l serverLog) Tracef(string, ...any)           {}
