package cli

import "github.com/spf13/cobra"

func (e *env) completionCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh",
		Short: "Print what makes a shell complete commands and flags",
		Example: `  source <(strata completion bash)
  strata completion zsh >"${fpath[1]}/_strata"`,
		Args: exactArgs("bash or zsh"),
		RunE: func(_ *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(e.stdout, true)
			case "zsh":
				return root.GenZshCompletion(e.stdout)
			default:
				return usage("completion for %q is not there; there are bash and zsh", args[0])
			}
		},
	}
}
