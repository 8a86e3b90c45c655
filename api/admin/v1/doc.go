// Package adminv1 holds the messages of the admin API; package adminv1connect has its client and
// server.
package adminv1
