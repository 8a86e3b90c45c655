package main

import (
	"context"
	"errors"
)

func disk(context.Context, *options) error { return errors.New("tbd") }
