package meta

// Bucket names one of the store's key spaces. The set is closed.
type Bucket string

// The buckets and what their keys are.
const (
	BucketCluster      Bucket = "cluster"      // [ClusterKey]: the identity of the cluster
	BucketNodes        Bucket = "nodes"        // node name: store nodes
	BucketShards       Bucket = "shards"       // [ShardKey]: epoch and leader of a shard
	BucketTopics       Bucket = "topics"       // topic name: [Topic]
	BucketGroups       Bucket = "groups"       // group name: [Group]
	BucketUsers        Bucket = "users"        // user name
	BucketACLs         Bucket = "acls"         // user name
	BucketManifests    Bucket = "manifests"    // [ShardKey]: [ManifestHead]
	BucketConsumeQueue Bucket = "consumequeue" // [ConsumeQueueKey]: one packed value per segment and part
	BucketIndex        Bucket = "index"        // [IndexKey]: fences of the key postings of a segment
)

// Buckets returns every bucket.
func Buckets() []Bucket {
	return []Bucket{
		BucketCluster, BucketNodes, BucketShards, BucketTopics, BucketGroups, BucketUsers, BucketACLs,
		BucketManifests, BucketConsumeQueue, BucketIndex,
	}
}

// Valid reports whether b is one of [Buckets].
func (b Bucket) Valid() bool {
	switch b {
	case BucketCluster, BucketNodes, BucketShards, BucketTopics, BucketGroups, BucketUsers, BucketACLs,
		BucketManifests, BucketConsumeQueue, BucketIndex:
		return true
	default:
		return false
	}
}

// Listable reports whether the keys of b may be listed and watched. The buckets that grow with
// the history may not: a list there is neither ordered nor cheap, their keys are computed.
func (b Bucket) Listable() bool {
	return b.Valid() && b != BucketConsumeQueue && b != BucketIndex
}
