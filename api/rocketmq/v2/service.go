package rocketmqv2

import "google.golang.org/grpc"

// ServiceName is the published name that clients call the service by.
const ServiceName = "apache.rocketmq.v2.MessagingService"

// RegisterMessagingService serves srv under [ServiceName]. A client of it is made with
// [NewMessagingServiceClient].
func RegisterMessagingService(r grpc.ServiceRegistrar, srv MessagingServiceServer) {
	RegisterMessagingServiceServer(r, srv)
}
