package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// prepareReference makes topics and groups on a real RocketMQ. STRATA_MQADMIN is the command that runs its mqadmin,
// for example "rocketmq-reference mqadmin DIR"; without it they have to be there already. One call makes all topics
// and one all groups, since each starts a JVM.
func prepareReference(ctx context.Context, runs []run, dir string) error {
	admin := strings.Fields(os.Getenv("STRATA_MQADMIN"))
	if len(admin) == 0 {
		return nil
	}
	type topic struct {
		Name       string            `json:"topicName"`
		ReadQueues int               `json:"readQueueNums"`
		Queues     int               `json:"writeQueueNums"`
		Perm       int               `json:"perm"`
		Attributes map[string]string `json:"attributes"`
	}
	type group struct {
		Name string `json:"groupName"`
		// RetryMax counts redeliveries; the first delivery comes on top.
		RetryMax int `json:"retryMaxTimes"`
	}
	var topics []topic
	var groups []group
	addTopic := func(name string) {
		topics = append(topics, topic{name, 4, 4, 6, map[string]string{"+message.type": "NORMAL"}})
	}
	for _, r := range runs {
		for _, name := range r.cases {
			addTopic(r.topic(name))
			retries := 16
			if r.topic(name) == r.deadLetterGroup() {
				retries = 1
			}
			groups = append(groups, group{r.topic(name), retries})
		}
		// RocketMQ makes a dead-letter topic that nobody may read.
		addTopic("%DLQ%" + r.deadLetterGroup())
		groups = append(groups, group{r.prefix() + "-dead-letter-reader", 16}, group{r.topic(idleCase) + "-simple", 16})
	}
	for _, step := range []struct {
		command, file string
		list          any
	}{
		{"updateTopicList", "topics.json", topics},
		{"updateSubGroupList", "groups.json", groups},
	} {
		text, err := json.Marshal(step.list)
		if err != nil {
			return err
		}
		file := filepath.Join(dir, step.file)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		args := append(admin[1:len(admin):len(admin)], step.command, "-c", "DefaultCluster", "-f", file)
		out, err := exec.CommandContext(ctx, admin[0], args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "success") {
			return fmt.Errorf("%s: %w: %s", step.command, err, out)
		}
	}
	return nil
}
