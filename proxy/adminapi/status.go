package adminapi

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/stratamq/stratamq/api/admin/v1"
)

// Part is the state of one part of the node.
type Part struct {
	Name     string
	Ready    bool
	Required bool   // without it the node cannot serve
	Reason   string // why it is not ready
}

// Ready reports whether every part that is required is ready.
func Ready(parts []Part) bool {
	for _, p := range parts {
		if p.Required && !p.Ready {
			return false
		}
	}
	return true
}

// Listener is an address that the node serves.
type Listener struct {
	Name       string
	Address    string
	Advertised string // "" if clients are told the address that they came by
}

// Status is what the node is.
type Status struct {
	Version     string
	Cluster     string
	Node        string
	Started     time.Time
	Parts       []Part
	Listeners   []Listener
	DataDir     string
	ObjectStore string // without credentials
}

// GetStatus says what the node is.
func (s *Service) GetStatus(context.Context, *adminv1.GetStatusRequest) (*adminv1.GetStatusResponse, error) {
	st := s.status()
	res := &adminv1.GetStatusResponse{
		Version:     st.Version,
		Cluster:     st.Cluster,
		Node:        st.Node,
		StartTime:   timestamppb.New(st.Started),
		Ready:       Ready(st.Parts),
		DataDir:     st.DataDir,
		ObjectStore: st.ObjectStore,
	}
	for _, p := range st.Parts {
		res.Parts = append(res.Parts, &adminv1.PartStatus{Name: p.Name, Ready: p.Ready, Reason: p.Reason})
	}
	for _, l := range st.Listeners {
		res.Listeners = append(res.Listeners, &adminv1.Listener{Name: l.Name, Address: l.Address, AdvertisedAddress: l.Advertised})
	}
	return res, nil
}
