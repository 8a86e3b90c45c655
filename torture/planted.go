package main

import (
	"context"
	"errors"
)

func planted(context.Context, *options) error { return errors.New("tbd") }
