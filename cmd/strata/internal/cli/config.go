package cli

import (
	"github.com/spf13/cobra"

	"github.com/stratamq/stratamq/cmd/strata/internal/config"
)

// shownSetting is one line of `strata config show`.
type shownSetting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

func (e *env) configCommand() *cobra.Command {
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the settings in effect and where each came from",
		Long: `Print the settings that strata server would have if it was started with the same flags,
variables and configuration file, and where each value came from. Nothing is started.`,
		Example: `  strata config show
  strata config show --config strata.yaml -o json`,
		Args: noArgs,
	}
	load := settingFlags(show.Flags())
	show.Flags().StringVarP(&e.output, "output", "o", outputTable, "`FORMAT`: table or json")
	show.RunE = func(*cobra.Command, []string) error {
		effective, err := load()
		if err != nil {
			return err
		}
		var shown []shownSetting
		t := newTable("KEY", "VALUE", "FROM")
		for _, s := range config.Settings() {
			line := shownSetting{Key: s.Key(), Value: effective.Value(s), From: effective.Origin(s)}
			shown = append(shown, line)
			t.row(line.Key, line.Value, line.From)
		}
		return e.print(shown, t)
	}
	return family("config", "Look at the configuration", show)
}
