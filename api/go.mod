module github.com/stratamq/stratamq/api

go 1.26.9
